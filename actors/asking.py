"""What comes out: parameters, selections, reports. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from time import sleep
from typing import Any, Final

from msgspec.structs import replace

from ..protocol.errors import UnknownModelError
from ..protocol.messages import AdaptiveParams, ModelReport, ModelSummary, Selection, SelectionMode
from ..protocol.validation import check_id
from .calls import TIMEOUT_SECONDS, Reply
from .engine import Engine
from .learning.selection import probability_best
from .model import AskView
from .pooling_weights import relative_weights
from .questions import (
    ModelReply,
    event_time,
    model_failed,
    put_question,
    put_selection,
    selection_question,
)
from .runtime.gather import Gathered
from .selector import AskAll
from .state import views
from .state.pool_row import POOL_ID
from .survey import ask_in_pieces

__all__ = ["Asking"]

CONTENDERS_MAX: Final = 1_000
"""With more models P(best) takes more than 0.2 s and is left out of a single report."""
MODELS_A_PIECE: Final = 32
"""Asked by one thread before it lets others have the interpreter; a report takes a model 0.03 ms."""

PAUSE_SECONDS: Final = 0.0002


class Asking:
    """The part of a :class:`.learner.Learner` that answers."""

    _engine: Engine

    # ------------------------------------------------------------- questions

    def get_adaptive_params(
        self, model_id: str, *, as_of: int | datetime | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> AdaptiveParams | None:
        """The parameters in force for a model now (or at event time ``as_of``); None for an unknown one.

        Raises:
            ModelFailedError: the model was given up.

        """
        self._engine.check_open()
        self._engine.settle(timeout)
        if check_id("model_id", model_id) not in self._engine.roster.refs:
            return None
        at = event_time(self._engine, as_of)
        return self._ask(model_id, self._weighed(views.params, at), at, timeout)

    def get_adaptive_params_nowait(
        self, model_id: str, *, as_of: int | datetime | None = None
    ) -> Reply[AdaptiveParams | None]:
        """The same without waiting; sees every input that this thread sent before.

        Raises:
            InvalidValueError: an argument is wrong.
            BusyError: too many messages wait.

        """
        engine = self._engine
        check_id("model_id", model_id)
        reply: ModelReply[AdaptiveParams | None] = ModelReply(engine, model_id)
        at = event_time(engine, as_of)
        engine.after_inputs(
            lambda: put_question(engine, model_id, self._weighed(views.params, at), at, reply), reply
        )
        return reply

    def thompson_sample(
        self,
        n: int = 1,
        *,
        as_of: int | datetime | None = None,
        models: Iterable[str] | None = None,
        selection_id: str | None = None,
        seed: int | None = None,
        mode: SelectionMode | None = None,
        timeout: float | None = None,
    ) -> Selection:
        """Draw from every eligible model's posterior and rank, highest first.

        With the ``selection_id``, ``seed`` and ``as_of`` that the result carries, and the same outcomes
        recorded, the same call gives the same draws. ``timeout`` defaults to
        ``thompson_sampling.gather_deadline_ms``; models that did not answer by then are ``missing``.

        ``mode`` is another way to rank than ``thompson_sampling.mode``: ``"mean"`` follows the means of the
        posteriors, which is right where every model's outcomes are seen, and ``"top_two"`` leads with the runner-up
        in one half of the selections, to find out sooner which is the best. With ``thompson_sampling.enabled`` false
        nothing is drawn, whatever is asked for. The result's ``mode`` says what ranked.

        Raises:
            InvalidValueError: ``n``, ``selection_id`` or ``seed`` is out of range, or there is no such mode.

        """
        engine = self._engine
        question = selection_question(engine, n, as_of, models, selection_id, seed, mode, timeout)
        engine.check_open()
        engine.settle(TIMEOUT_SECONDS)
        selection = engine.scatter.at_once(question)
        if selection is None:
            reply: Reply[Selection] = Reply(engine.selector.cell)
            engine.scatter.begin(replace(question, reply=reply))
            selection = reply.get(question.deadline_seconds + TIMEOUT_SECONDS)
        return selection

    def thompson_sample_nowait(
        self,
        n: int = 1,
        *,
        as_of: int | datetime | None = None,
        models: Iterable[str] | None = None,
        selection_id: str | None = None,
        seed: int | None = None,
        mode: SelectionMode | None = None,
        timeout: float | None = None,
    ) -> Reply[Selection]:
        """The same without waiting; sees every input that this thread sent before.

        ``timeout`` counts from when the models are asked, which is here and now if no input is on its way.

        Raises:
            InvalidValueError: an argument is wrong.
            BusyError: too many messages wait.

        """
        engine = self._engine
        reply: Reply[Selection] = Reply(engine.selector.cell)
        question = selection_question(engine, n, as_of, models, selection_id, seed, mode, timeout)
        engine.after_inputs(partial(put_selection, engine, question, reply), reply)
        return reply

    def thompson_sample_at_once(
        self,
        n: int = 1,
        *,
        as_of: int | datetime | None = None,
        models: Iterable[str] | None = None,
        selection_id: str | None = None,
        seed: int | None = None,
        mode: SelectionMode | None = None,
    ) -> Selection | None:
        """The same where nobody has to be waited for, as in most plain selections among up to 1,024 models; None where
        :meth:`thompson_sample_nowait` is to be called instead. For callers to whom every microsecond counts.

        Raises:
            InvalidValueError: an argument is wrong.
            ClosedError: the learner is closed.

        """
        engine = self._engine
        question = selection_question(engine, n, as_of, models, selection_id, seed, mode, None)
        engine.check_open()
        return engine.scatter.at_once(question) if engine.models_know else None

    def models(
        self, *, as_of: int | datetime | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> list[ModelSummary]:
        """One line about every model, by id; also about those that are being restarted or have failed."""
        at = event_time(self._engine, as_of)
        gathered = self._ask_all(self._weighed(views.summary, at), at, timeout)
        return [self._summary(gathered, model) for model in self._engine.roster.models]

    def report(
        self, model_id: str, *, as_of: int | datetime | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> ModelReport:
        """Everything believed about one model, and what it is based on.

        Raises:
            UnknownModelError: it was never seen.
            ModelFailedError: it was given up.

        """
        check_id("model_id", model_id)
        self._engine.check_open()
        self._engine.settle(timeout)
        if model_id not in self._engine.roster.refs:
            raise UnknownModelError(model_id)
        at = event_time(self._engine, as_of)
        report: ModelReport = self._ask(model_id, self._weighed(views.report, at), at, timeout)
        if self._engine.roster.model_count > CONTENDERS_MAX:
            return report
        # As of a selection: a model that is slow to answer is left out, and holds up nobody's report.
        deadline = self._engine.settings.thompson_sampling.gather_deadline_ms / 1000
        chances = self._chances(self._ask_all(views.contender, at, min(timeout, deadline)))
        return replace(report, probability_best=chances.get(model_id))

    def reports(
        self, *, as_of: int | datetime | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> list[ModelReport]:
        """The report of every working model, by id."""
        at = event_time(self._engine, as_of)
        reports = self._ask_all(self._weighed(views.report, at), at, timeout).values
        eligible = {
            model: (report.posterior_alpha, report.posterior_beta)
            for model, report in reports.items()
            if report.eligible
        }
        chances = _probabilities(eligible)
        return [replace(reports[model], probability_best=chances.get(model)) for model in sorted(reports)]

    def _weighed(self, view: Callable[..., Any], as_of: int) -> Callable[..., Any]:
        """A view of a model that has a weight in it, with what the pool says of the models if that counts."""
        engine = self._engine
        if engine.rules.weight_policy != "score":
            return view
        engine.settle(TIMEOUT_SECONDS)
        weights = relative_weights(engine.roster, engine.rules, as_of)
        return view if weights is None else partial(view, weights=weights)

    def _ask(
        self, model_id: str, view: Callable[[Any, int], Any], as_of: int | datetime | None, timeout: float
    ) -> Any:
        engine = self._engine
        engine.check_open()
        engine.settle(timeout)
        if model_id in engine.roster.failed:
            raise model_failed(engine, model_id)
        reply: ModelReply[Any] = ModelReply(engine, model_id)
        engine.ask(engine.roster.refs[model_id], AskView(view, event_time(self._engine, as_of)), reply)
        return reply.get(timeout)

    def _ask_all(self, view: Callable[[Any, int], Any], as_of: int, timeout: float) -> Gathered[str, Any]:
        engine = self._engine
        engine.check_open()
        engine.settle(timeout)
        if engine.driven:
            # The selector's turn would be one of whoever drives, an event loop, and the reports of a thousand models
            # take 30 ms; this thread waits for them anyway.
            roster = engine.roster
            asked = set(roster.refs) - set(roster.failed) - {POOL_ID}
            refs = {model: roster.refs[model] for model in asked}
            return ask_in_pieces(
                engine.pool, refs, AskView(view, as_of), timeout, MODELS_A_PIECE, _step_aside
            )
        reply: Reply[Gathered[str, Any]] = Reply(engine.selector.cell)
        engine.ask(engine.selector, AskAll(view, as_of, timeout, reply), reply)
        return reply.get(timeout + TIMEOUT_SECONDS)

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


def _step_aside() -> None:
    """Let whoever waits for the interpreter have it."""
    sleep(PAUSE_SECONDS)


def _probabilities(posteriors: dict[str, tuple[float, float]]) -> dict[str, float]:
    models = sorted(posteriors)
    chances = probability_best([posteriors[m][0] for m in models], [posteriors[m][1] for m in models])
    return dict(zip(models, chances, strict=True))
