"""The socket of a session, as asyncio has it: what comes is read and handled, what is owed written, what takes too long
ended."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import TYPE_CHECKING, Final, cast

from ..connection import encode_error
from ..errors import BusyError, reason_of
from ..log import get_logger
from .session import Session

if TYPE_CHECKING:
    from ..server import Server

__all__ = ["SocketEdge"]

LINGER_SECONDS: Final = 2.0
"""How long a connection that was given up is still read (and dropped), so that the client sees the error."""
WRITE_BUFFER_BYTES_MAX: Final = 256 * 1024
"""Unread answers beyond which a connection is not read any more."""

_log = get_logger("server")


class SocketEdge(asyncio.Protocol):
    """The socket of one session."""

    transport: asyncio.Transport
    session: Session

    def __init__(self, server: Server, local: bool) -> None:
        self._server = server
        self._local = local
        self._opened_at = server.now()
        self._blocked_since: float | None = None
        self._turn_due = False
        self._reading = True
        self._finishing = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # ------------------------------------------------------- from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        # Of a stream; uvloop's is no subclass of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        transport = self.transport
        service = self._server.service
        sock: socket.socket = transport.get_extra_info("socket")
        peer = _peer_name(sock, self._local)
        wants_token = service.token is not None
        self.session = Session(
            service,
            peer,
            self,
            needs_token=not self._local and wants_token,
            unproven=not self._local and not wants_token,
        )
        if self._local and not _same_user(sock):
            _log.warning("connection of another user refused", connection=peer)
            transport.abort()
            return
        if not self._server.admitted(self):
            busy = BusyError(f"no more than {service.limits.connections_max} connections at a time", 1000)
            transport.write(encode_error(None, busy))
            self._finishing = True
            transport.close()
            return
        _log.debug("connection opened", connection=peer)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)
        if not self._local:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """The client sent something."""
        session = self.session
        if session.faulty or self._finishing:
            return
        if self._turn_due:
            session.receive(data)
            return
        if not session.receive_alone(data):
            session.receive(data)
            session.turn(self._server.now())
        self._server.service.flush()

    def eof_received(self) -> bool:
        """The client sends no more; it may still read."""
        if self._finishing:
            return False
        self.session.end_of_input()
        self._server.service.flush()
        return not self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._server.left(self):
            why = {} if exc is None else {"error": reason_of(exc)}
            _log.debug("connection closed", connection=self.session.peer, **why)
        if not self.closed.done():
            self.closed.set_result(None)
        self.session.drop()
        self._server.service.flush()

    def pause_writing(self) -> None:
        """The client does not read."""
        self.session.blocked = True
        self._blocked_since = self._server.now()

    def resume_writing(self) -> None:
        """It reads again."""
        self.session.blocked = False
        if not self._finishing:
            self._blocked_since = None
        if self.session.subscriber is not None:
            self.session.subscriber.catch_up()
        self._server.service.touch(self.session)
        self._server.call_soon(self._server.service.flush)

    # ------------------------------------------------------ from the session

    def send(self, data: bytes) -> None:
        """Write."""
        self.transport.write(data)

    def turn_soon(self) -> None:
        """Give the session another turn, after what waits already."""
        if not self._turn_due:
            self._turn_due = True
            self._server.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        self.session.turn(self._server.now())
        self._server.service.flush()

    def read(self, wanted: bool) -> None:
        """Go on, or stop, reading."""
        if wanted != self._reading and not self.transport.is_closing():
            self._reading = wanted
            if wanted:
                if self.session.partial_since is not None:  # it was we who did not read on
                    self.session.partial_since = self._server.now()
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def finish(self) -> None:
        """End the connection so that the client can read everything: say so, then read on for a while."""
        self._finishing = True
        self._blocked_since = self._server.now()
        if self.transport.is_closing():
            return
        if not self.session.faulty or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.read(True)
        self.transport.write_eof()
        self._server.call_later(LINGER_SECONDS, self.transport.abort)

    def abort(self) -> None:
        """End it now."""
        self.transport.abort()

    def check_time(self, now: float) -> None:
        """End what takes too long."""
        session, limits = self.session, self._server.service.limits
        blocked, partial = self._blocked_since, session.partial_since
        if blocked is not None and now - blocked > limits.read_timeout_secs:
            _log.warning("connection does not read what it was sent", connection=session.peer)
            self.abort()
        elif session.faulty or self._finishing:
            return
        elif not session.authenticated and now - self._opened_at > limits.token_timeout_secs:
            session.time_out(f"no hello with the token within {limits.token_timeout_secs:g} s")
        elif partial is not None and self._reading and now - partial > limits.partial_message_timeout_secs:
            session.time_out(
                f"a message was begun and not finished within {limits.partial_message_timeout_secs:g} s"
            )


def _same_user(sock: socket.socket) -> bool:
    """Whether the peer of a unix socket is of this user, or root."""
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", packed)
    return uid in (os.geteuid(), 0)


def _peer_name(sock: socket.socket, local: bool) -> str:
    """How logs name a connection."""
    if local:
        packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return f"unix:pid={struct.unpack('3i', packed)[0]},fd={sock.fileno()}"
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        return "tcp:gone"
    return f"tcp:{host}:{port}"
