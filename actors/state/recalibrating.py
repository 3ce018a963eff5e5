"""What a model's outcomes teach about its confidence, folded in their order; kept only while the rules ask for it.

Each outcome is met twice: first the map as it stood says what the stated confidence is worth, then the map learns
how it ended. What it said is scored as the stated confidences are, and moves the threshold in their place: the
gate compares recalibrated confidence, so it is recalibrated confidence whose error it must learn from.

With the bias mended, what is left of that error is mostly chance, which would walk the threshold about. So the
threshold takes only the part that chance does not explain, of an average as long as the calibration window.
"""

from __future__ import annotations

from array import array
from collections.abc import MutableSequence, Sequence
from copy import copy
from math import exp2, nan
from typing import Any, NamedTuple

from msgspec import Struct

from ...config.settings import LearningRules
from ..learning.calibration import add_to_bins, new_bins
from ..learning.recalibration import (
    EVIDENCE_FIELDS,
    IDENTITY,
    CalibrationMap,
    add_calibration_outcome,
    calibration_map,
)
from ..learning.scores import log_loss
from ..learning.significance import significant_error
from .history import Row

__all__ = ["Recalibrated", "Recalibration", "array_as_list", "fold_recalibration", "map_at"]


class Recalibration(Struct, array_like=True):
    """The map's evidence, and how the recalibrated confidences fared. Floats; times in ns."""

    evidence: list[float]
    """See learning.recalibration; as of ``evidence_at_ns``."""
    evidence_at_ns: int
    error_sum: float
    """Discounted sum of recalibrated confidence − x."""
    error_count: float
    error_variance: float
    """Of that sum, were every recalibrated confidence right."""
    bins: MutableSequence[float]
    """Flat calibration bins of the recalibrated confidences, see learning.calibration. An array, a third of the size of
    a list, which it is when it is stored."""
    x_squared_sum: float
    log_loss_sum: float

    def __post_init__(self) -> None:
        if not isinstance(self.bins, array):
            self.bins = array("d", self.bins)

    @classmethod
    def initial(cls) -> Recalibration:
        """No outcome yet."""
        return cls([0.0] * EVIDENCE_FIELDS, 0, 0.0, 0.0, 0.0, new_bins(), 0.0, 0.0)

    def copy(self) -> Recalibration:
        """An independent copy."""
        twin = copy(self)
        twin.evidence, twin.bins = self.evidence.copy(), self.bins[:]
        return twin


def array_as_list(value: Any) -> list[float]:
    """How an encoder is to write the one thing in a model's record that it cannot.

    Raises:
        TypeError: it is something else.

    """
    if isinstance(value, array):
        return value.tolist()
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


class Recalibrated(NamedTuple):
    """What recalibration made of a run of rows, one number a row."""

    confidences: list[float]
    """Before the row was learned; NaN where it teaches nothing."""
    errors: list[float]
    """What the threshold has to step against, with the row."""


def fold_recalibration(known: Recalibration, rows: Sequence[Row], rules: LearningRules) -> Recalibrated:
    """Fold rows in, in place.

    Evidence is discounted with every outcome (``recalibration_memory_outcomes``) and halves with event time; a late
    outcome counts by its own age, as in the posterior.
    """
    half_life_ns = rules.recalibration_half_life_seconds * 1e9
    keep = 1.0 - 1.0 / rules.recalibration_memory_outcomes
    fade = 1.0 - 2.0 / (rules.calibration_window + 1)
    evidence, at, bins = known.evidence, known.evidence_at_ns, known.bins
    error_sum, error_count, variance = known.error_sum, known.error_count, known.error_variance
    error = significant_error(error_sum, error_count, variance)
    confidences: list[float] = []
    errors: list[float] = []
    for _, at_ns, x, confidence, _ in rows:
        if confidence != confidence or x != x:
            confidences.append(nan)
            errors.append(error)
            continue
        kept, share = keep, 1.0
        if at_ns > at:
            kept *= exp2((at - at_ns) / half_life_ns)
            at = at_ns
        elif at_ns < at:
            share = exp2((at_ns - at) / half_life_ns)
        q = add_calibration_outcome(evidence, confidence, x, kept, share)
        error_sum = fade * error_sum + (q - x)
        error_count = fade * error_count + 1.0
        variance = fade * fade * variance + q * (1.0 - q)
        error = significant_error(error_sum, error_count, variance)
        add_to_bins(bins, q, x)
        known.x_squared_sum += x * x
        known.log_loss_sum += log_loss(q, x)
        confidences.append(q)
        errors.append(error)
    known.evidence_at_ns = at
    known.error_sum, known.error_count, known.error_variance = error_sum, error_count, variance
    return Recalibrated(confidences, errors)


def map_at(known: Recalibration | None, as_of: int, half_life_seconds: float) -> CalibrationMap:
    """The map as of an event time: the evidence faded since its last outcome. The identity without any."""
    if known is None:
        return IDENTITY
    since = as_of - known.evidence_at_ns
    return calibration_map(known.evidence, exp2(-since / (half_life_seconds * 1e9)) if since > 0 else 1.0)
