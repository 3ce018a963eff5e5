"""What the pool keeps: ten numbers a model, and a few for all."""

from __future__ import annotations

from collections.abc import Collection
from math import log
from typing import Final, NamedTuple

from msgspec import Struct

from .share_rule import ShareRule

__all__ = ["DEFAULT_RULES", "FORMS", "Pool", "PoolRules", "Standing", "copy_pool", "excerpt", "new_pool"]

COPIED_FOR_ONE: Final = 4
"""Standings that are copied with their dict in the time that one is looked up."""

FORMS: Final = ("equal", "linear", "log_odds", "corrected")
"""The forms a pool may take, in the order of their evidence: the plain mean, the linear pool by the slow
shares, the log-odds pool by the fast ones, and those three corrected."""


class PoolRules(NamedTuple):
    """The settings; one set serves every stream."""

    slow: ShareRule = ShareRule(rate=0.75, decay=0.9997, sharing=1e-6)
    """Nearly Bayes' rule, over about the last 3,333 events: finds the best model. A rate below 1, because
    events that overlap are not independent evidence."""
    fast: ShareRule = ShareRule(rate=0.1, decay=0.997, sharing=1e-4)
    """Over about the last 333 events, and slower to choose: mixes models that are nearly as good."""
    form_prior: tuple[float, float, float, float] = (0.04, 0.86, 0.04, 0.06)
    """Prior probability of each of FORMS: the best models, until the evidence is for another form."""
    form_decay: float = 0.9997
    """How that evidence fades towards the prior, per event."""
    correction_variance: float = 0.03
    """Prior variance of each coefficient of the corrected pool, whose prior mean is 0: no correction."""
    correction_decay: float = 0.9997
    """How what is known of a coefficient fades, per event: 1 ends in settling for good."""
    probability_floor: float = 0.01
    """Probabilities below this count as this wherever a logarithm is taken."""
    simultaneous_seconds: float = 3_600.0
    """Events resolved within this of each other count as simultaneous: none is judged with what the others
    taught, since no forecast of one could have known the outcome of another."""


DEFAULT_RULES: Final = PoolRules()


class Standing(NamedTuple):
    """What is known of one model. Never changed in place."""

    slow: float = 0.0
    """Log weight under ``PoolRules.slow``."""
    fast: float = 0.0
    """Log weight under ``PoolRules.fast``."""
    correction: float = 0.0
    """Coefficient in the corrected pool."""
    information: float = 0.0
    """What is known of that coefficient beyond its prior: the inverse of a variance."""
    slow_before: float = 0.0
    """Like the first three, before the simultaneous events of ``batch``."""
    fast_before: float = 0.0
    correction_before: float = 0.0
    batch: int = 0
    events: int = 0
    """Events it was present at."""
    last_at_ns: int = 0
    """Newest event time among them."""


class Pool(Struct, array_like=True):
    """The pool's state; :func:`.pool.learn` alone changes it. Equal states give equal bytes."""

    models: dict[str, Standing]
    form_evidence: tuple[float, ...]
    """Log evidence of each of FORMS, with its prior, beside the best."""
    form_evidence_before: tuple[float, ...]
    """Like it, before the simultaneous events of ``batch``."""
    sharpness: float = 0.0
    """Coefficient of the pool's own log probabilities: above 0 extremizes, below 0 flattens."""
    sharpness_before: float = 0.0
    sharpness_information: float = 0.0
    batch: int = 0
    """Number of the present batch of simultaneous events; 0 before the first."""
    batch_at_ns: int = 0
    """Event time at which it began."""
    events: int = 0


def new_pool(rules: PoolRules = DEFAULT_RULES) -> Pool:
    """A pool that knows nothing: every form as likely as its prior, every model new."""
    prior = tuple([log(p) for p in rules.form_prior])
    return Pool({}, prior, prior)


def copy_pool(state: Pool) -> Pool:
    """An independent copy, for the price of copying one dict: standings are never changed in place."""
    return _with_models(state, dict(state.models))


def excerpt(state: Pool, model_ids: Collection[str]) -> Pool:
    """A copy of what is known of these models, and of what is kept for all: it combines their forecasts as the pool
    does now, whatever that learns meanwhile. What is known of others is in it where leaving it out is more work.

    >>> excerpt(Pool({"a": Standing(slow=1.0), "b": Standing()}, (), ()), ["a", "new"]).models["a"].slow
    1.0
    """
    known = state.models
    if len(known) < COPIED_FOR_ONE * len(model_ids):
        return copy_pool(state)
    return _with_models(state, {model_id: known[model_id] for model_id in model_ids if model_id in known})


def _with_models(state: Pool, models: dict[str, Standing]) -> Pool:
    return Pool(
        models,
        state.form_evidence,
        state.form_evidence_before,
        state.sharpness,
        state.sharpness_before,
        state.sharpness_information,
        state.batch,
        state.batch_at_ns,
        state.events,
    )
