"""What goes in through a blocking client: predictions, resolutions, outcomes, signals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import HandicapperError
from ..messages import (
    BatchResult,
    Input,
    MarketResolved,
    Prediction,
    Receipt,
    SignalDecision,
    TradeOutcome,
)
from ..results import OnError, check_on_error
from . import requests
from .bulk import InputBulk, SignalBulk
from .client_calls import ClientCalls
from .replies import Reply, ReplyLike
from .requests import OUTCOME, PREDICTION, RESOLUTION, InputKind

__all__ = ["ClientInputs"]

BulkKind = InputKind[Any] | None


class ClientInputs(ClientCalls):
    """The part of a blocking client that records."""

    # ---------------------------------------------------------------- inputs

    def record_prediction(
        self, prediction: Prediction | None = None, /, *, timeout: float | None = None, **fields: Any
    ) -> Receipt:
        """Record a forecast: a :class:`Prediction`, or its fields.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: the id stands for another prediction.
            PredictedAfterResolutionError: its market had resolved before it was made.

        """
        return self._ask(requests.record_prediction(prediction, fields), timeout)

    def record_prediction_nowait(
        self, prediction: Prediction | None = None, /, **fields: Any
    ) -> Reply[Receipt]:
        """The same without waiting."""
        return self._start(requests.record_prediction(prediction, fields))

    def record_predictions(
        self, predictions: Iterable[Prediction], *, timeout: float | None = None, on_error: OnError = "raise"
    ) -> BatchResult:
        """Record many forecasts; returns once all of them are durable.

        Raises:
            BatchError: some were refused; the others are recorded, and ``error.result`` says which.
                With ``on_error="return"`` the result is returned instead.

        """
        return self._bulk(predictions, PREDICTION, timeout, on_error)

    def record_predictions_nowait(self, predictions: Iterable[Prediction]) -> ReplyLike[BatchResult]:
        """The same without waiting, and without raising for refused items: look at ``errors``."""
        return self._bulk_nowait(predictions, PREDICTION)

    def resolve_market(
        self, resolution: MarketResolved | None = None, /, *, timeout: float | None = None, **fields: Any
    ) -> Receipt:
        """Say how a market ended: a :class:`MarketResolved`, or its fields.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: it contradicts what is recorded, without a higher revision.
            StaleRevisionError: a higher revision is recorded.

        """
        return self._ask(requests.resolve_market(resolution, fields), timeout)

    def resolve_market_nowait(
        self, resolution: MarketResolved | None = None, /, **fields: Any
    ) -> Reply[Receipt]:
        """The same without waiting."""
        return self._start(requests.resolve_market(resolution, fields))

    def resolve_markets(
        self,
        resolutions: Iterable[MarketResolved],
        *,
        timeout: float | None = None,
        on_error: OnError = "raise",
    ) -> BatchResult:
        """Resolve many markets; see :meth:`record_predictions`."""
        return self._bulk(resolutions, RESOLUTION, timeout, on_error)

    def resolve_markets_nowait(self, resolutions: Iterable[MarketResolved]) -> ReplyLike[BatchResult]:
        """The same without waiting, and without raising for refused items."""
        return self._bulk_nowait(resolutions, RESOLUTION)

    def record_outcome(
        self, outcome: TradeOutcome | None = None, /, *, timeout: float | None = None, **fields: Any
    ) -> Receipt:
        """Record how one trade ended: a :class:`TradeOutcome`, or its fields.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: it contradicts its prediction, an earlier outcome or the market's resolution.

        """
        return self._ask(requests.record_outcome(outcome, fields), timeout)

    def record_outcome_nowait(self, outcome: TradeOutcome | None = None, /, **fields: Any) -> Reply[Receipt]:
        """The same without waiting."""
        return self._start(requests.record_outcome(outcome, fields))

    def record_outcomes(
        self, outcomes: Iterable[TradeOutcome], *, timeout: float | None = None, on_error: OnError = "raise"
    ) -> BatchResult:
        """Record many trade outcomes; see :meth:`record_predictions`."""
        return self._bulk(outcomes, OUTCOME, timeout, on_error)

    def record_outcomes_nowait(self, outcomes: Iterable[TradeOutcome]) -> ReplyLike[BatchResult]:
        """The same without waiting, and without raising for refused items."""
        return self._bulk_nowait(outcomes, OUTCOME)

    def record(
        self, inputs: Iterable[Input], *, timeout: float | None = None, on_error: OnError = "raise"
    ) -> BatchResult:
        """Record predictions, resolutions and outcomes mixed, in the order given.

        Neighbours of one kind travel as one batch, so long runs of a kind are faster than a change at every item.
        """
        return self._bulk(inputs, None, timeout, on_error)

    def record_nowait(self, inputs: Iterable[Input]) -> ReplyLike[BatchResult]:
        """The same without waiting, and without raising for refused items."""
        return self._bulk_nowait(inputs, None)

    def _bulk(
        self, items: Iterable[Any], kind: BulkKind, timeout: float | None, on_error: OnError
    ) -> BatchResult:
        checked = check_on_error(on_error)
        bulk = InputBulk(items, kind, self._limits)
        self._run(bulk, timeout)
        return bulk.outcome(checked)

    def _bulk_nowait(self, items: Iterable[Any], kind: BulkKind) -> ReplyLike[BatchResult]:
        bulk = InputBulk(items, kind, self._limits)
        return self._start_all(bulk, lambda: bulk.outcome("return"))

    # --------------------------------------------------------------- signals

    def process_signal(
        self, prediction: Prediction | None = None, /, *, timeout: float | None = None, **fields: Any
    ) -> SignalDecision:
        """Decide whether to trade on a forecast and how large, and record it either way.

        The same prediction again gets the same decision.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: the id stands for another prediction.
            PredictedAfterResolutionError: its market had resolved before it was made.

        """
        return self._ask(requests.process_signal(prediction, fields), timeout)

    def process_signal_nowait(
        self, prediction: Prediction | None = None, /, **fields: Any
    ) -> Reply[SignalDecision]:
        """The same without waiting."""
        return self._start(requests.process_signal(prediction, fields))

    def process_signals(
        self, predictions: Iterable[Prediction], *, timeout: float | None = None
    ) -> list[SignalDecision]:
        """Decide and record many, in order.

        Raises:
            BatchError: some were refused; the others are decided and recorded. ``error.result.errors``
                says which and why, ``error.decisions`` holds the decisions of the others in order.

        """
        bulk = SignalBulk(predictions, self._limits)
        self._run(bulk, timeout)
        return bulk.outcome()

    def process_signals_nowait(
        self, predictions: Iterable[Prediction]
    ) -> ReplyLike[list[SignalDecision | HandicapperError]]:
        """The same without waiting: a decision or an error for each, in order."""
        bulk = SignalBulk(predictions, self._limits)
        return self._start_all(bulk, bulk.each)
