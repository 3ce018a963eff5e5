"""The forms of a pool: how distributions become one.

* The **linear pool** ``Σ wᵢ pᵢ``: as spread out as the models disagree. Source: Stone (1961), *The opinion
  pool*, Annals of Mathematical Statistics 32.
* The **log-odds pool** ``∝ Π pᵢ^wᵢ``, the mean of the log odds: sharper, and external Bayes. Source: Genest &
  Zidek (1986), *Combining probability distributions*, Statistical Science 1.
* The **corrected pool**, of a pool ``b``: ``∝ b^(1+c) · Π (pᵢ/b)^aᵢ``. The exponent ``1 + c`` extremizes or
  flattens (Baron, Mellers, Tetlock, Stone & Ungar 2014, *Two reasons to make aggregated probability
  forecasts more extreme*, Decision Analysis 11); ``aᵢ`` says how far to go on towards, or away from, what a
  model says beyond the pool, so two models that repeat each other can be taken for one. Coefficients of
  0 are the pool itself. With two labels this is a logistic regression on log odds: stacking.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

__all__ = ["corrected_pool", "disagreement", "linear_pool", "log_pool", "newton_step", "softmax"]


def softmax(logs: Sequence[float]) -> list[float]:
    """``eˡ / Σ eˡ``, for logarithms of any size.

    >>> softmax([0.0, 0.0]), softmax([-1e9, 0.0])
    ([0.5, 0.5], [0.0, 1.0])
    """
    top = max(logs)
    values = [exp(value - top) for value in logs]
    total = sum(values)
    return [value / total for value in values]


def linear_pool(shares: Sequence[float], rows: Sequence[Sequence[float]]) -> list[float]:
    """``Σ wᵢ pᵢ`` for each label.

    >>> linear_pool([0.5, 0.5], [[0.9, 0.1], [0.5, 0.5]])
    [0.7, 0.3]
    """
    return [sum([w * p for w, p in zip(shares, column, strict=True)]) for column in zip(*rows, strict=True)]


def log_pool(shares: Sequence[float], logs: Sequence[Sequence[float]]) -> list[float]:
    """``∝ exp(Σ wᵢ log pᵢ)`` for each label, from the logarithms of the distributions.

    >>> log_pool([0.5, 0.5], [[log(0.9), log(0.1)], [log(0.5), log(0.5)]])
    [0.75, 0.25]
    """
    return softmax(linear_pool(shares, logs))


def corrected_pool(coefficients: Sequence[float], features: Sequence[Sequence[float]]) -> list[float]:
    """``∝ exp(feature₀ + Σ coefficientᵢ · featureᵢ)``, where feature₀ and its coefficient are the pool's.

    ``features[0]`` are the pool's log probabilities, with coefficient c; ``features[i]`` those of a model
    minus the pool's, with coefficient aᵢ.

    >>> corrected_pool([1.0], [[log(0.75), log(0.25)]])
    [0.9, 0.1]
    """
    base = features[0]
    moved = linear_pool(coefficients, features)
    return softmax([b + m for b, m in zip(base, moved, strict=True)])


def newton_step(
    coefficient: float,
    information: float,
    feature: Sequence[float],
    forecast: Sequence[float],
    outcome: Sequence[float],
    variance: float,
    count: int,
) -> tuple[float, float]:
    """One coefficient of the corrected pool after an event: ``(coefficient, information)``.

    The gradient of the log score is ``Σ feature·(outcome − forecast)``, its curvature the variance of the
    feature under the forecast; ``count`` coefficients move at once, and the curvature of a direction is at
    most ``count`` times that of its parts. The prior has mean 0 and the variance given.

    Source: a diagonal online Newton step; Hazan, Agarwal & Kale (2007), *Logarithmic regret algorithms for
    online convex optimization*, Machine Learning 69.
    """
    mean = gradient = square = 0.0
    for x, q, y in zip(feature, forecast, outcome, strict=True):
        mean += q * x
        square += q * x * x
        gradient += x * (y - q)
    curvature = square - mean * mean
    if curvature > 0.0:
        information += count * curvature
    return coefficient + gradient / (information + 1.0 / variance), information


def disagreement(shares: Sequence[float], rows: Sequence[Sequence[float]]) -> float:
    """How far the models are apart: ``Σ wᵢ KL(pᵢ ‖ Σ wⱼ pⱼ) / log K``, in [0, 1].

    The Jensen–Shannon divergence of the distributions by their shares, over its greatest possible value
    for K labels: 0 where all say the same, 1 where all are certain of different labels evenly.

    Source: Lin (1991), *Divergence measures based on the Shannon entropy*, IEEE Transactions on
    Information Theory 37.

    >>> disagreement([0.5, 0.5], [[0.7, 0.3], [0.7, 0.3]]), disagreement([0.5, 0.5], [[1.0, 0.0], [0.0, 1.0]])
    (0.0, 1.0)
    """
    mixture = linear_pool(shares, rows)
    total = 0.0
    for w, row in zip(shares, rows, strict=True):
        if w > 0.0:
            total += w * sum(
                [p * log(p / q) for p, q in zip(row, mixture, strict=True) if p > 0.0 and q > 0.0]
            )
    return min(max(total / log(len(mixture)), 0.0), 1.0)
