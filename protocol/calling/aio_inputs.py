"""What goes in through an asyncio client: the calls of the embedded learner that change something."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ..messages import (
    BackupReceipt,
    BatchResult,
    DeadLetterReplay,
    Input,
    MarketResolved,
    PosteriorKind,
    Prediction,
    Receipt,
    RestartReceipt,
    SignalDecision,
    SnapshotReceipt,
    TradeOutcome,
)
from ..results import OnError, check_on_error
from . import requests
from .aio_calls import AsyncCalls
from .bulk import InputBulk, SignalBulk
from .requests import OUTCOME, PREDICTION, RESOLUTION, InputKind

__all__ = ["AsyncInputs"]

BulkKind = InputKind[Any] | None


class AsyncInputs(AsyncCalls):
    """The half of an asyncio client that changes something."""

    # ---------------------------------------------------------------- inputs

    async def record_prediction(
        self, prediction: Prediction | None = None, /, *, timeout: float | None = None, **fields: Any
    ) -> Receipt:
        """Record a forecast: a :class:`Prediction`, or its fields.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: the id stands for another prediction.
            PredictedAfterResolutionError: its market had resolved before it was made.

        """
        return await self._ask(requests.record_prediction(prediction, fields), timeout)

    def record_prediction_nowait(
        self, prediction: Prediction | None = None, /, **fields: Any
    ) -> asyncio.Future[Receipt]:
        """The same without waiting."""
        return self._start(requests.record_prediction(prediction, fields))

    async def record_predictions(
        self, predictions: Iterable[Prediction], *, timeout: float | None = None, on_error: OnError = "raise"
    ) -> BatchResult:
        """Record many forecasts; returns once all of them are durable.

        Raises:
            BatchError: some were refused; the others are recorded, and ``error.result`` says which.
                With ``on_error="return"`` the result is returned instead.

        """
        return await self._bulk(predictions, PREDICTION, timeout, on_error)

    async def resolve_market(
        self, resolution: MarketResolved | None = None, /, *, timeout: float | None = None, **fields: Any
    ) -> Receipt:
        """Say how a market ended: a :class:`MarketResolved`, or its fields.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: it contradicts what is recorded, without a higher revision.
            StaleRevisionError: a higher revision is recorded.

        """
        return await self._ask(requests.resolve_market(resolution, fields), timeout)

    def resolve_market_nowait(
        self, resolution: MarketResolved | None = None, /, **fields: Any
    ) -> asyncio.Future[Receipt]:
        """The same without waiting."""
        return self._start(requests.resolve_market(resolution, fields))

    async def resolve_markets(
        self,
        resolutions: Iterable[MarketResolved],
        *,
        timeout: float | None = None,
        on_error: OnError = "raise",
    ) -> BatchResult:
        """Resolve many markets; see :meth:`record_predictions`."""
        return await self._bulk(resolutions, RESOLUTION, timeout, on_error)

    async def record_outcome(
        self, outcome: TradeOutcome | None = None, /, *, timeout: float | None = None, **fields: Any
    ) -> Receipt:
        """Record how one trade ended: a :class:`TradeOutcome`, or its fields.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: it contradicts its prediction, an earlier outcome or the market's resolution.

        """
        return await self._ask(requests.record_outcome(outcome, fields), timeout)

    def record_outcome_nowait(
        self, outcome: TradeOutcome | None = None, /, **fields: Any
    ) -> asyncio.Future[Receipt]:
        """The same without waiting."""
        return self._start(requests.record_outcome(outcome, fields))

    async def record_outcomes(
        self, outcomes: Iterable[TradeOutcome], *, timeout: float | None = None, on_error: OnError = "raise"
    ) -> BatchResult:
        """Record many trade outcomes; see :meth:`record_predictions`."""
        return await self._bulk(outcomes, OUTCOME, timeout, on_error)

    async def record(
        self, inputs: Iterable[Input], *, timeout: float | None = None, on_error: OnError = "raise"
    ) -> BatchResult:
        """Record predictions, resolutions and outcomes mixed, in the order given.

        Neighbours of one kind travel as one batch, so long runs of a kind are faster than a change at every item.
        """
        return await self._bulk(inputs, None, timeout, on_error)

    async def _bulk(
        self, items: Iterable[Any], kind: BulkKind, timeout: float | None, on_error: OnError
    ) -> BatchResult:
        checked = check_on_error(on_error)
        bulk = InputBulk(items, kind, self._limits)
        await self._run(bulk, timeout)
        return bulk.outcome(checked)

    # --------------------------------------------------------------- signals

    async def process_signal(
        self, prediction: Prediction | None = None, /, *, timeout: float | None = None, **fields: Any
    ) -> SignalDecision:
        """Decide whether to trade on a forecast and how large, and record it either way.

        The same prediction again gets the same decision.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: the id stands for another prediction.
            PredictedAfterResolutionError: its market had resolved before it was made.

        """
        return await self._ask(requests.process_signal(prediction, fields), timeout)

    def process_signal_nowait(
        self, prediction: Prediction | None = None, /, **fields: Any
    ) -> asyncio.Future[SignalDecision]:
        """The same without waiting."""
        return self._start(requests.process_signal(prediction, fields))

    async def process_signals(
        self, predictions: Iterable[Prediction], *, timeout: float | None = None
    ) -> list[SignalDecision]:
        """Decide and record many, in order.

        Raises:
            BatchError: some were refused; the others are decided and recorded. ``error.result.errors``
                says which and why, ``error.decisions`` holds the decisions of the others in order.

        """
        bulk = SignalBulk(predictions, self._limits)
        await self._run(bulk, timeout)
        return bulk.outcome()

    # -------------------------------------------------------------- controls

    async def pause(
        self,
        model_id: str,
        until: int | datetime | None = None,
        reason: str = "",
        *,
        timeout: float | None = None,
    ) -> Receipt:
        """Take a model out of selection and trading, until an event time or until resumed; it still learns.

        Raises:
            UnknownModelError: it was never seen.

        """
        return await self._ask(requests.pause(model_id, until, reason), timeout)

    async def resume(self, model_id: str, *, timeout: float | None = None) -> Receipt:
        """End a pause.

        Raises:
            UnknownModelError: it was never seen.

        """
        return await self._ask(requests.resume(model_id), timeout)

    async def reset(self, model_id: str, reason: str = "", *, timeout: float | None = None) -> Receipt:
        """Forget what a model has learned; its pending predictions still count when they resolve.

        Raises:
            UnknownModelError: it was never seen.
            ConnectionLostError: the connection was lost before the answer. A reset is not sent twice by itself,
                because it would also forget what was learned in between.

        """
        return await self._ask(requests.reset(model_id, reason), timeout)

    async def set_posterior(
        self, model_id: str, posterior: PosteriorKind | None, *, timeout: float | None = None
    ) -> Receipt:
        """Have the evidence of a model age as ``posterior`` says, whatever the settings say; None: as they say.

        Change points are looked for anew from here on, also if they were before; the half-life's evidence goes on.

        Raises:
            UnknownModelError: it was never seen.
            ConnectionLostError: the connection was lost before the answer. It is not sent twice by itself, because
                that would also forget the change points that were looked for in between.

        """
        return await self._ask(requests.set_posterior(model_id, posterior), timeout)

    async def restart(self, model_id: str, *, timeout: float | None = None) -> RestartReceipt:
        """Bring back a model that was given up: rebuilt from its whole history, its restarts forgotten.

        Raises:
            UnknownModelError: it was never seen.
            ModelFailedError: it cannot be rebuilt; it stays given up.

        """
        return await self._ask(requests.restart(model_id), timeout)

    async def replay_dead_letters(
        self, ids: Iterable[int] | None = None, *, timeout: float | None = None
    ) -> DeadLetterReplay:
        """Try dead letters again (None: all that are kept), oldest first; what succeeds is no dead letter any more."""
        return await self._ask(requests.replay_dead_letters(ids), timeout)

    async def snapshot(self, *, timeout: float | None = None) -> SnapshotReceipt:
        """Write a snapshot of everything up to now; restart replays only what comes after it.

        Raises:
            StoreFailedError: it could not be written.

        """
        return await self._ask(requests.snapshot(), timeout)

    async def backup(self, dest: str | os.PathLike[str], *, timeout: float | None = None) -> BackupReceipt:
        """Have the daemon copy its state directory, as of one input, while inputs go on.

        ``dest`` is an absolute path as the daemon sees it: of a directory that does not exist, or is empty. A large
        state takes a while: give it a long ``timeout``; the daemon finishes the copy in any case.

        Raises:
            InvalidValueError: ``dest`` is relative, or there is something already.
            BackupFailedError: it could not be written; nothing of it is left there.
            BusyError: another backup is being made.
            UnauthenticatedError: over TCP, and the daemon asks for no token.
            ConnectionLostError: the connection was lost before the answer; look at ``dest`` before trying again.

        """
        return await self._ask(requests.backup(dest), timeout)
