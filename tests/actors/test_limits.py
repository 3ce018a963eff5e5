"""Bounds: a full learner says BUSY by name and number, and loses nothing of what it took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.actors.runtime.clock import ManualClock
from handicapper.protocol.errors import BatchError, BusyError

from .helpers import (
    DEADLINE_SECONDS,
    SOON_SECONDS,
    T0,
    disk_held,
    eventually,
    held,
    lesson_bytes,
    model_ref,
    outcome,
    prediction,
    resolution,
    small_settings,
)

Open = Callable[..., Learner]


def test_inputs_in_flight_beyond_the_bound_are_refused_as_busy(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(limits={"in_flight_inputs_max": 10}))
    with disk_held(learner):
        futures = [learner.record_outcome_nowait(outcome(n)) for n in range(10)]
        with pytest.raises(BusyError, match=r"10 inputs are in flight.*in_flight_inputs_max") as busy:
            learner.record_outcome_nowait(outcome(10))
        assert busy.value.retry_after_ms > 0
        with pytest.raises(BusyError):
            learner.record_outcome(outcome(10), timeout=SOON_SECONDS)
    assert [future.get(DEADLINE_SECONDS).scored for future in futures] == [1] * 10
    assert learner.record_outcome(outcome(10)).scored == 1
    assert (learner.report("m").n, learner.statistics().in_flight) == (11, 0)


def test_waiting_call_gets_in_as_soon_as_there_is_room(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(limits={"in_flight_inputs_max": 5, "batch_inputs_max": 5}))
    result = learner.record_outcomes((outcome(n) for n in range(500)), timeout=DEADLINE_SECONDS)
    assert result.accepted == 500


def test_batch_larger_than_the_bound_goes_alone(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(limits={"in_flight_inputs_max": 3}))
    assert learner.record_outcomes_nowait(outcome(n) for n in range(50)).get(DEADLINE_SECONDS).accepted == 50


def test_full_mailbox_of_a_model_makes_the_learner_busy_and_loses_nothing(open_learner: Open) -> None:
    """The model is held until its mailbox is full; then it goes on, and has everything that was acknowledged."""
    learner = open_learner(settings=small_settings(limits={"mailbox_messages_max": 8}))
    reference = open_learner("reference")
    acknowledged: list[int] = [0]
    learner.record_outcome(outcome(0))
    with held(model_ref(learner)):
        for number in range(1, 100):
            try:
                learner.record_outcome(outcome(number, right=number % 3 > 0))
            except BusyError as busy:
                assert '"m"' in str(busy)
                assert "mailbox_messages_max" in str(busy)
                break
            acknowledged.append(number)
    assert 8 <= len(acknowledged) < 20
    eventually(lambda: _takes(learner, outcome(number, right=number % 3 > 0)))
    for told in [*acknowledged, number]:
        reference.record_outcome(outcome(told, right=told % 3 > 0 or told == 0))
    assert lesson_bytes(learner) == lesson_bytes(reference)


def _takes(learner: Learner, message: Any) -> bool:
    try:
        return learner.record_outcome(message).scored == 1
    except BusyError:
        return False


def test_pending_predictions_beyond_the_bound_are_refused_until_some_resolve(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(limits={"pending_predictions_max": 5}))
    learner.record_predictions(prediction(n) for n in range(5))
    with pytest.raises(BusyError, match="pending_predictions_max"):
        learner.record_prediction(prediction(5))
    assert learner.record_prediction(prediction(3)).duplicate
    learner.resolve_market(resolution(2))
    assert not learner.record_prediction(prediction(5)).duplicate
    with pytest.raises(BatchError) as refused:
        learner.record_predictions([prediction(6), prediction(0), prediction(7)])
    assert [index for index, _ in refused.value.result.errors] == [0, 2]


def test_models_beyond_the_bound_are_refused_by_name(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(limits={"models_max": 2}))
    learner.record_prediction(prediction(1, "a"))
    learner.record_outcome(outcome(2, "b"))
    with pytest.raises(BusyError, match=r'"c".*models_max'):
        learner.record_outcome(outcome(3, "c"))
    with pytest.raises(BusyError, match="models_max"):
        learner.process_signal(prediction(4, "d"))
    learner.record_prediction(prediction(5, "a"))
    assert [summary.model_id for summary in learner.models()] == ["a", "b"]


def test_dead_letters_kept_are_bounded_and_all_counted(open_learner: Open) -> None:
    learner = open_learner(
        settings=small_settings(
            limits={"dead_letters_max": 3}, supervision={"attempts_max": 1, "restarts_max": 100}
        )
    )
    learner.record_outcome(outcome(1))
    for number in range(5):
        model_ref(learner).tell(f"nonsense {number}")
    assert learner.report("m").n == 1
    assert [letter.message for letter in learner.dead_letters()] == [f'"nonsense {n}"' for n in (2, 3, 4)]
    assert learner.statistics().dead_letters == 5


def test_expired_prediction_leaves_memory_without_being_scored(open_learner: Open) -> None:
    """A snapshot looks at the clock: what can no longer be scored is settled, and its market still resolves."""
    clock = ManualClock(now_ns=T0)
    learner = open_learner(clock=clock)
    learner.record_prediction(prediction(1, expires_at=prediction(1).predicted_at + 10**9))
    learner.record_prediction(prediction(2))
    clock.advance(400 * 86_400.0)
    learner.snapshot()
    assert learner.statistics().predictions_pending == 1
    learner.resolve_market(resolution(1))
    learner.resolve_market(resolution(2))
    assert learner.statistics().predictions_pending == 0
    reports = learner._ask("m", lambda state, _: state.now.n, None, DEADLINE_SECONDS)
    assert reports == 1
