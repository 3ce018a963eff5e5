"""The pool of an event, and what an event teaches it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import exp, log
from operator import mul
from typing import NamedTuple

from .forms import disagreement, linear_pool, log_pool, newton_step, softmax
from .share_rule import share_update
from .state import DEFAULT_RULES, FORMS, Pool, PoolRules, Standing
from .table import REMAINDER, floored_logs, tabulate, target

__all__ = ["Combined", "Judged", "combine", "learn", "relative_weights", "shares"]

_NEW = Standing()


class Combined(NamedTuple):
    """One probability per outcome, and where it came from."""

    probabilities: dict[str, float]
    """Per known label, in the order of their names; sums to 1 together with ``remainder``."""
    remainder: float
    """Probability of "none of these": above 0 only where a single label is known."""
    shares: dict[str, float]
    """Of each model that forecast, in the order of their names; sums to 1."""
    disagreement: float
    """Of the models, in [0, 1]: see :func:`.forms.disagreement`."""
    forms: dict[str, float]
    """Probability of each of FORMS by its evidence; the pool is their mean by these."""


class Judged(NamedTuple):
    """What an event said of the pool, as it was before it and those simultaneous with it."""

    outcome: list[float]
    """How it ended, as a distribution over its labels."""
    pooled: list[float]
    """The pool's forecast."""
    equal: list[float]
    """The mean of the models, each with the same weight."""


class Mixture(NamedTuple):
    """Every form of the pool of one event, and what it is made of."""

    evidence: list[float]
    by_form: list[list[float]]
    slow: list[float]
    fast: list[float]
    features: Sequence[Sequence[float]]
    """Of the corrected pool: the pool's log probabilities, then each model's minus the pool's."""


def combine(
    state: Pool,
    forecasts: Iterable[tuple[str, str, float]],
    labels: Collection[str] = (),
    rules: PoolRules = DEFAULT_RULES,
) -> Combined | None:
    """Pool the forecasts of one event; None where there are none. Changes nothing.

    ``forecasts`` are (model id, label, confidence), ``labels`` the outcomes of the market where they are
    known: see :func:`.table.tabulate`.

    >>> from handicapper.actors.learning.pooling import new_pool
    >>> pooled = combine(new_pool(), [("a", "YES", 0.9), ("b", "YES", 0.5)], ["YES", "NO"])
    >>> pooled.shares
    {'a': 0.5, 'b': 0.5}
    >>> 0.70 < pooled.probabilities["YES"] < 0.71
    True
    """
    table = tabulate(forecasts, labels)
    if not table.rows:
        return None
    standings = standings_of(state, table.model_ids)
    mixture = mixture_of(
        table.rows,
        [floored(row, rules) for row in table.rows],
        [(s.slow, s.fast, s.correction) for s in standings],
        state.form_evidence,
        state.sharpness,
        rules,
    )
    shared = shares_by(mixture.slow, mixture.fast, mixture.evidence)
    pool = linear_pool(mixture.evidence, mixture.by_form)
    probabilities = dict(zip(table.labels, pool, strict=True))
    return Combined(
        remainder=probabilities.pop(REMAINDER, 0.0),
        probabilities=probabilities,
        shares=dict(zip(table.model_ids, shared, strict=True)),
        disagreement=disagreement(shared, table.rows),
        forms=dict(zip(FORMS, mixture.evidence, strict=True)),
    )


def learn(
    state: Pool,
    at_ns: int,
    forecasts: Iterable[tuple[str, str, float]],
    payouts: Mapping[str, float],
    labels: Collection[str] = (),
    rules: PoolRules = DEFAULT_RULES,
) -> Judged | None:
    """Fold one resolved event into ``state``, in place; returns what it said of the pool. Events come in journal order.

    ``at_ns`` is when it resolved, ``payouts`` those of the market (shares of 1; a void teaches nothing and
    is not passed here), ``labels`` the further outcomes known. Nothing happens, and None is returned, where nobody
    forecast, or every label is listed and none paid.
    """
    table = tabulate(forecasts, {*labels, *payouts})
    outcome = target(payouts, table.labels)
    if outcome is None or not table.rows:
        return None
    _open_batch(state, at_ns, rules)
    standings = standings_of(state, table.model_ids)
    batch = state.batch
    logs = [floored(row, rules) for row in table.rows]
    mixture = mixture_of(
        table.rows,
        logs,
        [
            (s.slow_before, s.fast_before, s.correction_before)
            if s.batch == batch
            else (s.slow, s.fast, s.correction)
            for s in standings
        ],
        state.form_evidence_before,
        state.sharpness_before,
        rules,
    )
    pooled = linear_pool(mixture.evidence, mixture.by_form)
    _learn_forms(state, mixture, outcome, rules)
    _learn_models(state, at_ns, table.model_ids, standings, logs, mixture, outcome, rules)
    state.events += 1
    return Judged(outcome, pooled, mixture.by_form[0])


def standings_of(state: Pool, model_ids: Sequence[str]) -> list[Standing]:
    models = state.models
    return [models.get(model_id, _NEW) for model_id in model_ids]


def _open_batch(state: Pool, at_ns: int, rules: PoolRules) -> None:
    """Begin a new batch, unless the event is simultaneous with those of the present one."""
    if state.batch and 0 <= at_ns - state.batch_at_ns <= rules.simultaneous_seconds * 1e9:
        return
    state.batch += 1
    state.batch_at_ns = at_ns
    state.form_evidence_before = state.form_evidence
    state.sharpness_before = state.sharpness


