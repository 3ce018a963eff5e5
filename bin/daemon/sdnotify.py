"""What systemd is told, and what it hands over: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``LISTEN_FDS``.

See sd_notify(3) and sd_listen_fds(3). The variables are taken out of the environment, so that nothing
started from here takes them for its own.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final, NamedTuple

from ...protocol.errors import SettingsError

__all__ = ["Activated", "ServiceManager", "activated_sockets"]

SEND_TIMEOUT_SECONDS: Final = 0.5
FIRST_FD: Final = 3
FDS_MAX: Final = 1024


class ServiceManager:
    """The one that started us, if it wants to know; without it every call does nothing."""

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        self._address = address
        self.watchdog_seconds = watchdog_seconds
        """Within which it wants to hear :meth:`alive`, again and again."""

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> ServiceManager:
        """Take the variables, if they are meant for this process."""
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        # The kernel's abstract names are written with an @ for their first, zero byte.
        known = address if address.startswith(("/", "@")) else None
        watched = known is not None and microseconds.isdecimal() and pid in ("", str(os.getpid()))
        seconds = int(microseconds) / 1e6 if watched else 0.0
        return cls(known, seconds or None)

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is finished."""
        self._send("READY=1", f"MAINPID={os.getpid()}", _status(status))

    def reloading(self) -> None:
        """A reload begins; :meth:`ready` ends it."""
        now_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now_usec}", _status("reloading the settings"))

    def stopping(self, status: str) -> None:
        """The end has begun."""
        self._send("STOPPING=1", _status(status))

    def status(self, status: str) -> None:
        """One line for ``systemctl status``."""
        self._send(_status(status))

    def alive(self) -> None:
        """All is well; due within every ``watchdog_seconds``."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def _send(self, *fields: str) -> None:
        if self._address is None:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(SEND_TIMEOUT_SECONDS)
                sender.connect(address)
                sender.sendall("\n".join(fields).encode("utf-8", "replace"))
        except OSError:
            # Nobody there to tell: that is no reason to stop, and they will notice.
            return


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())


class Activated(NamedTuple):
    """A listening socket that was open before this process began."""

    sock: socket.socket
    name: str


def activated_sockets(environ: MutableMapping[str, str]) -> list[Activated]:
    """The sockets handed over, in order.

    Raises:
        SettingsError: one of them is no listening stream socket, unix or TCP.

    """
    count, pid = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    environ.pop("LISTEN_PIDFDID", None)
    if pid != str(os.getpid()) or not count:
        return []
    if not (count.isascii() and count.isdecimal() and int(count) <= FDS_MAX):
        raise SettingsError([f"LISTEN_FDS was {count!r}; expected a number up to {FDS_MAX}"], "environment")
    found: list[Activated] = []
    problems: list[str] = []
    for index, fd in enumerate(range(FIRST_FD, FIRST_FD + int(count))):
        name = names[index] if index < len(names) and names[index] else "unknown"
        try:
            found.append(Activated(_listening(fd), name))
        except (OSError, ValueError) as error:
            problems.append(
                f"file descriptor {fd} ({name}) of LISTEN_FDS is no listening stream socket, unix or TCP "
                f"({error}); set ListenStream= and Accept=no"
            )
    if problems:
        for one in found:
            one.sock.close()
        raise SettingsError(problems, "environment")
    return found


def _listening(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    usable = (
        sock.family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
        and sock.type == socket.SOCK_STREAM
        and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    )
    if not usable:
        sock.detach()
        raise ValueError(f"family {sock.family}, type {sock.type}")
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock
