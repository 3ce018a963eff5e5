"""Recalibration: what a model's stated confidence turned out to be worth, as a map from one to the other.

Beta calibration takes a stated confidence c to ``q = σ(a·ln c − b·ln(1 − c) + m)``. ``a = b = 1, m = 0`` is the
identity; ``a = b`` is Platt's logistic map on the log-odds; different ones bend each end by itself. With
``a, b ≥ 0`` a higher confidence never becomes a lower one.

The three numbers are learned online, one outcome at a time: each adds the second-order expansion of its log loss,
taken at the point to which it moves the map itself (an implicit step, which cannot overshoot, however sure and
wrong the model was), to a sum of fixed size that may be discounted. The sum and a Gaussian prior about the
identity give the map: without evidence it is the identity, and as evidence fades it becomes the identity again.

Source: Kull, Silva Filho & Flach (2017), *Beta calibration: a well-founded and easily implemented improvement on
logistic calibration for binary classifiers*, AISTATS; Platt (1999), *Probabilistic outputs for support vector
machines*; for the sequential normal approximation West, Harrison & Migon (1985), *Dynamic generalized linear
models and Bayesian forecasting*, JASA 80(389), and for implicit steps Kulis & Bartlett (2010), *Implicit online
learning*, ICML.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from math import exp, log
from typing import Final, NamedTuple

__all__ = [
    "CONFIDENCE_CLIP",
    "EVIDENCE_FIELDS",
    "IDENTITY",
    "CalibrationMap",
    "add_calibration_outcome",
    "calibration_map",
    "recalibrate",
]

CONFIDENCE_CLIP: Final = 1e-3
"""Confidences nearer to 0 or 1 count as this: a certainty would have infinite log-odds."""

EVIDENCE_FIELDS: Final = 9
"""Numbers of the sum: its curvature (uu, uv, u1, vv, v1, 11, with u = ln c and v = −ln(1 − c)), its slope (u, v, 1)."""

SLOPE_PRECISION: Final = 16.0
"""Of the prior of a and of b about 1: a standard deviation of 1/4."""
SHIFT_PRECISION: Final = 4.0
"""Of the prior of m about 0: a standard deviation of 1/2, in log-odds."""

_STEPS_MAX: Final = 12
_STEP_MIN: Final = 1e-2
"""Newton's error after a step this small is some 1e-5 in log-odds: it moves where the loss is expanded, no more."""


class CalibrationMap(NamedTuple):
    """``q = σ(a·ln c − b·ln(1 − c) + m)``."""

    a: float
    b: float
    m: float


IDENTITY: Final = CalibrationMap(1.0, 1.0, 0.0)


def recalibrate(confidence: float, by: CalibrationMap) -> float:
    """The confidence that the map makes of a stated one; itself under the identity, bit for bit.

    >>> recalibrate(0.7, IDENTITY)
    0.7
    >>> recalibrate(0.8, CalibrationMap(0.5, 0.5, 0.0)), recalibrate(1.0, CalibrationMap(0.5, 0.5, 0.0))
    (0.66666667, 0.9693317)
    """
    if by == IDENTITY:
        return confidence
    c = min(max(confidence, CONFIDENCE_CLIP), 1.0 - CONFIDENCE_CLIP)
    return _sigmoid(by.a * log(c) - by.b * log(1.0 - c) + by.m)


def calibration_map(evidence: Sequence[float], share: float = 1.0) -> CalibrationMap:
    """The map that the sum and the prior give; ``share`` of the sum is taken, for evidence that faded.

    >>> calibration_map([0.0] * EVIDENCE_FIELDS) == IDENTITY
    True
    """
    uu, uv, u1, vv, v1, ones, gu, gv, g1 = (share * number for number in evidence)
    return _constrained(
        uu + SLOPE_PRECISION, uv, u1, vv + SLOPE_PRECISION, v1, ones + SHIFT_PRECISION, gu, gv, g1
    )


