"""Long computations in turns of the loop: a piece of one of them each time, however many there are and whoever's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple, TypeAlias

from ..errors import ClosedError

__all__ = ["TURN_CELLS", "PieceQueue", "Pieces"]

TURN_CELLS: Final = 2_048
"""What is computed in one turn, but for the piece that reaches it: one to two milliseconds."""

Pieces: TypeAlias = Generator[int, None, Any]
"""Yields what each piece took, in cells of some tenths of a microsecond; returns the result."""

Done: TypeAlias = Callable[[Any, BaseException | None], object]
"""Called with the result, or with what went wrong."""


class _Job(NamedTuple):
    pieces: Pieces
    done: Done
    wanted: Callable[[], bool]


class PieceQueue:
    """What is being computed.

    Args:
        post: has something called in another turn of the loop.

    """

    def __init__(self, post: Callable[[Callable[[], object]], object]) -> None:
        self._post = post
        self._jobs: deque[_Job] = deque()

    def add(self, pieces: Pieces, done: Done, wanted: Callable[[], bool]) -> None:
        """Compute this, too; not to its end if it is not ``wanted`` any more."""
        self._jobs.append(_Job(pieces, done, wanted))
        if len(self._jobs) == 1:
            self._post(self._turn)

    def _turn(self) -> None:
        """Compute for one turn. One job after the other gets a turn, until it is done."""
        jobs, cells = self._jobs, 0
        while jobs and cells < TURN_CELLS // 2:  # the first piece of the next may be a whole one
            job = jobs[0]
            if not job.wanted():
                jobs.popleft()
                job.done(None, ClosedError("nobody waits for the answer"))
                continue
            took, ended = run_for(job.pieces, TURN_CELLS - cells, job.done)
            cells += took
            if ended:
                jobs.popleft()
            else:
                jobs.rotate(-1)
        if jobs:
            self._post(self._turn)


def run_for(pieces: Pieces, cells_max: int, done: Done) -> tuple[int, bool]:
    """Compute until that took so many cells; returns how many it took, and whether it is done.

    >>> run_for((cells for cells in [10, 20, 30]), 15, print)
    (30, False)
    >>> run_for((cells for cells in [10, 20]), 50, print)
    None None
    (30, True)
    """
    cells = 0
    try:
        while cells < cells_max:
            cells += next(pieces)
    except StopIteration as end:
        result, error = end.value, None
    except Exception as raised:  # noqa: BLE001  # whatever it is, the client gets it
        result, error = None, raised
    else:
        return cells, False
    done(result, error)
    return cells, True
