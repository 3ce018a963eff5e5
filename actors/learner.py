"""The learner: the one object a trading process holds, embedded or behind the server.

>>> import tempfile
>>> from decimal import Decimal
>>> with tempfile.TemporaryDirectory() as directory, Learner(directory) as learner:
...     decision = learner.process_signal(
...         prediction_id="p1", model_id="elo", market_id="game-1", outcome="HOME",
...         confidence=0.64, price=Decimal("0.58"), predicted_at=1_700_000_000_000_000_000)
...     receipt = learner.resolve_market(
...         market_id="game-1", winner="HOME", resolved_at=1_700_010_000_000_000_000)
...     decision.accepted, receipt.scored, learner.report("elo").accuracy
(True, 1, 1.0)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, Literal, TypeVar
from uuid import uuid4

from msgspec.structs import replace

from ..config import Settings, check_settings
from ..protocol.errors import (
    BatchError,
    HandicapperError,
    InvalidValueError,
    ModelFailedError,
    UnknownModelError,
)
from ..protocol.messages import (
    AdaptiveParams,
    BatchResult,
    DeadLetter,
    Input,
    MarketResolved,
    ModelReport,
    ModelSummary,
    Prediction,
    Receipt,
    Selection,
    SignalDecision,
    SnapshotReceipt,
    Statistics,
    TradeOutcome,
)
from ..protocol.validation import (
    check_id,
    check_input,
    check_market_resolved,
    check_prediction,
    check_text,
    check_time,
    check_trade_outcome,
)
from .engine import Engine, Reply
from .learning.selection import probability_best
from .model import AskView
from .router import Signals, TakeSnapshot
from .runtime.clock import Clock, SystemClock
from .runtime.gather import Gathered
from .selector import AskAll, Select
from .state import views
from .state.entries import PauseModel, ResetModel, ResumeModel
from .state.intake import Submission

__all__ = ["Learner", "SignalResult"]

M = TypeVar("M", Prediction, MarketResolved, TradeOutcome)
SignalResult = SignalDecision | HandicapperError

TIMEOUT_SECONDS = 30.0
DRAWS_MAX = 100_000
CONTENDERS_MAX = 1_000
"""With more models P(best) takes more than 0.2 s and is left out of a single report."""


class Learner:
    """Records predictions, resolves markets, and says how far to trust each model.

    ``state_dir`` is made if it is not there (unless ``create`` is false) and belongs to one learner at a
    time. Whatever changes something returns once it is durable. Every call takes a ``timeout`` in seconds;
    the ``*_nowait`` forms return a future instead of waiting. Bulk forms take iterables and are the fast
    path. A learner may be used from any thread; it lives beside a host's own pykka actors.

    Args:
        state_dir: the state directory.
        settings: without them a new directory follows the shipped ones, and a used one keeps following the
            learning rules it was last opened with.
        clock: where "now" comes from; for tests and simulations.
        create: make the directory if there is none.
        accept_loss: open even if acknowledged inputs cannot be read any more, and go on without them.

    Raises:
        SettingsError: the settings are wrong; every problem is listed.
        StateLockedError: another process, or another learner of this one, holds the directory.
        StateDamagedError: acknowledged inputs cannot be read.
        StateError: the directory cannot be used for another reason.

    """

    def __init__(
        self,
        state_dir: str | os.PathLike[str],
        settings: Settings | None = None,
        *,
        clock: Clock | None = None,
        create: bool = True,
        accept_loss: bool = False,
    ) -> None:
        checked = None if settings is None else check_settings(settings)
        self._clock = SystemClock() if clock is None else clock
        self._engine = Engine(state_dir, checked, self._clock, create, accept_loss)

    # -------------------------------------------------------------- lifetime

    def __enter__(self) -> Learner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except HandicapperError:
            if error is None:
                raise

    def close(self) -> None:
        """Handle what was submitted, snapshot, stop. Safe to call twice.

        Raises:
            HandicapperError: the last snapshot failed; what was acknowledged is durable all the same.

        """
        self._engine.stop()

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._engine.settings

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
        message = check_prediction(_message(Prediction, prediction, fields))
        return self._engine.submit([message], single=True, timeout=timeout).get(timeout)

    def record_prediction_nowait(
        self, prediction: Prediction | None = None, /, **fields: Any
    ) -> Reply[Receipt]:
        """The same without waiting."""
        return self._engine.submit([check_prediction(_message(Prediction, prediction, fields))], single=True)

    def record_predictions(
        self,
        predictions: Iterable[Prediction],
        *,
        timeout: float = TIMEOUT_SECONDS,
        on_error: Literal["raise", "return"] = "raise",
    ) -> BatchResult:
        """Record many forecasts; returns once all of them are durable.

        Raises:
            BatchError: some were refused; the others are recorded, and ``error.result`` says which.
                With ``on_error="return"`` the result is returned instead.

        """
        return self._bulk(predictions, check_prediction, timeout, on_error)

    def record_predictions_nowait(self, predictions: Iterable[Prediction]) -> Reply[BatchResult]:
        """The same without waiting, and without raising for refused items: look at ``errors``."""
        return self._bulk_nowait(list(predictions), check_prediction)

    def resolve_market(
        self, resolution: MarketResolved | None = None, /, *, timeout: float = TIMEOUT_SECONDS, **fields: Any
    ) -> Receipt:
        """Say how a market ended: a :class:`MarketResolved`, or its fields.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: it contradicts what is recorded, without a higher revision.
            StaleRevisionError: a higher revision is recorded.

        """
        message = check_market_resolved(_message(MarketResolved, resolution, fields))
        return self._engine.submit([message], single=True, timeout=timeout).get(timeout)

    def resolve_market_nowait(
        self, resolution: MarketResolved | None = None, /, **fields: Any
    ) -> Reply[Receipt]:
        """The same without waiting."""
        return self._engine.submit(
            [check_market_resolved(_message(MarketResolved, resolution, fields))], single=True
        )

    def resolve_markets(
        self,
        resolutions: Iterable[MarketResolved],
        *,
        timeout: float = TIMEOUT_SECONDS,
        on_error: Literal["raise", "return"] = "raise",
    ) -> BatchResult:
        """Resolve many markets; see :meth:`record_predictions`."""
        return self._bulk(resolutions, check_market_resolved, timeout, on_error)

    def resolve_markets_nowait(self, resolutions: Iterable[MarketResolved]) -> Reply[BatchResult]:
        """The same without waiting, and without raising for refused items."""
        return self._bulk_nowait(list(resolutions), check_market_resolved)

    def record_outcome(
        self, outcome: TradeOutcome | None = None, /, *, timeout: float = TIMEOUT_SECONDS, **fields: Any
    ) -> Receipt:
        """Record how one trade ended: a :class:`TradeOutcome`, or its fields.

        Raises:
            InvalidValueError: a field is wrong.
            ConflictError: it contradicts its prediction, an earlier outcome or the market's resolution.

        """
        message = check_trade_outcome(_message(TradeOutcome, outcome, fields))
        return self._engine.submit([message], single=True, timeout=timeout).get(timeout)

    def record_outcome_nowait(self, outcome: TradeOutcome | None = None, /, **fields: Any) -> Reply[Receipt]:
        """The same without waiting."""
        return self._engine.submit(
            [check_trade_outcome(_message(TradeOutcome, outcome, fields))], single=True
        )

    def record_outcomes(
        self,
        outcomes: Iterable[TradeOutcome],
        *,
        timeout: float = TIMEOUT_SECONDS,
        on_error: Literal["raise", "return"] = "raise",
    ) -> BatchResult:
        """Record many trade outcomes; see :meth:`record_predictions`."""
        return self._bulk(outcomes, check_trade_outcome, timeout, on_error)

    def record_outcomes_nowait(self, outcomes: Iterable[TradeOutcome]) -> Reply[BatchResult]:
        """The same without waiting, and without raising for refused items."""
        return self._bulk_nowait(list(outcomes), check_trade_outcome)

    def record(
        self,
        inputs: Iterable[Input],
        *,
        timeout: float = TIMEOUT_SECONDS,
        on_error: Literal["raise", "return"] = "raise",
    ) -> BatchResult:
        """Record predictions, resolutions and outcomes mixed, in the order given."""
        return self._bulk(inputs, check_input, timeout, on_error)

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
        message = check_prediction(_message(Prediction, prediction, fields))
        decided = self._signals([message], timeout).get(timeout)[0]
        if isinstance(decided, HandicapperError):
            raise decided
        return decided

    def process_signals(
        self, predictions: Iterable[Prediction], *, timeout: float = TIMEOUT_SECONDS
    ) -> list[SignalDecision]:
        """Decide and record many, in order.

        Raises:
            BatchError: some were refused; the others are decided and recorded. ``error.result.errors``
                says which and why, ``error.decisions`` holds the decisions of the others in order.

        """
        checked, errors = _checked(predictions, check_prediction)
        decided = self._signals([message for _, message in checked], timeout).get(timeout) if checked else []
        refused = dict(errors)
        decisions: list[SignalDecision] = []
        for (index, _), result in zip(checked, decided, strict=True):
            if isinstance(result, HandicapperError):
                refused[index] = result
            else:
                decisions.append(result)
        if refused:
            raise _signals_refused(len(checked) + len(errors), decisions, refused)
        return decisions

    def process_signals_nowait(self, predictions: Iterable[Prediction]) -> Reply[list[SignalResult]]:
        """The same without waiting: a decision or an error for each, in order.

        Raises:
            InvalidValueError: a field of one of them is wrong; none was sent.

        """
        return self._signals([check_prediction(prediction) for prediction in predictions], None)

    def _signals(self, predictions: list[Prediction], timeout: float | None) -> Reply[list[SignalResult]]:
        reply: Reply[list[SignalResult]] = Reply(self._engine.router.cell)
        self._engine.send(Signals(predictions, reply), reply, len(predictions), timeout)
        return reply

    # ------------------------------------------------------------- questions

    def get_adaptive_params(
        self, model_id: str, *, as_of: int | datetime | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> AdaptiveParams | None:
        """The parameters in force for a model now (or at event time ``as_of``); None for an unknown one.

        Raises:
            ModelFailedError: the model was given up.

        """
        self._engine.check_open()
        if check_id("model_id", model_id) not in self._engine.roster.refs:
            return None
        return self._ask(model_id, views.params, as_of, timeout)

    def thompson_sample(
        self,
        n: int = 1,
        *,
        as_of: int | datetime | None = None,
        models: Iterable[str] | None = None,
        selection_id: str | None = None,
        seed: int | None = None,
        timeout: float | None = None,
    ) -> Selection:
        """Draw from every eligible model's posterior and rank, highest first.

        With the ``selection_id``, ``seed`` and ``as_of`` that the result carries, and the same outcomes
        recorded, the same call gives the same draws. ``timeout`` defaults to
        ``thompson_sampling.gather_deadline_ms``; models that did not answer by then are ``missing``.

        Raises:
            InvalidValueError: ``n``, ``selection_id`` or ``seed`` is out of range.

        """
        sampling = self.settings.thompson_sampling
        if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= DRAWS_MAX:
            raise InvalidValueError("n", n, f"a whole number from 1 to {DRAWS_MAX}")
        if seed is not None and (not isinstance(seed, int) or not 0 <= seed < 2**64):
            raise InvalidValueError("seed", seed, "a whole number from 0 to 2**64 - 1")
        selection_id = uuid4().hex if selection_id is None else check_id("selection_id", selection_id)
        deadline = sampling.gather_deadline_ms / 1000 if timeout is None else timeout
        only = None if models is None else tuple(check_id("model_id", model) for model in models)
        reply: Reply[Selection] = Reply(self._engine.selector.cell)
        chosen_seed = sampling.seed if seed is None else seed
        self._tell_selector(Select(selection_id, chosen_seed, n, self._at(as_of), deadline, only, reply))
        return reply.get(deadline + TIMEOUT_SECONDS)

    def models(
        self, *, as_of: int | datetime | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> list[ModelSummary]:
        """One line about every model, by id; also about those that are being restarted or have failed."""
        gathered = self._ask_all(views.summary, self._at(as_of), timeout)
        return [self._summary(gathered, model) for model in sorted(self._engine.roster.refs)]

    def report(
        self, model_id: str, *, as_of: int | datetime | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> ModelReport:
        """Everything believed about one model, and what it is based on.

        Raises:
            UnknownModelError: it was never seen.
            ModelFailedError: it was given up.

        """
        if check_id("model_id", model_id) not in self._engine.roster.refs:
            self._engine.check_open()
            raise UnknownModelError(model_id)
        at = self._at(as_of)
        report: ModelReport = self._ask(model_id, views.report, at, timeout)
        if len(self._engine.roster.refs) > CONTENDERS_MAX:
            return report
        chances = self._chances(self._ask_all(views.contender, at, timeout))
        return replace(report, probability_best=chances.get(model_id))

    def reports(
        self, *, as_of: int | datetime | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> list[ModelReport]:
        """The report of every working model, by id."""
        at = self._at(as_of)
        reports = self._ask_all(views.report, at, timeout).values
        eligible = {
            model: (report.posterior_alpha, report.posterior_beta)
            for model, report in reports.items()
            if report.eligible
        }
        chances = _probabilities(eligible)
        return [replace(reports[model], probability_best=chances.get(model)) for model in sorted(reports)]

    def statistics(self) -> Statistics:
        """What the learner is doing, and how it is."""
        self._engine.check_open()
        return self._engine.statistics()

    def dead_letters(self) -> list[DeadLetter]:
        """The newest messages nobody could handle, oldest first."""
        return self._engine.letters()

    # -------------------------------------------------------------- controls

    def pause(
        self,
        model_id: str,
        until: int | datetime | None = None,
        reason: str = "",
        *,
        timeout: float = TIMEOUT_SECONDS,
    ) -> Receipt:
        """Take a model out of selection and trading, until an event time or until resumed; it still learns.

        Raises:
            UnknownModelError: it was never seen.

        """
        until_ns = None if until is None else check_time("until", until)
        entry = PauseModel(check_id("model_id", model_id), until_ns, check_text("reason", reason))
        return self._control(entry, timeout)

    def resume(self, model_id: str, *, timeout: float = TIMEOUT_SECONDS) -> Receipt:
        """End a pause.

        Raises:
            UnknownModelError: it was never seen.

        """
        return self._control(ResumeModel(check_id("model_id", model_id)), timeout)

    def reset(self, model_id: str, reason: str = "", *, timeout: float = TIMEOUT_SECONDS) -> Receipt:
        """Forget what a model has learned; its pending predictions still count when they resolve.

        Raises:
            UnknownModelError: it was never seen.

        """
        entry = ResetModel(check_id("model_id", model_id), check_text("reason", reason))
        return self._control(entry, timeout)

    def snapshot(self, *, timeout: float = TIMEOUT_SECONDS) -> SnapshotReceipt:
        """Write a snapshot of everything up to now; restart replays only what comes after it."""
        self._engine.check_open()
        reply: Reply[SnapshotReceipt] = Reply(self._engine.router.cell)
        self._engine.router.tell(TakeSnapshot(reply))
        return reply.get(timeout)

    def _control(self, entry: Submission, timeout: float) -> Receipt:
        return self._engine.submit([entry], single=True, timeout=timeout).get(timeout)

    # --------------------------------------------------------------- helpers

    def _at(self, as_of: int | datetime | None) -> int:
        return self._clock.now_ns() if as_of is None else check_time("as_of", as_of)

    def _bulk(
        self,
        items: Iterable[M] | Iterable[Input],
        check: Callable[[Any], Any],
        timeout: float,
        on_error: Literal["raise", "return"],
    ) -> BatchResult:
        if on_error not in ("raise", "return"):
            raise InvalidValueError("on_error", on_error, "raise or return")
        deadline = self._clock.monotonic() + timeout
        size = self.settings.limits.batch_inputs_max
        pending: list[tuple[int, list[tuple[int, Any]], Reply[BatchResult] | None]] = []
        errors: list[tuple[int, Exception]] = []
        total = 0
        iterator = iter(items)
        while chunk := list(islice(iterator, size)):
            checked, refused = _checked(chunk, check)
            errors.extend((total + index, error) for index, error in refused)
            left = max(deadline - self._clock.monotonic(), 0.0)
            messages = [message for _, message in checked]
            pending.append(
                (total, checked, self._engine.submit(messages, timeout=left) if messages else None)
            )
            total += len(chunk)
        results: list[BatchResult] = []
        for start, checked, reply in pending:
            if reply is None:
                continue
            result = reply.get(max(deadline - self._clock.monotonic(), 0.0))
            results.append(result)
            errors.extend((start + checked[index][0], error) for index, error in result.errors)
        merged = _merged(total, results, errors)
        if merged.errors and on_error == "raise":
            raise BatchError(merged)
        return merged

    def _bulk_nowait(self, items: list[M], check: Callable[[M], M]) -> Reply[BatchResult]:
        checked, refused = _checked(items, check)
        reply: Reply[BatchResult] = Reply(self._engine.router.cell)
        if not checked:
            reply.set(_merged(len(items), [], list(refused)))
            return reply
        inner = self._engine.submit([message for _, message in checked])
        if not refused:
            return inner

        def done(_: Any) -> None:
            error = inner.exception()
            if error is not None:
                reply.set_exception((type(error), error, None))
                return
            result = inner.get(0)
            errors = [(checked[index][0], error) for index, error in result.errors]
            reply.set(_merged(len(items), [result], [*refused, *errors]))

        inner.add_done_callback(done)
        return reply

    def _ask(
        self, model_id: str, view: Callable[[Any, int], Any], as_of: int | datetime | None, timeout: float
    ) -> Any:
        engine = self._engine
        engine.check_open()
        if model_id in engine.roster.failed:
            raise ModelFailedError(f"model {model_id!r} was given up: {engine.roster.failed[model_id]}")
        ref = engine.roster.refs[model_id]
        reply: Reply[Any] = Reply(ref.cell)
        engine.ask(ref, AskView(view, self._at(as_of)), reply)
        return reply.get(timeout)

    def _ask_all(self, view: Callable[[Any, int], Any], as_of: int, timeout: float) -> Gathered[str, Any]:
        self._engine.check_open()
        reply: Reply[Gathered[str, Any]] = Reply(self._engine.selector.cell)
        self._tell_selector(AskAll(view, as_of, timeout, reply))
        return reply.get(timeout + TIMEOUT_SECONDS)

    def _tell_selector(self, message: Any) -> None:
        self._engine.check_open()
        self._engine.selector.tell(message)

    def _summary(self, gathered: Gathered[str, Any], model: str) -> ModelSummary:
        known = gathered.values.get(model)
        status = self._engine.roster.status_of(model)
        if known is not None:
            return known if status == known.status else replace(known, status=status)
        initial = views.initial_params(self._engine.rules)
        return ModelSummary(
            model_id=model,
            n=0,
            ema_accuracy=initial.ema_accuracy,
            posterior_mean=0.5,
            effective_sample_size=0.0,
            confidence_threshold=initial.confidence_threshold,
            weight=initial.weight,
            adapted=False,
            eligible=False,
            paused=False,
            status=status if status != "running" else "restarting",
        )

    @staticmethod
    def _chances(gathered: Gathered[str, Any]) -> dict[str, float]:
        return _probabilities({m: pair for m, pair in gathered.values.items() if pair is not None})


def _probabilities(posteriors: dict[str, tuple[float, float]]) -> dict[str, float]:
    models = sorted(posteriors)
    chances = probability_best([posteriors[m][0] for m in models], [posteriors[m][1] for m in models])
    return dict(zip(models, chances, strict=True))


def _message(kind: type[M], message: M | None, fields: dict[str, Any]) -> M:
    """The message given, or one made of the fields given."""
    if message is None:
        try:
            return kind(**fields)
        except TypeError as error:
            known = ", ".join(kind.__struct_fields__)
            raise InvalidValueError(
                "fields", sorted(fields), f"the fields of {kind.__name__} ({known}): {error}"
            ) from None
    if fields:
        raise InvalidValueError("fields", sorted(fields), f"either a {kind.__name__} or its fields, not both")
    if not isinstance(message, kind):
        raise InvalidValueError("message", message, f"a {kind.__name__}")
    return message


def _checked(
    items: Iterable[Any], check: Callable[[Any], Any]
) -> tuple[list[tuple[int, Any]], list[tuple[int, Exception]]]:
    """(index, message) of the valid items, (index, error) of the others."""
    checked: list[tuple[int, Any]] = []
    errors: list[tuple[int, Exception]] = []
    for index, item in enumerate(items):
        try:
            checked.append((index, check(item)))
        except HandicapperError as error:
            errors.append((index, error))
    return checked, errors


def _merged(total: int, results: list[BatchResult], errors: list[tuple[int, Exception]]) -> BatchResult:
    return BatchResult(
        total=total,
        accepted=sum(result.accepted for result in results),
        duplicates=sum(result.duplicates for result in results),
        scored=sum(result.scored for result in results),
        revised=sum(result.revised for result in results),
        errors=tuple(sorted(errors, key=lambda item: item[0])),
        seq=max((result.seq for result in results), default=0),
    )


def _signals_refused(
    total: int, decisions: list[SignalDecision], refused: dict[int, Exception]
) -> BatchError:
    result = BatchResult(
        total=total,
        accepted=sum(not decision.duplicate for decision in decisions),
        duplicates=sum(decision.duplicate for decision in decisions),
        scored=0,
        revised=0,
        errors=tuple(sorted(refused.items())),
        seq=max((decision.seq for decision in decisions), default=0),
    )
    return BatchError(result, decisions)
