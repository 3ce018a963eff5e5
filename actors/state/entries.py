"""What the journal holds: every accepted input, as it was accepted.

The three inputs of the wire are journaled as they are; these are the others. Together they are the
only source of state: the same entries always give the same state.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from ...config.rules import Posterior
from ...config.settings import LearningRules
from ...protocol.messages import MarketResolved, Prediction, SignalDecision, TradeOutcome

__all__ = [
    "ControlEntry",
    "Entry",
    "ExpirePredictions",
    "Gate",
    "GatedPrediction",
    "PauseModel",
    "ResetModel",
    "ResumeModel",
    "RulesInForce",
    "SetPosterior",
    "ShareChange",
]


class Gate(Struct, frozen=True, gc=False, array_like=True):
    """What the gate said of a prediction, with the numbers it decided on."""

    accepted: bool
    reason: str
    confidence_threshold: float
    weight: float
    size_multiplier: float
    ema_accuracy: float
    adapted: bool
    decided_seq: int
    """The model's applied_seq at the decision: fold the journal up to it and the numbers come out again."""
    calibrated_confidence: float | None = None
    """What the stated confidence was worth, and was compared and sized by; None without recalibration."""

    def decision(self, prediction: Prediction, seq: int, duplicate: bool = False) -> SignalDecision:
        """The answer to the caller."""
        return SignalDecision(
            prediction_id=prediction.prediction_id,
            model_id=prediction.model_id,
            accepted=self.accepted,
            reason=self.reason,
            confidence=prediction.confidence,
            confidence_threshold=self.confidence_threshold,
            weight=self.weight,
            size_multiplier=self.size_multiplier,
            ema_accuracy=self.ema_accuracy,
            adapted=self.adapted,
            seq=seq,
            duplicate=duplicate,
            calibrated_confidence=self.calibrated_confidence,
        )


class GatedPrediction(Struct, frozen=True, gc=False, tag="gated"):
    """A prediction that went through the gate (``process_signal``)."""

    prediction: Prediction
    gate: Gate


class PauseModel(Struct, frozen=True, gc=False, tag="pause"):
    """Take a model out of selection and trading; it still learns."""

    model_id: str
    until_ns: int | None
    reason: str


class ResumeModel(Struct, frozen=True, gc=False, tag="resume"):
    """End a model's pause."""

    model_id: str


class ResetModel(Struct, frozen=True, gc=False, tag="reset"):
    """Forget what a model has learned."""

    model_id: str
    reason: str


class SetPosterior(Struct, frozen=True, gc=False, tag="set_posterior"):
    """Have a model's evidence age in this way; None: as the rules say."""

    model_id: str
    posterior: Posterior | None


ControlEntry: TypeAlias = PauseModel | ResumeModel | ResetModel | SetPosterior
"""What an operator says of a model."""


class ShareChange(Struct, frozen=True, gc=False, tag="share_change"):
    """A model's change-point filter told of a change, and the rules have it restart those of all others."""

    model_id: str
    at_ns: int
    """When it was (event time)."""
    detected_ns: int
    """Event time of the outcome that settled it."""
    probability: float


class ExpirePredictions(Struct, frozen=True, gc=False, tag="expire"):
    """Settle the pending predictions that expired before this time, so that they leave memory."""

    at_ns: int


class RulesInForce(Struct, frozen=True, gc=False, tag="rules"):
    """The learning rules that hold from here on."""

    rules: LearningRules


Entry = (
    Prediction
    | GatedPrediction
    | MarketResolved
    | TradeOutcome
    | PauseModel
    | ResumeModel
    | ResetModel
    | SetPosterior
    | RulesInForce
    | ExpirePredictions
    | ShareChange
)
