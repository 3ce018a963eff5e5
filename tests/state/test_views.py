from __future__ import annotations

from math import nextafter
from typing import Any

import pytest

from handicapper.actors.state import views
from handicapper.actors.state.calibration_views import recent_calibration
from handicapper.actors.state.events import Counted, Paused, Resumed, RulesChanged
from handicapper.actors.state.model_state import ModelState
from handicapper.protocol.messages import AdaptiveParams

from .samples import HOUR, T0, rules, scored, state_bytes, taught

LATER = T0 + 1_000 * HOUR
NINE = [(0.0, 0.9)] * 9
"""One outcome short of adaptation."""


def test_gate_equal_to_the_threshold_passes_and_the_next_float_below_does_not() -> None:
    state = taught(rules(), NINE)
    assert views.decide_gate(state, 0.6, T0).accepted
    below = views.decide_gate(state, nextafter(0.6, 0.0), T0)
    assert (below.accepted, below.reason, below.size_multiplier) == (False, "below_threshold", 0.0)


def test_gate_of_a_learned_threshold_passes_exactly_that_threshold() -> None:
    state = taught(rules(), [(0.0, 0.9)] * 50)
    theta = views.params(state, LATER).confidence_threshold
    assert 0.6 < theta < 0.9
    assert views.decide_gate(state, theta, LATER).accepted
    assert not views.decide_gate(state, nextafter(theta, 0.0), LATER).accepted


def test_gate_size_is_confidence_times_weight() -> None:
    state = taught(rules(), [(1.0, 0.7)] * 30)
    decided = views.decide_gate(state, 0.8, LATER)
    assert decided.weight > 1.5
    assert decided.size_multiplier == 0.8 * decided.weight
    assert decided.decided_seq == 30


def test_params_before_adaptation_are_the_initial_ones_and_show_the_ema() -> None:
    state = taught(rules(), NINE)
    params = views.params(state, LATER)
    assert (params.confidence_threshold, params.weight, params.adapted) == (0.6, 1.0, False)
    assert params.ema_accuracy == state.now.ema_accuracy < 0.5
    state.apply([scored(10, 0.0, 0.9, T0 + 9 * HOUR)], 10)
    adapted = views.params(state, T0 + 9 * HOUR)
    assert adapted.adapted
    assert adapted.confidence_threshold == pytest.approx(0.6 + 0.01 * 0.9)
    assert adapted.weight < 1.0


def test_params_of_a_new_model_are_not_adapted_even_where_no_outcome_is_asked_for() -> None:
    state = ModelState("m", rules(min_predictions_for_adaptation=0))
    assert views.params(state, T0) == views.initial_params(state.rules)


def test_disabled_adaptation_serves_the_initial_parameters_while_outcomes_are_recorded() -> None:
    enabled, disabled = taught(rules(), NINE * 4), taught(rules(enabled=False), NINE * 4)
    initial = AdaptiveParams(confidence_threshold=0.6, weight=1.0, ema_accuracy=0.5, adapted=False)
    assert views.params(disabled, LATER) == initial
    assert views.params(enabled, LATER) != initial
    assert views.posterior(disabled, LATER) == (1.0, 1.0)
    report = views.report(disabled, LATER)
    assert (report.n, report.accuracy, report.enabled, report.at_wall) == (36, 0.0, False, None)
    assert report.calibration == views.report(enabled, LATER).calibration
    assert views.decide_gate(disabled, 0.6, LATER).accepted
    assert views.arm(disabled, LATER) == (1.0, 1.0, True)


def test_adaptation_enabled_again_finds_the_outcomes_recorded_meanwhile() -> None:
    state = taught(rules(enabled=False), [(1.0, 0.7)] * 20)
    state.apply([RulesChanged(rules())], 21)
    params = views.params(state, T0 + 19 * HOUR)
    assert params.adapted
    assert params.ema_accuracy == pytest.approx(1.0 - 0.5 * 0.9**20)
    assert views.posterior(state, T0 + 19 * HOUR)[0] > 18.0


def test_rules_with_a_shorter_window_shorten_it_at_once() -> None:
    state = taught(rules(calibration_window=50), [(i % 2, 0.7) for i in range(50)])
    state.apply([RulesChanged(rules(calibration_window=10))], 51)
    state.check_invariants()
    assert recent_calibration(state).count == 10


def test_rules_with_other_bounds_pull_the_threshold_between_them() -> None:
    state = taught(rules(adjustment_rate=1.0), [(0.0, 0.9)] * 20)
    assert state.now.threshold == 0.9
    state.apply([RulesChanged(rules(max_threshold=0.7))], 21)
    assert state.now.threshold == 0.7


