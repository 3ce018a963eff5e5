"""Calibration: how often a model is right when it says how sure it is.

Confidences fall into fixed-width bins of [0, 1]. A bin is five numbers in one flat ``array('d')``:
count, Σc, Σx, Σc² and Σcx of its confidences ``c`` and outcomes ``x``. They are what every figure
here, and the decomposition in :mod:`.scores`, can be read from; the predictions are not kept.

No data is None, never 0: a model that was never scored is not perfectly calibrated.

Source: Murphy & Winkler (1977), *Reliability of subjective probability forecasts of precipitation and
temperature*, Applied Statistics 26(1) (reliability diagram); Naeini, Cooper & Hauskrecht (2015),
*Obtaining well calibrated probabilities using Bayesian binning*, AAAI (ECE, MCE).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, MutableSequence, Sequence

__all__ = [
    "FIELDS",
    "add_to_bins",
    "bins_of",
    "count",
    "expected_calibration_error",
    "maximum_calibration_error",
    "new_bins",
    "reliability_bins",
    "signed_calibration_error",
]

FIELDS = 5
"""Numbers a bin: count, Σc, Σx, Σc², Σcx."""


def new_bins(bins: int = 10) -> array[float]:
    """Empty sums of ``bins`` bins.

    >>> len(new_bins(10)), sum(new_bins(10))
    (50, 0.0)
    """
    if bins < 1:
        raise ValueError(f"bins was {bins}; expected 1 or more")
    return array("d", bytes(8 * FIELDS * bins))


def add_to_bins(sums: MutableSequence[float], confidence: float, x: float) -> None:
    """Add one scored prediction, in place. ``confidence`` and ``x`` are in [0, 1], unchecked.

    With ten bins the bin is ``min(int(confidence · 10), 9)``: a bin holds its lower edge, and the
    last one its upper edge too.

    >>> sums = new_bins()
    >>> add_to_bins(sums, 0.75, 1.0)
    >>> list(sums[35:40])
    [1.0, 0.75, 1.0, 0.5625, 0.75]
    """
    bins = len(sums) // FIELDS
    index = int(confidence * bins)
    if index >= bins:
        index = bins - 1
    index *= FIELDS
    sums[index] += 1.0
    sums[index + 1] += confidence
    sums[index + 2] += x
    sums[index + 3] += confidence * confidence
    sums[index + 4] += confidence * x


def bins_of(confidences: Iterable[float], outcomes: Iterable[float], bins: int = 10) -> array[float]:
    """The sums of a whole window at once.

    Raises:
        ValueError: the two are not equally long.

    >>> count(bins_of([0.6, 0.7], [1.0, 0.0]))
    2
    """
    sums = new_bins(bins)
    for confidence, x in zip(confidences, outcomes, strict=True):
        add_to_bins(sums, confidence, x)
    return sums


def count(sums: Sequence[float]) -> int:
    """How many predictions the sums hold."""
    return int(sum(sums[::FIELDS]))


def signed_calibration_error(sums: Sequence[float]) -> float | None:
    """Mean confidence − mean outcome, in [−1, 1]: positive is overconfident. None without data.

    >>> signed_calibration_error(bins_of([0.9, 0.7], [1.0, 0.0]))
    0.3
    """
    n = sum(sums[::FIELDS])
    if n == 0.0:
        return None
    return (sum(sums[1::FIELDS]) - sum(sums[2::FIELDS])) / n


def expected_calibration_error(sums: Sequence[float]) -> float | None:
    """ECE: the gap |mean confidence − mean outcome| of the bins, weighted by their counts. None without data.

    >>> expected_calibration_error(bins_of([0.9, 0.9, 0.2], [1.0, 0.0, 0.0]))
    0.3333333
    """
    n = sum(sums[::FIELDS])
    if n == 0.0:
        return None
    return sum(abs(c - x) for c, x in zip(sums[1::FIELDS], sums[2::FIELDS], strict=True)) / n


def maximum_calibration_error(sums: Sequence[float]) -> float | None:
    """MCE: the largest gap of any bin that holds data. None without data.

    >>> maximum_calibration_error(bins_of([0.9, 0.9, 0.2], [1.0, 0.0, 0.0]))
    0.4
    """
    bins = zip(sums[::FIELDS], sums[1::FIELDS], sums[2::FIELDS], strict=True)
    return max((abs(c - x) / n for n, c, x in bins if n > 0.0), default=None)


def reliability_bins(sums: Sequence[float]) -> list[tuple[float, float, int, float, float]]:
    """The points of a reliability diagram: (lower, upper, n, mean confidence, mean outcome).

    Bins without data are left out: they have no means.

    >>> reliability_bins(bins_of([0.95, 0.85, 0.25], [1.0, 0.0, 0.0], bins=2))
    [(0.0, 0.5, 1, 0.25, 0.0), (0.5, 1.0, 2, 0.9, 0.5)]
    """
    bins = len(sums) // FIELDS
    points: list[tuple[float, float, int, float, float]] = []
    for k in range(bins):
        n, c, x = sums[FIELDS * k : FIELDS * k + 3]
        if n > 0.0:
            points.append((k / bins, (k + 1) / bins, int(n), c / n, x / n))
    return points
