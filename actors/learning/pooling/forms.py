"""The forms of a pool: how distributions become one.

* The **linear pool** ``Σ wᵢ pᵢ``: as spread out as the models disagree. Source: Stone (1961), *The opinion
  pool*, Annals of Mathematical Statistics 32.
* The **log-odds pool** ``∝ Π pᵢ^wᵢ``, the mean of the log odds: sharper, and external Bayes. Source: Genest &
  Zidek (1986), *Combining probability distributions*, Statistical Science 1.
* The **corrected pool**, of a pool ``b``: ``∝ b^(1+c) · Π (pᵢ/b)^aᵢ``. The exponent ``1 + c`` extremizes or
  flattens (Baron, Mellers, Tetlock, Stone & Ungar 2014, *Two reasons to make aggregated probability
  forecasts more extreme*, Decision Analysis 11); ``aᵢ`` says how far to go on towards, or away from, what a
  model says beyond the pool, so that two models that repeat each other can be taken for one. Coefficients
  of 0 are the pool itself. With two labels this is a logistic regression on log odds, fitted online:
  stacking (Wolpert 1992, *Stacked generalization*, Neural Networks 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from operator import mul

__all__ = ["disagreement", "linear_pool", "log_pool", "newton_step", "softmax"]


def softmax(logs: Sequence[float]) -> list[float]:
    """``eˡ / Σ eˡ``, for logarithms of any size.

    >>> softmax([0.0, 0.0]), softmax([-1e9, 0.0])
    ([0.5, 0.5], [0.0, 1.0])
    """
    top = max(logs)
    values = [exp(value - top) for value in logs]
    total = sum(values)
    return [value / total for value in values]


def linear_pool(weights: Sequence[float], rows: Sequence[Sequence[float]]) -> list[float]:
    """``Σ wᵢ pᵢ`` for each label.

    >>> linear_pool([0.5, 0.5], [[0.9, 0.1], [0.5, 0.5]])
    [0.7, 0.3]
    """
    return [sum(map(mul, weights, column)) for column in zip(*rows, strict=True)]


def log_pool(weights: Sequence[float], logs: Sequence[Sequence[float]]) -> list[float]:
    """``∝ exp(Σ wᵢ lᵢ)`` for each label, from logarithms.

    By shares of the log probabilities of the models it is the log-odds pool; by ``[1 + c, a₁, …]`` of
    the pool's log probabilities and of each model's minus the pool's it is the corrected pool.

    >>> log_pool([0.5, 0.5], [[log(0.9), log(0.1)], [log(0.5), log(0.5)]])
    [0.75, 0.25]
    >>> log_pool([2.0], [[log(0.75), log(0.25)]])
    [0.9, 0.1]
    """
    return softmax(linear_pool(weights, logs))


def newton_step(
    coefficient: float,
    information: float,
    feature: Sequence[float],
    forecast: Sequence[float],
    outcome: Sequence[float],
    count: int,
    variance: float,
    decay: float,
) -> tuple[float, float]:
    """One coefficient of the corrected pool after an event: ``(coefficient, information)``.

    The gradient of the log score is ``Σ feature·(outcome − forecast)``, its curvature the variance of the
    feature under the forecast. ``count`` coefficients move at once, each on its own, and the curvature of
    a sum of ``count`` terms is at most ``count`` times theirs together. The prior has mean 0 and the
    ``variance`` given; ``decay`` is the factor on what was known before.

    Source: a diagonal online Newton step; Hazan, Agarwal & Kale (2007), *Logarithmic regret algorithms for
    online convex optimization*, Machine Learning 69.

    >>> newton_step(0.0, 0.0, [1.0, -1.0], [0.5, 0.5], [1.0, 0.0], 1, 0.5, 1.0)
    (0.3333333, 1.0)
    """
    mean = square = gradient = 0.0
    for x, q, y in zip(feature, forecast, outcome, strict=True):
        qx = q * x
        mean += qx
        square += qx * x
        gradient += y * x
    curvature = square - mean * mean
    information *= decay
    if curvature > 0.0:
        information += count * curvature
    return coefficient + (gradient - mean) / (information + 1.0 / variance), information


def disagreement(shares: Sequence[float], rows: Sequence[Sequence[float]]) -> float:
    """How far the models are apart: ``Σ wᵢ KL(pᵢ ‖ Σ wⱼ pⱼ) / log K``, in [0, 1].

    The Jensen–Shannon divergence of the distributions by their shares, over its greatest possible value
    for K labels: 0 where all say the same, 1 where the shares are even and each is certain of another label.

    Source: Lin (1991), *Divergence measures based on the Shannon entropy*, IEEE Transactions on
    Information Theory 37.

    >>> disagreement([0.5, 0.5], [[0.7, 0.3], [0.7, 0.3]]), disagreement([0.5, 0.5], [[1.0, 0.0], [0.0, 1.0]])
    (0.0, 1.0)
    """
    mixture = linear_pool(shares, rows)
    total = 0.0
    for w, row in zip(shares, rows, strict=True):
        for p, q in zip(row, mixture, strict=True):
            if p > 0.0 and q > 0.0:
                total += w * p * log(p / q)
    return min(max(total / log(len(mixture)), 0.0), 1.0)
