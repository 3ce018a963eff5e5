"""A learner of small settings, closed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.config import Settings

from .helpers import small_settings

Open = Callable[..., Learner]


@pytest.fixture
def open_learner(tmp_path: Path) -> Iterator[Open]:
    """Open a learner on a directory below tmp_path; what is still open at the end is closed."""
    with ExitStack() as stack:

        def opened(name: str = "state", settings: Settings | None = None, **options: Any) -> Learner:
            chosen = small_settings() if settings is None else settings
            return stack.enter_context(Learner(tmp_path / name, chosen, **options))

        yield opened


@pytest.fixture
def learner(open_learner: Open) -> Learner:
    return open_learner()
