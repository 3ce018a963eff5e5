# cython: boundscheck=False, wraparound=False, cdivision=True
"""Loops over hypotheses that have Beta counts and weights: what :mod:`.changepoint` and :mod:`.mixture` reckon with.

Compiled, they run on C's numbers (see ``hypotheses.pxd``), and otherwise in the interpreter, with the same bits: sums
are taken in one order, written out here, and ``exp`` and ``exp2`` are the C library's. What is looped over is
:data:`Numbers`, in either case that which is faster: lists are to the interpreter what arrays are to C.

Weights lie in columns, one for each rate of change, so that loops are long.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

__all__ = [
    "Numbers",
    "Times",
    "bayes_rule",
    "chances",
    "count_in",
    "fade",
    "judge_by_others",
    "late_shares",
    "marginals",
    "mean_of",
    "numbers",
    "packed",
    "packed_rows",
    "packed_times",
    "pairwise_sum",
    "place_of_share",
    "segments_end",
    "square_of",
    "sum_from",
    "times",
    "unpacked",
    "unpacked_times",
]

Numbers: TypeAlias = "list[float] | array[float]"
"""Doubles of which there may become more, or less."""
Times: TypeAlias = "list[int] | array[int]"
"""In ns."""

_COMPILED: Final = not __file__.endswith(".py")
_DOUBLE_BYTES: Final = 8
_PAIRWISE_MAX: Final = 128


def numbers(values: Iterable[float]) -> Numbers:
    """Such numbers of any.

    >>> numbers([0.5, 0.25])[1]
    0.25
    """
    return array("d", values) if _COMPILED else list(values)


def times(values: Iterable[int]) -> Times:
    """Such times of any."""
    return array("q", values) if _COMPILED else list(values)


def _zeros(count: int) -> Numbers:
    return _ZERO * count


_ZERO: Final = numbers((0.0,))


def unpacked(data: bytes) -> Numbers:
    """Numbers of their bytes; :func:`packed` is the inverse."""
    found = array("d", data)
    return found if _COMPILED else found.tolist()


def unpacked_times(data: bytes) -> Times:
    """Times of their bytes, likewise."""
    found = array("q", data)
    return found if _COMPILED else found.tolist()


def packed(values: Numbers) -> bytes:
    """Their bytes: 8 each, as the machine has them.

    >>> unpacked(packed(numbers([0.5, 0.25])))[1]
    0.25
    """
    return array("d", values).tobytes()


def packed_rows(columns: list[Numbers]) -> bytes:
    """The bytes of columns of one length, row by row."""
    width = len(columns)
    rows = array("d", bytes(_DOUBLE_BYTES * sum(map(len, columns))))
    for place, column in enumerate(columns):
        rows[place::width] = array("d", column)
    return rows.tobytes()


def packed_times(values: Times) -> bytes:
    """Their bytes, likewise."""
    return array("q", values).tobytes()


def sum_from(values: Numbers, first: int) -> float:
    """Sum of the values from a place on, one after another.

    >>> sum_from(numbers([4.0, 2.0, 1.0]), 1)
    3.0
    """
    total = 0.0
    for i in range(first, len(values)):
        total += values[i]
    return total


def pairwise_sum(values: Numbers, first: int, count: int) -> float:
    """Sum of ``count`` values in eight strands, of long ones that of two halves: rounding grows with the logarithm.

    Source: Higham (1993), *The accuracy of floating point summation*, SIAM J. Sci. Comput. 14; the strands are NumPy's,
    whose sums these were, and are to the last bit.
    """
    if count < 8:
        total = 0.0
        for i in range(first, first + count):
            total += values[i]
        return total
    if count > _PAIRWISE_MAX:
        half = count // 2
        half -= half % 8
        return pairwise_sum(values, first, half) + pairwise_sum(values, first + half, count - half)
    a, b, c, d = values[first], values[first + 1], values[first + 2], values[first + 3]
    e, f, g, h = values[first + 4], values[first + 5], values[first + 6], values[first + 7]
    end = first + count
    tail = end - count % 8
    for i in range(first + 8, tail, 8):
        a += values[i]
        b += values[i + 1]
        c += values[i + 2]
        d += values[i + 3]
        e += values[i + 4]
        f += values[i + 5]
        g += values[i + 6]
        h += values[i + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for i in range(tail, end):
        total += values[i]
    return total


def segments_end(columns: list[Numbers], lasts: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Let each column keep the part of ``lasts``; what it loses is returned, and of that the first hypotheses get
    ``shares``."""
    lost: list[float] = []
    for j, column in enumerate(columns):
        last, held = lasts[j], 0.0
        for i in range(len(column)):
            w = column[i]
            held += w
            column[i] = w * last
        ended = held * (1.0 - last)
        for i in range(len(shares)):
            column[i] += ended * shares[i]
        lost.append(ended)
    return lost


