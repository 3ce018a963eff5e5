"""Signals through the gate: each model decides about its own, in the router's turn.

Asking down while holding the turn keeps the order of inputs: what was submitted after a signal is numbered
after it. An idle model answers in place; one that has mail works it off first, on this thread. A model that
is being rebuilt is not waited for, nor one that has not answered its last signals yet: its signals are refused
and recorded, to be scored all the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..config import LearningRules
from ..protocol.errors import HandicapperError
from ..protocol.messages import Prediction, SignalDecision
from .model import AskGate, Signal
from .pooling_weights import relative_weights
from .prompt import ask_promptly
from .roster import Roster
from .state import views
from .state.entries import Gate
from .state.intake import Intake
from .state.model_state import ModelState

__all__ = ["decide_signals"]

SignalResult = SignalDecision | HandicapperError


def decide_signals(
    predictions: list[Prediction], intake: Intake, roster: Roster, rules: LearningRules
) -> list[SignalResult]:
    """Gate and take in signals; a decision or an error for each, in order.

    What is recorded, a duplicate or refused is what it would be one by one; the gate answers all of them from what
    was known before the first.
    """
    results: list[SignalResult | None] = [None] * len(predictions)
    groups: dict[str, list[int]] = {}
    ids: set[str] = set()
    for index, prediction in enumerate(predictions):
        if prediction.prediction_id not in ids:
            ids.add(prediction.prediction_id)
            try:
                results[index] = intake.earlier_decision(prediction)
            except HandicapperError as error:
                results[index] = error
        # What becomes of a second one with an id is known only when the first has been taken in, or refused.
        if results[index] is None:
            groups.setdefault(prediction.model_id, []).append(index)
    gates: dict[int, Gate] = {}
    weights = None
    if groups and rules.weight_policy == "score":
        weights = relative_weights(roster, rules, max(prediction.predicted_at for prediction in predictions))
    for model_id, indices in groups.items():
        signals = [_signal_of(predictions[index]) for index in indices]
        gates.update(zip(indices, _gates_of(model_id, signals, roster, rules, weights), strict=True))
    for index in sorted(gates):
        try:
            results[index] = intake.accept_gated(predictions[index], gates[index])
        except HandicapperError as error:
            results[index] = error
    return [result for result in results if result is not None]


def _signal_of(prediction: Prediction) -> Signal:
    price = prediction.price
    return prediction.confidence, prediction.predicted_at, None if price is None else float(price)


def _gates_of(
    model_id: str,
    signals: list[Signal],
    roster: Roster,
    rules: LearningRules,
    weights: Mapping[str, float] | None,
) -> list[Gate]:
    ref = roster.refs.get(model_id)
    if ref is None:
        blank = ModelState(model_id, rules)
        return [views.decide_gate(blank, *signal, weights) for signal in signals]
    if model_id not in roster.failed:
        gates = ask_promptly(ref, AskGate(signals, weights), model_id, roster)
        if gates is not None:
            return gates
    if model_id in roster.failed:
        reason = "failed"
    else:
        reason = (
            "not_answering" if model_id in roster.unanswered or model_id in roster.stuck else "restarting"
        )
    return [views.refuse(reason, views.initial_params(rules), 0)] * len(signals)
