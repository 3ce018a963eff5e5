"""What the learner says of its models, and pause, resume and reset."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from threading import Thread
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.actors.runtime.clock import ManualClock
from handicapper.config import ThompsonSampling, Weights
from handicapper.protocol.errors import DeadlineExceededError, InvalidValueError, UnknownModelError
from handicapper.protocol.messages import AdaptiveParams, ModelReport

from .helpers import (
    DEADLINE_SECONDS,
    HOUR,
    SOON_SECONDS,
    T0,
    disk_held,
    held,
    lesson_bytes,
    model_ref,
    outcome,
    pattern,
    prediction,
    resolution,
    small_settings,
    teach,
)

Open = Callable[..., Learner]


def test_get_adaptive_params_of_an_unknown_model_is_none(learner: Learner) -> None:
    assert learner.get_adaptive_params("nobody") is None


def test_get_adaptive_params_of_a_model_without_outcomes_are_the_initial_ones(learner: Learner) -> None:
    learner.record_prediction(prediction(1))
    assert learner.get_adaptive_params("m") == AdaptiveParams(
        confidence_threshold=0.60, weight=1.0, ema_accuracy=0.5, adapted=False
    )


def test_get_adaptive_params_adapt_with_the_tenth_outcome(learner: Learner) -> None:
    ema = 0.5
    for number in range(10):
        params = learner.get_adaptive_params("m")
        assert params is None if number == 0 else params is not None and not params.adapted
        learner.record_outcome(outcome(number, right=pattern(number)))
        ema = 0.1 * pattern(number) + 0.9 * ema
    params = learner.get_adaptive_params("m")
    assert params is not None
    assert (params.adapted, params.ema_accuracy) == (True, ema)
    assert params.weight == pytest.approx(min(max(1 + 2 * (ema - 0.5), 0.25), 2.0))


def test_get_adaptive_params_as_of_later_relaxes_the_threshold(learner: Learner) -> None:
    """Half of the distance to the initial threshold is left after one half-life (a week)."""
    for number in range(60):
        learner.record_prediction(prediction(number, confidence=0.95))
    learner.resolve_markets(resolution(number, "NO") for number in range(60))
    last = T0 + 59 * 60 * 10**9 + 30 * 10**9
    now = learner.get_adaptive_params("m", as_of=last)
    later = learner.get_adaptive_params("m", as_of=last + 168 * HOUR)
    assert now is not None
    assert later is not None
    assert now.confidence_threshold > 0.9 - 1e-9
    assert later.confidence_threshold - 0.6 == pytest.approx((now.confidence_threshold - 0.6) / 2)


def test_get_adaptive_params_with_the_weight_policy_posterior_follows_the_posterior(
    open_learner: Open,
) -> None:
    learner = open_learner(settings=small_settings(weights=Weights(policy="posterior", shrinkage=0.0)))
    teach(learner, "m", range(50))
    at = T0 + 24 * HOUR
    report = learner.report("m", as_of=at)
    assert report.weight == pytest.approx(1 + 2 * (report.posterior_mean - 0.5))


def test_times_may_be_aware_datetimes_of_any_zone(learner: Learner) -> None:
    teach(learner, "m", range(20))
    utc = datetime(2023, 12, 1, tzinfo=UTC)
    paris = utc.astimezone(timezone(timedelta(hours=1)))
    assert learner.report("m", as_of=utc) == learner.report("m", as_of=paris)
    with pytest.raises(InvalidValueError, match="aware"):
        learner.report("m", as_of=datetime(2023, 12, 1))


def test_now_is_the_clocks(open_learner: Open) -> None:
    clock = ManualClock(now_ns=T0 + 5 * HOUR)
    learner = open_learner(clock=clock)
    learner.record_outcome(outcome(1))
    assert learner.report("m").as_of == T0 + 5 * HOUR
    clock.advance(3600)
    assert learner.thompson_sample().as_of == T0 + 6 * HOUR


def test_report_counts_money_exactly(learner: Learner) -> None:
    """size × (payout − price) − fee, in decimals: 0.1 three times is 0.3."""
    for number in range(3):
        learner.record_prediction(
            prediction(number, price=Decimal("0.9"), size=Decimal(1), fee=Decimal("0.01"))
        )
    learner.resolve_markets(resolution(number) for number in range(3))
    report = learner.report("m")
    assert (report.pnl, report.stake) == (Decimal("0.27"), Decimal("2.7"))
    assert report.roi == pytest.approx(0.1)
    assert report.price_brier == pytest.approx(0.01)


def test_report_of_an_unknown_model_is_refused(learner: Learner) -> None:
    with pytest.raises(UnknownModelError, match="nobody"):
        learner.report("nobody")


def test_report_of_a_model_that_does_not_answer_exceeds_its_deadline(learner: Learner) -> None:
    learner.record_outcome(outcome(1))
    with held(model_ref(learner)):
        with pytest.raises(DeadlineExceededError):
            learner.report("m", timeout=SOON_SECONDS)
        with pytest.raises(DeadlineExceededError):
            learner.get_adaptive_params("m", timeout=SOON_SECONDS)
        assert [s.n for s in learner.models(timeout=SOON_SECONDS)] == [0]
        assert learner.reports(timeout=SOON_SECONDS) == []
    assert learner.report("m").n == 1


def test_report_does_not_wait_for_another_model_that_is_slow(open_learner: Open) -> None:
    """Its chance of being the best is among those that answered, as in a selection."""
    learner = open_learner(settings=small_settings(thompson_sampling=ThompsonSampling(gather_deadline_ms=10)))
    for model in ("quick", "slow"):
        teach(learner, model, range(100 * len(model), 100 * len(model) + 25))
    found: list[ModelReport] = []
    with held(model_ref(learner, "slow")):
        asking = Thread(target=lambda: found.append(learner.report("quick", timeout=3_600.0)))
        asking.start()
        asking.join(DEADLINE_SECONDS)
        assert [(report.n, report.probability_best) for report in found] == [(25, 1.0)]
    asking.join(DEADLINE_SECONDS)
    assert (learner.report("quick").probability_best or 1.0) < 1.0


def test_reports_equal_each_models_report(learner: Learner) -> None:
    for place, model in enumerate(["b", "a", "c"]):
        teach(learner, model, range(place * 100, place * 100 + 25))
    at = T0 + 24 * HOUR
    reports = learner.reports(as_of=at)
    assert [report.model_id for report in reports] == ["a", "b", "c"]
    for report in reports:
        alone = learner.report(report.model_id, as_of=at)
        assert alone.probability_best == pytest.approx(report.probability_best, abs=1e-9)
        assert _without(alone, "probability_best") == _without(report, "probability_best")
    assert sum(report.probability_best or 0.0 for report in reports) == pytest.approx(1.0, abs=1e-9)


def test_models_agree_with_the_reports(learner: Learner) -> None:
    for place, model in enumerate(["b", "a"]):
        teach(learner, model, range(place * 100, place * 100 + 15))
    at = T0 + 24 * HOUR
    for summary, report in zip(learner.models(as_of=at), learner.reports(as_of=at), strict=True):
        for field in summary.__struct_fields__:
            assert getattr(summary, field) == getattr(report, field), field


def test_statistics_count_what_happened(learner: Learner) -> None:
    learner.record_predictions(prediction(n) for n in range(10))
    learner.record_prediction(prediction(0))
    learner.record_predictions([prediction(1, confidence=0.1)], on_error="return")
    learner.resolve_markets(resolution(n) for n in range(6))
    learner.record_outcome(outcome(100, "other"))
    learner.resolve_market(resolution(0, "NO", revision=1))
    now = learner.statistics()
    assert (now.predictions, now.resolutions, now.outcomes) == (10, 7, 1)
    assert (now.duplicates, now.refused, now.scored, now.revised) == (1, 1, 7, 1)
    assert (now.predictions_pending, now.markets_open, now.settled_in_memory) == (4, 4, 7)
    assert (now.models, now.models_failed, now.state, now.failure) == (2, (), "accepting", None)
    assert now.seq == now.durable_seq > now.snapshot_seq
    assert now.commits > 0
    assert now.journal_bytes > 0


def test_inputs_in_flight_are_counted_out_again(learner: Learner) -> None:
    with disk_held(learner):
        future = learner.record_outcomes_nowait(outcome(n) for n in range(5))
        assert learner.statistics().in_flight == 5
    future.get(30.0)
    assert learner.statistics().in_flight == 0


def test_everything_recorded_before_a_question_is_in_its_answer(learner: Learner) -> None:
    """A batch that touches 3,000 models is acknowledged by another thread while they are being told; the
    answer must not depend on who is faster."""
    models = 3_000
    for turn in range(3):
        learner.record_outcomes(outcome(turn * models + n, f"m{n}") for n in range(models))
        assert [s.n for s in learner.models()] == [turn + 1] * models


# ----------------------------------------------------------------------- controls


def test_pause_takes_a_model_out_and_it_goes_on_learning(learner: Learner) -> None:
    teach(learner, "m", range(10))
    learner.pause("m", reason="data feed is down")
    teach(learner, "m", range(10, 20))
    report = learner.report("m")
    assert (report.n, report.paused, report.eligible, report.pause_reason) == (
        20,
        True,
        False,
        "data feed is down",
    )
    assert learner.thompson_sample().ineligible == ("m",)
    learner.resume("m")
    assert learner.report("m").eligible
    assert [s.model_id for s in learner.thompson_sample().ranked] == ["m"]


def test_pause_until_ends_by_event_time(learner: Learner) -> None:
    learner.record_outcome(outcome(1))
    learner.pause("m", until=T0 + HOUR)
    assert learner.report("m", as_of=T0 + HOUR - 1).paused
    after = learner.report("m", as_of=T0 + HOUR)
    assert (after.paused, after.paused_until) == (False, T0 + HOUR)


def test_pause_of_a_paused_model_replaces_the_pause(learner: Learner) -> None:
    learner.record_outcome(outcome(1))
    learner.pause("m", until=T0 + HOUR, reason="first")
    learner.pause("m", until=T0 + 3 * HOUR, reason="second")
    report = learner.report("m", as_of=T0 + 2 * HOUR)
    assert (report.paused, report.pause_reason) == (True, "second")


@pytest.mark.parametrize("control", ["pause", "resume", "reset"])
def test_control_of_an_unknown_model_is_refused(learner: Learner, control: str) -> None:
    seq = learner.statistics().seq
    with pytest.raises(UnknownModelError, match="nobody"):
        getattr(learner, control)("nobody")
    assert learner.statistics().seq == seq


def test_reset_forgets_what_was_learned_and_pending_predictions_still_count(learner: Learner) -> None:
    teach(learner, "m", range(30))
    learner.record_prediction(prediction(50, confidence=0.8))
    learner.reset("m", reason="new version")
    forgotten = learner.report("m")
    assert (forgotten.n, forgotten.ema_accuracy, forgotten.adapted, forgotten.accuracy) == (
        0,
        0.5,
        False,
        None,
    )
    assert (forgotten.posterior_alpha, forgotten.posterior_beta) == (1.0, 1.0)
    learner.resolve_market(resolution(50))
    assert (learner.report("m").n, learner.report("m").accuracy) == (1, 1.0)


def test_revision_of_an_outcome_from_before_a_reset_changes_nothing(learner: Learner) -> None:
    teach(learner, "m", range(10))
    learner.reset("m")
    before = lesson_bytes(learner)
    learner.resolve_market(resolution(3, "NO" if pattern(3) else "YES", revision=1))
    assert lesson_bytes(learner) == before


def test_controls_survive_reopening(open_learner: Open) -> None:
    learner = open_learner()
    teach(learner, "paused", range(10))
    teach(learner, "reset", range(100, 110))
    learner.pause("paused", reason="why")
    learner.reset("reset")
    learner.close()
    learner = open_learner()
    assert (learner.report("paused").paused, learner.report("paused").pause_reason) == (True, "why")
    assert learner.report("reset").n == 0


def _without(report: Any, field: str) -> dict[str, Any]:
    return {name: getattr(report, name) for name in report.__struct_fields__ if name != field}
