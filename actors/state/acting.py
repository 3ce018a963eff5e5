"""From a signal to what is done with it: what its confidence is worth, whether that passes, how much is staked."""

from __future__ import annotations

from ...config.settings import LearningRules
from ...protocol.messages import AdaptiveParams
from ..learning.gate import passes_gate, size_multiplier
from ..learning.kelly import kelly_size
from ..learning.recalibration import CalibrationMap, recalibrate
from .entries import Gate

__all__ = ["gate_of", "refuse"]


def gate_of(
    now: AdaptiveParams,
    rules: LearningRules,
    confidence: float,
    price: float | None,
    paused: bool,
    decided_seq: int,
) -> Gate:
    """What the gate says of a signal under the parameters in force for its model.

    A paused model's signals are refused, and its numbers given all the same. With recalibration the recalibrated
    confidence meets the threshold and sizes the trade.
    """
    by = now.calibration_map
    worth = confidence if by is None else recalibrate(confidence, CalibrationMap(*by))
    calibrated = None if by is None else worth
    if paused:
        return refuse("paused", now, decided_seq, calibrated)
    if not passes_gate(worth, now.confidence_threshold):
        return refuse("below_threshold", now, decided_seq, calibrated)
    if rules.size_rule == "confidence":
        size = size_multiplier(worth, now.weight)
    elif price is None:
        # Nothing else would be a share of the bankroll: confidence x weight is one of the usual size.
        return refuse("no_price", now, decided_seq, calibrated)
    elif worth <= price:
        return refuse("no_edge", now, decided_seq, calibrated)
    else:
        size = kelly_size(worth, price, rules.kelly_fraction, now.weight)
    return Gate(
        True,
        "accepted",
        now.confidence_threshold,
        now.weight,
        size,
        now.ema_accuracy,
        now.adapted,
        decided_seq,
        calibrated,
    )


def refuse(reason: str, now: AdaptiveParams, decided_seq: int, calibrated: float | None = None) -> Gate:
    """A refusal with its numbers."""
    return Gate(
        False,
        reason,
        now.confidence_threshold,
        now.weight,
        0.0,
        now.ema_accuracy,
        now.adapted,
        decided_seq,
        calibrated,
    )
