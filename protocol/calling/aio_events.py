"""Events for ``async for``, and recording without an answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from ..errors import ClosedError, HandicapperError
from ..limits import WireLimits
from ..messages import MarketResolved, Prediction, TradeOutcome
from . import requests
from .bulk import InputBulk
from .events import Event, EventsMissed
from .requests import OUTCOME, PREDICTION, RESOLUTION, InputKind, Request

if TYPE_CHECKING:
    from ..aio import AsyncClient

__all__ = ["AsyncNotify", "EventStream"]

EVENTS_WAITING_MAX: Final = 10_000
"""Events that were not taken yet; beyond them the oldest are dropped, and an EventsMissed tells how many."""


class EventStream:
    """What changes, as it happens: ``async for event in client.subscribe(...)``.

    The subscription begins when the stream is entered (``async with``) or first asked for an event, and ends when
    it is left, closed or forgotten. It is made again after a lost connection; what happened in between is not told.
    When the client is closed, the stream ends.
    """

    def __init__(self, client: AsyncClient, topics: Iterable[str] | None, interval_ms: int) -> None:
        self._client = client
        self._topics = topics
        self._interval_ms = interval_ms
        self._events: deque[Event] = deque()
        self._missed = 0
        self._begun = False
        self._end: HandicapperError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def __aenter__(self) -> EventStream:
        if not self._begun:
            self._begun = True
            try:
                await self._client._begin(self, self._topics, self._interval_ms)
            except BaseException:
                self._begun = False
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        await self.__aenter__()
        while True:
            if self._missed:
                missed, self._missed = self._missed, 0
                return EventsMissed(count=missed)
            if self._events:
                return self._events.popleft()
            if self._end is not None:
                if isinstance(self._end, ClosedError):
                    raise StopAsyncIteration
                raise self._end
            if self._waiter is not None:
                raise ClosedError("another task waits for this stream's next event; give each task its own")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def offer(self, event: Event) -> None:
        """One event more."""
        if len(self._events) >= EVENTS_WAITING_MAX:
            self._events.popleft()
            self._missed += 1
        self._events.append(event)
        self._wake()

    def finish(self, error: HandicapperError) -> None:
        """There will be no more."""
        if self._end is None:
            self._end = error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def aclose(self) -> None:
        """End the subscription. Safe to call twice."""
        self.finish(ClosedError("the stream is closed"))
        self._client._end(self)


class AsyncNotify:
    """Recording without an answer: each call returns once the socket has taken the message.

    What the daemon refuses it counts, logs and keeps as a dead letter. What was on its way when the connection was
    lost is lost too: where that matters, use the calls that are answered. If the daemon is full, a call waits until
    it takes messages again.
    """

    def __init__(
        self, send: Callable[[Request[Any]], Awaitable[None]], limits: Callable[[], WireLimits]
    ) -> None:
        self._send = send
        self._limits = limits

    async def record_prediction(self, prediction: Prediction | None = None, /, **fields: Any) -> None:
        """As the client's.

        Raises:
            InvalidValueError: a field is wrong.
            DeadlineExceededError: it could not be written in time.

        """
        await self._send(requests.record_prediction(prediction, fields))

    async def resolve_market(self, resolution: MarketResolved | None = None, /, **fields: Any) -> None:
        """As the client's; raises as :meth:`record_prediction`."""
        await self._send(requests.resolve_market(resolution, fields))

    async def record_outcome(self, outcome: TradeOutcome | None = None, /, **fields: Any) -> None:
        """As the client's; raises as :meth:`record_prediction`."""
        await self._send(requests.record_outcome(outcome, fields))

    async def process_signal(self, prediction: Prediction | None = None, /, **fields: Any) -> None:
        """As the client's, for the record alone: the decision is not told."""
        await self._send(requests.process_signal(prediction, fields))

    async def record_predictions(self, predictions: Iterable[Prediction]) -> None:
        """Many.

        Raises:
            BatchError: some were wrong and not sent; the others were.

        """
        await self._send_all(predictions, PREDICTION)

    async def resolve_markets(self, resolutions: Iterable[MarketResolved]) -> None:
        """Many; raises as :meth:`record_predictions`."""
        await self._send_all(resolutions, RESOLUTION)

    async def record_outcomes(self, outcomes: Iterable[TradeOutcome]) -> None:
        """Many; raises as :meth:`record_predictions`."""
        await self._send_all(outcomes, OUTCOME)

    async def _send_all(self, items: Iterable[Any], kind: InputKind[Any]) -> None:
        bulk = InputBulk(items, kind, self._limits())
        for part in bulk:
            await self._send(part.request)
        bulk.outcome("raise")
