"""What a session hands on together: inputs, signals, controls, and batches in pieces; and their answers.

Each is a :class:`Slot`: slots are answered in the order in which they were taken in, so one that is refused
at once waits for those before it.

What finds the learner, or one of its models, full is answered BUSY if it is a request, and kept if it is a
notification, whose sender could not be told (:mod:`.held`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..errors import InvalidValueError
from ..messages import MarketResolved, Prediction, Receipt, TradeOutcome
from .backend import Pending
from .held import NO_ROOM

if TYPE_CHECKING:
    from .outgoing import Outgoing

__all__ = ["ControlSlot", "InputGroup", "SignalGroup", "Slot", "outcome_of"]

_RECEIPTS: Final = {Receipt}

_METHODS: Final[dict[type, str]] = {
    Prediction: "record_prediction",
    MarketResolved: "market_resolved",
    TradeOutcome: "record_outcome",
}


def outcome_of(pending: Pending) -> tuple[Any, BaseException | None]:
    """(result, error) of something that is done."""
    error = pending.exception()
    return (None, error) if error is not None else (pending.get(0), None)


def forget_value(error: BaseException) -> None:
    """Let go of what an error holds besides its text: while it waits for its turn that may be megabytes."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    if isinstance(error, InvalidValueError):
        error.value = None


class Slot:
    """A place in the order of a connection's answers."""

    settled = False
    """Whether its answer is known."""

    def emit(self) -> None:
        """Answer: everything before it is answered."""
        raise AssertionError(f"{type(self).__name__} must say how it is answered")