def test_paused_model_is_refused_until_the_time_and_its_numbers_are_given() -> None:
    state = taught(rules(), [(1.0, 0.7)] * 20)
    state.apply([Paused(LATER, "lineup change")], 21)
    for as_of, paused in ((LATER - 1, True), (LATER, False)):
        decided = views.decide_gate(state, 0.99, as_of)
        assert decided.accepted is not paused
        assert decided.reason == ("paused" if paused else "accepted")
        assert decided.weight > 1.0
        assert views.eligible(state, as_of) is not paused
        assert (views.arm(state, as_of) is None) is paused
        report = views.report(state, as_of)
        assert (report.paused, report.paused_until, report.pause_reason) == (paused, LATER, "lineup change")


def test_pause_without_an_end_lasts_until_resumed_and_the_model_learns_on() -> None:
    state = ModelState("m", rules())
    state.apply([Paused(None, "")], 1)
    state.apply([scored(2, 1.0)], 2)
    assert views.paused(state, 2**62)
    assert state.now.n == 1
    state.apply([Resumed()], 3)
    assert not views.paused(state, T0)


def test_eligibility_takes_as_many_outcomes_as_the_settings_ask_for() -> None:
    state = taught(rules(min_samples_for_eligibility=3), [(1.0, 0.7)] * 2)
    assert not views.eligible(state, T0)
    assert views.contender(state, T0) is None
    state.apply([scored(3, 1.0)], 3)
    assert views.eligible(state, T0)
    assert views.eligible(ModelState("m", rules()), T0), "a new model is explored"


def test_starved_model_had_a_whole_window_refused_and_nothing_accepted() -> None:
    state = ModelState("m", rules(calibration_window=10))
    state.apply([Counted(1, 9, 0, 9)], 1)
    assert not views.report(state, T0).starved
    state.apply([Counted(0, 0, 5, 0)], 2)
    assert not views.report(state, T0).starved, "predictions that never asked the gate are no refusals"
    state.apply([Counted(0, 1, 0, 1)], 3)
    assert views.report(state, T0).starved
    state.apply([Counted(1, 0, 0, 0)], 4)
    assert not views.report(state, T0).starved


@pytest.mark.parametrize(("x", "confidence", "wall"), [(0.0, 0.9, "max"), (1.0, 0.1, "min")])
def test_model_on_its_bound_is_at_the_wall_until_relaxation_takes_it_off(
    x: float, confidence: float, wall: str
) -> None:
    state = taught(rules(adjustment_rate=1.0), [(x, confidence)] * 20)
    newest = T0 + 19 * HOUR
    assert views.report(state, newest).at_wall == wall
    assert views.report(state, newest + 1_000 * HOUR).at_wall is None
    bare = taught(rules(adjustment_rate=1.0, relaxation_half_life_seconds=0.0), [(x, confidence)] * 20)
    assert views.report(bare, newest + 1_000 * HOUR).at_wall == wall


@pytest.mark.parametrize("changes", [{}, {"enabled": False}, {"min_samples_for_eligibility": 6}], ids=str)
@pytest.mark.parametrize("n", [0, 5, 6])
@pytest.mark.parametrize("as_of", [T0 - HOUR, T0, LATER])
def test_arm_is_the_posterior_of_an_eligible_model(changes: dict[str, Any], n: int, as_of: int) -> None:
    state = taught(rules(**changes), [(0.75, 0.7)] * n)
    expected = (*views.posterior(state, as_of), True) if views.eligible(state, as_of) else None
    assert views.arm(state, as_of) == expected
    assert (expected is None) == (n < changes.get("min_samples_for_eligibility", 0))


def test_arm_of_evidence_that_was_taken_back_is_not_below_the_prior() -> None:
    state = taught(rules(prior_alpha=1e-3), [(1.0, 0.7)] * 3)
    state.now.successes = -1e-17
    assert views.arm(state, T0) == (*views.posterior(state, T0), True)


def test_paused_model_has_no_arm_until_it_goes_on() -> None:
    state = taught(rules(), [(1.0, 0.7)] * 5)
    state.apply([Paused(LATER, "rest")], 6)
    assert views.arm(state, LATER - 1) is None
    assert views.arm(state, LATER) == (*views.posterior(state, LATER), True)


def test_arm_says_that_it_is_not_sampled_from_while_sampling_is_disabled() -> None:
    state = taught(rules(sampling_enabled=False, decay_half_life_seconds=float("inf")), [(1.0, 0.7)] * 8)
    assert views.arm(state, LATER) == (9.0, 1.0, False)


def test_views_change_nothing() -> None:
    state = taught(rules(), [(1.0, 0.7)] * 30)
    before = state_bytes(state)
    for view in (views.report, views.summary, views.params, views.contender, views.eligible, views.arm):
        view(state, LATER)
    assert state_bytes(state) == before
