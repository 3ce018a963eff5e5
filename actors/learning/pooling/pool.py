"""The pool of an event, and what an event teaches it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from math import exp, log
from typing import NamedTuple

from .forms import corrected_pool, disagreement, linear_pool, log_pool, newton_step
from .shares import normalized, share_update
from .state import FORMS, PoolRules, PoolState, Standing
from .table import REMAINDER, Table, floored_logs, tabulate, target

__all__ = ["Combined", "combine", "learn", "relative_weights", "shares"]

_RULES = PoolRules()
_NEW = Standing()


class Combined(NamedTuple):
    """One probability per outcome, and where it came from."""

    probabilities: dict[str, float]
    """Per known label, in the order of their names; sums to 1 together with ``remainder``."""
    remainder: float
    """Probability of "none of these": above 0 only where a single label is known."""
    shares: dict[str, float]
    """Of each model that forecast; sums to 1."""
    disagreement: float
    """Of the models, in [0, 1]: see :func:`.forms.disagreement`."""
    forms: dict[str, float]
    """Probability of each of FORMS, by its evidence: the pool is their mean by these."""


class _Mixture(NamedTuple):
    standings: list[Standing]
    slow: list[float]
    fast: list[float]
    by_form: list[list[float]]
    evidence: list[float]
    logs: list[list[float]]
    features: list[list[float]]


def combine(
    state: PoolState,
    forecasts: Iterable[tuple[str, str, float]],
    labels: Collection[str] = (),
    rules: PoolRules = _RULES,
) -> Combined | None:
    """Pool the forecasts of one event; None where there are none. Changes nothing.

    ``forecasts`` are (model id, label, confidence), ``labels`` the outcomes of the market where they are
    known: see :func:`.table.tabulate`.

    """
    table = tabulate(forecasts, labels)
    if not table.rows:
        return None
    mixture = _mixture(state, table, rules)
    evidence = mixture.evidence
    pool = linear_pool(evidence, mixture.by_form)
    slow = evidence[0] / (evidence[0] + evidence[1] + evidence[2])
    shared = [slow * s + (1.0 - slow) * f for s, f in zip(mixture.slow, mixture.fast, strict=True)]
    probabilities = dict(zip(table.labels, pool, strict=True))
    return Combined(
        remainder=probabilities.pop(REMAINDER, 0.0),
        probabilities=probabilities,
        shares=dict(zip(table.model_ids, shared, strict=True)),
        disagreement=disagreement(shared, table.rows),
        forms=dict(zip(FORMS, evidence, strict=True)),
    )


def learn(
    state: PoolState,
    at_ns: int,
    forecasts: Iterable[tuple[str, str, float]],
    payouts: Mapping[str, float],
    labels: Collection[str] = (),
    rules: PoolRules = _RULES,
) -> None:
    """Fold one resolved event into ``state``, in place. Events come in the order of the journal.

    ``payouts`` are those of the market (shares of 1; a void is not learned from, nor is it passed here),
    ``labels`` the further outcomes known. Nothing happens where nobody forecast.
    """
    table = tabulate(forecasts, {*labels, *payouts})
    if not table.rows:
        return
    outcome = target(payouts, table.labels)
    mixture = _mixture(state, table, rules)
    _learn_forms(state, mixture, outcome, rules)
    _learn_models(state, table, mixture, outcome, at_ns, rules)
    state.events += 1


def _mixture(state: PoolState, table: Table, rules: PoolRules) -> _Mixture:
    """Every form of the pool of one event, and what it was made of."""
    models = state.models
    standings = [models.get(model_id, _NEW) for model_id in table.model_ids]
    floor = rules.probability_floor
    logs = [floored_logs(row, floor) for row in table.rows]
    slow = normalized([standing.slow for standing in standings])
    fast = normalized([standing.fast for standing in standings])
    forms = [linear_pool(slow, table.rows), linear_pool(fast, table.rows), log_pool(fast, logs)]
    evidence = normalized(state.form_evidence or [log(p) for p in rules.form_prior])
    base = floored_logs(_base(evidence, forms), floor)
    features = [base]
    for row in logs:
        features.append([p - b for p, b in zip(row, base, strict=True)])
    forms.append(corrected_pool([state.sharpness] + [s.correction for s in standings], features))
    return _Mixture(standings, slow, fast, forms, evidence, logs, features)


def _base(evidence: list[float], forms: list[list[float]]) -> list[float]:
    """The mean, by their evidence, of the forms that are not corrected."""
    total = evidence[0] + evidence[1] + evidence[2]
    if total <= 0.0:
        return forms[0]
    return linear_pool([e / total for e in evidence[:3]], forms)


def _score(logs: list[float], outcome: list[float]) -> float:
    return sum([y * value for y, value in zip(outcome, logs, strict=True) if y])


def _learn_forms(state: PoolState, mixture: _Mixture, outcome: list[float], rules: PoolRules) -> None:
    """Bayes' rule over the forms, with evidence that fades towards the prior."""
    floor, decay = rules.probability_floor, rules.form_decay
    prior = [log(p) for p in rules.form_prior]
    before = state.form_evidence or prior
    after = [
        p + decay * (e - p) + _score(floored_logs(form, floor), outcome)
        for p, e, form in zip(prior, before, mixture.by_form, strict=True)
    ]
    top = max(after)
    state.form_evidence = tuple([e - top for e in after])


