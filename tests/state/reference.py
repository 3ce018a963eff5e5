"""The learning rules written a second time, slowly: from the whole list of outcomes at every step."""

from __future__ import annotations

from fractions import Fraction
from math import log
from typing import NamedTuple

from handicapper.config import LearningRules


class Outcome(NamedTuple):
    """One settled row: ``x`` None teaches nothing, ``confidence`` None leaves calibration alone."""

    at_ns: int
    x: float | None
    confidence: float | None


def ema(rows: list[Outcome], alpha: float) -> float:
    """Σ a(1−a)^k x over the outcomes, newest first, and what is left of the 1/2 it began with; exact."""
    a, average = Fraction(alpha), Fraction(1, 2)
    for row in rows:
        if row.x is not None:
            average += a * (Fraction(row.x) - average)
    return float(average)


def window(rows: list[Outcome], size: int) -> list[tuple[float, float]]:
    """(confidence, x) of the last ``size`` outcomes that have a confidence."""
    return [(r.confidence, r.x) for r in rows if r.x is not None and r.confidence is not None][-size:]


def window_error(rows: list[Outcome], size: int) -> Fraction | None:
    """Mean confidence − mean outcome over the window; exact."""
    pairs = window(rows, size)
    if not pairs:
        return None
    return sum((Fraction(c) - Fraction(x) for c, x in pairs), Fraction(0)) / len(pairs)


def threshold(rows: list[Outcome], rules: LearningRules) -> float:
    """The threshold after all rows: relax to the row's time, then step against the window's error.

    Steps in floats as the rule is written, so that with exact errors it must agree to the last bit.
    """
    theta, newest, taught = rules.initial_threshold, None, 0
    for index, row in enumerate(rows):
        if row.x is None:
            continue
        taught += 1
        half_life = rules.relaxation_half_life_seconds
        if newest is not None and row.at_ns > newest and half_life != 0.0:
            share = 0.5 ** ((row.at_ns - newest) / 1e9 / half_life)
            theta = rules.initial_threshold + (theta - rules.initial_threshold) * share
        newest = row.at_ns if newest is None else max(newest, row.at_ns)
        error = window_error(rows[: index + 1], rules.calibration_window)
        if taught >= rules.min_predictions_for_adaptation and error is not None:
            theta = theta + rules.adjustment_rate * float(error)
            theta = min(max(theta, rules.min_threshold), rules.max_threshold)
    return theta


class Scores(NamedTuple):
    """Every figure of a calibration report, each from its definition."""

    signed_error: float
    expected_calibration_error: float
    maximum_calibration_error: float
    brier: float
    brier_reliability: float
    brier_resolution: float
    brier_uncertainty: float
    log_loss: float


def scores(pairs: list[tuple[float, float]], clip: float = 1e-6) -> Scores:
    """From (confidence, x) pairs, exact but for the logarithms."""
    n = len(pairs)
    bins: dict[int, list[tuple[Fraction, Fraction]]] = {}
    for c, x in pairs:
        bins.setdefault(min(int(c * 10), 9), []).append((Fraction(c), Fraction(x)))
    exact = [pair for group in bins.values() for pair in group]
    mean_x = sum(x for _, x in exact) / n
    gaps: list[tuple[int, Fraction]] = []
    reliability = resolution = Fraction(0)
    for group in bins.values():
        size = len(group)
        c_bar = sum((c for c, _ in group), Fraction(0)) / size
        x_bar = sum((x for _, x in group), Fraction(0)) / size
        gaps.append((size, abs(c_bar - x_bar)))
        reliability += size * (c_bar - x_bar) ** 2 / n
        resolution += size * (x_bar - mean_x) ** 2 / n
    clipped = [(min(max(c, clip), 1.0 - clip), x) for c, x in pairs]
    return Scores(
        signed_error=float(sum(c - x for c, x in exact) / n),
        expected_calibration_error=float(sum(size * gap for size, gap in gaps) / n),
        maximum_calibration_error=float(max(gap for _, gap in gaps)),
        brier=float(sum((c - x) ** 2 for c, x in exact) / n),
        brier_reliability=float(reliability),
        brier_resolution=float(resolution),
        brier_uncertainty=float(sum((x - mean_x) ** 2 for _, x in exact) / n),
        log_loss=sum(-(x * log(c) + (1.0 - x) * log(1.0 - c)) for c, x in clipped) / n,
    )
