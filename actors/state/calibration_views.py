"""What is reported of a model's calibration: over everything, over the window, and of what was recalibrated."""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.messages import CalibrationBin, CalibrationReport
from ..learning.calibration import (
    bins_of,
    count,
    expected_calibration_error,
    maximum_calibration_error,
    reliability_bins,
    signed_calibration_error,
)
from ..learning.scores import log_loss, murphy_decomposition
from .model_state import ModelState
from .recalibrating import Recalibration

__all__ = ["calibration", "recalibrated", "recent_calibration"]


def recalibrated(known: Recalibration | None) -> CalibrationReport | None:
    """Calibration of the recalibrated confidences, each taken before its outcome was learned."""
    if known is None:
        return None
    return calibration(known.bins, known.x_squared_sum, known.log_loss_sum, count(known.bins))


def recent_calibration(state: ModelState) -> CalibrationReport:
    """Calibration over the window that moves the threshold."""
    history = state.history
    rows = (
        [history[number] for number in range(state.now.window_start, history.end)]
        if state.now.window_count
        else []
    )
    pairs = [(c, x) for _, _, x, c, _ in rows if x == x and c == c]
    sums = bins_of([c for c, _ in pairs], [x for _, x in pairs])
    loss = sum(log_loss(c, x) for c, x in pairs)
    return calibration(list(sums), sum(x * x for _, x in pairs), loss, len(pairs))


def calibration(
    bins: Sequence[float], x_squared_sum: float, log_loss_sum: float, n: int
) -> CalibrationReport:
    """Every figure that the bins' sums give."""
    murphy = murphy_decomposition(bins, x_squared_sum)
    return CalibrationReport(
        count=n,
        signed_error=signed_calibration_error(bins),
        expected_calibration_error=expected_calibration_error(bins),
        maximum_calibration_error=maximum_calibration_error(bins),
        brier=murphy.brier if murphy is not None else None,
        brier_reliability=murphy.brier_reliability if murphy is not None else None,
        brier_resolution=murphy.brier_resolution if murphy is not None else None,
        brier_uncertainty=murphy.brier_uncertainty if murphy is not None else None,
        log_loss=log_loss_sum / n if n else None,
        bins=tuple(
            CalibrationBin(lower=lower, upper=upper, count=number, mean_confidence=c, mean_outcome=x)
            for lower, upper, number, c, x in reliability_bins(bins)
        ),
    )
