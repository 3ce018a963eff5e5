"""What goes in: predictions, resolutions, outcomes, signals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..protocol.errors import HandicapperError
from ..protocol.messages import (
    BatchResult,
    Input,
    MarketResolved,
    Prediction,
    Receipt,
    SignalDecision,
    TradeOutcome,
)
from ..protocol.results import OnError, message_of, signals_refused
from ..protocol.validation import (
    check_input,
    check_market_resolved,
    check_prediction,
    check_trade_outcome,
)
from .batches import checked, send_all, send_all_nowait
from .calls import TIMEOUT_SECONDS, Reply
from .engine import Engine
from .requests import Signals, SubmitEach
from .state.intake import Submission

__all__ = ["Recording", "SignalResult"]

SignalResult = SignalDecision | HandicapperError


class Recording:
    """The part of a :class:`.learner.Learner` that learns."""

    _engine: Engine

    # ---------------------------------------------------------------- inputs

    def record_prediction(
        self, prediction: Prediction | None = None, /, *, timeout: float = TIMEOUT_SECONDS, **fields: Any
    ) -> Receipt:
        """Record a forecast: a :class:`Prediction`, or its fields.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: the id stands for another prediction.
            PredictedAfterResolutionError: its market had resolved before it was made.

        """
        message = check_prediction(message_of(Prediction, prediction, fields))
        return self._engine.call(message, timeout)

    def record_prediction_nowait(
        self, prediction: Prediction | None = None, /, **fields: Any
    ) -> Reply[Receipt]:
        """The same without waiting."""
        return self._engine.submit(
            [check_prediction(message_of(Prediction, prediction, fields))], single=True
        )

    def record_predictions(
        self,
        predictions: Iterable[Prediction],
        *,
        timeout: float = TIMEOUT_SECONDS,
        on_error: OnError = "raise",
    ) -> BatchResult:
        """Record many forecasts; returns once all of them are durable.

        Raises:
            BatchError: some were refused; the others are recorded, and ``error.result`` says which.
                With ``on_error="return"`` the result is returned instead.

        """
        return send_all(self._engine, predictions, check_prediction, timeout, on_error)

    def record_predictions_nowait(self, predictions: Iterable[Prediction]) -> Reply[BatchResult]:
        """The same without waiting, and without raising for refused items: look at ``errors``."""
        return send_all_nowait(self._engine, list(predictions), check_prediction)

    def resolve_market(
        self, resolution: MarketResolved | None = None, /, *, timeout: float = TIMEOUT_SECONDS, **fields: Any
    ) -> Receipt:
        """Say how a market ended: a :class:`MarketResolved`, or its fields.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: it contradicts what is recorded, without a higher revision.
            StaleRevisionError: a higher revision is recorded.

        """
        message = check_market_resolved(message_of(MarketResolved, resolution, fields))
        return self._engine.call(message, timeout)

    def resolve_market_nowait(
        self, resolution: MarketResolved | None = None, /, **fields: Any
    ) -> Reply[Receipt]:
        """The same without waiting."""
        return self._engine.submit(
            [check_market_resolved(message_of(MarketResolved, resolution, fields))], single=True
        )

    def resolve_markets(
        self,
        resolutions: Iterable[MarketResolved],
        *,
        timeout: float = TIMEOUT_SECONDS,
        on_error: OnError = "raise",
    ) -> BatchResult:
        """Resolve many markets; see :meth:`record_predictions`."""
        return send_all(self._engine, resolutions, check_market_resolved, timeout, on_error)

    def resolve_markets_nowait(self, resolutions: Iterable[MarketResolved]) -> Reply[BatchResult]:
        """The same without waiting, and without raising for refused items."""
        return send_all_nowait(self._engine, list(resolutions), check_market_resolved)

    def record_outcome(
        self, outcome: TradeOutcome | None = None, /, *, timeout: float = TIMEOUT_SECONDS, **fields: Any
    ) -> Receipt:
        """Record how one trade ended: a :class:`TradeOutcome`, or its fields.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: it contradicts its prediction, an earlier outcome or the market's resolution.

        """
        message = check_trade_outcome(message_of(TradeOutcome, outcome, fields))
        return self._engine.call(message, timeout)

    def record_outcome_nowait(self, outcome: TradeOutcome | None = None, /, **fields: Any) -> Reply[Receipt]:
        """The same without waiting."""
        return self._engine.submit(
            [check_trade_outcome(message_of(TradeOutcome, outcome, fields))], single=True
        )

    def record_outcomes(
        self,
        outcomes: Iterable[TradeOutcome],
        *,
        timeout: float = TIMEOUT_SECONDS,
        on_error: OnError = "raise",
    ) -> BatchResult:
        """Record many trade outcomes; see :meth:`record_predictions`."""
        return send_all(self._engine, outcomes, check_trade_outcome, timeout, on_error)

    def record_outcomes_nowait(self, outcomes: Iterable[TradeOutcome]) -> Reply[BatchResult]:
        """The same without waiting, and without raising for refused items."""
        return send_all_nowait(self._engine, list(outcomes), check_trade_outcome)

    def record(
        self,
        inputs: Iterable[Input],
        *,
        timeout: float = TIMEOUT_SECONDS,
        on_error: OnError = "raise",
    ) -> BatchResult:
        """Record predictions, resolutions and outcomes mixed, in the order given."""
        return send_all(self._engine, inputs, check_input, timeout, on_error)

    def record_nowait(self, inputs: Iterable[Input]) -> Reply[BatchResult]:
        """The same without waiting, and without raising for refused items."""
        return send_all_nowait(self._engine, list(inputs), check_input)

    def record_each_nowait(self, inputs: Sequence[Input]) -> Reply[list[Receipt | HandicapperError]]:
        """Record many and mixed, in order; the reply has a receipt or an error for each, once all are durable.

        What concerns them all (the store failed, the learner is closed) is raised by the reply.

        Raises:
            BusyError: too many inputs are in flight; none was sent.
            ClosedError: the learner is closed.

        """
        items: list[Submission | HandicapperError] = []
        for item in inputs:
            try:
                items.append(check_input(item))
            except HandicapperError as error:
                items.append(error)
        return self.record_checked_nowait(items)

    def record_checked_nowait(
        self, inputs: Sequence[Submission | HandicapperError]
    ) -> Reply[list[Receipt | HandicapperError]]:
        """The same of inputs that :mod:`handicapper.protocol.validation` has checked, not to be changed any more;
        an error in the place of one is its answer."""
        reply: Reply[list[Receipt | HandicapperError]] = Reply(self._engine.router.cell)
        self._engine.send(SubmitEach(inputs, reply), reply, len(inputs), None)
        return reply

    # --------------------------------------------------------------- signals

    def process_signal(
        self, prediction: Prediction | None = None, /, *, timeout: float = TIMEOUT_SECONDS, **fields: Any
    ) -> SignalDecision:
        """Decide whether to trade on a forecast and how large, and record it either way.

        A refused forecast is scored all the same (shadow scoring), so that a model that has become good
        again is noticed. The same prediction again gets the same decision.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: the id stands for another prediction.
            PredictedAfterResolutionError: its market had resolved before it was made.

        """
        message = check_prediction(message_of(Prediction, prediction, fields))
        decided = self._signals([message], timeout).get(timeout)[0]
        if isinstance(decided, HandicapperError):
            raise decided
        return decided

    def process_signal_nowait(
        self, prediction: Prediction | None = None, /, **fields: Any
    ) -> Reply[SignalDecision]:
        """The same without waiting."""
        message = check_prediction(message_of(Prediction, prediction, fields))
        reply: Reply[SignalDecision] = Reply(self._engine.router.cell)

        def done(_: Any) -> None:
            error = inner.exception()
            decided = error if error is not None else inner.get(0)[0]
            if isinstance(decided, BaseException):
                reply.set_exception((type(decided), decided, None))
            else:
                reply.set(decided)

        inner = self._signals([message], None)
        inner.add_done_callback(done)
        return reply

    def process_signals(
        self, predictions: Iterable[Prediction], *, timeout: float = TIMEOUT_SECONDS
    ) -> list[SignalDecision]:
        """Decide and record many, in order.

        Raises:
            BatchError: some were refused; the others are decided and recorded. ``error.result.errors``
                says which and why, ``error.decisions`` holds the decisions of the others in order.

        """
        valid, errors = checked(predictions, check_prediction)
        decided = self._signals([message for _, message in valid], timeout).get(timeout) if valid else []
        refused = dict(errors)
        decisions: list[SignalDecision] = []
        for (index, _), result in zip(valid, decided, strict=True):
            if isinstance(result, HandicapperError):
                refused[index] = result
            else:
                decisions.append(result)
        if refused:
            raise signals_refused(len(valid) + len(errors), decisions, refused)
        return decisions

    def process_signals_nowait(self, predictions: Iterable[Prediction]) -> Reply[list[SignalResult]]:
        """The same without waiting: a decision or an error for each, in order.

        Raises:
            InvalidValueError: a field of one of them is wrong; none was sent.

        """
        return self._signals([check_prediction(prediction) for prediction in predictions], None)

    def process_checked_nowait(self, predictions: Sequence[Prediction]) -> Reply[list[SignalResult]]:
        """The same of predictions that were checked."""
        return self._signals(list(predictions), None)

    def _signals(self, predictions: list[Prediction], timeout: float | None) -> Reply[list[SignalResult]]:
        reply: Reply[list[SignalResult]] = Reply(self._engine.router.cell)
        self._engine.send(Signals(predictions, reply), reply, len(predictions), timeout)
        return reply
