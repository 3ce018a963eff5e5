"""Wall clocks that are wrong or jump: the future is refused by name, nothing ages twice, no timer storms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.actors.runtime.clock import ManualClock
from handicapper.protocol.errors import BatchError, InvalidValueError

from .helpers import (
    HOUR,
    SECOND,
    T0,
    lesson_bytes,
    outcome,
    prediction,
    resolution,
    small_settings,
    teach,
)

Open = Callable[..., Learner]
NOW = T0 + 1_000 * HOUR
BOUND_SECONDS = 86_400
LATEST = NOW + BOUND_SECONDS * SECOND
REMEDY = r"limits\.future_seconds_max"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now_ns=NOW)


@pytest.fixture
def learner(open_learner: Open, clock: ManualClock) -> Learner:
    learner = open_learner(clock=clock)
    learner.record_predictions([prediction(1), prediction(2, "other")])
    return learner


# ---------------------------------------------------------------- the future


def test_inputs_from_beyond_the_bound_are_refused_with_field_value_and_remedy(learner: Learner) -> None:
    seq = learner.statistics().seq
    for field, refused in (
        ("predicted_at", lambda: learner.record_prediction(prediction(3, predicted_at=LATEST + 1))),
        ("predicted_at", lambda: learner.process_signal(prediction(3, predicted_at=LATEST + 1))),
        ("resolved_at", lambda: learner.resolve_market(resolution(1, resolved_at=LATEST + 1))),
        ("resolved_at", lambda: learner.record_outcome(outcome(1, resolved_at=LATEST + 1))),
        ("resolved_at", lambda: learner.record_outcome(outcome(9, "unseen", resolved_at=LATEST + 1))),
    ):
        with pytest.raises(
            InvalidValueError, match=rf"{field} was {LATEST + 1}; .*86400 s.*{NOW}.*{REMEDY}"
        ) as error:
            refused()
        assert (error.value.field, error.value.value) == (field, LATEST + 1)
    assert learner.statistics().seq == seq
    assert learner.statistics().refused == 5
    assert learner.report("m").n == 0


def test_inputs_up_to_the_bound_are_taken(learner: Learner) -> None:
    assert learner.record_prediction(prediction(3, predicted_at=LATEST)).seq > 0
    assert learner.process_signal(prediction(4, predicted_at=LATEST)).seq > 0
    assert learner.record_outcome(outcome(9, resolved_at=LATEST)).scored == 1
    assert learner.resolve_market(resolution(1, resolved_at=LATEST)).scored == 1


def test_bulk_calls_refuse_only_what_is_from_the_future(learner: Learner) -> None:
    times = [NOW, LATEST + 1, LATEST, LATEST + HOUR]
    with pytest.raises(BatchError) as outcomes:
        learner.record_outcomes(outcome(20 + n, resolved_at=at) for n, at in enumerate(times))
    with pytest.raises(BatchError) as predictions:
        learner.record_predictions(prediction(30 + n, predicted_at=at) for n, at in enumerate(times))
    with pytest.raises(BatchError) as signals:
        learner.process_signals(prediction(40 + n, predicted_at=at) for n, at in enumerate(times))
    for refused in (outcomes, predictions, signals):
        assert [index for index, _ in refused.value.result.errors] == [1, 3]
    assert learner.report("m").n == 2


def test_expiries_and_pauses_may_lie_in_the_future(learner: Learner) -> None:
    far = NOW + 10_000 * HOUR
    assert learner.record_prediction(prediction(3, expires_at=far)).seq > 0
    assert learner.pause("m", until=far).seq > 0


def test_what_was_recorded_stays_a_duplicate_when_the_clock_is_set_back(
    learner: Learner, clock: ManualClock
) -> None:
    learner.record_prediction(prediction(3, predicted_at=NOW))
    learner.record_outcome(outcome(9, resolved_at=NOW))
    signal = prediction(4, predicted_at=NOW, confidence=0.99)
    learner.process_signal(signal)
    clock.set_wall(NOW - 100 * HOUR)
    assert learner.record_prediction(prediction(3, predicted_at=NOW)).duplicate
    assert learner.record_outcome(outcome(9, resolved_at=NOW)).duplicate
    assert learner.process_signal(signal).duplicate
    with pytest.raises(InvalidValueError, match=REMEDY):
        learner.record_outcome(outcome(10, resolved_at=NOW))
    clock.set_wall(NOW)
    assert learner.record_outcome(outcome(10, resolved_at=NOW)).scored == 1


def test_bound_is_a_setting_and_0_is_none(open_learner: Open, clock: ManualClock) -> None:
    far = NOW + 100_000 * HOUR
    unbound = open_learner(clock=clock, settings=small_settings(limits={"future_seconds_max": 0.0}))
    assert unbound.record_outcome(outcome(1, resolved_at=far)).scored == 1
    tight = open_learner("tight", clock=clock, settings=small_settings(limits={"future_seconds_max": 1.0}))
    assert tight.record_outcome(outcome(1, resolved_at=NOW + SECOND)).scored == 1
    with pytest.raises(InvalidValueError, match="at most 1 s after now"):
        tight.record_outcome(outcome(2, resolved_at=NOW + SECOND + 1))


def test_recorded_inputs_can_be_replayed_whatever_the_clock_says_and_the_journal_is_never_doubted(
    open_learner: Open,
) -> None:
    """A replay is told to take them; what is journaled was decided, and an opening decides nothing."""
    clock = ManualClock(now_ns=T0 - 100_000 * HOUR)
    replaying = open_learner(clock=clock, future_inputs=True)
    teach(replaying, "m", range(50))
    assert replaying.settings.limits.future_seconds_max == BOUND_SECONDS
    before = lesson_bytes(replaying)
    replaying.close()
    again = open_learner(clock=clock)
    assert lesson_bytes(again) == before
    assert again.verify().ok
    with pytest.raises(InvalidValueError, match=REMEDY):
        again.record_outcome(outcome(100))


# -------------------------------------------------------------------- jumps


def believed(learner: Learner, as_of: int | None = None) -> tuple[Any, ...]:
    report = learner.report("m", as_of=as_of)
    params = learner.get_adaptive_params("m", as_of=as_of)
    return report.posterior_alpha, report.posterior_beta, report.confidence_threshold, params


def test_jumps_age_nothing_twice_and_what_is_believed_of_a_time_stays(
    learner: Learner, clock: ManualClock
) -> None:
    teach(learner, "m", range(10, 60))
    before = {hours: believed(learner, NOW + hours * HOUR) for hours in (-1_500, -500, 0, 5, 300)}
    now = believed(learner)
    for hours in (5, -7, 300, -500, 0, -1_500, 5, 0):
        clock.set_wall(NOW + hours * HOUR)
        assert believed(learner) == believed(learner, NOW + hours * HOUR)
        learner.snapshot()
    assert believed(learner) == believed(learner, NOW) == now == before[0]
    assert {hours: believed(learner, NOW + hours * HOUR) for hours in before} == before


def test_clock_before_the_last_outcome_gives_no_negative_age(learner: Learner, clock: ManualClock) -> None:
    """Evidence is never worth more than it was when it was new."""
    teach(learner, "m", range(10, 60))
    last = resolution(59).resolved_at
    at_last = believed(learner, last)
    for hours in (1, 100, 400_000):
        clock.set_wall(last - hours * HOUR)
        assert believed(learner) == at_last
        report = learner.report("m")
        assert 0.0 < report.effective_sample_size <= report.n


def test_learner_whose_clock_jumped_equals_one_whose_clock_stood(open_learner: Open) -> None:
    jumping, standing = ManualClock(now_ns=NOW), ManualClock(now_ns=NOW)
    first, second = open_learner(clock=jumping), open_learner("standing", clock=standing)
    for start in range(0, 100, 10):
        jumping.set_wall(NOW + (start % 7 - 3) * 5 * HOUR)
        for learner in (first, second):
            teach(learner, "m", range(start, start + 10))
    jumping.set_wall(NOW)
    assert lesson_bytes(first) == lesson_bytes(second)
    first.close()
    assert lesson_bytes(open_learner(clock=jumping)) == lesson_bytes(second)


def test_timers_do_not_notice_the_wall_clock(open_learner: Open, clock: ManualClock) -> None:
    """The snapshot's and the watchdog's; after a pause each is called once, not for every period missed."""
    settings = small_settings(
        persistence={"save_interval_secs": 60.0}, supervision={"stuck_after_secs": 4_000.0}
    )
    timers = open_learner(clock=clock, settings=settings)._engine.timers
    for hours in (10, -10, 1_000, -1_000):
        clock.set_wall(NOW + hours * HOUR)
        assert timers.run_due() == 0
    clock.advance(61.0)
    assert timers.run_due() == 1
    clock.advance(86_400.0)
    assert timers.run_due() == 2
    assert timers.run_due() == 0


def test_prediction_expired_by_a_clock_that_jumped_ahead_is_scored_all_the_same(
    learner: Learner, clock: ManualClock
) -> None:
    """An expiry only lets it leave memory: a resolution dated before it still counts."""
    learner.record_prediction(prediction(5, expires_at=prediction(5).predicted_at + 2_000 * HOUR))
    clock.set_wall(NOW + 5_000 * HOUR)
    learner.snapshot()
    assert learner.statistics().predictions_pending == 2
    clock.set_wall(NOW)
    learner.snapshot()
    assert learner.resolve_market(resolution(5)).scored == 1
    assert learner.report("m").n == 1


def test_restart_intensity_and_watchdog_do_not_notice_the_wall_clock(
    learner: Learner, clock: ManualClock
) -> None:
    for hours in (1_000, -1_000):
        clock.set_wall(NOW + hours * HOUR)
        learner._engine.vigil.look()
        assert learner.statistics().stuck == ()
        assert learner.statistics().opened_in_seconds >= 0.0
