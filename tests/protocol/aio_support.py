"""How the tests of the asyncio client run: on a loop of their own, in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from handicapper.protocol import AsyncClient

from .client_support import DEADLINE_SECONDS, Serving

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run on a loop of its own, in debug mode: what is forgotten there is a warning, and so a failure."""

    async def bounded() -> T:
        # A warning for what takes long would be one for a busy machine.
        asyncio.get_running_loop().slow_callback_duration = DEADLINE_SECONDS
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await main

    return asyncio.run(bounded(), debug=True)


def with_client(server: Serving, use: Callable[[AsyncClient], Awaitable[T]], **options: Any) -> T:
    async def main() -> T:
        async with AsyncClient(server.unix, **options) as client:
            return await use(client)

    return run(main())
