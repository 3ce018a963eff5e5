"""What comes out of a blocking client: the embedded learner's questions, and some about the daemon."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from ..messages import (
    AdaptiveParams,
    ConfigReply,
    DaemonStatistics,
    DeadLetter,
    Forecast,
    ModelReport,
    ModelSummary,
    PooledForecast,
    PoolReport,
    Prediction,
    Selection,
    VerifyReport,
)
from . import requests
from .client_calls import ClientCalls
from .replies import Reply
from .requests import Request, sample_params, spec_of

__all__ = ["ClientQuestions"]


class ClientQuestions(ClientCalls):
    """The half of a blocking client that asks. Changes nothing."""

    def get_adaptive_params(
        self, model_id: str, *, as_of: int | datetime | None = None, timeout: float | None = None
    ) -> AdaptiveParams | None:
        """The parameters in force for a model now (or at event time ``as_of``); None for an unknown one.

        Raises:
            ModelFailedError: the model was given up.

        """
        return self._ask(requests.get_adaptive_params(model_id, as_of), timeout)

    def get_adaptive_params_nowait(
        self, model_id: str, *, as_of: int | datetime | None = None
    ) -> Reply[AdaptiveParams | None]:
        """The same without waiting."""
        return self._start(requests.get_adaptive_params(model_id, as_of))

    def get_adaptive_params_batch(
        self, model_ids: Iterable[str], *, as_of: int | datetime | None = None, timeout: float | None = None
    ) -> list[AdaptiveParams | None]:
        """The same for many models, in order."""
        return self._ask(requests.get_adaptive_params_batch(model_ids, as_of), timeout)

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
        recorded, the same call gives the same draws. Models that did not answer the daemon within its
        ``thompson_sampling.gather_deadline_ms`` are ``missing``.

        Raises:
            InvalidValueError: ``n``, ``selection_id`` or ``seed`` is out of range.

        """
        params = sample_params(n, as_of=as_of, models=models, selection_id=selection_id, seed=seed)
        return self._ask(requests.thompson_sample(params), timeout)

    def thompson_sample_nowait(
        self,
        n: int = 1,
        *,
        as_of: int | datetime | None = None,
        models: Iterable[str] | None = None,
        selection_id: str | None = None,
        seed: int | None = None,
    ) -> Reply[Selection]:
        """The same without waiting."""
        params = sample_params(n, as_of=as_of, models=models, selection_id=selection_id, seed=seed)
        return self._start(requests.thompson_sample(params))

    def thompson_sample_batch(
        self, samples: Iterable[dict[str, Any]], *, timeout: float | None = None
    ) -> list[Selection]:
        """Several selections, each described by the keyword arguments of :meth:`thompson_sample`."""
        return self._ask(requests.thompson_sample_batch(samples), timeout)

    def combine(
        self,
        market_id: str | None = None,
        *,
        predictions: Iterable[Forecast | Prediction] | None = None,
        outcomes: Iterable[str] = (),
        as_of: int | datetime | None = None,
        timeout: float | None = None,
    ) -> PooledForecast:
        """The models' forecasts of a market as one: of each model the last recorded, or those given, which are not
        recorded. ``outcomes`` are further outcomes that the market can have.

        Raises:
            UnknownMarketError: nobody has forecast that market.

        """
        return self._ask(requests.combine(market_id, predictions, outcomes, as_of), timeout)

    def combine_nowait(
        self,
        market_id: str | None = None,
        *,
        predictions: Iterable[Forecast | Prediction] | None = None,
        outcomes: Iterable[str] = (),
        as_of: int | datetime | None = None,
    ) -> Reply[PooledForecast]:
        """The same without waiting."""
        return self._start(requests.combine(market_id, predictions, outcomes, as_of))

    def pool(self, *, as_of: int | datetime | None = None, timeout: float | None = None) -> PoolReport:
        """What the pool has learned: every model's share, and whether combining paid."""
        return self._ask(requests.pool(as_of), timeout)

    def models(
        self, *, as_of: int | datetime | None = None, timeout: float | None = None
    ) -> list[ModelSummary]:
        """One line about every model, by id; also about those that are being restarted or have failed."""
        return self._ask(requests.models(as_of), timeout)

    def report(
        self, model_id: str, *, as_of: int | datetime | None = None, timeout: float | None = None
    ) -> ModelReport:
        """Everything believed about one model, and what it is based on.

        Raises:
            UnknownModelError: it was never seen.
            ModelFailedError: it was given up.

        """
        return self._ask(requests.report(model_id, as_of), timeout)

    def reports(
        self, *, as_of: int | datetime | None = None, timeout: float | None = None
    ) -> list[ModelReport]:
        """The report of every working model, by id."""
        return self._ask(requests.reports(as_of), timeout)

    def statistics(self, *, timeout: float | None = None) -> DaemonStatistics:
        """What the learner and the server in front of it are doing, and how they are."""
        return self._ask(requests.statistics(), timeout)

    def dead_letters(self, *, timeout: float | None = None) -> list[DeadLetter]:
        """The newest messages nobody could handle, oldest first."""
        return self._ask(requests.dead_letters(), timeout)

    def verify(self, *, timeout: float | None = None) -> VerifyReport:
        """Derive the state again from the journal and compare; with a long journal give it a long ``timeout``."""
        return self._ask(requests.verify(), timeout)

    def config(self, *, timeout: float | None = None) -> ConfigReply:
        """The settings in force."""
        return self._ask(requests.config(), timeout)

    def ping(self, *, timeout: float | None = None) -> str:
        """``pong``, if the daemon is there and answers."""
        return self._ask(requests.ping(), timeout)

    def call(self, method: str, params: Any = None, *, timeout: float | None = None) -> Any:
        """Any method with params as they travel: a dict of fields, a list of them in order, or None.

        For what a newer daemon knows and this release does not. Of a method that this release knows the result
        is typed as always; of another it is plain.
        """
        return self._ask(Request(spec_of(method), params), timeout)
