"""The learner and what it is made of.

Reading order: :mod:`.learner` (the facade), :mod:`.engine` (how it is put together), :mod:`.router`,
:mod:`.model`, :mod:`.selector`, :mod:`.persister`, :mod:`.supervisor` (the actors), :mod:`.state` (what they
decide), :mod:`.learning` (the maths), :mod:`.runtime` (actors in general), :mod:`.store` (LMDB).
"""

from __future__ import annotations

from .learner import Learner
from .verify import verify_state

__all__ = ["Learner", "verify_state"]
