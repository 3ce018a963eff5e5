"""Calls of an asyncio client that are collected and sent together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import Context
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from ..errors import ClosedError, HandicapperError
from ..messages import (
    AdaptiveParams,
    MarketResolved,
    ModelReport,
    ModelSummary,
    PosteriorKind,
    Prediction,
    Receipt,
    RestartReceipt,
    Selection,
    SelectionMode,
    SignalDecision,
    TradeOutcome,
)
from . import requests
from .aio_link import AsyncCall, AsyncLink
from .requests import Request, sample_params, spec_of

__all__ = ["AsyncBatch", "BatchFuture"]

T = TypeVar("T")


class BatchFuture(asyncio.Future[T]):
    """The result to come of a call in a batch. Waiting for it sends the batch, if that was not done yet.

    Whatever waits for a future (``await``, ``gather``, ``wait_for``) first gives it a callback.
    """

    def __init__(self, batch: AsyncBatch, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._batch: AsyncBatch | None = batch

    def add_done_callback(
        self, fn: Callable[[asyncio.Future[T]], object], /, *, context: Context | None = None
    ) -> None:
        """Call ``fn`` once it is done."""
        super().add_done_callback(fn, context=context)
        batch, self._batch = self._batch, None
        if batch is not None:
            batch.submit()


class AsyncBatch:
    """Collects calls and sends them in as few writes as possible, when the ``async with`` block is left.

    Each call gives a future at once; after the block every one of them is done, and ``future.result()`` gives its
    result or raises its error. Different calls may be mixed; what changes something takes effect in order.
    If the block is left by an exception, nothing is sent.
    """

    def __init__(self, link: AsyncLink, timeout_seconds: float) -> None:
        self._link = link
        self._timeout_seconds = timeout_seconds
        self._unsent: list[AsyncCall[Any]] = []
        self._under_way: list[AsyncCall[Any]] = []
        self._over = False

    async def __aenter__(self) -> AsyncBatch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over = True
        if error is None:
            await self.send()
        else:
            self._refuse(ClosedError("the batch was left by an exception; the call was not sent"))

    def submit(self) -> None:
        """Send what was collected so far, at the end of this go of the loop; :meth:`send` waits for it as well.

        Raises:
            ClosedError: the client is closed, or belongs to another loop.

        """
        deadline = self._link.loop.time() + self._timeout_seconds
        calls, self._unsent = self._unsent, []
        for index, call in enumerate(calls):
            call.deadline = deadline
            try:
                self._link.submit(call)
            except HandicapperError as error:
                self._unsent = calls[index:]
                self._refuse(error)
                raise
            self._under_way.append(call)

    async def send(self) -> None:
        """Send what was collected so far, and return once all of it is answered or over its deadline.

        Raises nothing that is about a single call: that is what the futures are for.
        """
        self.submit()
        calls, self._under_way = self._under_way, []
        waiting = [call.future for call in calls if not call.future.done()]
        try:
            if waiting:
                await asyncio.wait(waiting)
        except asyncio.CancelledError:
            for call in calls:
                if not call.future.done():
                    call.future.cancel()
                    self._link.give_up(call)
            raise

    def call(self, method: str, params: Any = None) -> asyncio.Future[Any]:
        """Any method, with params as they travel."""
        return self._add(Request(spec_of(method), params))

    def _add(self, request: Request[T]) -> asyncio.Future[T]:
        if self._over:
            raise ClosedError("the batch is over; begin another")
        self._link.check_usable()
        msgid, data = self._link.exchange.encoded(request)
        future: BatchFuture[T] = BatchFuture(self, self._link.loop)
        self._unsent.append(AsyncCall(request.spec, msgid, data, float("inf"), future))
        return future

    def _refuse(self, error: HandicapperError) -> None:
        """End what was not sent; whoever left it there need not look at it."""
        unsent, self._unsent = self._unsent, []
        for call in unsent:
            if not call.future.done():
                call.future.set_exception(error)
                call.future.exception()

    # ------------------------------------------------------- the client's calls

    def record_prediction(
        self, prediction: Prediction | None = None, /, **fields: Any
    ) -> asyncio.Future[Receipt]:
        """As the client's."""
        return self._add(requests.record_prediction(prediction, fields))

    def resolve_market(
        self, resolution: MarketResolved | None = None, /, **fields: Any
    ) -> asyncio.Future[Receipt]:
        """As the client's."""
        return self._add(requests.resolve_market(resolution, fields))

    def record_outcome(
        self, outcome: TradeOutcome | None = None, /, **fields: Any
    ) -> asyncio.Future[Receipt]:
        """As the client's."""
        return self._add(requests.record_outcome(outcome, fields))

    def process_signal(
        self, prediction: Prediction | None = None, /, **fields: Any
    ) -> asyncio.Future[SignalDecision]:
        """As the client's."""
        return self._add(requests.process_signal(prediction, fields))

    def pause(
        self, model_id: str, until: int | datetime | None = None, reason: str = ""
    ) -> asyncio.Future[Receipt]:
        """As the client's."""
        return self._add(requests.pause(model_id, until, reason))

    def resume(self, model_id: str) -> asyncio.Future[Receipt]:
        """As the client's."""
        return self._add(requests.resume(model_id))

    def reset(self, model_id: str, reason: str = "") -> asyncio.Future[Receipt]:
        """As the client's."""
        return self._add(requests.reset(model_id, reason))

    def set_posterior(self, model_id: str, posterior: PosteriorKind | None) -> asyncio.Future[Receipt]:
        """As the client's."""
        return self._add(requests.set_posterior(model_id, posterior))

    def restart(self, model_id: str) -> asyncio.Future[RestartReceipt]:
        """See :meth:`.aio_inputs.AsyncInputs.restart`."""
        return self._add(requests.restart(model_id))

    def get_adaptive_params(
        self, model_id: str, *, as_of: int | datetime | None = None
    ) -> asyncio.Future[AdaptiveParams | None]:
        """As the client's."""
        return self._add(requests.get_adaptive_params(model_id, as_of))

    def thompson_sample(
        self,
        n: int = 1,
        *,
        as_of: int | datetime | None = None,
        models: Iterable[str] | None = None,
        selection_id: str | None = None,
        seed: int | None = None,
        mode: SelectionMode | None = None,
    ) -> asyncio.Future[Selection]:
        """As the client's."""
        params = sample_params(n, as_of=as_of, models=models, selection_id=selection_id, seed=seed, mode=mode)
        return self._add(requests.thompson_sample(params))

    def models(self, *, as_of: int | datetime | None = None) -> asyncio.Future[list[ModelSummary]]:
        """As the client's."""
        return self._add(requests.models(as_of))

    def report(self, model_id: str, *, as_of: int | datetime | None = None) -> asyncio.Future[ModelReport]:
        """As the client's."""
        return self._add(requests.report(model_id, as_of))

    def ping(self) -> asyncio.Future[str]:
        """As the client's."""
        return self._add(requests.ping())
