"""What a session owes its client: answers in order, errors, notifications; and what it may have under way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..connection import encode, encode_error
from ..errors import HandicapperError, reason_of
from ..log import debugging, get_logger
from ..many import encode_receipts
from .groups import Slot, forget_value
from .held import Held
from .lanes import Lanes, RefusedSlot
from .service import Service
from .subject import subject_of

if TYPE_CHECKING:
    from .feed import Subscriber
    from .service import Route

__all__ = ["TURN_UNITS", "Edge", "Outgoing"]

TURN_UNITS: Final = 256
"""What a connection may have done in one turn: so many ordinary messages, about 2 ms of work."""

ANSWER_BYTES_A_UNIT: Final = 2_048

ANSWERS_MAX: Final = 512
"""Requests of a connection that are answered in one go: thousands that were refused may wait for one before them."""

_log = get_logger("server")
_debugging = debugging("server")


class Edge(Protocol):
    """The socket of a session."""

    def send(self, data: bytes) -> None:
        """Write."""
        ...

    def finish(self) -> None:
        """End the connection once everything is written and the client had time to read it."""
        ...

    def turn_soon(self) -> None:
        """Call :meth:`Session.turn` after the others had theirs."""
        ...

    def read(self, wanted: bool) -> None:
        """Go on, or stop, reading from the client."""
        ...


class Outgoing(ABC):
    """The half of a :class:`.session.Session` that answers."""

    def __init__(self, service: Service, peer: str, edge: Edge, authenticated: bool) -> None:
        self.service = service
        self.peer = peer
        self.authenticated = authenticated
        self.errors_as_text = False
        self.in_flight = 0
        """Requests not yet answered."""
        self.in_flight_bytes = 0
        """What they came as."""
        self.slow_questions = 0
        """Questions that wait for a thread, or have one; and what is computed in pieces."""
        self.blocked = False
        """The client does not read what it was sent."""
        self.subscriber: Subscriber | None = None
        self._edge = edge
        self._finished = False
        self._budget = TURN_UNITS
        self._refusals = 0
        self._out: list[bytes] = []
        self.held = Held(self)
        """Notifications there was no room for; nothing more is taken in before they are."""
        self._slots: deque[Slot] = deque()
        """What is answered in order, oldest first."""
        self.lanes = Lanes()
        """What else is asked and not answered yet."""

    @abstractmethod
    def flush(self) -> None:
        """Write what there is, and go on."""

    @property
    def gone(self) -> bool:
        """Whether nobody is there to be answered."""
        return self._finished

    def enter(self, slot: Slot | None, count: int, size_bytes: int = 0) -> None:
        """Count requests in; what they are answered as, if that has its place in the order."""
        self.in_flight += count
        self.in_flight_bytes += size_bytes
        self.service.in_flight += count
        if slot is not None:
            self._slots.append(slot)

    def settle(self, slot: Slot) -> None:
        """The slot's answer is known; answer it once those before it are."""
        slot.settled = True
        self._emit_settled()

    def _emit_settled(self) -> None:
        """Answer what may be answered; the rest of it, if it is much, after a look at the sockets."""
        slots, enough = self._slots, self.in_flight - ANSWERS_MAX
        while slots and slots[0].settled:
            if self.in_flight <= enough:
                self.service.post(self._emit_settled)
                break
            slots.popleft().emit()
        self.service.touch(self)

    def leave(self, count: int, size_bytes: int = 0) -> None:
        """Count them out: they are answered."""
        self.in_flight -= count
        self.in_flight_bytes -= size_bytes
        self.service.in_flight -= count
        self.service.touch(self)

    def answer(self, msgid: int | None, result: Any) -> None:
        """Answer a request; nothing for a notification."""
        if msgid is not None:
            data = encode((1, msgid, None, result))
            self.charge(len(data) // ANSWER_BYTES_A_UNIT)
            self._out.append(data)

    def answer_receipts(self, msgids: Sequence[Any], receipts: Sequence[Any]) -> None:
        """Answer requests (each with a msgid) with a receipt each."""
        data = encode_receipts(msgids, receipts)
        self.charge(len(data) // ANSWER_BYTES_A_UNIT)
        self._out.append(data)

    @property
    def budget(self) -> int:
        """What is left of the turn; below 0 if more was done."""
        return self._budget

    def charge(self, units: int) -> None:
        """Make the turn shorter by what something took beyond the ordinary: a unit is about 10 µs."""
        self._budget -= units

    def answer_error(self, msgid: int | None, error: BaseException, method: str, message: object) -> None:
        """Say what went wrong: to the client, or to whoever looks after what it never hears of."""
        if msgid is None:
            self._refusals += 1
            # The first few, and then ever fewer: a client that sends nothing else must not fill the log.
            few = self._refusals <= 10 or self._refusals & (self._refusals - 1) == 0
            # Nor may a stranger, or push those of others out of the dead letters.
            known = self.authenticated
            self.service.refuse_notification(
                self.peer, method, error, message, few if known else self._refusals == 1, known
            )
            return
        if not isinstance(error, HandicapperError):
            self._log_refusal(_log.error, "internal error", error, method, message, exc_info=error)
        elif _debugging():
            self._log_refusal(_log.debug, "request refused", error, method, message)
        self.send_error(msgid, error)

    def refuse(
        self, route: Route, msgid: int | None, error: BaseException, params: bytes | memoryview
    ) -> None:
        """Answer with an error in the place that the answer would have had."""
        method = route.method.name
        if msgid is None or route.kind == "session" or (route.in_line and not self._slots):
            self.answer_error(msgid, error, method, params)
            return
        forget_value(error)
        kept = bytes(params)  # of what was read, which may be much more
        if route.in_line:
            RefusedSlot(self, msgid, error, method, kept)
            return

        def say() -> None:
            self.answer_error(msgid, error, method, kept)
            self.leave(1)

        self.enter(None, 1)
        self.lanes.place(method).answer(say)

    def log_items_refused(self, method: str, count: int, first: BaseException, item: object) -> None:
        """Log that so many items of a batch were refused, with the first of them."""
        if _debugging():
            self._log_refusal(_log.debug, "items refused", first, method, item, count=count)

    def _log_refusal(
        self,
        log: Callable[..., Any],
        event: str,
        error: BaseException,
        method: str,
        message: object,
        **more: object,
    ) -> None:
        subject = subject_of(method, message)
        log(event, connection=self.peer, method=method, **subject, error=reason_of(error), **more)

    def send_error(self, msgid: int | None, error: BaseException) -> None:
        """An error answer."""
        self._out.append(encode_error(msgid, error, self.errors_as_text))

    def push(self, notification: bytes) -> None:
        """A notification to the client."""
        self._out.append(notification)
        self.service.touch(self)
