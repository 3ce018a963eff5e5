"""Adaptive weight: how large a model's positions are, against a neutral 1.

A policy maps what is known of a model to its weight. ``WEIGHT_POLICIES`` is the one place where a
policy has a name; to add one, write the function and name it there. Evidence a new policy needs is a
new field of :class:`WeightEvidence` with a default, which the other policies ignore.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from types import MappingProxyType
from typing import NamedTuple, Protocol

from .posterior import beta_mean, effective_sample_size

__all__ = [
    "NEUTRAL_WEIGHT",
    "WEIGHT_POLICIES",
    "WeightEvidence",
    "WeightPolicy",
    "WeightRules",
    "accuracy_weight",
    "edge_weight",
    "posterior_weight",
    "score_weight",
]

NEUTRAL_WEIGHT = 1.0
"""Weight of a model that is not adapted: neither favoured nor held back."""


class WeightEvidence(NamedTuple):
    """What is known of one model."""

    ema_accuracy: float
    alpha: float
    """Of the posterior, decayed to now."""
    beta: float
    prior_alpha: float
    prior_beta: float
    relative: float = 1.0
    """The model's share of the pool against an equal one; 1 where the pool knows nothing of it."""
    log_wealth: float = 0.0
    """Of a bettor on the model's claims, decayed to now."""
    bets: float = 0.0
    """How many outcomes that is of, decayed to now."""


class WeightRules(NamedTuple):
    """Settings common to the policies."""

    minimum: float = 0.25
    maximum: float = 2.0
    shrinkage: float = 10.0
    """Effective sample size at which the ``posterior`` and ``edge`` policies believe half of it."""


class WeightPolicy(Protocol):
    """Maps evidence to a weight within ``rules.minimum`` and ``rules.maximum``; pure."""

    def __call__(self, evidence: WeightEvidence, rules: WeightRules, /) -> float:
        """The weight."""
        ...


def _weight(deviation: float, rules: WeightRules) -> float:
    """``clip(1 + 2·deviation, minimum, maximum)``: a hit rate of 1/2 is neutral, 1 doubles."""
    return min(max(NEUTRAL_WEIGHT + 2.0 * deviation, rules.minimum), rules.maximum)


def accuracy_weight(evidence: WeightEvidence, rules: WeightRules) -> float:
    """``clip(1 + 2(ema − 1/2), minimum, maximum)``: quick to react, and noisy.

    At ``ema_alpha`` 0.1 the average stands on about 19 outcomes, which cannot tell 54 % from 60 %.

    >>> accuracy_weight(WeightEvidence(0.7, 1.0, 1.0, 1.0, 1.0), WeightRules())
    1.4
    """
    return _weight(evidence.ema_accuracy - 0.5, rules)


def posterior_weight(evidence: WeightEvidence, rules: WeightRules) -> float:
    """``clip(1 + 2(mean − 1/2)·n/(n + shrinkage), minimum, maximum)``, with n the effective sample size.

    The mean of the decayed posterior rests on every outcome of the last half-lives; with little
    evidence the weight stays near neutral, whatever the prior is.

    Source: shrinkage by n/(n + k) is Bühlmann's credibility factor, Bühlmann (1967), *Experience rating
    and credibility*, ASTIN Bulletin 4(3).

    >>> posterior_weight(WeightEvidence(0.5, 8.0, 4.0, 1.0, 1.0), WeightRules())
    1.1666667
    """
    _, alpha, beta, prior_alpha, prior_beta = evidence[:5]
    size = effective_sample_size(alpha, beta, prior_alpha, prior_beta)
    if size == 0.0:
        return _weight(0.0, rules)
    return _weight((beta_mean(alpha, beta) - 0.5) * size / (size + rules.shrinkage), rules)


def edge_weight(evidence: WeightEvidence, rules: WeightRules) -> float:
    """``clip(exp(log_wealth·n/(n + shrinkage)), minimum, maximum)``, with n the bets of the decayed log-wealth.

    The weight is what a wealth of 1 has become that was staked on the model's claims, Kelly's way (see :mod:`.kelly`):
    above 1 where they were worth more than they cost. With no bets, as of a model without prices, it is neutral, and so
    it becomes again as evidence fades. At fair prices its expectation is at most 1 at any time: decay and shrinkage
    take powers below 1 of what is a fair game.

    Source: Shafer & Vovk (2019), *Game-Theoretic Foundations for Probability and Finance*, for wealth as evidence;
    shrinkage as in :func:`posterior_weight`.

    >>> edge_weight(WeightEvidence(0.5, 1.0, 1.0, 1.0, 1.0, log_wealth=0.4, bets=30.0), WeightRules())
    1.3498588
    >>> edge_weight(WeightEvidence(0.9, 9.0, 1.0, 1.0, 1.0), WeightRules())
    1.0
    """
    size = evidence.bets
    if size <= 0.0:
        return NEUTRAL_WEIGHT
    # Clipped before exp, so that it cannot overflow.
    log_weight = min(evidence.log_wealth * size / (size + rules.shrinkage), 700.0)
    return min(max(exp(log_weight), rules.minimum), rules.maximum)


def score_weight(evidence: WeightEvidence, rules: WeightRules) -> float:
    """``clip(share · number of models, minimum, maximum)``: what a model's forecasts were worth beside the others'.

    A share of the pool (see :mod:`.pooling`) compares models on the same events only, so that one which was absent
    neither gains nor loses; an equal share is neutral.

    >>> score_weight(WeightEvidence(0.5, 1.0, 1.0, 1.0, 1.0, relative=1.5), WeightRules())
    1.5
    """
    return min(max(evidence.relative, rules.minimum), rules.maximum)


WEIGHT_POLICIES: Mapping[str, WeightPolicy] = MappingProxyType(
    {
        "accuracy": accuracy_weight,
        "posterior": posterior_weight,
        "edge": edge_weight,
        "score": score_weight,
    }
)
"""Every policy by the name the settings use."""
