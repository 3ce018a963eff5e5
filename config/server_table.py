"""The table of settings about the daemon: where it listens, and the bounds of the wire."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import asdict

from ..protocol.limits import WireLimits

__all__ = ["PATH_PATTERN", "TCP_EXPECTED", "TCP_PATTERN", "Server"]

_PORT: Final = (
    r"(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"  # 0 to 65535
)
_HOST: Final = r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._-]{1,15})?\])"

TCP_PATTERN: Final = rf"\A{_HOST}:{_PORT}\Z"
TCP_EXPECTED: Final = 'HOST:PORT, such as "127.0.0.1:4242" or "[::1]:0"'

PATH_PATTERN: Final = r'\A[^\x00-\x1f\x7f"\\]{1,4096}\Z'
"""What TOML can hold without an escape."""
_PATH_EXPECTED: Final = "a path without quotes, backslashes and control characters"


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The daemon (handicapper serve): where it listens, and what it takes from its clients."""

    unix_path: (
        Annotated[
            str,
            Meta(
                pattern=PATH_PATTERN,
                description="Path of the unix socket, 107 bytes at most; a relative one starts at the "
                "working directory. Absent: handicapper.sock in the state directory, unless tcp is set.",
                examples=["/run/handicapper/handicapper.sock"],
                extra={"expected": _PATH_EXPECTED},
            ),
        ]
        | None
    ) = None
    tcp: (
        Annotated[
            str,
            Meta(
                pattern=TCP_PATTERN,
                description="TCP address to listen on; port 0 lets the system choose one. Every local "
                "user can connect to a loopback address; any other address needs token_file.",
                examples=["127.0.0.1:4242"],
                extra={"expected": TCP_EXPECTED},
            ),
        ]
        | None
    ) = None
    token_file: (
        Annotated[
            str,
            Meta(
                pattern=PATH_PATTERN,
                description="File with the token that a client on TCP has to bring. It must belong to the "
                "user of the daemon and have mode 0600 or stricter.",
                examples=["/etc/handicapper/token"],
                extra={"expected": _PATH_EXPECTED},
            ),
        ]
        | None
    ) = None
    connections_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Connections open at a time. One more is told BUSY and closed. Each takes a file "
            "descriptor.",
        ),
    ] = 256
    message_bytes_max: Annotated[
        int,
        Meta(
            ge=1024,
            le=2**30,
            description="Bytes of one message. So much may be held for each connection.",
        ),
    ] = 2**20
    depth_max: Annotated[
        int,
        Meta(
            ge=8,
            le=500,
            description="Maps and arrays within each other in one message.",
        ),
    ] = 32
    batch_items_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Items of one batch. Keep it below limits.in_flight_inputs_max.",
        ),
    ] = 16_384
    in_flight_per_connection_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Requests of one connection that are not answered yet; over it the daemon stops "
            "reading from the connection.",
        ),
    ] = 4_096
    in_flight_requests_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000_000,
            description="The same for all connections together; over it requests are answered BUSY.",
        ),
    ] = 65_536
    draws_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000_000,
            description="Draws of one thompson_sample: n times the models. Large ones hold up others.",
        ),
    ] = 20_000
    partial_message_timeout_secs: Annotated[
        float,
        Meta(ge=0.001, le=86_400, description="Seconds from the first byte of a message to its last."),
    ] = 10.0
    token_timeout_secs: Annotated[
        float,
        Meta(
            ge=0.001,
            le=86_400,
            description="Seconds from a connection to its hello with the token, where one is needed.",
        ),
    ] = 5.0
    read_timeout_secs: Annotated[
        float,
        Meta(
            ge=0.001,
            le=86_400,
            description="Seconds a client may leave unread what it was sent; then its connection is closed.",
        ),
    ] = 60.0

    def wire_limits(self) -> WireLimits:
        """The bounds of the wire, as the server takes them.

        >>> Server(connections_max=3).wire_limits().connections_max
        3
        """
        values = asdict(self)
        return WireLimits(**{name: values[name] for name in WireLimits.__struct_fields__})
