"""How an asyncio client makes a call: alone, unanswered, or in bulk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, TypeVar

from ..errors import ClosedError
from ..limits import WireLimits
from .aio_link import AsyncCall, AsyncLink
from .bulk import BATCHES_IN_FLIGHT_MAX, InputBulk, Part, SignalBulk
from .exchange import Exchange
from .requests import Request

__all__ = ["AsyncCalls"]

T = TypeVar("T")


class AsyncCalls:
    """What every call of an asyncio client is made with."""

    timeout_seconds: float
    """How long a call takes at most if it does not say so itself."""
    _exchange: Exchange
    _link: AsyncLink | None
    """None before it is connected and once it is closed."""

    @property
    def _limits(self) -> WireLimits:
        return self._exchange.limits

    def _open_link(self) -> AsyncLink:
        if self._link is None:
            raise ClosedError(
                "the client is not connected: use it with 'async with', or await connect() first"
            )
        return self._link

    def _deadline(self, link: AsyncLink, timeout: float | None) -> float:
        return link.loop.time() + (self.timeout_seconds if timeout is None else timeout)

    def _call(self, request: Request[T], deadline: float) -> AsyncCall[T]:
        link = self._open_link()
        msgid, data = self._exchange.encoded(request)
        return AsyncCall(request.spec, msgid, data, deadline, link.loop.create_future())

    def _start(self, request: Request[T]) -> asyncio.Future[T]:
        """Send a request whose result may be looked at later."""
        link = self._open_link()
        call = self._call(request, self._deadline(link, None))
        link.submit(call, bounded=True)
        return call.future

    async def _ask(self, request: Request[T], timeout: float | None) -> T:
        """Send a request and wait for its result."""
        link = self._open_link()
        return await self._answered(link, self._call(request, self._deadline(link, timeout)))

    async def _notify(self, request: Request[Any]) -> None:
        """Send a request as a notification; returns once the socket has taken it."""
        link = self._open_link()
        data = self._exchange.encoded_notification(request)
        future: asyncio.Future[None] = link.loop.create_future()
        await self._answered(link, AsyncCall(request.spec, None, data, self._deadline(link, None), future))

    async def _answered(self, link: AsyncLink, call: AsyncCall[T]) -> T:
        link.submit(call)
        try:
            return await call.future
        except asyncio.CancelledError:
            link.give_up(call)
            raise

    async def _run(self, bulk: InputBulk | SignalBulk, timeout: float | None) -> None:
        """Send all parts of a bulk call, a few at a time, and wait for all."""
        link = self._open_link()
        deadline = self._deadline(link, timeout)
        await self._pipeline(link, bulk, bulk, deadline)
        while (pause := bulk.retry_seconds) is not None and link.loop.time() + pause < deadline:
            await asyncio.sleep(pause)
            await self._pipeline(link, bulk, bulk.again(), deadline)

    async def _pipeline(
        self, link: AsyncLink, bulk: InputBulk | SignalBulk, parts: Iterable[Part], deadline: float
    ) -> None:
        window: deque[tuple[Part, AsyncCall[Any]]] = deque()
        try:
            for part in parts:
                if len(window) >= BATCHES_IN_FLIGHT_MAX:
                    bulk.take(window[0][0], await window[0][1].future)
                    window.popleft()
                call = self._call(part.request, deadline)
                link.submit(call)
                window.append((part, call))
                # Let it leave before the next one is checked and encoded.
                await asyncio.sleep(0)
            while window:
                bulk.take(window[0][0], await window[0][1].future)
                window.popleft()
        finally:
            # Nobody will look at these any more.
            for _, call in window:
                if call.future.done():
                    call.future.exception()
                else:
                    call.future.cancel()
                    link.give_up(call)