def _learn_models(
    state: PoolState, table: Table, mixture: _Mixture, outcome: list[float], at_ns: int, rules: PoolRules
) -> None:
    """Move shares between those present, and their corrections."""
    standings, features, forecast = mixture.standings, mixture.features, mixture.by_form[3]
    scores = [_score(logs, outcome) for logs in mixture.logs]
    slow = share_update([s.slow for s in standings], scores, rules.slow)
    fast = share_update([s.fast for s in standings], scores, rules.fast)
    variance, count = rules.correction_variance, len(features)
    state.sharpness, state.sharpness_information = newton_step(
        state.sharpness, state.sharpness_information, features[0], forecast, outcome, variance, count
    )
    for i, (model_id, old) in enumerate(zip(table.model_ids, standings, strict=True)):
        correction, information = newton_step(
            old.correction, old.information, features[i + 1], forecast, outcome, variance, count
        )
        last = at_ns if at_ns > old.last_at_ns else old.last_at_ns
        state.models[model_id] = Standing(slow[i], fast[i], correction, information, old.events + 1, last)


def shares(state: PoolState, model_ids: Collection[str], rules: PoolRules = _RULES) -> dict[str, float]:
    """The share of each of ``model_ids`` if they, and no others, forecast; sums to 1.

    A model the pool has never met has a new model's share.
    """
    weights = relative_weights(state, model_ids, rules)
    return {model_id: weight / len(weights) for model_id, weight in weights.items()}


def relative_weights(
    state: PoolState, model_ids: Collection[str], rules: PoolRules = _RULES
) -> dict[str, float]:
    """Share × number of models, for the models that are alive: 1 where all are equally good.

    ``model_ids`` are those that are not retired; who that is, is for the caller to say.
    """
    ordered = sorted(set(model_ids))
    if not ordered:
        return {}
    evidence = normalized(state.form_evidence or [log(p) for p in rules.form_prior])
    uncorrected = evidence[0] + evidence[1] + evidence[2]
    slow_part = evidence[0] / uncorrected if uncorrected > 0.0 else 1.0
    standings = [state.models.get(model_id, _NEW) for model_id in ordered]
    slow = normalized([s.slow for s in standings])
    fast = normalized([s.fast for s in standings])
    n = len(ordered)
    return {
        model_id: n * (slow_part * s + (1.0 - slow_part) * f)
        for model_id, s, f in zip(ordered, slow, fast, strict=True)
    }
