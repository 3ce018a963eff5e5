"""What a session does over several turns, because one would be too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Raw

from ..connection import encode
from ..many import array_of
from .backend import Pending
from .groups import outcome_of

if TYPE_CHECKING:
    from .outgoing import Outgoing

__all__ = ["PIECE_UNITS", "QuestionRun", "Run"]

PIECE_UNITS: Final = 128


class Run(Protocol):
    """Something begun in one turn that goes on in the next ones; nothing else of its connection does meanwhile."""

    def advance(self) -> bool:
        """Do a piece; tells whether there is another."""
        ...


class QuestionRun:
    """Many questions that came as one and are answered as one list, in order; the first error answers for all.

    Each answer is encoded when it is known: all together would be one long turn, and as objects they are many more
    that a collection of garbage looks through.

    Args:
        session: whose they are.
        msgid: the request.
        method: what it asked for.
        count: how many questions.
        ask: asks the one with this index.
        units: what one costs, in units of :attr:`.outgoing.TURN_UNITS`; more is charged where it is asked.
        size_bytes: what the request came as.

    """

    def __init__(
        self,
        session: Outgoing,
        msgid: int | None,
        method: str,
        count: int,
        ask: Callable[[int], Pending],
        units: int,
        size_bytes: int,
    ) -> None:
        self._session = session
        self._msgid = msgid
        self._method = method
        self._count = count
        self._ask = ask
        self._units = max(units, 1)
        self._size_bytes = size_bytes
        self._next = 0
        self._left = count
        self._answers: list[bytes] = [b""] * count
        self._error: BaseException | None = None
        self._place = session.lanes.place(method)
        session.enter(None, 1, size_bytes)

    def advance(self) -> bool:
        """Ask some more."""
        session = self._session
        until = session.budget - PIECE_UNITS
        while self._next < self._count and session.budget > until:
            index = self._next
            self._next += 1
            session.charge(self._units)
            self._ask_one(index)
        if not self._count:
            self._place.answer(self._answer)
        return self._next < self._count

    def _ask_one(self, index: int) -> None:
        service = self._session.service
        try:
            pending = self._ask(index)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets it
            self._done(index, None, error)
            return
        if pending.is_set():  # as it is when nobody had to be waited for
            self._settled(index, pending)
        else:
            pending.add_done_callback(lambda done: service.post(self._settled, index, done))

    def _settled(self, index: int, pending: Pending) -> None:
        self._done(index, *outcome_of(pending))

    def _done(self, index: int, result: Any, error: BaseException | None) -> None:
        self._error = self._error or error
        if self._error is None and self._msgid is not None:
            self._answers[index] = encode(result)
        self._left -= 1
        if not self._left:
            self._place.answer(self._answer)

    def _answer(self) -> None:
        session = self._session
        error, self._error = self._error, None  # whose traceback knows this run
        if error is not None:
            session.answer_error(self._msgid, error, self._method, None)
        else:
            session.answer(self._msgid, Raw(array_of(self._count, self._answers)))
        session.leave(1, self._size_bytes)
