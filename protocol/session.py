"""One connection, without its socket: bytes in, turns taken, bytes out.

A turn handles a bounded number of messages, so that no connection holds up the others. Inputs that lie next
to each other go on as one group, which is one message to the router and shares one commit; their answers
come back together. What may take longer (a batch) is handed on in pieces, one a turn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Raw

from .batch_run import BatchRun
from .connection import BadCall, call_of, encode, encode_error, msgid_of_head
from .decoding import DECODE_ERRORS, is_array, one_map
from .errors import (
    ClosedError,
    HandicapperError,
    ProtocolError,
    TimedOutError,
    UnauthenticatedError,
    UnknownMethodError,
)
from .framing import Framer
from .groups import HELD_RETRY_SECONDS, InputGroup, SignalGroup, Slot
from .limits import BAD_MESSAGES_MAX
from .log import get_logger
from .questions import ANSWERS
from .service import Route, Service
from .validation import check_prediction

if TYPE_CHECKING:
    from .feed import Subscriber

__all__ = ["TURN_MESSAGES_MAX", "Session"]

TURN_MESSAGES_MAX: Final = 256
"""Messages a connection may have handled before another gets its turn: about 2 ms of work."""

_log = get_logger("server")


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


class Session:
    """The server's side of one connection."""

    def __init__(self, service: Service, peer: str, edge: Edge, needs_token: bool = False) -> None:
        self.service = service
        self.peer = peer
        self.authenticated = not needs_token
        self.errors_as_text = False
        self.framer = Framer(service.limits.message_bytes_max)
        self.in_flight = 0
        self.blocked = False
        """The client does not read what it was sent."""
        self.ended = False
        """The client will send no more."""
        self.faulty = False
        """Nothing more is taken in; once everything is answered the connection ends."""
        self.subscriber: Subscriber | None = None
        self.partial_since: float | None = None
        self._edge = edge
        self._finished = False
        self._out: list[bytes] = []
        self._queue: deque[bytes] = deque()
        self._batch: BatchRun | None = None
        self._held: list[InputGroup] = []
        self._slots: deque[Slot] = deque()
        """What is answered in order, oldest first."""
        self._inputs = InputGroup(self)
        self._signals = SignalGroup(self)
        self._as_array = False
        self._bad_in_a_row = 0

    # ---------------------------------------------------------------- turns

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; they are handled in turns."""
        self.service.counters.bytes_in += len(data)
        if not self.faulty:
            self.framer.feed(data)

    @property
    def has_work(self) -> bool:
        """Whether a turn would get something done."""
        return not self._stuck() and (bool(self._queue) or self._batch is not None or self.framer.pending)

    def _stuck(self) -> bool:
        return (
            self.blocked
            or self.faulty
            or bool(self._held)
            or self.in_flight >= self.service.limits.in_flight_per_connection_max
        )

    def turn(self, now: float) -> None:
        """Handle what may be handled now, up to a bound."""
        if self._stuck():
            return
        queue, framer = self._queue, self.framer
        if not queue:
            queue.extend(framer.next_messages(TURN_MESSAGES_MAX))
            if queue:
                self.partial_since = None
        room = min(TURN_MESSAGES_MAX, self.service.limits.in_flight_per_connection_max - self.in_flight)
        if self._batch is not None:
            self._advance_batch()
        else:
            while queue and room and self._batch is None and not self.faulty:
                room -= 1
                self._handle(queue.popleft())
            self.submit()
        if framer.fault is not None and not queue and self._batch is None and not self.faulty:
            self.fail(framer.fault, msgid_of_head(framer.head()))
        if not framer.partial:
            self.partial_since = None
        elif self.partial_since is None:
            self.partial_since = now
        self.service.touch(self)

    def submit(self) -> None:
        """Hand on the inputs gathered."""
        if self._inputs.msgids:
            group, self._inputs = self._inputs, InputGroup(self)
            group.submit()
        if self._signals.msgids:
            group, self._signals = self._signals, SignalGroup(self)
            group.submit()

    def _advance_batch(self) -> None:
        assert self._batch is not None
        if not self._batch.advance():
            self._batch = None

    # ------------------------------------------------------------- messages

    def _handle(self, raw: bytes) -> None:
        try:
            msgid, name, params = call_of(raw)
        except BadCall as bad:
            self._bad(bad)
            return
        self._bad_in_a_row = 0
        service = self.service
        if msgid is None:
            service.counters.notifications += 1
        else:
            service.counters.requests += 1
        route = service.routes.get(name)
        try:
            if route is None or not self.authenticated or service.stopping:
                self._refuse(route, name)
            assert route is not None
            if route.kind == "input":
                self._gather(self._inputs, self._signals, route, msgid, params, raw)
            elif route.kind == "signal":
                self._gather(self._signals, self._inputs, route, msgid, params, raw)
            else:
                self._handle_other(route, msgid, params)
        except HandicapperError as error:
            self.answer_error(msgid, error, name, raw)

    def _gather(
        self, group: InputGroup, other: InputGroup, route: Route, msgid: int | None, params: Raw, raw: bytes
    ) -> None:
        """Decode an input and put it with its like."""
        if other.msgids:
            self.submit()
        try:
            try:
                # In the form that the last ones had; if it is the other one, that is found out.
                item = route.decoder.fast[self._as_array](params)
            except DECODE_ERRORS:
                self._as_array = is_array(one_map(bytes(params)))
                item = route.decoder.decode(params)
            message = item.message()
            group.add(msgid, check_prediction(message) if route.kind == "signal" else message)
        except HandicapperError as error:
            group.add_refused(msgid, error, raw)

    def _handle_other(self, route: Route, msgid: int | None, params: Raw) -> None:
        if msgid is None and not route.method.notifiable:
            raise UnknownMethodError(
                f"{route.method.name!r} cannot be sent as a notification; send a request"
            )
        self.submit()
        decoded = route.decoder.decode(params)
        if route.kind == "batch":
            self._batch = BatchRun(self, route, msgid, decoded)
            self._advance_batch()
        else:
            ANSWERS[route.method.name](self, msgid, decoded)

    def _refuse(self, route: Route | None, name: str) -> None:
        """Raise what keeps a method from being served, if anything does."""
        if not self.authenticated and name != "hello":
            raise UnauthenticatedError("this connection needs hello with the token before anything else")
        if route is None:
            raise UnknownMethodError(f"no method has the name {name[:100]!r}; hello lists them")
        if self.service.stopping:
            raise ClosedError("the server is stopping; connect to its successor and repeat the call")

    def _bad(self, bad: BadCall) -> None:
        self.service.counters.bad_messages += 1
        self._bad_in_a_row += 1
        # What went before is answered in its order all the same.
        self.submit()
        if bad.answerable:
            self.send_error(bad.msgid, bad.error)
        else:
            _log.warning("bad message", connection=self.peer, error=str(bad.error))
        if self._bad_in_a_row > BAD_MESSAGES_MAX:
            self.fail(bad.error, None, said=True)

    # -------------------------------------------------------------- answers

    def enter(self, slot: Slot | None, count: int) -> None:
        """Count requests in; what they are answered as, if that has its place in the order."""
        self.in_flight += count
        self.service.in_flight += count
        if slot is not None:
            self._slots.append(slot)

    def settle(self, slot: Slot) -> None:
        """The slot's answer is known; answer it once those before it are."""
        slot.settled = True
        slots = self._slots
        while slots and slots[0].settled:
            slots.popleft().emit()
        self.service.touch(self)

    def leave(self, count: int) -> None:
        """Count them out: they are answered."""
        self.in_flight -= count
        self.service.in_flight -= count
        self.service.touch(self)

    def answer(self, msgid: int | None, result: Any) -> None:
        """Answer a request; nothing for a notification."""
        if msgid is not None:
            self._out.append(encode((1, msgid, None, result)))

    def answer_error(self, msgid: int | None, error: BaseException, method: str, message: object) -> None:
        """Say what went wrong: to the client, or to whoever looks after what it never hears of."""
        if msgid is None:
            self.service.refuse_notification(self.peer, method, error, message)
        else:
            self.send_error(msgid, error)

    def send_error(self, msgid: int | None, error: BaseException) -> None:
        """An error answer."""
        if not isinstance(error, HandicapperError):
            _log.error("internal error", connection=self.peer, error=repr(error), exc_info=error)
        self._out.append(encode_error(msgid, error, self.errors_as_text))

    def push(self, notification: bytes) -> None:
        """A notification to the client."""
        self._out.append(notification)
        self.service.touch(self)

    def hold(self, group: InputGroup) -> None:
        """Keep notifications that there is no room for; nothing more is taken in before they are."""
        if not self._held:
            self.service.later(HELD_RETRY_SECONDS, self._retry_held)
        self._held.append(group)

    def _retry_held(self) -> None:
        held, self._held = self._held, []
        for group in held:
            group.submit()
        self.service.touch(self)

    # -------------------------------------------------------------- the end

    def fail(self, error: ProtocolError, msgid: int | None, said: bool = False) -> None:
        """Take nothing more in: say why, answer what is under way, end."""
        _log.warning("connection given up", connection=self.peer, error=str(error))
        if not said:
            self.service.counters.bad_messages += 1
            self.send_error(msgid, error)
        self.faulty = True
        self._queue.clear()
        while self._batch is not None:  # begun, so finished
            self._advance_batch()
        self.service.touch(self)

    def time_out(self, what: str) -> None:
        """Give up a client that did not do something in time."""
        self.fail(TimedOutError(what), msgid_of_head(self.framer.head()))

    def end_of_input(self) -> None:
        """The client will send no more; what it sent is answered first."""
        self.ended = True
        self.service.touch(self)

    def flush(self) -> None:
        """Write what there is; go on, or end the connection if it is to end and nothing is under way."""
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out = []
            if not self._finished:
                self.service.counters.bytes_out += len(data)
                self._edge.send(data)
        left = bool(self._queue or self._batch or self._held or self.framer.pending)
        if self.has_work:
            self._edge.turn_soon()
        if self._finished:
            return
        if not self.in_flight and (self.faulty or (self.ended and not left)):
            self._finished = True
            self._edge.finish()
        else:
            self._edge.read(self.faulty or not (left or self.blocked))

    def drop(self) -> None:
        """The connection is gone: nothing can be sent. What had come is taken in all the same."""
        self._finished = True
        self.blocked = False
        self.service.touch(self)
