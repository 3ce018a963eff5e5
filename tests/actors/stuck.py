"""A fold that does not return until it is let."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from handicapper.actors.state import model_state

from .helpers import DEADLINE_SECONDS, POISON


class Stuck:
    """Which thread is inside, and the way out."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._released = threading.Event()

    def wait_entered(self) -> None:
        assert self.entered.wait(DEADLINE_SECONDS)

    def hold(self) -> None:
        self.entered.set()
        assert self._released.wait(DEADLINE_SECONDS), "the fold was never released"

    def release(self) -> None:
        self._released.set()


@contextmanager
def stuck_fold(confidence: float = POISON) -> Iterator[Stuck]:
    """The fold of a row with this confidence does not return until released."""
    real, stuck = model_state.fold_rows, Stuck()

    def fold_rows(statistics: Any, rows: Any, *arguments: Any) -> None:
        if any(row[3] == confidence for row in rows):
            stuck.hold()
        real(statistics, rows, *arguments)

    model_state.fold_rows = fold_rows
    try:
        yield stuck
    finally:
        stuck.release()
        model_state.fold_rows = real
