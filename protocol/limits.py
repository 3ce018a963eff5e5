"""The bounds of the wire, in one place. Reaching one is a named error with the numbers in it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = ["BAD_MESSAGES_MAX", "PROTOCOL_VERSION", "WireLimits"]

PROTOCOL_VERSION: Final = (1, 0)
"""Major and minor version of the protocol (PROTOCOL.md, Evolution)."""

BAD_MESSAGES_MAX: Final = 100
"""Bad messages in a row after which a connection is taken to speak something else."""


class WireLimits(Struct, frozen=True, kw_only=True):
    """What one server takes; told to every client by ``hello``."""

    message_bytes_max: int = 2**20
    depth_max: int = 32
    """Maps and arrays within each other, the message itself included."""
    batch_items_max: int = 16_384
    in_flight_per_connection_max: int = 4_096
    """Requests not yet answered; over it the server stops reading from the connection."""
    in_flight_requests_max: int = 65_536
    """The same of all connections together; over it requests are answered BUSY."""
    connections_max: int = 256
    draws_max: int = 20_000
    """Draws of one ``thompson_sample``: ``n`` times the models."""
    partial_message_timeout_secs: float = 10.0
    """From the first byte of a message to its last."""
    token_timeout_secs: float = 5.0
    """From the connection to the ``hello`` with the token, where one is needed."""
    read_timeout_secs: float = 60.0
    """How long a client may leave what it was sent unread."""
