"""Listening sockets: made so that nobody else's is taken away, and taken away only while they are ours."""

from __future__ import annotations

import errno
import os
import socket
import stat
from dataclasses import dataclass, field
from typing import Final, Literal

from ...protocol.addresses import TcpAddress
from ...protocol.errors import RuntimeFaultError, SettingsError
from .endpoints import Endpoints, is_loopback, needs_token, resolve
from .sdnotify import Activated

__all__ = [
    "AddressInUseError",
    "AddressUnusableError",
    "Listener",
    "adopt",
    "listen",
    "listen_tcp",
    "listen_unix",
]

BACKLOG: Final = 1024
PROBE_TIMEOUT_SECONDS: Final = 1.0


class AddressInUseError(RuntimeFaultError):
    """Another process answers on the address."""

    code = "ADDRESS_IN_USE"


class AddressUnusableError(RuntimeFaultError):
    """No socket can be made there."""

    code = "ADDRESS_UNUSABLE"


@dataclass(frozen=True)
class Listener:
    """One listening socket."""

    sock: socket.socket
    kind: Literal["unix", "tcp"]
    path: str | None = None
    """Of a unix socket; an abstract one is written with an @."""
    inode: tuple[int, int] | None = field(default=None, repr=False)
    """Device and inode of a path that we made, and take away again."""

    @property
    def address(self) -> str:
        """As ``--connect`` takes it."""
        return f"unix:{self.path}" if self.kind == "unix" else str(self.tcp)

    @property
    def reachable(self) -> bool:
        """Whether the address is one that a client can be given."""
        return self.kind == "tcp" or (self.path is not None and self.path.startswith("/"))

    @property
    def tcp(self) -> TcpAddress:
        """Where a TCP socket is bound."""
        host, port = self.sock.getsockname()[:2]
        return TcpAddress(host, port)

    def remove(self) -> None:
        """Take the path away, if it is still the socket made here."""
        if self.inode is None or self.path is None:
            return
        try:
            status = os.lstat(self.path)
            if (status.st_dev, status.st_ino) == self.inode:
                os.unlink(self.path)
        except OSError:
            return

    def close(self) -> None:
        """Take the path away and stop listening."""
        self.remove()
        self.sock.close()


def listen(endpoints: Endpoints, activated: list[Activated]) -> list[Listener]:
    """All of them, those handed over first. An address that one of these has already is not made again.

    Raises:
        AddressInUseError: another process answers on one.
        AddressUnusableError: one cannot be made.
        SettingsError: one can be reached from other machines, and there is no token.

    """
    listeners = [adopt(one, token=endpoints.token_file is not None) for one in activated]
    try:
        if endpoints.unix is not None and not _handed_over(listeners, unix=endpoints.unix):
            listeners.append(listen_unix(endpoints.unix))
        if endpoints.tcp is not None and not _handed_over(listeners, tcp=endpoints.tcp):
            listeners.append(listen_tcp(endpoints.tcp))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def adopt(activated: Activated, *, token: bool) -> Listener:
    """A socket that was handed over; whoever made it takes its path away.

    Raises:
        SettingsError: it can be reached from other machines, and there is no token.

    """
    sock = activated.sock
    if sock.family == socket.AF_UNIX:
        name = sock.getsockname()
        path = "@" + os.fsdecode(name[1:]) if isinstance(name, bytes) else name
        return Listener(sock, "unix", path or f"(unnamed, {activated.name})")
    listener = Listener(sock, "tcp")
    if not token and not is_loopback(listener.tcp.host):
        raise SettingsError([needs_token(listener.tcp)], f"socket {activated.name}")
    return listener


def _handed_over(
    listeners: list[Listener], *, unix: str | None = None, tcp: TcpAddress | None = None
) -> bool:
    """Whether one of the sockets handed over is bound to the address.

    A unit may name it in ListenStream= and in ExecStart= alike, and then works with its socket and without.
    """
    if unix is not None:
        wanted = os.path.realpath(unix)
        return any(
            one.path is not None and os.path.realpath(one.path) == wanted
            for one in listeners
            if one.reachable
        )
    if tcp is None or tcp.port == 0:
        return False
    family, sockaddr = resolve(tcp)
    # Of an IPv6 socket the name has four parts; the flow label is nobody's address.
    return any(
        one.sock.family == family and one.sock.getsockname()[:2] == tuple(sockaddr[:2])
        for one in listeners
        if one.kind == "tcp"
    )


def listen_tcp(address: TcpAddress) -> Listener:
    """Listen on a TCP address; port 0 becomes one of the system's choice.

    Raises:
        AddressInUseError: another process listens there.
        AddressUnusableError: it is no address of this machine, or the port is not for us.
        SettingsError: the host is unknown.

    """
    family, sockaddr = resolve(address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of a daemon before us, in TIME_WAIT, do not keep us out.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(sockaddr)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise _tcp_error(address, error) from error
    return Listener(sock, "tcp")


def _tcp_error(address: TcpAddress, error: OSError) -> RuntimeFaultError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUseError(
            f"{address} is in use by another process; stop it, or use another port (0 lets the system choose)"
        )
    return AddressUnusableError(
        f"cannot listen on {address}: {error.strerror}; expected an address of this machine and a "
        "port this user may use"
    )


def listen_unix(path: str) -> Listener:
    """Listen on a unix socket of mode 0600; the one of a process that died is replaced.

    The state directory is locked by now, so no other daemon of ours can be doing the same for it.

    Raises:
        AddressInUseError: another process answers there.
        AddressUnusableError: there is something that is no socket, or none can be made there.

    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        # Never more open than it is to be, not even for a moment.
        before = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        status = os.lstat(path)
    except OSError as error:
        sock.close()
        raise AddressUnusableError(
            f"cannot listen on unix socket {path}: {error.strerror or error}; expected a path in an existing directory "
            "that this user may write to"
        ) from error
    except BaseException:
        sock.close()
        raise
    return Listener(sock, "unix", path, (status.st_dev, status.st_ino))


def _clear(path: str) -> None:
    """Take away what a dead process left, and nothing else."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise AddressUnusableError(
            f"cannot listen on unix socket {path}: there is {_kind(status.st_mode)} by that name, which is left "
            "alone; remove it, or use another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_TIMEOUT_SECONDS)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # nobody listens: its process died
            return
        except FileNotFoundError:
            return
        except (TimeoutError, BlockingIOError):
            pass  # somebody listens, and is too busy to accept
    raise AddressInUseError(
        f"unix socket {path} is in use: another process answers on it; stop it, or use another path"
    )


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISREG, "a file"), (stat.S_ISDIR, "a directory"), (stat.S_ISLNK, "a symbolic link"))
    return next((name for is_kind, name in kinds if is_kind(mode)), "something that is no socket")
