"""The server: an asyncio edge around sessions. One event loop reads and writes all connections."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, cast

from .connection import encode_error
from .errors import BusyError, reason_of
from .limits import WireLimits
from .log import get_logger
from .messages import ConfigReply, ServerStatistics
from .serving.backend import Backend
from .serving.service import Service
from .serving.session import Session

__all__ = ["Server"]

BACKLOG: Final = 1024
"""Connections that wait to be accepted."""
SWEEP_SECONDS: Final = 0.5
UNREAD_SECONDS: Final = 1.0
"""How long a stop waits for clients that do not read their answers."""
LINGER_SECONDS: Final = 2.0
"""How long a connection that was given up is still read (and dropped), so that the client sees the error."""
WRITE_BUFFER_BYTES_MAX: Final = 256 * 1024
"""Unread answers beyond which a connection is not read any more."""

_log = get_logger("server")


class Server:
    """Serves a backend on unix sockets and TCP, on the running event loop.

    Args:
        backend: the learner.
        limits: the bounds.
        token: what TCP connections must bring in ``hello``; None: nothing.
        state_dir: shown by ``hello``.
        config: the settings in force, for the method ``config``.

    """

    def __init__(
        self,
        backend: Backend,
        limits: WireLimits | None = None,
        *,
        token: bytes | None = None,
        state_dir: str = "",
        config: Callable[[], ConfigReply] | None = None,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._listeners: list[asyncio.Server] = []
        self._edges: set[Edge] = set()
        self.service = Service(
            backend,
            limits or WireLimits(),
            wake=self._wake,
            later=loop.call_later,
            config=config or (lambda: ConfigReply(settings={}, source=None)),
            state_dir=state_dir,
            token=token,
        )
        self._sweeper = loop.call_later(SWEEP_SECONDS, self._sweep)

    def _wake(self) -> None:
        """Have the answers that are there written soon. From any thread; the loop's own needs no waking."""
        own = threading.get_ident() == self._thread_id
        (self._loop.call_soon if own else self._loop.call_soon_threadsafe)(self.service.drain)

    @property
    def statistics(self) -> ServerStatistics:
        """What happened so far."""
        return self.service.statistics()

    # -------------------------------------------------------------- listening

    async def start_unix(self, where: str | socket.socket) -> str:
        """Listen on a unix socket: a path to be bound with mode 0600, or a socket that listens. Returns the path.

        Raises:
            OSError: it cannot be bound.

        """
        sock = where if isinstance(where, socket.socket) else _bound_unix(where)
        options: dict[str, Any] = {"backlog": BACKLOG}
        if sys.version_info >= (3, 13):
            # Who bound the socket removes it, and only if it is still the one that was bound.
            options["cleanup_socket"] = False
        listener = await self._loop.create_unix_server(lambda: Edge(self, local=True), sock=sock, **options)
        self._listeners.append(listener)
        return str(sock.getsockname())

    async def start_tcp(
        self, host: str = "127.0.0.1", port: int = 0, *, sock: socket.socket | None = None
    ) -> tuple[str, int]:
        """Listen on TCP; port 0 takes a free one. Returns the real address.

        Raises:
            OSError: it cannot be bound.

        """
        where: dict[str, Any] = {"sock": sock} if sock is not None else {"host": host, "port": port}
        listener = await self._loop.create_server(lambda: Edge(self, local=False), backlog=BACKLOG, **where)
        self._listeners.append(listener)
        address = listener.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    # -------------------------------------------------------------- stopping

    async def stop(self, drain_seconds: float) -> None:
        """Take in nothing more, answer what is in flight within ``drain_seconds``, close."""
        service = self.service
        for listener in self._listeners:
            listener.close()
        service.stopping = True
        deadline = self._loop.time() + drain_seconds
        for edge in list(self._edges):
            edge.session.end_of_input()
        service.flush()
        unread = self._loop.time() + UNREAD_SECONDS
        while self._edges and self._loop.time() < deadline:
            if self._loop.time() > unread and all(edge.session.blocked for edge in self._edges):
                break  # what is left does not read its answers; the others have theirs
            waiting = asyncio.gather(*(edge.closed for edge in self._edges), return_exceptions=True)
            left = max(deadline - self._loop.time(), 0.0)
            await asyncio.wait([waiting], timeout=min(left, UNREAD_SECONDS / 4))
        for edge in list(self._edges):
            edge.abort()
        self._sweeper.cancel()
        service.close()

    # ---------------------------------------------------------- connections

    def admitted(self, edge: Edge) -> bool:
        """Whether there is room for one connection more; it is counted then."""
        service = self.service
        if len(self._edges) >= service.limits.connections_max or service.stopping:
            return False
        self._edges.add(edge)
        service.sessions.add(edge.session)
        service.counters.connections_total += 1
        return True

    def left(self, edge: Edge) -> bool:
        """A connection is gone; returns whether it was one of those admitted."""
        if edge not in self._edges:
            return False
        self._edges.remove(edge)
        self.service.sessions.discard(edge.session)
        self.service.feed.remove(edge.session.subscriber)
        return True

    def now(self) -> float:
        """The loop's clock, seconds."""
        return self._loop.time()

    def call_soon(self, action: Callable[..., object], *arguments: Any) -> None:
        """Have something done after what waits already."""
        self._loop.call_soon(action, *arguments)

    def call_later(self, seconds: float, action: Callable[..., object]) -> asyncio.TimerHandle:
        """Have something done later."""
        return self._loop.call_later(seconds, action)

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        now = self.now()
        for edge in list(self._edges):
            edge.check_time(now)
        self.service.flush()


class Edge(asyncio.Protocol):
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


def _bound_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    # Of the whole process; but the socket must never be open to others, not even for a moment.
    before = os.umask(0o177)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


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