def mixture_of(
    rows: Sequence[Sequence[float]],
    logs: Sequence[Sequence[float]],
    weights: list[tuple[float, float, float]],
    form_evidence: Sequence[float],
    sharpness: float,
    rules: PoolRules,
) -> Mixture:
    """The forms, from each model's (slow, fast) log weights and correction."""
    evidence = softmax(form_evidence)
    slow = softmax([w[0] for w in weights])
    fast = softmax([w[1] for w in weights])
    n = len(logs)
    mean = [sum(column) / n for column in zip(*rows, strict=True)]
    forms = [mean, linear_pool(slow, rows), log_pool(fast, logs)]
    base = floored(linear_pool(parts_of(evidence), forms), rules)
    features = [base, *[[p - b for p, b in zip(row, base, strict=True)] for row in logs]]
    forms.append(log_pool([1.0 + sharpness, *[w[2] for w in weights]], features))
    return Mixture(evidence, forms, slow, fast, features)


def floored(row: Sequence[float], rules: PoolRules) -> list[float]:
    return floored_logs(row, rules.probability_floor)


def parts_of(evidence: Sequence[float]) -> list[float]:
    """The parts of the equal, the linear and the log-odds pool, by their evidence; sum to 1."""
    equal, linear, log_odds, _ = evidence
    total = equal + linear + log_odds
    return [equal / total, linear / total, log_odds / total] if total > 0.0 else [0.0, 1.0, 0.0]


def shares_by(slow: Sequence[float], fast: Sequence[float], evidence: Sequence[float]) -> list[float]:
    """Shares: even, of the slow and of the fast rule, by the evidence of the pools they make."""
    equal, linear, log_odds = parts_of(evidence)
    even = equal / len(slow)
    parts = [even + linear * s + log_odds * f for s, f in zip(slow, fast, strict=True)]
    total = sum(parts)  # 1, but for rounding: equal models have exactly equal shares of it
    return [part / total for part in parts]


def _score(logs: Sequence[float], outcome: Sequence[float]) -> float:
    """Log score: minus the log loss."""
    return sum(map(mul, logs, outcome))


def _learn_forms(state: Pool, mixture: Mixture, outcome: list[float], rules: PoolRules) -> None:
    """Bayes' rule over the forms, with evidence that fades towards the prior."""
    decay = rules.form_decay
    after: list[float] = []
    for p, e, form in zip(rules.form_prior, state.form_evidence, mixture.by_form, strict=True):
        prior = log(p)
        after.append(prior + decay * (e - prior) + _score(floored(form, rules), outcome))
    top = max(after)
    state.form_evidence = tuple([e - top for e in after])


def _learn_models(
    state: Pool,
    at_ns: int,
    model_ids: list[str],
    standings: list[Standing],
    logs: list[list[float]],
    mixture: Mixture,
    outcome: list[float],
    rules: PoolRules,
) -> None:
    """Move weight between those present, and each one's correction."""
    scores = [_score(row, outcome) for row in logs]
    slow = share_update([s.slow for s in standings], scores, rules.slow)
    fast = share_update([s.fast for s in standings], scores, rules.fast)
    features, batch = mixture.features, state.batch
    # As the coefficients are now, also among simultaneous events: their errors would add up otherwise.
    corrected = log_pool([1.0 + state.sharpness, *[s.correction for s in standings]], features)
    step = (corrected, outcome, len(features), rules.correction_variance, rules.correction_decay)
    state.sharpness, state.sharpness_information = newton_step(
        state.sharpness, state.sharpness_information, features[0], *step
    )
    for i, old in enumerate(standings):
        correction, information = newton_step(old.correction, old.information, features[i + 1], *step)
        before = old[4:7] if old.batch == batch else old[:3]
        last = at_ns if at_ns > old.last_at_ns else old.last_at_ns
        state.models[model_ids[i]] = Standing(
            slow[i], fast[i], correction, information, *before, batch, old.events + 1, last
        )


def shares(state: Pool, model_ids: Collection[str]) -> dict[str, float]:
    """The share of each of ``model_ids`` if they, and no others, forecast; sums to 1.

    A model the pool has not met yet counts as a new one. In the order of their names.
    """
    ordered = sorted(set(model_ids))
    if not ordered:
        return {}
    standings = standings_of(state, ordered)
    slow = softmax([s.slow for s in standings])
    fast = softmax([s.fast for s in standings])
    return dict(zip(ordered, shares_by(slow, fast, softmax(state.form_evidence)), strict=True))


def relative_weights(
    state: Pool, model_ids: Collection[str], returning: Collection[str] = ()
) -> dict[str, float]:
    """Share × number of models, of those that are alive: 1 where all are equally good, not clipped.

    ``model_ids`` are the models that are not retired; who that is, is for the caller to say. Each of
    ``returning`` is weighed as if it, and no other of them, were alive again.

    >>> from handicapper.actors.learning.pooling import new_pool
    >>> relative_weights(new_pool(), ["a", "b", "c", "d"], ["e"])
    {'a': 1.0, 'b': 1.0, 'c': 1.0, 'd': 1.0, 'e': 1.0}
    """
    shared = shares(state, model_ids)
    count = len(shared)
    weighed = {model_id: share * count for model_id, share in shared.items()}
    standings = standings_of(state, list(shared))
    slow_sum = sum([exp(s.slow) for s in standings])
    fast_sum = sum([exp(s.fast) for s in standings])
    equal, linear, log_odds = parts_of(softmax(state.form_evidence))
    for model_id in sorted(set(returning) - shared.keys()):
        standing = state.models.get(model_id, _NEW)
        slow, fast = exp(standing.slow), exp(standing.fast)
        share = linear * slow / (slow_sum + slow) + log_odds * fast / (fast_sum + fast)
        weighed[model_id] = equal + share * (count + 1)
    return weighed
