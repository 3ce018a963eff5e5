"""Where a daemon is to listen: options, settings and defaults put together, every problem named at once."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from ...protocol.addresses import UNIX_PATH_BYTES_MAX, TcpAddress, parse_tcp
from ...protocol.errors import InvalidValueError, SettingsError
from .token_file import read_token

if TYPE_CHECKING:
    from ...config import Server

__all__ = ["SOCKET_NAME", "TCP_ADDRESS", "Endpoints", "is_loopback", "needs_token", "resolve"]

SOCKET_NAME: Final = "handicapper.sock"


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where to listen; nothing is opened yet."""

    unix: str | None = None
    """Absolute path."""
    tcp: TcpAddress | None = None
    """Port 0: one of the system's choice."""
    token_file: str | None = None

    @classmethod
    def choose(
        cls, options: Endpoints, server: Server, state_dir: str | None, *, activated: bool
    ) -> Endpoints:
        """Options come before settings; with neither, and no socket handed over, one in the state directory."""
        unix = server.unix_path if options.unix is None else options.unix
        tcp = options.tcp
        if tcp is None and server.tcp is not None:
            tcp = parse_tcp(server.tcp, port_min=0)
        if unix is None and tcp is None and not activated and state_dir is not None:
            unix = os.path.join(state_dir, SOCKET_NAME)
        return cls(
            unix=None if unix is None else os.path.abspath(unix),
            tcp=tcp,
            token_file=server.token_file if options.token_file is None else options.token_file,
        )

    def problems(self) -> list[str]:
        """Everything wrong with them that can be told without opening a socket."""
        found: list[str] = []
        if self.unix is not None and (problem := _path_problem(self.unix)):
            found.append(problem)
        try:
            self.token()
        except SettingsError as error:
            found.extend(error.problems)
        if self.tcp is not None:
            try:
                _, sockaddr = resolve(self.tcp)
            except SettingsError as error:
                found.extend(error.problems)
            else:
                if self.token_file is None and not is_loopback(sockaddr[0]):
                    found.append(needs_token(self.tcp))
        return found

    def token(self) -> bytes | None:
        """What clients on TCP have to bring, if anything.

        Raises:
            SettingsError: it cannot be had from the file.

        """
        return None if self.token_file is None else read_token(self.token_file)


def _path_problem(path: str) -> str | None:
    size = len(os.fsencode(path))
    if size > UNIX_PATH_BYTES_MAX:
        return (
            f"unix socket path {path} has {size} bytes; expected {UNIX_PATH_BYTES_MAX} at most, which is all the "
            "system takes (give a shorter one with --unix, such as /run/handicapper/handicapper.sock)"
        )
    if not path.isprintable():
        return f"unix socket path {path!r} has characters that cannot be printed; expected a path without"
    return None


def needs_token(address: TcpAddress) -> str:
    """The problem with an address that other machines can reach."""
    return (
        f"{address} can be reached from other machines; expected a token file as well (--token-file, or "
        "token_file in the settings), or a loopback address such as 127.0.0.1"
    )


def resolve(address: TcpAddress) -> tuple[socket.AddressFamily, Any]:
    """Family and socket address to bind to; the first, where a name stands for several.

    Raises:
        SettingsError: the name stands for none.

    """
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            [f"the host of {address} is unknown ({reason}); expected an address of this machine"],
            "tcp address",
        ) from None
    family, _, _, _, sockaddr = found[0]
    return family, sockaddr


def is_loopback(host: str) -> bool:
    """Whether an address, in numbers, can be reached from this machine only.

    >>> [is_loopback(host) for host in ("127.8.9.1", "::1", "0.0.0.0", "::", "fe80::1%eth0")]
    [True, True, False, False, False]
    """
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


class TcpAddressType(click.ParamType[TcpAddress]):
    """``HOST:PORT``."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> TcpAddress:
        """Parse the text, or fail as a usage error."""
        if isinstance(value, TcpAddress):
            return value
        try:
            return parse_tcp(str(value), port_min=0)
        except InvalidValueError as error:
            self.fail(f"{error.value!r}; expected {error.expected}", param, ctx)


TCP_ADDRESS = TcpAddressType()
