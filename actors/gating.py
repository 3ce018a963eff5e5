"""Signals on their way through the gate: out to their models, back together, into the book."""

from __future__ import annotations

from typing import Any

from ..config import LearningRules
from ..protocol.errors import HandicapperError
from ..protocol.messages import Prediction, SignalDecision
from .model import GateAnswer
from .runtime.future import LeanFuture
from .state import views
from .state.entries import Gate
from .state.intake import Intake
from .state.model_state import ModelState

__all__ = ["PendingSignals", "gate_unknown"]

Signal = tuple[int, float, int]
"""(index in the batch, confidence, predicted_at)."""


class PendingSignals:
    """One call's signals while their models decide."""

    def __init__(self, predictions: list[Prediction], reply: LeanFuture[Any]) -> None:
        self.predictions = predictions
        self.reply = reply
        self.results: list[SignalDecision | HandicapperError | None] = [None] * len(predictions)
        self.groups: dict[str, list[Signal]] = {}
        self._gates: list[tuple[int, Gate]] = []

    def group(self, intake: Intake) -> dict[str, list[Signal]]:
        """Answer what needs no model (duplicates, refusals), and group the others by model."""
        for index, prediction in enumerate(self.predictions):
            try:
                self.results[index] = intake.earlier_decision(prediction)
            except HandicapperError as error:
                self.results[index] = error
            if self.results[index] is None:
                signal = (index, prediction.confidence, prediction.predicted_at)
                self.groups.setdefault(prediction.model_id, []).append(signal)
        return dict(self.groups)

    def take(self, answer: GateAnswer) -> None:
        """Take one model's answer; a second one of the same model is ignored."""
        if self.groups.pop(answer.model_id, None) is not None:
            self._gates.extend(answer.gates)

    @property
    def complete(self) -> bool:
        """Every model has answered."""
        return not self.groups

    def record(self, intake: Intake) -> list[SignalDecision | HandicapperError]:
        """Record all in the order of the call; what changed meanwhile is decided by the book again."""
        for index, gate in sorted(self._gates, key=lambda item: item[0]):
            try:
                self.results[index] = intake.accept_gated(self.predictions[index], gate)
            except HandicapperError as error:
                self.results[index] = error
        return [result for result in self.results if result is not None]


def gate_unknown(
    model_id: str, rules: LearningRules, signals: list[Signal], reason: str | None
) -> list[tuple[int, Gate]]:
    """Gate by the initial parameters; with a ``reason`` refuse, whatever the confidence."""
    blank = ModelState(model_id, rules)
    if reason is not None:
        refusal = views.refuse(reason, views.initial_params(rules), 0)
        return [(index, refusal) for index, _, _ in signals]
    return [(index, views.decide_gate(blank, confidence, at)) for index, confidence, at in signals]
