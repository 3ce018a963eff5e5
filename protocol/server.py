"""The server: it listens, and lets connections in. One event loop reads and writes all of them."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from .limits import WireLimits
from .messages import ConfigReply, ServerStatistics
from .serving.backend import Backend
from .serving.service import Service
from .serving.socket_edge import SocketEdge

__all__ = ["Server"]

BACKLOG: Final = 1024
"""Connections that wait to be accepted."""
SWEEP_SECONDS: Final = 0.5
UNREAD_SECONDS: Final = 1.0
"""How long a stop waits for clients that do not read their answers."""


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
        self._edges: set[SocketEdge] = set()
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
        listener = await self._loop.create_unix_server(
            lambda: SocketEdge(self, local=True), sock=sock, **options
        )
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
        listener = await self._loop.create_server(
            lambda: SocketEdge(self, local=False), backlog=BACKLOG, **where
        )
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

    def admitted(self, edge: SocketEdge) -> bool:
        """Whether there is room for one connection more; it is counted then."""
        service = self.service
        if len(self._edges) >= service.limits.connections_max or service.stopping:
            return False
        self._edges.add(edge)
        service.sessions.add(edge.session)
        service.counters.connections_total += 1
        return True

    def left(self, edge: SocketEdge) -> bool:
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
