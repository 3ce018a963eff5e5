from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.config import Persistence, Settings

OpenLearner = Callable[..., Learner]


@pytest.fixture
def open_learner(tmp_path: Path) -> Iterator[OpenLearner]:
    """Opens learners on directories below ``tmp_path``, and closes those still open in the end."""
    opened: list[Learner] = []

    def open_one(name: str = "state", **learning: Any) -> Learner:
        kept = Persistence(save_interval_secs=86_400.0, initial_map_mib=4, idempotency_filter_mib=1)
        learner = Learner(tmp_path / name, Settings(**({"persistence": kept} | learning)))
        opened.append(learner)
        return learner

    yield open_one
    for learner in opened:
        learner.close()
