"""Notifications that there was no room for: kept in the order in which they came, and handed on again.

Their senders cannot be told to come later, so the server tries again, and the session takes in nothing more meanwhile.
If nothing of theirs could get through (the server, the router or the disk is full), until there is room. If it is
the mailbox of one model that is full, for :data:`HOLD_SECONDS` at most: they become dead letters then, because what
the session sends for others would wait behind them; and for as long after that nothing is held for one model, so that
the others have half of the time at least. What does not pass by itself (the book is full) is not waited for: it may be
what comes behind that makes room.

Whether there is room is known at once if a bound of the server's or of the learner's
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

from ..errors import BusyError, StoreFullError

if TYPE_CHECKING:
    from .outgoing import Outgoing

__all__ = ["HOLD_SECONDS", "NO_ROOM", "RETRY_SECONDS", "Held"]

NO_ROOM: Final = (BusyError, StoreFullError)
"""What passes: notifications are kept meanwhile."""

RETRY_SECONDS: Final = 0.02
HOLD_SECONDS: Final = 5.0
"""How long notifications wait for one model, at least: so much time between as many tries as fit into it."""

TRIES_MAX: Final = round(HOLD_SECONDS / RETRY_SECONDS)
PASSES_MS: Final = 1_000
"""BUSY passes by itself if it says to come again within that."""


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
        self._gave_up = False
        """Lately, on something that waited for one model."""

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

    def waits_for(self, error: object, tries: int) -> bool:
        """Whether what was refused alone, among others that were not, is to be held after so many tries."""
        if self._gave_up or not isinstance(error, BusyError) or error.retry_after_ms > PASSES_MS:
            return False
        if tries < TRIES_MAX:
            return True
        self._gave_up = True
        self._session.service.later(HOLD_SECONDS, self._be_patient)
        return False

    def _be_patient(self) -> None:
        self._gave_up = False

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
