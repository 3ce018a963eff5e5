"""Selection: ranking Thompson samples, and the exact chance that a model is the best."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from math import log, sqrt
from operator import itemgetter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .beta_logit import log_cdf, log_density, logit_support, logit_width

__all__ = ["probability_best", "rank"]

T = TypeVar("T")

Array = NDArray[np.float64]

# Mass left out at either end of an arm's support.
_TAIL = 1e-16
# 20 nodes on five widths leave an error of about 1e-12; 16 nodes leave 1e-9 for a very skewed arm.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
_PANEL_WIDTHS = 5.0
_PANEL_MAX = 4.0
_PANEL_GROWTH = 1.5
# Elements of one arms × nodes array: 2 MiB, and about ten of them live at once.
_CHUNK_ELEMENTS = 1 << 18


def rank(items: Iterable[T], sample: Callable[[T], float] = itemgetter(1)) -> list[T]:
    """Items with their samples, highest sample first; of equal ones that which came first. A selection
    gives them in the order of their names. Pairs (name, sample) by default.

    >>> rank([("a", 0.5), ("b", 0.5), ("c", 0.7)])
    [('c', 0.7), ('a', 0.5), ('b', 0.5)]
    """
    return sorted(items, key=sample, reverse=True)


def probability_best(alphas: Sequence[float], betas: Sequence[float]) -> list[float]:
    """The chance of every arm that its hit rate is the highest of all, each hit rate being
    Beta(alpha, beta) and independent: ``Pᵢ = ∫ fᵢ Π_{j≠i} Fⱼ``.

    The integral runs on the logit axis by 20-point Gauss-Legendre panels. It starts where the best
    arm's support does (below, some factor of every product is 0), and a panel spans at most a few widths
    of the narrowest arm that still has mass there, so that one very sharp arm among wide ones is
    neither missed nor makes the whole axis fine. Nothing is normalised afterwards: that the result sums to 1,
    within 1e-9 for counts up to 1e7 and 10,000 arms, is a check and not a construction. Equal arms
    are computed once; memory is bounded by the chunk, not by the number of arms.

    Raises:
        ValueError: the two are not equally long, or a parameter is not above 0 and finite.

    >>> probability_best([3.0, 1.0], [1.0, 1.0])
    [0.75, 0.25]
    >>> probability_best([1.0], [1.0])
    [1.0]
    """
    arms = np.array(list(zip(alphas, betas, strict=True)), dtype=np.float64).reshape(-1, 2)
    if not (np.isfinite(arms).all() and (arms > 0.0).all()):
        raise ValueError("alphas and betas must all be above 0 and finite")
    if len(arms) <= 1:
        return [1.0] * len(arms)
    unique, index, copies = np.unique(arms, axis=0, return_inverse=True, return_counts=True)
    alpha, beta = unique.T
    lower, upper = logit_support(alpha, beta, _TAIL)
    start = lower.max()
    live = np.flatnonzero(upper > start)
    best = np.zeros(len(unique))
    best[live] = _integrate(alpha[live], beta[live], copies[live].astype(np.float64), upper[live], start)
    return best[index.ravel()].tolist()


def _integrate(alpha: Array, beta: Array, copies: Array, upper: Array, start: float) -> Array:
    """Chance of each arm to be the best, per copy. Arms are given in any order, unique."""
    order = np.argsort(upper)
    alpha, beta, copies, upper = alpha[order], beta[order], copies[order], upper[order]
    edges = _panel_edges(alpha, beta, float(copies.sum()), upper, start)
    half = np.diff(edges) / 2.0
    nodes = (edges[:-1] + half)[:, None] + half[:, None] * _NODES
    weights = half[:, None] * _WEIGHTS
    t, w = nodes.ravel(), weights.ravel()
    best = np.zeros(len(alpha))
    first = 0
    while first < len(t):
        # Arms whose support ended before this chunk have density 0 and CDF 1: they drop out.
        arm = int(np.searchsorted(upper, t[first]))
        last = first + max(_CHUNK_ELEMENTS // max(len(alpha) - arm, 1), 1)
        a, b = alpha[arm:, None], beta[arm:, None]
        chunk = t[None, first:last]
        cdf = log_cdf(chunk, a, b)
        all_below = copies[arm:] @ cdf
        best[arm:] += np.exp(log_density(chunk, a, b) - cdf + all_below) @ w[first:last]
        first = last
    result = np.empty_like(best)
    result[order] = np.minimum(best, 1.0)
    return result


def _panel_edges(alpha: Array, beta: Array, arms: float, upper: Array, start: float) -> Array:
    """Panel edges from ``start`` to the end of the last support; arms are sorted by ``upper``.

    The maximum of many equal arms is narrower than one of them by about √(2 ln n) (extreme value
    theory), hence the factor. ``_PANEL_MAX`` keeps panels within reach of the poles at ±iπ. Beyond
    ``bend`` every tail is a pure exponential, on which geometrically growing panels suffice.
    """
    scale = _PANEL_WIDTHS / sqrt(1.0 + log(arms))
    # Narrowest width among the arms that end at or after each place in the order.
    narrowest = np.minimum.accumulate(logit_width(alpha, beta)[::-1])[::-1].tolist()
    ends = upper.tolist()
    bend = 40.0 + log(max(float(alpha.max()), float(beta.max()), 1.0))
    edges = [start]
    t = start
    while t < ends[-1]:
        if t < -bend:
            t = min(t / _PANEL_GROWTH, -bend)
        elif t >= bend:
            t *= _PANEL_GROWTH
        else:
            width = narrowest[min(bisect_right(ends, t), len(ends) - 1)]
            t = min(t + min(scale * width, _PANEL_MAX), bend)
        edges.append(min(t, ends[-1]))
    return np.array(edges)
