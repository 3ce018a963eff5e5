"""A client's side of the wire without a socket, a thread or a clock: what was asked, answered, owed.

Both clients are shells around one :class:`Exchange`. They move bytes and tell the time; it decides what goes
out next, which answer belongs to which call, what is asked again after a lost connection or a BUSY, and
which error a call ends with.

The connection is ``down``, then ``greeting`` (``hello`` is not answered), then ``up``, and ``down`` again.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from ..connection import MSGID_MAX, NOTIFICATION, RESPONSE, Framer, encode_notification, encode_request
from ..decoding import DECODE_ERRORS
from ..errors import (
    BadMessageError,
    BusyError,
    CallerError,
    ClosedError,
    ConnectionLostError,
    HandicapperError,
    ProtocolUnsupportedError,
    TooLargeError,
    error_from_wire,
)
from ..limits import PROTOCOL_VERSION, WireLimits
from ..messages import HelloReply
from ..params import Hello
from .events import Event, event_of
from .losses import lost, overdue, renewed
from .outbox import Agenda, Call, Outbox
from .requests import Request, spec_of

__all__ = ["Exchange"]

RESPONSE_BYTES_MAX: Final = 2**30
"""Bound of one answer: reports of every model of a large daemon are tens of megabytes."""
WAITING_CALLS_MAX: Final = 65_536
"""Calls that could not be sent yet; one more that nobody waits for is refused with BUSY."""
RETRY_SECONDS: Final = 0.05
RETRY_SECONDS_MAX: Final = 1.0

_decode_response = msgspec.msgpack.Decoder(tuple[int, int | None, Any, Raw]).decode
_decode_notification = msgspec.msgpack.Decoder(tuple[int, str, Raw]).decode


class Exchange:
    """What one client has asked and what it is owed; see the module."""

    def __init__(
        self, hello: Hello, address: str, *, reconnect: bool, jitter: Callable[[], float] = random.random
    ) -> None:
        self.state: Literal["down", "greeting", "up"] = "down"
        self.server: HelloReply | None = None
        """What the newest ``hello`` was answered."""
        self.trouble = "not connected yet"
        """Why there is no connection, for the texts of errors."""
        self.finished: list[Call[Any]] = []
        """Calls that became done and were not collected yet."""
        self.events: list[Event] = []
        """Events not collected yet."""
        self.subscription: Request[Any] | None = None
        """Sent after every ``hello``."""
        self.broken: HandicapperError | None = None
        """Why there will never be a connection again."""
        self.peer_gone: Callable[[], HandicapperError | None] = lambda: None
        """Asked when a connection is lost: why it is of no use to make another."""
        self._hello = hello
        self._address = address
        self._reconnect = reconnect
        self._jitter = jitter
        self._msgids = itertools.count(1)
        self._greeting_id = 0
        self._window = 1
        """Requests in flight at a time; as many as the server allows."""
        self._last_words: str | None = None
        """What the server said about the connection as a whole, before closing it."""
        self._framer = Framer(RESPONSE_BYTES_MAX)
        self._outbox = Outbox()
        self._agenda = Agenda()

    # ------------------------------------------------------------------ asking

    @property
    def limits(self) -> WireLimits:
        """What the server takes; the defaults before it has said so."""
        return WireLimits() if self.server is None else self.server.limits

    def encoded(self, request: Request[Any]) -> tuple[int, bytes]:
        """A new msgid and the bytes of a request; may be called from any thread.

        Raises:
            TooLargeError: the server would not take so many bytes.

        """
        msgid = next(self._msgids) & MSGID_MAX
        return msgid, self._fitting(encode_request(msgid, request.spec.name, request.params))

    def encoded_notification(self, request: Request[Any]) -> bytes:
        """The bytes of a request sent as a notification; may be called from any thread."""
        return self._fitting(encode_notification(request.spec.name, request.params))

    def _fitting(self, data: bytes) -> bytes:
        if len(data) > self.limits.message_bytes_max:
            raise TooLargeError(
                f"a message of {len(data)} bytes is larger than the {self.limits.message_bytes_max} bytes that "
                "the server takes; send fewer items at a time"
            )
        return data

    def add(self, call: Call[Any], *, watched: bool = False, bounded: bool = False) -> None:
        """Take a call.

        Args:
            call: the call.
            watched: see to its deadline, which otherwise is the business of whoever waits for it.
            bounded: do not take it if too many cannot be sent.

        Raises:
            BusyError: ``bounded``, and too many calls wait to be sent.
            HandicapperError: there will be no connection any more.

        """
        if self.broken is not None:
            raise renewed(self.broken)
        if bounded and self._outbox.waiting >= WAITING_CALLS_MAX:
            raise BusyError(f"{WAITING_CALLS_MAX} calls wait to be sent to {self._address}")
        if watched:
            self._agenda.watch(call)
        self._outbox.put(call)

    def give_up(self, call: Call[Any], error: HandicapperError | None = None) -> None:
        """End a call without an answer, by default because its deadline has passed."""
        if not call.done:
            self._outbox.give_up(call)
            if error is None:
                error = overdue(call, self.state == "up", self._address, self.trouble)
            self._finish(call, error)

    @property
    def wanted(self) -> bool:
        """Whether a connection is needed: calls wait for one, or events do."""
        outbox = self._outbox
        return bool(outbox.waiting or outbox.awaited or self._agenda.postponed or self.subscription)

    def under_way(self) -> list[Call[Any]]:
        """Every call that is not done; but for subscribing, of which nothing is left when the connection ends."""
        calls = (*self._outbox.calls(), *self._agenda.calls())
        return [call for call in calls if call.spec.name != "subscribe"]

    @property
    def stuck(self) -> bool:
        """Whether as many calls as may be in flight timed out: this server answers nothing any more."""
        return self._outbox.in_flight >= self._window and not self._outbox.awaited

    # ------------------------------------------------------------------ sending

    def connected(self) -> None:
        """A new connection is there: greet the server on it."""
        self.state = "greeting"
        self._last_words = None
        self._framer = Framer(RESPONSE_BYTES_MAX)
        self._greeting_id = next(self._msgids) & MSGID_MAX
        self._outbox.put_bytes(encode_request(self._greeting_id, "hello", self._hello))

    def outgoing(self) -> memoryview | None:
        """What to write next, or None; say with :meth:`sent` how much of it went."""
        return self._outbox.next_bytes(self._window if self.state == "up" else 0)

    def sent(self, count: int) -> None:
        """So many bytes of :meth:`outgoing` are with the kernel."""
        for notification in self._outbox.written(count):
            self._finish(notification, None)

    # ---------------------------------------------------------------- receiving

    def received(self, data: bytes, now: float) -> None:
        """Take bytes from the connection.

        Raises:
            HandicapperError: the connection is of no use; close it and call :meth:`lost` with the error.

        """
        framer = self._framer
        if self._outbox.in_flight == 1 and not framer.waiting_bytes and self._lone_answer(data, now):
            return
        framer.feed(data)
        while True:
            for raw in framer.next_messages(1024):
                self._message(raw, now)
            if not framer.pending:
                break
        if framer.fault is not None:
            raise framer.fault

    def _lone_answer(self, data: bytes, now: float) -> bool:
        """Take the only answer there can be without framing it first; False if that is not what came."""
        try:
            kind, msgid, error, result = _decode_response(data)
        except DECODE_ERRORS:
            return False
        if kind != RESPONSE or self.state != "up":
            return False
        self._response(msgid, error, result, now)
        return True

    def _message(self, raw: bytes, now: float) -> None:
        try:
            if raw[0] == 0x94:
                kind, msgid, error, result = _decode_response(raw)
                if kind == RESPONSE:
                    return self._response(msgid, error, result, now)
            elif raw[0] == 0x93:
                kind, method, params = _decode_notification(raw)
                if kind == NOTIFICATION:
                    return self._notified(method, params)
        except DECODE_ERRORS:
            pass
        raise BadMessageError(f"0x{raw[:24].hex()} from {self._address} was no response or notification")

    def _notified(self, method: str, params: Raw) -> None:
        event = event_of(method, params)
        if event is not None:
            self.events.append(event)

    def _response(self, msgid: int | None, error: Any, result: Raw, now: float) -> None:
        if self.state == "greeting":
            self._greeted(msgid, error, result)
            return
        if msgid is None:
            self._last_words = str(error_from_wire(error))
            return
        call = self._outbox.answered(msgid)
        if call is None:
            return  # its caller no longer waits
        if error is not None:
            self._refused(call, error_from_wire(error), now)
            return
        problem = None
        try:
            call.value = call.spec.decode(result)
        except DECODE_ERRORS as unreadable:
            problem = BadMessageError(f"the answer to {call.spec.name} could not be read: {unreadable}")
        self._finish(call, problem)

    def _greeted(self, msgid: int | None, error: Any, result: Raw) -> None:
        if error is not None:
            raise error_from_wire(error)
        if msgid != self._greeting_id:
            raise BadMessageError(f"the first answer from {self._address} was to {msgid}, not to hello")
        server: HelloReply = spec_of("hello").decode(result)
        if server.protocol[0] != PROTOCOL_VERSION[0]:
            theirs, ours = ".".join(map(str, server.protocol)), ".".join(map(str, PROTOCOL_VERSION))
            raise ProtocolUnsupportedError(f"{self._address} speaks protocol {theirs}, this client {ours}")
        self.server = server
        self._window = max(server.limits.in_flight_per_connection_max, 1)
        self.state = "up"
        self._subscribe()

    def _refused(self, call: Call[Any], error: HandicapperError, now: float) -> None:
        """An error: the end of the call, or a reason to ask again later."""
        closing = isinstance(error, ClosedError) and call.spec.idempotent and self._reconnect
        if closing or isinstance(error, BusyError):
            hint = error.retry_after_ms / 1000 if isinstance(error, BusyError) else RETRY_SECONDS
            grown = min(hint * 2**call.attempts, RETRY_SECONDS_MAX)
            until = now + max(hint, grown) * (1 + self._jitter() / 2)
            if until < call.deadline:
                call.attempts += 1
                self._agenda.postpone(call, until)
                return
        self._finish(call, error)

    def _finish(self, call: Call[Any], error: HandicapperError | None) -> None:
        call.error = error
        call.done = True
        if not call.internal:
            self.finished.append(call)

    # ------------------------------------------------------------ subscription

    def subscribe(self, request: Request[Any] | None) -> None:
        """From the next ``hello`` on ask to be notified; this connection is asked by a call like any other."""
        self.subscription = request

    def _subscribe(self) -> None:
        if self.subscription is not None:
            msgid, data = self.encoded(self.subscription)
            self._outbox.put_first(Call(self.subscription.spec, msgid, data, float("inf"), internal=True))

    # -------------------------------------------------------------------- time

    def next_due(self) -> float | None:
        """When :meth:`due` has something to do."""
        return self._agenda.next_due()

    def due(self, now: float) -> None:
        """Ask again what was postponed until now, and end what is over its deadline."""
        if self._agenda.empty:
            return
        again, overdue = self._agenda.due(now)
        for call in again:
            self._outbox.put(call)
        for call in overdue:
            self.give_up(call)

    # --------------------------------------------------------------------- ends

    def lost(self, reason: HandicapperError | str) -> None:
        """The connection is gone: what may be asked again waits for the next one, the rest ends.

        What the server said to ``hello`` is final for the calls that wait, unless it is transient: asking
        again unchanged would be refused again.
        """
        greeting = self.state == "greeting"
        self.state = "down"
        self.trouble = self._last_words or str(reason)
        self._last_words = None
        again: list[Call[Any]] = []
        for call in self._outbox.take_back():
            if call.internal:
                continue
            if self._reconnect and (call.spec.idempotent or not call.sent):
                again.append(call)
            else:
                self._finish(call, lost(call, self._address, self.trouble))
        for call in reversed(again):
            self._outbox.put_first(call)
        if greeting and isinstance(reason, CallerError):
            self.fail_all(reason)
        elif not self._reconnect:
            self.close(ConnectionLostError(f"the connection to {self._address} was lost: {self.trouble}"))
        elif (gone := self.peer_gone()) is not None:
            self.close(gone)

    def fail_all(self, error: HandicapperError) -> None:
        """End every call."""
        for call in (*self._outbox.clear(), *self._agenda.clear()):
            self._finish(call, renewed(error))

    def close(self, error: HandicapperError) -> None:
        """End every call, and refuse those to come."""
        self.broken = error
        self.state = "down"
        self.fail_all(error)
