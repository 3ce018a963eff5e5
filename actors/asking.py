"""What comes out: parameters, selections, reports, statistics. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from msgspec.structs import replace

from ..config import Settings
from ..protocol.errors import InvalidValueError, ModelFailedError, UnknownModelError
from ..protocol.messages import AdaptiveParams, DeadLetter, ModelReport, ModelSummary, Selection, Statistics
from ..protocol.validation import check_id, check_time
from .calls import TIMEOUT_SECONDS, Reply
from .engine import Engine
from .learning.selection import probability_best
from .model import AskView
from .runtime.gather import Gathered
from .selector import AskAll, Select
from .state import views

__all__ = ["Asking"]

DRAWS_MAX: Final = 100_000
CONTENDERS_MAX: Final = 1_000
"""With more models P(best) takes more than 0.2 s and is left out of a single report."""


class Asking:
    """The half of a :class:`.learner.Learner` that answers."""

    _engine: Engine

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._engine.settings

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
        whole_seed = isinstance(seed, int) and not isinstance(seed, bool)
        if seed is not None and not (whole_seed and 0 <= seed < 2**64):
            raise InvalidValueError("seed", seed, "a whole number from 0 to 2**64 - 1")
        selection_id = uuid4().hex if selection_id is None else check_id("selection_id", selection_id)
        deadline = sampling.gather_deadline_ms / 1000 if timeout is None else timeout
        if isinstance(models, str) or not isinstance(models, Iterable | None):
            raise InvalidValueError("models", models, "several model ids, such as a list of them")
        only = None if models is None else tuple(check_id("model_id", model) for model in models)
        reply: Reply[Selection] = Reply(self._engine.selector.cell)
        chosen_seed = sampling.seed if seed is None else seed
        question = Select(selection_id, chosen_seed, n, self._at(as_of), deadline, only, reply)
        self._engine.ask(self._engine.selector, question, reply)
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

    def _at(self, as_of: int | datetime | None) -> int:
        return self._engine.clock.now_ns() if as_of is None else check_time("as_of", as_of)

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
        self._engine.ask(self._engine.selector, AskAll(view, as_of, timeout, reply), reply)
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


def _probabilities(posteriors: dict[str, tuple[float, float]]) -> dict[str, float]:
    models = sorted(posteriors)
    chances = probability_best([posteriors[m][0] for m in models], [posteriors[m][1] for m in models])
    return dict(zip(models, chances, strict=True))