class InputGroup(Slot):
    """Inputs that lie next to each other in what a connection sent."""

    def __init__(self, session: Outgoing, place: int | None = None, tries: int = 0) -> None:
        self._session = session
        self._place = place
        """In the order in which groups are handed on; that of the first attempt, if this is another one."""
        self._tries = tries
        """How often these were handed on before, and refused because of what they are for."""
        self._told = False
        """Whether there is a notification among them."""
        self.msgids: list[int | None] = []
        self._items: list[Any] = []
        self._size_bytes = 0
        self._refused: dict[int, tuple[BaseException, str]] = {}
        """By place: what is wrong with one that cannot be handed on, and the method it was sent to."""
        self._error: BaseException | None = None
        self._kept: set[int] = set()
        """Places of notifications that are held, to be handed on again."""
        self._results: list[Any] = []

    def add(self, msgid: int | None, item: Any, size_bytes: int) -> None:
        """One more, of a request or (msgid None) of a notification, that came as so many bytes."""
        self._size_bytes += size_bytes
        self._told |= msgid is None
        self.msgids.append(msgid)
        self._items.append(item)

    def extend(self, msgids: Sequence[int], items: list[Any], size_bytes: int) -> None:
        """Many more, of requests that came as so many bytes."""
        self._size_bytes += size_bytes
        self.msgids += msgids
        self._items += items

    def add_refused(
        self, msgid: int | None, error: BaseException, method: str, params: object, size_bytes: int
    ) -> None:
        """One that cannot be handed on; answered in its place."""
        self._size_bytes += size_bytes
        forget_value(error)
        self._refused[len(self.msgids)] = error, method
        self.msgids.append(msgid)
        self._items.append(params)

    def submit(self) -> None:
        """Hand them on."""
        session = self._session
        full = session.service.busy(len(self.msgids))
        session.enter(self, len(self.msgids), self._size_bytes)
        if self._place is None:
            self._place = session.held.place()
        valid = self._valid()
        if full is not None or not valid:
            self._settle(full, [])
            return
        try:
            pending = self._send(valid)
        except Exception as error:  # noqa: BLE001  # whatever it is, the clients get it
            self._settle(error, [])
            return
        session.held.sent()
        pending.add_done_callback(lambda done: session.service.post(self._done, done))

    def _hold(self, places: list[int], tries: int) -> None:
        if not places:
            return
        assert self._place is not None
        kept = type(self)(self._session, self._place, tries)
        for place in places:
            kept.add(None, self._items[place], 0)
        self._session.held.hold(self._place, kept.submit)
        self._kept.update(places)

    def _without_room(self, error: BaseException | None, results: list[Any]) -> None:
        """Hold the notifications that found no room."""
        told = [
            place for place, msgid in enumerate(self.msgids) if msgid is None and place not in self._refused
        ]
        if isinstance(error, NO_ROOM):
            self._hold(told, self._tries)
        elif error is None:
            of = iter(results)
            by_place = {place: next(of) for place in range(len(self.msgids)) if place not in self._refused}
            held = self._session.held
            self._hold(
                [place for place in told if held.waits_for(by_place[place], self._tries)], self._tries + 1
            )

    def _valid(self) -> list[Any]:
        if not self._refused:
            return self._items
        return [item for index, item in enumerate(self._items) if index not in self._refused]

    def _method_of(self, item: Any) -> str:
        """What a checked item was sent to."""
        return _METHODS[type(item)]

    def _send(self, items: list[Any]) -> Pending:
        return self._session.service.backend.record_checked_nowait(items)

    def _done(self, pending: Pending) -> None:
        results, error = outcome_of(pending)
        self._settle(error, results or [])
        self._session.held.came_back()

    def _settle(self, error: BaseException | None, results: list[Any]) -> None:
        # Held now and not when it is answered: what the connection sent behind it must not go first.
        if self._told:
            self._without_room(error, results)
        self._error, self._results = error, results
        self._session.settle(self)

    def emit(self) -> None:
        """Answer each."""
        session, error = self._session, self._error
        msgids, results = self.msgids, self._results
        if error is None and not self._refused and set(map(type, results)) == _RECEIPTS and not self._told:
            session.answer_receipts(msgids, results)
        elif error is None and not self._refused and not self._kept:
            for msgid, item, result in zip(msgids, self._items, results, strict=True):
                if isinstance(result, BaseException):
                    session.answer_error(msgid, result, self._method_of(item), item)
                else:
                    session.answer(msgid, result)
        else:
            self._emit_mixed(error)
        session.leave(len(msgids), self._size_bytes)

    def _emit_mixed(self, error: BaseException | None) -> None:
        session, results = self._session, iter(self._results)
        for index, (msgid, item) in enumerate(zip(self.msgids, self._items, strict=True)):
            if index in self._refused:
                session.answer_error(msgid, *self._refused[index], item)
                continue
            result = error or next(results)
            if index in self._kept:
                continue
            if isinstance(result, BaseException):
                session.answer_error(msgid, result, self._method_of(item), item)
            else:
                session.answer(msgid, result)


class SignalGroup(InputGroup):
    """Signals that lie next to each other."""

    def _method_of(self, item: Any) -> str:
        return "process_signal"

    def _send(self, items: list[Any]) -> Pending:
        return self._session.service.backend.process_checked_nowait(items)


class ControlSlot(Slot):
    """One pause, resume, reset or set_posterior."""

    def __init__(
        self, session: Outgoing, msgid: int | None, method: str, params: object, send: Callable[[], Pending]
    ) -> None:
        self._session = session
        self._msgid = msgid
        self._method = method
        self._params = params
        self._result: Any = None
        self._error: BaseException | None = None
        session.enter(self, 1)
        try:
            pending = send()
        except Exception as error:  # noqa: BLE001
            self._error = error
            session.settle(self)
            return
        pending.add_done_callback(lambda done: session.service.post(self._done, done))

    def _done(self, pending: Pending) -> None:
        self._result, self._error = outcome_of(pending)
        self._session.settle(self)

    def emit(self) -> None:
        """Answer it."""
        session = self._session
        if self._error is not None:
            session.answer_error(self._msgid, self._error, self._method, self._params)
        else:
            session.answer(self._msgid, self._result)
        session.leave(1)
