"""One connection, without its socket: bytes in, turns taken, bytes out.

A turn handles a bounded number of messages, so that no connection holds up the others. Inputs that lie next
to each other go on as one group, which is one message to the router and shares one commit; their answers
come back together. What may take longer (a batch) is handed on in pieces, one a turn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec import Raw

from ..connection import BadCall, call_of, msgid_of_head
from ..decoding import DECODE_ERRORS, is_array, one_map
from ..errors import (
    ClosedError,
    HandicapperError,
    ProtocolError,
    TimedOutError,
    UnauthenticatedError,
    UnknownMethodError,
)
from ..framing import Framer
from ..limits import BAD_MESSAGES_MAX
from ..log import get_logger
from ..many import RequestParts, checked_messages, requests_of
from ..validation import check_input
from .batch_run import BatchRun
from .groups import InputGroup, SignalGroup
from .outgoing import TURN_UNITS, Edge, Outgoing
from .questions import ANSWERS
from .service import Route, Service

if TYPE_CHECKING:
    from .runs import Run

__all__ = ["Session"]

IN_FLIGHT_BYTES_MAX: Final = 4 * 2**20
"""Messages under way beyond which a connection is not read any more: as Python objects they are several times that."""

SLOW_QUESTIONS_MAX: Final = 4
"""The same of questions that take a thread."""

PARAMS_BYTES_A_UNIT: Final = 4_096

READ_AHEAD_BYTES: Final = 128 * 1024
"""Bytes read and not yet handled beyond which a connection is not read any more, but for one message begun."""

NEIGHBOURS_MIN: Final = 4
"""Fewer inputs are decoded one by one."""

_NOTHING: Final = Framer(0)
"""What connections that are gone have instead of their bytes."""

_log = get_logger("server")


class Session(Outgoing):
    """The server's side of one connection."""

    def __init__(
        self, service: Service, peer: str, edge: Edge, needs_token: bool = False, unproven: bool = False
    ) -> None:
        super().__init__(service, peer, edge)
        self.unproven = unproven
        """Anybody who can reach the port may be the client: it came over TCP, and no token is asked for."""
        self.authenticated = not needs_token
        self.framer = Framer(service.limits.message_bytes_max)
        self.ended = False
        """The client will send no more."""
        self.faulty = False
        """Nothing more is taken in; once everything is answered the connection ends."""
        self.partial_since: float | None = None
        self._queue: deque[bytes] = deque()
        self._run: Run | None = None
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
        return not self._stuck() and (bool(self._queue) or self._run is not None or self.framer.pending)

    def _stuck(self) -> bool:
        return (
            self.blocked
            or self.faulty
            or bool(self._held)
            or self.in_flight >= self.service.limits.in_flight_per_connection_max
            or self.in_flight_bytes >= IN_FLIGHT_BYTES_MAX
            or self.slow_questions >= SLOW_QUESTIONS_MAX
        )

    def turn(self, now: float) -> None:
        """Handle what may be handled now, up to a bound."""
        if self._stuck():
            self.service.touch(self)
            return
        queue, framer = self._queue, self.framer
        self._budget = TURN_UNITS
        # Inputs are counted in when they are handed on, all of the turn together.
        room = self.service.limits.in_flight_per_connection_max - self.in_flight
        if not queue:
            messages = framer.next_messages(TURN_UNITS)
            if messages:
                self.partial_since = None
            if self._run is None and 1 < len(messages) <= room:
                room -= len(messages)
                messages = self._handle_neighbours(messages)
                room += len(messages)
            queue.extend(messages)
        if self._run is not None:
            self._advance()
        while queue and self._budget > 0 and room > 0 and self._run is None and not self._stuck():
            self._budget -= 1
            room -= 1
            self._handle(queue.popleft())
        self.submit()
        if framer.fault is not None and not queue and self._run is None and not self.faulty:
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

    def _advance(self) -> None:
        assert self._run is not None
        if not self._run.advance():
            self._run = None

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
                self._handle_other(route, msgid, params, len(raw))
        except HandicapperError as error:
            self.charge(1)
            self.answer_error(msgid, error, name, raw)
        except Exception as error:  # noqa: BLE001  # a defect of ours costs this call its answer, not more
            self.answer_error(msgid, error, name, raw)

    def _handle_neighbours(self, messages: list[bytes]) -> list[bytes]:
        """Handle messages, inputs of one method that lie next to each other together; returns those that are left
        for another turn. Nothing is handled here if one is something unusual: all are left then."""
        requests = requests_of(messages)
        if requests is None:
            return messages
        names = [name for _, _, name, _ in requests]
        start, count = 0, len(names)
        alike = names.count(names[0]) == count
        while start < count and self._budget > 0 and self._run is None and not self._stuck():
            name, end = names[start], start + 1
            if alike:
                end = count
            else:
                while end < count and names[end] == name:
                    end += 1
            if not self._take_neighbours(name, requests[start:end], messages[start:end]):
                end = start + 1
                self._budget -= 1
                self._handle(messages[start])
            start = end
        return messages[start:]

    def _take_neighbours(self, name: str, requests: list[RequestParts], messages: list[bytes]) -> bool:
        """Take in requests of one method, if they are inputs or signals and there is nothing special about them."""
        service, count = self.service, len(requests)
        route = service.routes.get(name)
        if count < NEIGHBOURS_MIN or route is None or not self.authenticated or service.stopping:
            return False
        signals = route.kind == "signal"
        if not signals and route.kind != "input":
            return False
        assert route.many is not None
        params = route.many.decode([params for _, _, _, params in requests])
        if params is None:
            return False
        service.counters.requests += count
        self._bad_in_a_row = 0
        size_bytes = sum(map(len, messages))
        self.charge(count + size_bytes // PARAMS_BYTES_A_UNIT)
        group, other = (self._signals, self._inputs) if signals else (self._inputs, self._signals)
        if other.msgids:
            self.submit()
            group = self._signals if signals else self._inputs
        items = checked_messages(params)
        if not any(isinstance(item, HandicapperError) for item in items):
            group.extend([msgid for _, msgid, _, _ in requests], items, size_bytes)
            return True
        for (_, msgid, _, _), item, raw in zip(requests, items, messages, strict=True):
            if isinstance(item, HandicapperError):
                self.charge(1)
                group.add_refused(msgid, item, raw)
            else:
                group.add(msgid, item, len(raw))
        return True

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
            if len(raw) > PARAMS_BYTES_A_UNIT:
                self.charge(len(raw) // PARAMS_BYTES_A_UNIT)
            group.add(msgid, check_input(item.message()), len(raw))
        except HandicapperError as error:
            self.charge(1)
            group.add_refused(msgid, error, raw)

    def _handle_other(self, route: Route, msgid: int | None, params: Raw, size_bytes: int) -> None:
        if msgid is None and not route.method.notifiable:
            raise UnknownMethodError(
                f"{route.method.name!r} cannot be sent as a notification; send a request"
            )
        self.submit()
        decoded = route.decoder.decode(params)
        self.charge(size_bytes // PARAMS_BYTES_A_UNIT)
        if route.kind == "batch":
            self._run = BatchRun(self, route, msgid, decoded, size_bytes)
        else:
            self._run = ANSWERS[route.method.name](self, msgid, decoded, size_bytes)
        if self._run is not None:
            self._advance()

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

    # -------------------------------------------------------------- the end

    def fail(self, error: ProtocolError, msgid: int | None, said: bool = False) -> None:
        """Take nothing more in: say why, answer what is under way, end."""
        _log.warning("connection given up", connection=self.peer, error=str(error))
        if not said:
            self.service.counters.bad_messages += 1
            self.send_error(msgid, error)
        self.faulty = True
        self._queue.clear()
        while self._run is not None:  # begun, so finished
            self._advance()
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
        left = bool(self._queue or self._run or self._held or self.framer.pending)
        if self.has_work:
            self._edge.turn_soon()
        if self._finished:
            if not left:
                # Until the garbage collector finds the session, it holds next to nothing.
                self.framer = _NOTHING
            return
        if not self.in_flight and (self.faulty or (self.ended and not left)):
            self._finished = True
            self._edge.finish()
        else:
            # What waits for a turn of its own is no reason to stop reading, unless it is much.
            much = left and self.framer.waiting_bytes > READ_AHEAD_BYTES
            full = much or self._stuck()
            self._edge.read(self.faulty or not (full or self.blocked))

    def drop(self) -> None:
        """The connection is gone: nothing can be sent. What had come is taken in all the same."""
        self._finished = True
        self.blocked = False
        self.service.touch(self)
