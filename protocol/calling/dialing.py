"""A non-blocking socket to a daemon: resolved, connected and told apart from one that is not, without waiting."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from ..addresses import Address, UnixAddress

__all__ = ["Backoff", "Dialer", "Doorbell", "quiet_close", "quiet_shutdown", "tune"]

BACKOFF_SECONDS: Final = 0.01
BACKOFF_SECONDS_MAX: Final = 1.0
PEER_SILENT_SECONDS: Final = 30
"""A TCP peer that acknowledges nothing for so long is taken to be gone."""


class Backoff:
    """How long to leave between attempts: doubling, up to a second, spread so that clients do not come at once."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._failures = 0
        self._jitter = jitter

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0

    def failed(self) -> float:
        """Seconds to wait after one more failure."""
        delay = min(BACKOFF_SECONDS * 2**self._failures, BACKOFF_SECONDS_MAX)
        self._failures = min(self._failures + 1, 16)
        return delay * (0.5 + self._jitter() / 2)


class Dialer:
    """Begins connections, trying the addresses of a host name in turn."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._targets: deque[tuple[int, Any]] = deque()

    @property
    def more(self) -> bool:
        """Whether an address of the last look-up is left to be tried."""
        return bool(self._targets)

    def begin(self) -> socket.socket:
        """A socket that is connected or about to be: once it can be written to, ask it for SO_ERROR.

        Raises:
            OSError: it cannot be connected.

        """
        if not self._targets:
            self._targets.extend(self._resolved())
        family, target = self._targets.popleft()
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            tune(made)
            error = made.connect_ex(target)
            if error not in (0, errno.EINPROGRESS):
                raise OSError(error, os.strerror(error))
        except BaseException:
            made.close()
            raise
        return made

    def succeeded(self) -> None:
        """Look the host up anew next time."""
        self._targets.clear()

    def _resolved(self) -> list[tuple[int, Any]]:
        address = self._address
        if isinstance(address, UnixAddress):
            return [(socket.AF_UNIX, address.path)]
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        return [(family, target) for family, _, _, _, target in found]


def tune(made: socket.socket) -> None:
    """Send at once, and notice a TCP peer that vanished without a word."""
    if made.family == socket.AF_UNIX:
        return
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", PEER_SILENT_SECONDS // 2),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", PEER_SILENT_SECONDS * 1000),
    ):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def quiet_close(made: socket.socket) -> None:
    """Close; what the peer did to the connection before is of no interest any more."""
    with contextlib.suppress(OSError):
        made.close()


def quiet_shutdown(made: socket.socket) -> None:
    """Let both sides find the connection ended."""
    with contextlib.suppress(OSError):
        made.shutdown(socket.SHUT_RDWR)


class Doorbell:
    """Wakes a thread that polls ``fd``; rung twice it wakes once, rung after it was closed nobody.

    Closing it is for whoever knows that nobody is just ringing it.
    """

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        """Wake whoever polls. From any thread."""
        if self.fd >= 0:
            os.eventfd_write(self.fd, 1)

    def answer(self) -> None:
        """Be ready to be rung again."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)

    def close(self) -> None:
        """Give the descriptor back."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()
