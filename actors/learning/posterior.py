"""Beta posterior of a model's hit rate, from evidence that decays towards the configured prior.

The evidence is two decayed sums (see :mod:`.decay`) with one reference time: ``successes`` S grows by
``x`` and ``failures`` F by ``1 − x`` with every outcome ``x`` in [0, 1]. The posterior is
``Beta(prior_alpha + S, prior_beta + F)``: with no outcome for long, S and F fade and the prior is left.

Source: Gelman et al., *Bayesian Data Analysis* (3rd ed.), section 2.4 (conjugate Beta); Raj & Kalyani
(2017), *Taming non-stationary bandits: a Bayesian approach* (discounted counts).
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp2

from scipy.special import cython_special

__all__ = [
    "add_outcome",
    "beta_interval",
    "beta_mean",
    "beta_quantile",
    "beta_variance",
    "effective_sample_size",
    "posterior_at",
    "posterior_parameters",
]

# The specialisation for doubles also takes an int; the fused function raises TypeError on one.
_inverse_cdf: Callable[[float, float, float], float] = cython_special.betaincinv["double"]


def add_outcome(
    successes: float, failures: float, as_of_ns: int, x: float, at_ns: int, half_life_seconds: float
) -> tuple[float, float, int]:
    """Add one outcome to both sums with one decay; returns ``(successes, failures, as_of_ns)``.

    The same as :func:`.decay.add_decayed` for ``x`` and for ``1 − x``, written out because it runs
    once per outcome. The half-life must be above 0 and may be infinite; nothing is checked.

    >>> hour = 3_600 * 10**9
    >>> add_outcome(4.0, 2.0, 0, 1.0, hour, 3_600.0)
    (3.0, 1.0, 3600000000000)
    >>> add_outcome(3.0, 1.0, hour, 0.5, 0, 3_600.0)
    (3.25, 1.25, 3600000000000)
    """
    if at_ns == as_of_ns:
        return successes + x, failures + (1.0 - x), as_of_ns
    if at_ns > as_of_ns:
        factor = exp2((as_of_ns - at_ns) / (half_life_seconds * 1e9))
        return successes * factor + x, failures * factor + (1.0 - x), at_ns
    factor = exp2((at_ns - as_of_ns) / (half_life_seconds * 1e9))
    return successes + x * factor, failures + (1.0 - x) * factor, as_of_ns


def posterior_parameters(
    successes: float, failures: float, prior_alpha: float, prior_beta: float
) -> tuple[float, float]:
    """``(alpha, beta)`` of the posterior, never below the prior's.

    >>> posterior_parameters(6.5, 3.5, 1.0, 1.0)
    (7.5, 4.5)
    >>> posterior_parameters(-1e-17, 0.0, 1e-3, 1e-3)
    (0.001, 0.001)
    """
    return (
        prior_alpha + successes if successes > 0.0 else prior_alpha,
        prior_beta + failures if failures > 0.0 else prior_beta,
    )


def posterior_at(
    successes: float,
    failures: float,
    as_of_ns: int,
    at_ns: int,
    half_life_seconds: float,
    prior_alpha: float,
    prior_beta: float,
) -> tuple[float, float]:
    """``(alpha, beta)`` as of ``at_ns``; a time before ``as_of_ns`` reads as ``as_of_ns``.

    >>> posterior_at(100.0, 0.0, 0, 3_600 * 10**9, 3_600.0, 1.0, 1.0)
    (51.0, 1.0)
    """
    if at_ns > as_of_ns:
        factor = exp2((as_of_ns - at_ns) / (half_life_seconds * 1e9))
        successes *= factor
        failures *= factor
    return posterior_parameters(successes, failures, prior_alpha, prior_beta)


def beta_mean(alpha: float, beta: float) -> float:
    """Mean of Beta(alpha, beta): ``alpha / (alpha + beta)``.

    >>> beta_mean(3.0, 1.0)
    0.75
    """
    return alpha / (alpha + beta)


def beta_variance(alpha: float, beta: float) -> float:
    """Variance of Beta(alpha, beta): ``alpha·beta / ((alpha + beta)² (alpha + beta + 1))``.

    >>> beta_variance(1.0, 1.0) * 12
    1.0
    """
    n = alpha + beta
    # As a product of shares: alpha·beta and n² overflow long before the variance does.
    return (alpha / n) * (beta / n) / (n + 1.0)


def beta_quantile(alpha: float, beta: float, probability: float) -> float:
    """The hit rate below which Beta(alpha, beta) has the share ``probability`` (in [0, 1]) of its mass.

    >>> beta_quantile(1.0, 1.0, 0.3), beta_quantile(2.0, 1.0, 0.25)
    (0.3, 0.5)
    """
    return _inverse_cdf(alpha, beta, probability)


def beta_interval(alpha: float, beta: float, level: float = 0.90) -> tuple[float, float]:
    """The central credible interval that holds the share ``level`` of the posterior.

    >>> beta_interval(1.0, 1.0)
    (0.05, 0.95)
    """
    tail = (1.0 - level) / 2.0
    return _inverse_cdf(alpha, beta, tail), _inverse_cdf(alpha, beta, 1.0 - tail)


def effective_sample_size(alpha: float, beta: float, prior_alpha: float, prior_beta: float) -> float:
    """How many fresh outcomes the evidence is worth: the pseudo-counts beyond the prior's, at least 0.

    >>> effective_sample_size(7.5, 4.5, 1.0, 1.0)
    10.0
    """
    size = (alpha - prior_alpha) + (beta - prior_beta)
    return size if size > 0.0 else 0.0
