"""The vocabulary of handicapper: messages and errors, how they travel, and the clients of a daemon.

Imports nothing else of ours. :class:`Client` and :class:`AsyncClient` are imported when they are first used,
so that whoever needs the messages alone does not pay for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .compiled import prefer_sources

if TYPE_CHECKING:
    from .aio import AsyncClient
    from .client import Client

__all__ = ["AsyncClient", "Client"]

prefer_sources()  # here, because whatever has a compiled module begins by importing this package


def __getattr__(name: str) -> Any:
    if name == "Client":
        from .client import Client

        return Client
    if name == "AsyncClient":
        from .aio import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
