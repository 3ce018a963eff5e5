"""What a session does over several turns, because one would be too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from .backend import Pending
from .groups import outcome_of

if TYPE_CHECKING:
    from .outgoing import Outgoing

__all__ = ["QuestionRun", "Run"]

PIECE_UNITS: Final = 128


class Run(Protocol):
    """Something begun in one turn that goes on in the next ones; nothing else of its connection does meanwhile."""

    def advance(self) -> bool:
        """Do a piece; tells whether there is another."""
        ...


class QuestionRun:
    """Many questions that came as one and are answered as one list, in order; the first error answers for all.

    Args:
        session: whose they are.
        msgid: the request.
        method: what it asked for.
        asks: each asks one question.
        units: what one costs, in units of :attr:`.outgoing.TURN_UNITS`.
        size_bytes: what the request came as.

    """

    def __init__(
        self,
        session: Outgoing,
        msgid: int | None,
        method: str,
        asks: Sequence[Callable[[], Pending]],
        units: int,
        size_bytes: int,
    ) -> None:
        self._session = session
        self._msgid = msgid
        self._method = method
        self._asks = asks
        self._units = max(units, 1)
        self._size_bytes = size_bytes
        self._next = 0
        self._left = len(asks)
        self._results: list[Any] = [None] * len(asks)
        self._error: BaseException | None = None
        self._place = session.lanes.place(method)
        session.enter(None, 1, size_bytes)

    def advance(self) -> bool:
        """Ask some more."""
        service = self._session.service
        end = min(self._next + max(PIECE_UNITS // self._units, 1), len(self._asks))
        self._session.charge((end - self._next) * self._units)
        for index in range(self._next, end):
            try:
                pending = self._asks[index]()
            except Exception as error:  # noqa: BLE001  # whatever it is, the client gets it
                self._done(index, None, error)
                continue
            pending.add_done_callback(lambda done, index=index: service.post(self._settled, index, done))
        self._next = end
        if not self._asks:
            self._place.answer(self._answer)
        return end < len(self._asks)

    def _settled(self, index: int, pending: Pending) -> None:
        self._done(index, *outcome_of(pending))

    def _done(self, index: int, result: Any, error: BaseException | None) -> None:
        self._results[index] = result
        self._error = self._error or error
        self._left -= 1
        if not self._left:
            self._place.answer(self._answer)

    def _answer(self) -> None:
        session = self._session
        if self._error is not None:
            session.answer_error(self._msgid, self._error, self._method, None)
        else:
            session.answer(self._msgid, self._results)
        session.leave(1, self._size_bytes)
