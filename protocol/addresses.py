"""Where a daemon listens: ``unix:/path``, ``tcp:host:port``, ``tcp:[::1]:port``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from .errors import InvalidValueError

__all__ = ["UNIX_PATH_BYTES_MAX", "Address", "TcpAddress", "UnixAddress", "parse_address", "parse_tcp"]

UNIX_PATH_BYTES_MAX: Final = 107
"""What fits into the kernel's ``sun_path`` beside its closing zero."""

_EXPECTED: Final = "unix:/path, tcp:host:port or tcp:[ipv6]:port"
_TCP = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})"
)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket."""

    path: str

    def __post_init__(self) -> None:
        size = len(os.fsencode(self.path))
        if not self.path or "\0" in self.path:
            raise InvalidValueError("address", f"unix:{self.path}", _EXPECTED)
        if size > UNIX_PATH_BYTES_MAX:
            expected = f"a socket path of at most {UNIX_PATH_BYTES_MAX} bytes, not {size}; use a shorter one"
            raise InvalidValueError("address", f"unix:{self.path}", expected)

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host, by name or number, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"


Address: TypeAlias = UnixAddress | TcpAddress


def parse_address(text: str | Address) -> Address:
    """The address that a text stands for.

    >>> parse_address("tcp:[::1]:4242")
    TcpAddress(host='::1', port=4242)
    >>> str(parse_address("unix:/run/handicapper.sock"))
    'unix:/run/handicapper.sock'

    Raises:
        InvalidValueError: it is none.

    """
    if isinstance(text, UnixAddress | TcpAddress):
        return text
    if not isinstance(text, str):
        raise InvalidValueError("address", text, _EXPECTED)
    scheme, _, rest = text.partition(":")
    if scheme == "unix":
        return UnixAddress(rest)
    if scheme == "tcp":
        return parse_tcp(rest, shown=text)
    raise InvalidValueError("address", text, _EXPECTED)


def parse_tcp(text: str, *, port_min: int = 1, shown: str | None = None) -> TcpAddress:
    """Host and port of ``host:port`` or ``[ipv6]:port``; ``port_min=0`` where a port may be left to the kernel.

    >>> parse_tcp("127.0.0.1:0", port_min=0)
    TcpAddress(host='127.0.0.1', port=0)

    Raises:
        InvalidValueError: it is not written like that, or the port is out of range.

    """
    match = _TCP.fullmatch(text)
    if match is None or not port_min <= int(match["port"]) <= 65535:
        expected = f"host:port or [ipv6]:port with a port from {port_min} to 65535"
        raise InvalidValueError("address", text if shown is None else shown, expected)
    return TcpAddress(match["ipv6"] or match["host"], int(match["port"]))
