"""EMA, calibration and threshold of a state, after every single row, against the slow reference."""

from __future__ import annotations

from math import isclose, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.state import views
from handicapper.actors.state.calibration_views import recent_calibration
from handicapper.actors.state.model_state import ModelState
from handicapper.config import LearningRules
from handicapper.protocol.messages import CalibrationReport

from . import reference
from .reference import Outcome
from .samples import HOUR, T0, rules, scored

xs = st.sampled_from([0.0, 1.0, 1.0, 0.5, None])
dyadic = st.integers(0, 64).map(lambda n: n / 64)
"""Confidences whose differences and sums are exact in floats: then agreement can be demanded to the bit."""
times = st.integers(-50 * HOUR, 400 * HOUR).map(lambda at_ns: T0 + at_ns)


def rows_of(confidences: st.SearchStrategy[float]) -> st.SearchStrategy[list[Outcome]]:
    return st.lists(st.builds(Outcome, times, xs, st.none() | confidences), max_size=60)


def steps(rows: list[Outcome], in_force: LearningRules) -> list[ModelState]:
    """One and the same state after every row, told one at a time."""
    state, seen = ModelState("m", in_force), []
    for number, row in enumerate(rows, 1):
        x = nan if row.x is None else row.x
        # A row that teaches nothing has no confidence either: that is how the book makes it.
        confidence = nan if row.confidence is None or row.x is None else row.confidence
        state.apply([scored(number, x, confidence, row.at_ns)], number)
        seen.append(ModelState.from_record(state.to_record(), in_force))
    return seen


@given(rows_of(dyadic), st.integers(10, 14), st.integers(0, 12), st.sampled_from([0.01, 0.3, 1.0]))
def test_threshold_without_relaxation_is_the_bare_rule_to_the_last_bit(
    rows: list[Outcome], window: int, minimum: int, rate: float
) -> None:
    in_force = rules(
        calibration_window=window,
        min_predictions_for_adaptation=minimum,
        adjustment_rate=rate,
        relaxation_half_life_seconds=0.0,
    )
    for number, state in enumerate(steps(rows, in_force), 1):
        assert state.now.threshold == reference.threshold(rows[:number], in_force)


@given(rows_of(dyadic), st.sampled_from([1.0, 24.0, 168.0]), st.sampled_from([0.01, 1.0]))
def test_threshold_with_relaxation_agrees_with_the_reference_at_every_step(
    rows: list[Outcome], half_life_hours: float, rate: float
) -> None:
    in_force = rules(
        calibration_window=10,
        min_predictions_for_adaptation=3,
        adjustment_rate=rate,
        relaxation_half_life_seconds=half_life_hours * 3_600.0,
    )
    for number, state in enumerate(steps(rows, in_force), 1):
        expected = reference.threshold(rows[:number], in_force)
        assert isclose(state.now.threshold, expected, rel_tol=1e-12)


@given(rows_of(st.floats(0, 1)), st.sampled_from([0.1, 0.5, 1.0, 0.003]))
def test_ema_agrees_with_the_exact_average_at_every_step(rows: list[Outcome], alpha: float) -> None:
    for number, state in enumerate(steps(rows, rules(ema_alpha=alpha)), 1):
        assert isclose(state.now.ema_accuracy, reference.ema(rows[:number], alpha), rel_tol=1e-12)


@given(rows_of(st.floats(0, 1)), st.integers(10, 14))
def test_calibration_window_holds_the_last_outcomes_with_a_confidence_at_every_step(
    rows: list[Outcome], size: int
) -> None:
    """The rolling sum of n terms of at most 1 is off by at most n·2^-52 after 2n roundings."""
    for number, state in enumerate(steps(rows, rules(calibration_window=size)), 1):
        pairs = reference.window(rows[:number], size)
        report = recent_calibration(state)
        assert state.now.window_count == report.count == len(pairs)
        error = reference.window_error(rows[:number], size)
        if error is None:
            assert report.signed_error is None
            continue
        assert isclose(state.now.window_error_sum / len(pairs), float(error), abs_tol=1e-13)
        compare(report, pairs)


@given(rows_of(st.floats(0, 1)))
def test_scores_agree_with_direct_sums_over_all_outcomes_at_every_step(rows: list[Outcome]) -> None:
    for number, state in enumerate(steps(rows, rules()), 1):
        pairs = reference.window(rows[:number], len(rows))
        report = views.report(state, T0).calibration
        assert report.count == len(pairs)
        if pairs:
            compare(report, pairs)
        else:
            assert (report.brier, report.log_loss, report.expected_calibration_error) == (None,) * 3


def compare(report: CalibrationReport, pairs: list[tuple[float, float]]) -> None:
    """Sums of at most 60 terms of at most 1, and differences of them: 1e-12 is a thousand roundings."""
    for name, expected in reference.scores(pairs)._asdict().items():
        assert getattr(report, name) == pytest.approx(expected, rel=1e-12, abs=1e-12), name
    assert sum(each.count for each in report.bins) == len(pairs)
    for each in report.bins:
        inside = [(c, x) for c, x in pairs if int(each.lower * 10 + 0.5) == min(int(c * 10), 9)]
        assert len(inside) == each.count
        assert each.mean_confidence == pytest.approx(sum(c for c, _ in inside) / each.count)
        assert each.mean_outcome == pytest.approx(sum(x for _, x in inside) / each.count)


@given(rows_of(dyadic))
def test_relaxation_half_life_of_infinity_and_zero_fold_to_the_same_threshold(rows: list[Outcome]) -> None:
    never, bare = rules(relaxation_half_life_seconds=float("inf")), rules(relaxation_half_life_seconds=0.0)
    for one, other in zip(steps(rows, never), steps(rows, bare), strict=True):
        assert one.now.threshold == other.now.threshold


@given(rows_of(dyadic), st.integers(0, 500))
def test_threshold_read_later_has_relaxed_by_the_time_since_the_last_outcome(
    rows: list[Outcome], hours: int
) -> None:
    in_force = rules(relaxation_half_life_seconds=168 * 3_600.0, min_predictions_for_adaptation=0)
    taught = [row.at_ns for row in rows if row.x is not None]
    if not taught:
        return
    state = steps(rows, in_force)[-1]
    learned = reference.threshold(rows, in_force)
    expected = 0.6 + (learned - 0.6) * 0.5 ** (hours / 168)
    read = views.params(state, max(taught) + hours * HOUR).confidence_threshold
    assert isclose(read, expected, rel_tol=1e-12)


def test_windows_of_random_lengths_wider_than_the_history_kept_still_slide() -> None:
    """Checkpoints every 64 rows let old rows go; a window of 300 must keep those it will drop later."""
    rows = [Outcome(T0 + i * HOUR, float(i * 7919 % 5 < 3), (i * 31 % 65) / 64) for i in range(900)]
    in_force = rules(calibration_window=300)
    state = ModelState("m", in_force)
    for number, row in enumerate(rows, 1):
        assert row.x is not None
        assert row.confidence is not None
        state.apply([scored(number, row.x, row.confidence, row.at_ns)], number)
        if number % 37 == 0:
            error = reference.window_error(rows[:number], 300)
            assert error is not None
            assert state.now.window_error_sum / state.now.window_count == float(error)
    assert len(state.history) < 300 + 3 * 64
