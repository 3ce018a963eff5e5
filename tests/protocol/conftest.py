from __future__ import annotations

from hypothesis import settings

# A deadline is a wall-clock assertion: on a busy machine it fails for no reason of ours.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
