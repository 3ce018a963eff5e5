"""One connection, without its socket: bytes in, turns taken, bytes out.

A turn handles a bounded number of messages, so that no connection holds up the others. Inputs that lie next
to each other go on as one group, which is one message to the router and shares one commit; their answers
come back together. What may take longer (a batch) is handed on in pieces, one a turn.
"""

from __future__ import annotations

from typing import Final, cast

from ..connection import msgid_of_head, plain_call_of
from ..errors import ProtocolError, TimedOutError
from ..framing import Framer
from ..log import get_logger
from .groups import InputGroup, SignalGroup
from .held import Held
from .outgoing import TURN_UNITS, Edge, Outgoing
from .service import Service
from .taking import Taking

__all__ = ["Session"]

IN_FLIGHT_BYTES_MAX: Final = 4 * 2**20
"""Messages under way beyond which a connection is not read any more: as Python objects they are several times that."""

SLOW_QUESTIONS_MAX: Final = 4
"""The same of questions that take a thread."""

READ_AHEAD_BYTES: Final = 128 * 1024
"""Bytes read and not yet handled beyond which a connection is not read any more, but for one message begun."""

ALONE_BYTES_MAX: Final = 512
"""What is longer is hardly a single question, and not tried as one."""

_NOTHING: Final = Framer(0)
"""What connections that are gone have instead of their bytes."""


class _NoEdge:
    """In the place of a socket that is gone."""

    def send(self, data: bytes) -> None:
        """Nobody is there."""

    def finish(self) -> None:
        """It is."""

    def turn_soon(self) -> None:
        """There is nothing to be done."""

    def read(self, wanted: bool) -> None:
        """There is nothing to be read."""


_NO_EDGE: Final = _NoEdge()
_NOBODY: Final = cast("Outgoing", None)
_NO_INPUTS: Final = InputGroup(_NOBODY)
_NO_SIGNALS: Final = SignalGroup(_NOBODY)
_NOT_HELD: Final = Held(_NOBODY)
"""The same for what else a session has of its own: empty, and nothing is ever put into them."""

_log = get_logger("server")


class Session(Taking):
    """The server's side of one connection."""

    def __init__(
        self, service: Service, peer: str, edge: Edge, needs_token: bool = False, unproven: bool = False
    ) -> None:
        super().__init__(service, peer, edge, authenticated=not needs_token)
        self.unproven = unproven
        self.framer = Framer(service.limits.message_bytes_max)
        self.ended = False
        """The client will send no more."""
        self.faulty = False
        """Nothing more is taken in; once everything is answered the connection ends."""
        self.partial_since: float | None = None

    # ---------------------------------------------------------------- turns

    def receive(self, data: bytes) -> None:
        """Take bytes from the client; they are handled in turns."""
        self.service.counters.bytes_in += len(data)
        if not self.faulty:
            self.framer.feed(data)

    def receive_alone(self, data: bytes) -> bool:
        """Take and handle bytes that are one plain message before which nothing waits; False if they are not: then
        they are to be received and handled in a turn. Most questions come so, and are answered in half the time."""
        if (
            len(data) > ALONE_BYTES_MAX
            or self._queue
            or self._run is not None
            or not self.framer.may_pass_by(data)
            or self._stuck()
        ):
            return False
        call = plain_call_of(data)
        if call is None:
            return False
        self.service.counters.bytes_in += len(data)
        self._budget = TURN_UNITS
        self._handle_call(data, call)
        self.submit()
        self.flush()
        return True

    def _stuck(self) -> bool:
        return (
            self.blocked
            or self.faulty
            or self.held.active
            or self.in_flight >= self.service.session_in_flight_max
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
        room = self.service.session_in_flight_max - self.in_flight
        if not queue:
            chunk = framer.next_chunk(TURN_UNITS)
            count = len(chunk.ends)
            if count:
                self.partial_since = None
            if self._run is None and 1 < count <= room:
                messages = self._handle_neighbours(chunk)
                room -= count - len(messages)
            else:
                messages = chunk.messages()
            if not self.faulty:
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

    # -------------------------------------------------------------- the end

    def fail(self, error: ProtocolError, msgid: int | None) -> None:
        """Take nothing more in: say why, answer what is under way, end."""
        _log.warning("connection given up", connection=self.peer, error=str(error))
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
        stuck = self._stuck()
        left = bool(self._queue or self._run or self.held.active or self.framer.pending)
        if left and not stuck:
            self._edge.turn_soon()
        if self._finished:
            if not left:
                self.framer = _NOTHING
                if not self.in_flight:
                    self._let_go()
            return
        if not self.in_flight and (self.faulty or (self.ended and not left)):
            self._finished = True
            self._edge.finish()
        else:
            # What waits for a turn of its own is no reason to stop reading, unless it is much.
            much = left and self.framer.waiting_bytes > READ_AHEAD_BYTES
            self._edge.read(self.faulty or not (much or stuck))

    def _let_go(self) -> None:
        """Refer to nothing that refers to this session: it is gone when the last one lets go of it. A collection of
        garbage may not find it: it is told not to look at what was there at some time (``bin/daemon/garbage.py``).
        """
        self._edge = _NO_EDGE
        self._inputs, self._signals, self.held, self.subscriber = _NO_INPUTS, _NO_SIGNALS, _NOT_HELD, None

    def drop(self) -> None:
        """The connection is gone: nothing can be sent. What had come is taken in all the same."""
        self._finished = True
        self.blocked = False
        self.service.touch(self)
