"""process_signal: always a decision with its numbers, and the same one for the same id, for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.actors.runtime.clock import ManualClock
from handicapper.config import Thresholds
from handicapper.protocol.errors import BatchError, ConflictError, PredictedAfterResolutionError
from handicapper.protocol.messages import SignalDecision

from .helpers import (
    DEADLINE_SECONDS,
    HOUR,
    T0,
    copy_while_open,
    held,
    outcome,
    prediction,
    resolution,
    small_settings,
    teach,
)

Open = Callable[..., Learner]


def test_process_signal_of_an_unknown_model_uses_the_initial_parameters(learner: Learner) -> None:
    decision = learner.process_signal(prediction(1, confidence=0.7))
    assert decision == SignalDecision(
        prediction_id="p1",
        model_id="m",
        accepted=True,
        reason="accepted",
        confidence=0.7,
        confidence_threshold=0.60,
        weight=1.0,
        size_multiplier=0.7,
        ema_accuracy=0.5,
        adapted=False,
        seq=decision.seq,
    )


def test_process_signal_below_the_threshold_says_why_and_is_scored_as_shadow(learner: Learner) -> None:
    decision = learner.process_signal(prediction(1, confidence=0.55))
    assert (decision.accepted, decision.reason, decision.size_multiplier) == (False, "below_threshold", 0.0)
    assert decision.confidence < decision.confidence_threshold
    learner.resolve_market(resolution(1))
    report = learner.report("m")
    assert (report.n, report.shadow, report.rejected, report.accepted) == (1, 1, 1, 0)


def test_process_signal_of_an_adapted_model_uses_what_it_learned(learner: Learner) -> None:
    teach(learner, "m", range(60))
    at = T0 + 61 * 60 * 10**9
    params = learner.get_adaptive_params("m", as_of=at)
    assert params is not None
    assert params.adapted
    decision = learner.process_signal(prediction(61, confidence=0.95, predicted_at=at))
    assert (decision.confidence_threshold, decision.weight, decision.ema_accuracy) == (
        params.confidence_threshold,
        params.weight,
        params.ema_accuracy,
    )
    assert decision.size_multiplier == pytest.approx(0.95 * params.weight)


def test_process_signal_of_a_paused_model_is_refused_until_the_pause_ends(learner: Learner) -> None:
    learner.record_prediction(prediction(0))
    learner.pause("m", until=T0 + HOUR)
    during = learner.process_signal(prediction(1, confidence=0.9, predicted_at=T0 + HOUR - 1))
    after = learner.process_signal(prediction(2, confidence=0.9, predicted_at=T0 + HOUR))
    assert (during.accepted, during.reason) == (False, "paused")
    assert (after.accepted, after.reason) == (True, "accepted")


def _repeated(learner: Learner, original: SignalDecision) -> bool:
    again = learner.process_signal(prediction(1, confidence=0.62))
    return again == _as_duplicate(original)


def _as_duplicate(decision: SignalDecision) -> SignalDecision:
    values = {name: getattr(decision, name) for name in decision.__struct_fields__}
    return SignalDecision(**(values | {"duplicate": True}))


def test_process_signal_again_gives_the_same_decision_whatever_was_learned_since(
    open_learner: Open, tmp_path: Path
) -> None:
    """Pending, settled, moved to disk by a snapshot, after a crash and after a clean reopening."""
    learner = open_learner()
    original = learner.process_signal(prediction(1, confidence=0.62))
    assert original.accepted
    assert _repeated(learner, original)
    learner.resolve_markets(resolution(n, "NO") for n in range(1, 2))
    teach(learner, "m", range(100, 200))
    assert _repeated(learner, original)
    copy_while_open(tmp_path / "state", tmp_path / "crashed")
    assert _repeated(open_learner("crashed"), original)
    learner.snapshot()
    assert learner.statistics().settled_in_memory == 0
    assert _repeated(learner, original)
    assert learner.statistics().settled_in_memory == 0
    learner.close()
    assert _repeated(open_learner(), original)


def test_process_signal_of_a_prediction_recorded_without_the_gate_allows_no_trade(learner: Learner) -> None:
    receipt = learner.record_prediction(prediction(1))
    decision = learner.process_signal(prediction(1))
    assert (decision.accepted, decision.duplicate, decision.seq) == (False, True, receipt.seq)
    assert decision.size_multiplier == 0.0


def test_process_signal_that_cannot_be_recorded_raises_instead_of_deciding(learner: Learner) -> None:
    learner.process_signal(prediction(1))
    with pytest.raises(ConflictError):
        learner.process_signal(prediction(1, confidence=0.9))
    learner.resolve_market(resolution(1))
    with pytest.raises(PredictedAfterResolutionError):
        learner.process_signal(prediction(2, market_id="k1"))
    assert learner.statistics().predictions == 1


def test_process_signals_decides_in_order_over_many_models(learner: Learner) -> None:
    signals = [prediction(n, f"m{n % 7}", confidence=0.5 + n % 5 / 10) for n in range(100)]
    decisions = learner.process_signals(signals)
    assert [d.prediction_id for d in decisions] == [s.prediction_id for s in signals]
    assert [d.accepted for d in decisions] == [s.confidence >= 0.6 for s in signals]
    assert all(decision is not None for decision in decisions)


def test_process_signals_with_the_same_signal_twice_decides_once(learner: Learner) -> None:
    first, second = learner.process_signals([prediction(1), prediction(1)])
    assert (first.duplicate, second.duplicate, first.seq) == (False, True, second.seq)
    assert learner.report("m").accepted == 1


def test_process_signals_with_refused_ones_carries_the_decisions_of_the_others(learner: Learner) -> None:
    learner.record_prediction(prediction(3))
    with pytest.raises(BatchError) as refused:
        learner.process_signals(
            [prediction(1), prediction(2, confidence=-1.0), prediction(3, confidence=0.1), prediction(4)]
        )
    assert [index for index, _ in refused.value.result.errors] == [1, 2]
    assert [decision.prediction_id for decision in refused.value.decisions] == ["p1", "p4"]
    assert refused.value.result.accepted == 2


def test_process_signals_nowait_gives_a_decision_or_an_error_for_each(learner: Learner) -> None:
    learner.record_prediction(prediction(2))
    future = learner.process_signals_nowait([prediction(1), prediction(2, confidence=0.1), prediction(3)])
    first, second, third = future.get(DEADLINE_SECONDS)
    assert isinstance(first, SignalDecision)
    assert isinstance(second, ConflictError)
    assert isinstance(third, SignalDecision)


def test_process_signal_sees_every_outcome_recorded_before_it(open_learner: Open) -> None:
    """Each outcome moves the EMA, and the next decision already has it."""
    learner = open_learner(
        settings=small_settings(min_predictions_for_adaptation=0, thresholds=Thresholds(adjustment_rate=0.0))
    )
    ema = 0.5
    for number in range(50):
        decision = learner.process_signal(prediction(number))
        assert decision.ema_accuracy == ema
        learner.resolve_market(resolution(number, "YES" if number % 3 else "NO"))
        ema = 0.1 * (1.0 if number % 3 else 0.0) + 0.9 * ema


def test_signals_that_wait_together_share_one_commit(learner: Learner) -> None:
    learner.record_outcome(outcome(0))
    commits = learner.statistics().commits
    with held(learner._engine.router):
        replies: list[Any] = [learner.process_signal_nowait(prediction(n)) for n in range(1, 11)]
        replies.append(learner.record_outcome_nowait(outcome(100)))
        replies += [learner.process_signal_nowait(prediction(n)) for n in range(11, 21)]
    seqs = [reply.get(DEADLINE_SECONDS).seq for reply in replies]
    assert seqs == sorted(seqs)
    assert learner.statistics().commits == commits + 1


def test_signals_with_one_id_in_a_batch_become_what_they_would_one_by_one(open_learner: Open) -> None:
    """The second is told that it contradicts the first, whatever else is wrong with it."""
    late, far = T0 + 10 * HOUR, 4_000_000_000 * 10**9
    signals = [
        prediction(1),
        prediction(1, predicted_at=late),
        prediction(1, predicted_at=far),
        prediction(1, confidence=0.9),
        prediction(2, predicted_at=late),
        prediction(2),
        prediction(2, "other"),
        prediction(1),
        prediction(3, predicted_at=far),
        prediction(3),
        prediction(4, confidence=0.55),
        prediction(4, confidence=0.55),
    ]

    def prepared(name: str) -> Learner:
        learner = open_learner(name, clock=ManualClock(T0 + 20 * HOUR))
        learner.resolve_markets([resolution(1), resolution(2)])
        return learner

    together = prepared("together").process_signals_nowait(signals).get(DEADLINE_SECONDS)
    alone = prepared("alone")
    singly = [alone.process_signals_nowait([signal]).get(DEADLINE_SECONDS)[0] for signal in signals]
    codes = [getattr(each, "code", "") for each in together]
    assert codes == [
        "", "CONFLICT", "CONFLICT", "CONFLICT", "PREDICTED_AFTER_RESOLUTION", "", "CONFLICT", "", "INVALID_VALUE",
        "", "", "",
    ]  # fmt: skip
    for each, single in zip(together, singly, strict=True):
        if isinstance(each, SignalDecision):
            assert (each.seq, each.duplicate, each.reason) == (single.seq, single.duplicate, single.reason)
        else:
            assert str(each) == str(single)
