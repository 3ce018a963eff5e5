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
        self._owners: deque[object] = deque()
        """Those who wait, whose turn it is first."""
        self._jobs: dict[object, deque[_Job]] = {}
        """What they wait for. Of one owner's, one is begun at a time: half of a computation holds more than none."""

    def add(self, owner: object, pieces: Pieces, done: Done, wanted: Callable[[], bool]) -> None:
        """Compute this, too; not to its end if it is not ``wanted`` any more."""
        if owner not in self._jobs:
            self._jobs[owner] = deque()
            self._owners.append(owner)
            if len(self._owners) == 1:
                self._post(self._turn)
        self._jobs[owner].append(_Job(pieces, done, wanted))

    def _turn(self) -> None:
        """Compute for one turn. One owner after the other gets one, until there is nothing left to do."""
        owners, cells = self._owners, 0
        while owners and cells < TURN_CELLS // 2:  # the first piece of the next may be a whole one
            jobs = self._jobs[owners[0]]
            job = jobs[0]
            if not job.wanted():
                ended = True
                job.done(None, ClosedError("nobody waits for the answer"))
            else:
                took, ended = run_for(job.pieces, TURN_CELLS - cells, job.done)
                cells += took
            if ended:
                jobs.popleft()
            if jobs:
                owners.rotate(-1)
            else:
                del self._jobs[owners.popleft()]
        if owners:
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
