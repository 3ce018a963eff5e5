"""Notifications that there was no room for: kept in the order in which they came, and handed on again.

Their senders cannot be told to come later, so the server tries again until there is room, and the session takes
in nothing more meanwhile. Whether there is room is known at once if a bound of the server's or of the learner's
was reached, but only later if the disk was full: by then what the connection sent behind it may be
under way, and is recorded first. To let nothing else overtake, one group is tried at a time, once all that
was under way has come back, and the next one when that one is through.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .outgoing import Outgoing

__all__ = ["RETRY_SECONDS", "Held"]

RETRY_SECONDS: Final = 0.02


class Held:
    """What one session keeps, and how much of it is under way."""

    def __init__(self, session: Outgoing) -> None:
        self._session = session
        self._places = count()
        self._waiting: list[tuple[int, Callable[[], object]]] = []
        """By place, each with how to hand it on again."""
        self._under_way = 0
        self._retrying = False
        """What is under way is the first of those that waited."""
        self._timed = False

    @property
    def active(self) -> bool:
        """Whether anything has not found room yet: nothing more is to be taken in."""
        return self._retrying or bool(self._waiting)

    def place(self) -> int:
        """The next place in the order of what is handed on."""
        return next(self._places)

    def sent(self) -> None:
        """Something was handed on."""
        self._under_way += 1

    def came_back(self) -> None:
        """What became of it is known; :meth:`hold` was called before this if that is to be."""
        self._under_way -= 1
        self._go_on()

    def hold(self, place: int, again: Callable[[], object]) -> None:
        """Call ``again`` when it is the turn of this place."""
        insort(self._waiting, (place, again), key=itemgetter(0))
        if not self._timed:
            self._timed = True
            self._session.service.later(RETRY_SECONDS, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timed = False
        self._go_on()
        self._session.service.touch(self._session)

    def _go_on(self) -> None:
        """Try the first one again, unless something is under way or the time has not come."""
        if self._under_way:
            return
        self._retrying = False
        if self._waiting and not self._timed:
            _, again = self._waiting.pop(0)
            self._retrying = True
            again()
            # Refused at once: it waits again, and nothing is under way that would come back.
            self._retrying = self._under_way > 0
