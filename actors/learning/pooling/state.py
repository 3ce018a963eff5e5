"""What the pool keeps: six numbers a model, and seven for all."""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct

from .shares import ShareRule

__all__ = ["FORMS", "PoolRules", "PoolState", "Standing", "copy_pool", "new_pool"]

FORMS: Final = ("linear_slow", "linear_fast", "log_fast", "corrected")
"""The forms a pool may take, in the order of their evidence: the linear pool by the slow and by the fast
shares, the log-odds pool by the fast shares, and the corrected pool."""


class PoolRules(NamedTuple):
    """The settings, one set for every stream."""

    slow: ShareRule = ShareRule(rate=1.0, decay=0.9995, sharing=0.0)
    """Bayes' rule with a long memory, about the last 2,000 events: finds the best model."""
    fast: ShareRule = ShareRule(rate=0.1, decay=0.997, sharing=0.0)
    """The mean log loss of about the last 333 events: mixes models that are nearly as good."""
    form_prior: tuple[float, ...] = (0.7, 0.1, 0.1, 0.1)
    """Prior probability of each of FORMS."""
    form_decay: float = 0.9995
    """How the evidence of the forms fades, per event, towards that prior."""
    correction_variance: float = 0.03
    """Prior variance of a coefficient of the corrected pool: 0 is no correction."""
    probability_floor: float = 0.01
    """Probabilities below this count as this wherever a logarithm is taken."""


class Standing(NamedTuple):
    """What is known of one model. Never changed in place."""

    slow: float = 0.0
    """Log weight under ``PoolRules.slow``."""
    fast: float = 0.0
    """Log weight under ``PoolRules.fast``."""
    correction: float = 0.0
    """Coefficient in the corrected pool."""
    information: float = 0.0
    """What is known of that coefficient, beyond its prior: the inverse of a variance."""
    events: int = 0
    """Events it was present at."""
    last_at_ns: int = 0
    """Time of the last of them."""


class PoolState(Struct, array_like=True):
    """The pool's state; :func:`.pool.learn` is what changes it. Equal states give equal bytes."""

    models: dict[str, Standing] = {}
    form_evidence: tuple[float, ...] = ()
    """Log evidence of each of FORMS, beside its prior; empty before the first event."""
    sharpness: float = 0.0
    """Coefficient of the pool's own log probabilities: above 0 extremizes, below 0 flattens."""
    sharpness_information: float = 0.0
    events: int = 0


def new_pool() -> PoolState:
    """A pool that knows nothing: every form as likely as its prior, every model new."""
    return PoolState(models={})


def copy_pool(state: PoolState) -> PoolState:
    """An independent copy, at the cost of copying one dict: standings are never changed in place."""
    return PoolState(
        dict(state.models), state.form_evidence, state.sharpness, state.sharpness_information, state.events
    )
