# cython: boundscheck=False, wraparound=False, cdivision=True
"""Beta counts of a hit rate that moves along a line: least squares in which outcomes fade with age.

Ages ``a`` are in half-lives ``H`` of the trend, and an outcome ``x`` counts ``k = 2^(−a)``. A trend keeps five sums,
``n₀, n₁, n₂ = Σ k·(1, a, a²)`` and ``s₀, s₁ = Σ k·(1, a)·x``. With the prior's ``α + β`` outcomes, ``α`` of them right,
added at age 0, so that ``N = n₀ + α + β`` and ``S = s₀ + α``, the line that has the least sum of ``k·(x − p + b·a)²``
stands at age 0 at

    ``p = (S − c·s₁) / n``,  ``n = N − c·n₁``,  ``c = n₁ / m``,  ``m = n₂ + ridge``

where ``n``, the precision of ``p`` in outcomes, is what is left of ``N`` because the slope is not known: the Schur
complement of the normal equations. The ridge ``0.02·n₂ + 0.001`` holds the slope back: a little always, and
altogether for outcomes that come within a hundredth of a half-life. As everything fades, ``n`` comes down to
``α + β`` and ``p`` to ``α / (α + β)``, however steep the line was: it is not drawn on through a long time without
outcomes.

``p`` is kept from certainty, between the means of ``Beta(α, β + n)`` and ``Beta(α + n, β)``; the counts are ``p·n`` and
``(1 − p)·n``, at least half of the prior's.

Source: discounted least squares: Brown (1963), *Smoothing, forecasting and prediction of discrete time series*,
ch. 9–12; precision that fades with a discount: West & Harrison (1997), *Bayesian forecasting and dynamic models*,
section 6.3; the ridge: Hoerl & Kennard (1970), *Ridge regression*, Technometrics 12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .hypotheses import Numbers

__all__ = ["SUMS", "age_trends", "count_in_trends", "read_trends"]

SUMS: Final = 5
"""Of a trend, one after another: n₀, n₁, n₂, s₀, s₁."""

_RIDGE = 1.02
_RIDGE_MIN = 1e-3


def age_trends(sums: Numbers, ages: Sequence[float], kept: Sequence[float]) -> None:
    """Let the time ``ages`` pass, in half-lives of each trend, of which 2 to their negative power is ``kept``.

    >>> from .hypotheses import numbers
    >>> sums = numbers([1.0, 0.0, 0.0, 1.0, 0.0])
    >>> age_trends(sums, [1.0], [0.5])
    >>> list(sums)
    [0.5, 0.5, 0.5, 0.5, 0.5]
    """
    for i in range(len(ages)):
        age, keeps, at = ages[i], kept[i], 5 * i
        n0, n1, s0 = sums[at], sums[at + 1], sums[at + 3]
        sums[at + 2] = keeps * (sums[at + 2] + age * (2.0 * n1 + age * n0))
        sums[at + 1] = keeps * (n1 + age * n0)
        sums[at + 4] = keeps * (sums[at + 4] + age * s0)
        sums[at] = keeps * n0
        sums[at + 3] = keeps * s0


def count_in_trends(sums: Numbers, x: float, ages: Sequence[float], kept: Sequence[float]) -> None:
    """Add an outcome that is of such an age for each trend; what is ``kept`` of one that has just come is 1.

    >>> from .hypotheses import numbers
    >>> sums = numbers([0.0] * SUMS)
    >>> count_in_trends(sums, 1.0, [2.0], [0.25])
    >>> list(sums)
    [0.25, 0.5, 1.0, 0.25, 0.5]
    """
    for i in range(len(ages)):
        age, keeps, at = ages[i], kept[i], 5 * i
        aged = age * keeps
        sums[at] += keeps
        sums[at + 1] += aged
        sums[at + 2] += age * aged
        sums[at + 3] += keeps * x
        sums[at + 4] += aged * x


def read_trends(
    sums: Numbers, alphas: Numbers, betas: Numbers, first: int, prior_alpha: float, prior_beta: float
) -> None:
    """Put the counts of each trend into its place, from the ``first`` on.

    Outcomes that rose from 0.2 to 0.6 in the last half-life, and are 0.42 on average, weighed by age:

    >>> from .hypotheses import numbers
    >>> alphas, betas = numbers([0.0]), numbers([0.0])
    >>> sums = numbers([0.0] * SUMS)
    >>> for i in range(101):
    ...     age = i / 100
    ...     count_in_trends(sums, 0.6 - 0.4 * age, [age], [2.0**-age])
    >>> read_trends(sums, alphas, betas, 0, 1.0, 1.0)
    >>> alphas[0] / (alphas[0] + betas[0]), alphas[0] + betas[0]
    (0.581703, 24.759710)
    """
    prior = prior_alpha + prior_beta
    for i in range(len(sums) // 5):
        at = 5 * i
        n1 = sums[at + 1]
        lean = n1 / (_RIDGE * sums[at + 2] + _RIDGE_MIN)
        size = sums[at] + prior - lean * n1
        if size < prior:
            size = prior
        p = (sums[at + 3] + prior_alpha - lean * sums[at + 4]) / size
        least = prior_alpha / (size + prior)
        most = 1.0 - prior_beta / (size + prior)
        p = least if p < least else most if p > most else p
        alphas[first + i] = p * size
        betas[first + i] = (1.0 - p) * size
