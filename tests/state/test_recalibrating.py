"""Recalibration in the fold, in what is served, and in the gate."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.recalibration import EVIDENCE_FIELDS, IDENTITY, add_calibration_outcome
from handicapper.actors.state import views
from handicapper.actors.state.events import Paused, Reset, RulesChanged
from handicapper.actors.state.model_state import ModelState
from handicapper.config import LearningRules

from .samples import HOUR, T0, rules, scored, state_bytes, taught, through_disk

ON = rules(recalibration_enabled=True)
YEAR_HOURS = 8_760


def overconfident(n: int, seed: int = 1, bias: float = 0.2) -> list[tuple[float, float]]:
    """(x, confidence) of a model that is right with confidence − bias."""
    random = np.random.default_rng(seed)
    stated = random.choice([0.6, 0.7, 0.8, 0.9], n)
    return [(float(random.random() < c - bias), float(c)) for c in stated]


def test_nothing_is_learned_unless_it_is_asked_for() -> None:
    state = taught(rules(), overconfident(50))
    assert state.now.recalibration is None
    report = views.report(state, T0 + 50 * HOUR)
    assert (report.recalibrated, report.calibration_map) == (None, None)
    assert views.params(state, T0).calibration_map is None
    assert views.decide_gate(state, 0.7, T0).calibrated_confidence is None


def test_raw_calibration_and_the_rest_are_what_they_are_without() -> None:
    """Only the threshold learns from something else."""
    plain, recalibrated = taught(rules(), overconfident(300)), taught(ON, overconfident(300))
    at = T0 + 300 * HOUR
    ours, theirs = views.report(recalibrated, at), views.report(plain, at)
    assert ours.calibration == theirs.calibration
    assert ours.recent_calibration == theirs.recent_calibration
    assert (ours.weight, ours.posterior_alpha) == (theirs.weight, theirs.posterior_alpha)
    assert ours.confidence_threshold != theirs.confidence_threshold


def test_map_is_that_of_the_rows_in_their_order_faded_with_event_time() -> None:
    """A second time by hand: a late row enters by its age, and one without a confidence not at all."""
    in_force = rules(
        recalibration_enabled=True,
        recalibration_memory_outcomes=50.0,
        recalibration_half_life_seconds=10 * 3_600.0,
        min_predictions_for_adaptation=1,
    )
    state = ModelState("m", in_force)
    rows = [(0, 1.0, 0.9), (5, 0.0, 0.8), (2, 0.5, 0.6), (9, 1.0, nan), (9, nan, nan), (25, 0.0, 0.7)]
    evidence, newest = [0.0] * EVIDENCE_FIELDS, 0
    for number, (hours, x, confidence) in enumerate(rows, 1):
        state.apply([scored(number, x, confidence, T0 + hours * HOUR)], number)
        if confidence != confidence or x != x:
            continue
        kept = (1 - 1 / 50) * 0.5 ** (max(hours - newest, 0) / 10)
        share = 0.5 ** (max(newest - hours, 0) / 10)
        add_calibration_outcome(evidence, confidence, x, kept, share)
        newest = max(newest, hours)
    assert state.now.recalibration is not None
    assert state.now.recalibration.evidence == pytest.approx(evidence, rel=1e-12)
    served = [views.params(state, T0 + hours * HOUR).calibration_map for hours in (24, 25, 35)]
    assert served[0] == served[1] != served[2], "time never runs backwards, and fades what is known"


def test_unadapted_model_is_taken_at_its_word_and_learns_meanwhile() -> None:
    state = taught(ON, overconfident(9))
    assert state.now.recalibration is not None
    assert views.params(state, T0).calibration_map == IDENTITY
    decided = views.decide_gate(state, 0.7, T0)
    assert (decided.accepted, decided.calibrated_confidence, decided.size_multiplier) == (True, 0.7, 0.7)
    state.apply([scored(10, 0.0, 0.9, T0 + 10 * HOUR)], 10)
    assert views.params(state, T0 + 10 * HOUR).calibration_map != IDENTITY


def test_new_model_is_taken_at_its_word() -> None:
    decided = views.decide_gate(ModelState("m", ON), 0.65, T0)
    assert (decided.accepted, decided.calibrated_confidence, decided.size_multiplier) == (True, 0.65, 0.65)


def test_disabled_adaptation_serves_the_confidence_as_stated_and_learns_on() -> None:
    state = taught(rules(recalibration_enabled=True, enabled=False), overconfident(200))
    assert views.decide_gate(state, 0.7, T0).calibrated_confidence == 0.7
    state.apply([RulesChanged(ON)], 201)
    worth = views.decide_gate(state, 0.7, T0 + 200 * HOUR).calibrated_confidence
    assert worth is not None
    assert worth < 0.6


def test_gate_compares_and_sizes_by_what_the_confidence_is_worth() -> None:
    """Overconfident by 0.2: 0.7 is worth about 0.5 and refused, 0.9 about 0.7 and taken."""
    state = taught(ON, overconfident(500))
    at = T0 + 500 * HOUR
    refused, taken = views.decide_gate(state, 0.7, at), views.decide_gate(state, 0.9, at)
    assert (refused.accepted, refused.reason) == (False, "below_threshold")
    assert refused.calibrated_confidence == pytest.approx(0.5, abs=0.06)
    assert taken.accepted
    assert taken.calibrated_confidence == pytest.approx(0.7, abs=0.06)
    assert taken.size_multiplier == taken.calibrated_confidence * taken.weight
    assert views.decide_gate(taught(rules(), overconfident(500)), 0.7, T0).calibrated_confidence is None


def test_paused_model_is_refused_and_its_numbers_given() -> None:
    state = taught(ON, overconfident(100))
    state.apply([Paused(None, "")], 101)
    decided = views.decide_gate(state, 0.9, T0 + 100 * HOUR)
    assert (decided.reason, decided.size_multiplier) == ("paused", 0.0)
    assert decided.calibrated_confidence is not None
    assert decided.calibrated_confidence < 0.9


def test_threshold_does_not_mend_again_what_the_map_has_mended() -> None:
    """Overconfident by 0.10 the bare window drives the threshold up to 0.84. With recalibration the error that
    the gate sees is that of the map, which learns within some 50 outcomes."""
    pairs = overconfident(1_000, bias=0.10)
    assert taught(rules(), pairs).now.threshold > 0.75
    assert abs(taught(ON, pairs).now.threshold - 0.6) < 0.05


def test_threshold_rises_where_recalibration_fails() -> None:
    """Calibrated, then suddenly overconfident by 0.35: the map's memory of 1,000 outcomes is slow to follow, and the
    error that is left exceeds 2.5 standard errors of the window, 0.11, from its second half on."""
    state = ModelState("m", ON)
    rows = overconfident(2_000, bias=0.0) + overconfident(200, seed=2, bias=0.35)
    for number, (x, confidence) in enumerate(rows, 1):
        state.apply([scored(number, x, confidence, T0 + number * HOUR)], number)
        if number == 2_000:
            before = state.now.threshold
    assert state.now.threshold > before + 0.03


def test_report_shows_both_calibrations_of_the_same_outcomes() -> None:
    pairs = overconfident(3_000, bias=0.15)
    report = views.report(taught(ON, pairs), T0 + 3_000 * HOUR)
    mended = report.recalibrated
    assert mended is not None
    assert mended.count == report.calibration.count == 3_000
    assert report.calibration.expected_calibration_error == pytest.approx(0.15, abs=0.03)
    assert mended.expected_calibration_error == pytest.approx(0.0, abs=0.03)
    assert (mended.brier or 1.0) < (report.calibration.brier or 0.0) - 0.01
    assert (mended.log_loss or 1.0) < (report.calibration.log_loss or 0.0)
    assert sum(each.count for each in mended.bins) == 3_000


def test_model_that_comes_back_after_years_is_nearer_to_its_word() -> None:
    """Half of the evidence is left after a half-life, and after twenty of them one part in a million."""
    state = taught(ON, overconfident(500))
    at = T0 + 499 * HOUR
    distances = []
    for years in (0, 1, 5, 20):
        worth = views.decide_gate(state, 0.9, at + years * YEAR_HOURS * HOUR).calibrated_confidence
        assert worth is not None
        distances.append(0.9 - worth)
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.15
    assert 0.0 < distances[-1] < 1e-4


def test_reset_forgets_the_map() -> None:
    state = taught(ON, overconfident(100))
    state.apply([Reset(101)], 101)
    assert state.now.recalibration == ModelState("m", ON).now.recalibration
    assert views.params(state, T0).calibration_map == IDENTITY


def test_recalibration_set_off_forgets_and_set_on_again_begins_anew() -> None:
    pairs = overconfident(40)
    state = taught(ON, pairs[:20])
    state.apply([RulesChanged(rules())], 21)
    assert state.now.recalibration is None
    state.apply([RulesChanged(ON)], 22)
    for number, (x, confidence) in enumerate(pairs[20:], 23):
        state.apply([scored(number, x, confidence, T0 + number * HOUR)], number)
    alone = ModelState("m", ON)
    for number, (x, confidence) in enumerate(pairs[20:], 23):
        alone.apply([scored(number, x, confidence, T0 + number * HOUR)], number)
    assert state.now.recalibration == alone.now.recalibration


@pytest.mark.parametrize("in_force", [ON, rules(recalibration_enabled=True, weight_policy="edge")])
def test_state_survives_its_record(in_force: LearningRules) -> None:
    state = taught(in_force, overconfident(200))
    back = through_disk(state)
    assert state_bytes(back) == state_bytes(state)
    back.apply([scored(201, 1.0, 0.7, T0 + 300 * HOUR, price=0.5)], 201)
    state.apply([scored(201, 1.0, 0.7, T0 + 300 * HOUR, price=0.5)], 201)
    assert state_bytes(back) == state_bytes(state)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 0.3, nan]), st.sampled_from([0.0, 1.0, 0.5, 0.99, nan])),
        max_size=40,
    ),
    st.sampled_from([1.0, 0.5]),
)
def test_any_confidence_and_outcome_leave_finite_numbers(
    pairs: list[tuple[float, float]], rate: float
) -> None:
    in_force = rules(recalibration_enabled=True, adjustment_rate=rate, min_predictions_for_adaptation=0)
    state = taught(in_force, pairs)
    state.check_invariants()
    for confidence in (0.0, 0.5, 1.0):
        decided = views.decide_gate(state, confidence, T0 + 40 * HOUR)
        assert decided.calibrated_confidence is not None
        assert 0.0 <= decided.calibrated_confidence <= 1.0