def fade(counts: Numbers, factors: Sequence[float], prior: float) -> None:
    """Of the first counts, keep the part of ``factors`` of what is above the prior."""
    for i in range(len(factors)):
        counts[i] = (counts[i] - prior) * factors[i] + prior


def chances(alphas: Numbers, betas: Numbers, x: float) -> Numbers:
    """The chance of the outcome ``x`` by each hypothesis: ``p·x + (1 − p)(1 − x)``.

    >>> chances(numbers([3.0]), numbers([1.0]), 1.0)[0]
    0.75
    """
    found = _zeros(len(alphas))
    chance, miss = found, 1.0 - x
    for i in range(len(alphas)):
        alpha, beta = alphas[i], betas[i]
        chance[i] = (alpha * x + beta * miss) / (alpha + beta)
    return found


def bayes_rule(columns: list[Numbers], chance: Numbers) -> Numbers:
    """Multiply every weight by the chance that its hypothesis gave, and scale them so that they sum to 1 again; returns
    those of each hypothesis, over all rates."""
    total, found = 0.0, _zeros(len(chance))
    marginal = found
    for column in columns:
        held = 0.0
        for i in range(len(chance)):
            w = column[i] * chance[i]
            column[i] = w
            held += w
        total += held
    for column in columns:
        for i in range(len(chance)):
            w = column[i] / total
            column[i] = w
            marginal[i] += w
    return found


def marginals(columns: list[Numbers], lasts: Sequence[float], count: int) -> Numbers:
    """Weight of each of the first ``count`` hypotheses over all rates, of which the part of ``lasts`` is left; at the
    end one more, with what is then missing to 1."""
    found = _zeros(count + 1)
    marginal = found
    for j, column in enumerate(columns):
        last = lasts[j]
        for i in range(count):
            marginal[i] += column[i] * last
    left = 1.0 - pairwise_sum(marginal, 0, count)
    marginal[count] = left if left > 0.0 else 0.0
    return found


def count_in(counts: Numbers, by: float, shares: Numbers | None = None) -> None:
    """Add ``by`` to every count, or that times its share."""
    if shares is None:
        for i in range(len(counts)):
            counts[i] += by
    else:
        for i in range(len(counts)):
            counts[i] += shares[i] * by


def late_shares(starts: Times, factors: Sequence[float], at_ns: int) -> Numbers:
    """How much an outcome of an earlier time counts for each hypothesis: for the first ones ``factors``, for others
    in full if they had begun by then."""
    found = _zeros(len(starts))
    shares = found
    for i in range(len(factors)):
        shares[i] = factors[i]
    for i in range(len(factors), len(starts)):
        if starts[i] <= at_ns:
            shares[i] = 1.0
    return found


def judge_by_others(chance: Numbers, shares: Numbers, marginal: Numbers) -> bool:
    """Hypotheses without a share get the chance that the others give on average; False if those weigh nothing."""
    held = total = 0.0
    for i in range(len(chance)):
        if shares[i] > 0.0:
            held += marginal[i]
            total += chance[i] * marginal[i]
    if not held > 0.0:
        return False
    average = total / held
    for i in range(len(chance)):
        if not shares[i] > 0.0:
            chance[i] = average
    return True


def mean_of(weights: Numbers, alphas: Numbers, betas: Numbers) -> float:
    """Mean of a mixture of Betas.

    >>> mean_of(numbers([0.5, 0.5]), numbers([3.0, 1.0]), numbers([1.0, 1.0]))
    0.625
    """
    parts = _zeros(len(weights))
    for i in range(len(weights)):
        parts[i] = weights[i] * (alphas[i] / (alphas[i] + betas[i]))
    return pairwise_sum(parts, 0, len(weights))


def square_of(weights: Numbers, alphas: Numbers, betas: Numbers) -> float:
    """Mean of the square. E[p²] of a Beta is mean · (alpha + 1) / (alpha + beta + 1).

    >>> square_of(numbers([1.0]), numbers([1.0]), numbers([1.0]))
    0.333333
    """
    parts = _zeros(len(weights))
    for i in range(len(weights)):
        alpha = alphas[i]
        size = alpha + betas[i]
        parts[i] = weights[i] * (alpha / size) * (alpha + 1.0) / (size + 1.0)
    return pairwise_sum(parts, 0, len(weights))


def place_of_share(weights: Numbers, share: float) -> int:
    """The first place up to which the weights sum to ``share``, or the last.

    >>> place_of_share(numbers([0.9, 0.05, 0.05]), 0.92)
    1
    """
    below, last = 0.0, len(weights) - 1
    for i in range(last):
        below += weights[i]
        if below >= share:
            return i
    return last