def add_calibration_outcome(
    evidence: MutableSequence[float], confidence: float, x: float, keep: float = 1.0, share: float = 1.0
) -> float:
    """Add one outcome, in place; returns what the map made of the confidence before it learned the outcome.

    The sum is multiplied by ``keep`` first; the outcome counts with ``share`` (both in [0, 1]). ``confidence`` and
    ``x`` are in [0, 1], unchecked.

    >>> sums = [0.0] * EVIDENCE_FIELDS
    >>> [round(add_calibration_outcome(sums, 0.9, x), 3) for x in (0.0, 0.0, 1.0, 0.0)]
    [0.9, 0.846, 0.783, 0.799]
    """
    c = confidence
    if not CONFIDENCE_CLIP <= c <= 1.0 - CONFIDENCE_CLIP:
        c = CONFIDENCE_CLIP if c < 0.5 else 1.0 - CONFIDENCE_CLIP
    u, v = log(c), -log(1.0 - c)
    uu, uv, u1, vv, v1, ones, gu, gv, g1 = evidence
    uu, uv, u1, vv, v1 = uu * keep, uv * keep, u1 * keep, vv * keep, v1 * keep
    ones, gu, gv, g1 = ones * keep, gu * keep, gv * keep, g1 * keep
    # The curvature with the prior in it, and its adjugate: written out, for this runs once an outcome.
    p_uu, p_vv, p_11 = uu + SLOPE_PRECISION, vv + SLOPE_PRECISION, ones + SHIFT_PRECISION
    c_uu, c_uv, c_u1 = p_vv * p_11 - v1 * v1, u1 * v1 - uv * p_11, uv * v1 - u1 * p_vv
    c_vv, c_v1, c_11 = p_uu * p_11 - u1 * u1, u1 * uv - p_uu * v1, p_uu * p_vv - uv * uv
    scale = 1.0 / (p_uu * c_uu + uv * c_uv + u1 * c_u1)
    s_u, s_v, s_1 = u * c_uu + v * c_uv + c_u1, u * c_uv + v * c_vv + c_v1, u * c_u1 + v * c_v1 + c_11
    a = 1.0 + scale * (c_uu * gu + c_uv * gv + c_u1 * g1)
    b = 1.0 + scale * (c_uv * gu + c_vv * gv + c_v1 * g1)
    if a >= 0.0 and b >= 0.0:
        stated = u + v + scale * (s_u * gu + s_v * gv + s_1 * g1)
    else:
        a, b, m = _constrained(p_uu, uv, u1, p_vv, v1, p_11, gu, gv, g1)
        stated = a * u + b * v + m
    before = _sigmoid(stated)
    moved, q = _implicit_step(stated, before, share * scale * (s_u * u + s_v * v + s_1), x)
    curvature = share * q * (1.0 - q)
    slope = share * (x - q) + curvature * (moved - (u + v))
    wu, wv = curvature * u, curvature * v
    evidence[:] = (
        uu + wu * u, uv + wu * v, u1 + wu, vv + wv * v, v1 + wv, ones + curvature,
        gu + slope * u, gv + slope * v, g1 + slope,
    )  # fmt: skip
    return confidence if stated == u + v else before


def _constrained(
    uu: float, uv: float, u1: float, vv: float, v1: float, ones: float, gu: float, gv: float, g1: float
) -> CalibrationMap:
    """The map for a curvature with the prior in it, and a slope: Newton's step from the identity.

    A coefficient that would be negative is 0, and the others are found again without it (as Kull et al. do).
    """
    c_uu, c_uv, c_u1 = vv * ones - v1 * v1, u1 * v1 - uv * ones, uv * v1 - u1 * vv
    c_vv, c_v1, c_11 = uu * ones - u1 * u1, u1 * uv - uu * v1, uu * vv - uv * uv
    scale = 1.0 / (uu * c_uu + uv * c_uv + u1 * c_u1)
    a = 1.0 + scale * (c_uu * gu + c_uv * gv + c_u1 * g1)
    b = 1.0 + scale * (c_uv * gu + c_vv * gv + c_v1 * g1)
    if a >= 0.0 and b >= 0.0:
        return CalibrationMap(a, b, scale * (c_u1 * gu + c_v1 * gv + c_11 * g1))
    if a < 0.0:
        a, (b, m) = 0.0, _pair(vv, v1, ones, gv + uv, g1 + u1)
        if b < 0.0:
            b, m = 0.0, (g1 + u1 + v1) / ones
    else:
        b, (a, m) = 0.0, _pair(uu, u1, ones, gu + uv, g1 + v1)
        if a < 0.0:
            a, m = 0.0, (g1 + u1 + v1) / ones
    return CalibrationMap(a, b, m)


def _pair(ss: float, s1: float, ones: float, gs: float, g1: float) -> tuple[float, float]:
    """(coefficient, shift) where the other coefficient is 0, 1 below the identity: ``gs`` and ``g1`` know of it."""
    scale = 1.0 / (ss * ones - s1 * s1)
    return 1.0 + scale * (ones * gs - s1 * g1), scale * (ss * g1 - s1 * gs)


def _implicit_step(z: float, q: float, variance: float, x: float) -> tuple[float, float]:
    """(z', σ(z')) that minimise ``(z' − z)²/(2·variance) + log loss of σ(z') for x``, from q = σ(z): Newton's method,
    within a bracket that shrinks."""
    at, far = z, z + variance * (x - q)
    low, high = (z, far) if far >= z else (far, z)
    for _ in range(_STEPS_MAX):
        gap = at - z - variance * (x - q)
        step = gap / (1.0 + variance * q * (1.0 - q))
        if gap > 0.0:
            high = at
        else:
            low = at
        at -= step
        if not low <= at <= high:
            at = 0.5 * (low + high)
        q = _sigmoid(at)
        if -_STEP_MIN < step < _STEP_MIN:
            break
    return at, q


def _sigmoid(z: float) -> float:
    if z >= 0.0:
        return 1.0 / (1.0 + exp(-z))
    e = exp(z)
    return e / (1.0 + e)
