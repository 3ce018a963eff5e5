"""The settings in force are journaled: every input is folded by the rules of its time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from handicapper.actors import Learner, verify_state
from handicapper.config import Settings, ThompsonSampling, Thresholds
from handicapper.protocol.errors import SettingsError

from .helpers import (
    T0,
    copy_while_open,
    lesson_bytes,
    outcome,
    pattern,
    prediction,
    resolution,
    small_settings,
    teach,
)

Open = Callable[..., Learner]


def test_disabled_adaptation_serves_initial_parameters_and_records_all_the_same(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(enabled=False))
    teach(learner, "m", range(60))
    at = T0 + 10**12
    params = learner.get_adaptive_params("m", as_of=at)
    assert params is not None
    assert (params.confidence_threshold, params.weight, params.ema_accuracy, params.adapted) == (
        0.6,
        1.0,
        0.5,
        False,
    )
    report = learner.report("m", as_of=at)
    assert (report.n, report.enabled, report.calibration.count) == (60, False, 60)
    assert (report.posterior_alpha, report.posterior_beta) == (1.0, 1.0)
    decision = learner.process_signal(prediction(1000, confidence=0.8, predicted_at=at))
    assert (decision.size_multiplier, decision.weight, decision.adapted) == (0.8, 1.0, False)
    (sample,) = learner.thompson_sample(as_of=at).ranked
    assert (sample.alpha, sample.beta) == (1.0, 1.0)


def test_adaptation_enabled_later_serves_what_was_recorded_meanwhile(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(enabled=False))
    teach(learner, "m", range(60))
    learner.close()
    learner = open_learner()
    report = learner.report("m")
    assert (report.n, report.adapted, report.enabled) == (60, True, True)
    accuracy = sum(pattern(n) for n in range(60)) / 60
    assert report.accuracy == pytest.approx(accuracy)
    assert report.ema_accuracy != 0.5


def test_settings_changed_between_openings_hold_from_there_on(open_learner: Open, tmp_path: Path) -> None:
    """EMA by hand: smoothing 0.1 for the first outcomes, 0.5 for the others, and never the other way round."""
    learner = open_learner(settings=small_settings(ema_alpha=0.1))
    learner.record_outcomes(outcome(n, right=pattern(n)) for n in range(20))
    learner.close()
    changed = small_settings(ema_alpha=0.5)
    learner = open_learner(settings=changed)
    learner.record_outcomes(outcome(n, right=pattern(n)) for n in range(20, 40))
    ema = 0.5
    for number in range(40):
        alpha = 0.1 if number < 20 else 0.5
        ema = alpha * pattern(number) + (1 - alpha) * ema
    assert learner.report("m").ema_accuracy == pytest.approx(ema, rel=1e-12)
    live = lesson_bytes(learner)
    copy_while_open(tmp_path / "state", tmp_path / "crashed")
    assert lesson_bytes(open_learner("crashed", settings=changed)) == live
    learner.close()
    assert verify_state(tmp_path / "state").ok


def test_settings_changed_before_a_crash_are_followed_by_a_replay_of_the_whole_journal(
    open_learner: Open, tmp_path: Path
) -> None:
    """Without any snapshot, three sets of rules; the copy is taken while the last learner is open."""
    histories = [
        small_settings(ema_alpha=0.1),
        small_settings(ema_alpha=0.3, thresholds=Thresholds(adjustment_rate=0.05)),
        small_settings(ema_alpha=0.2, calibration_window=10, decay_half_life_hours=1.0),
    ]
    names = ["state", "second", "third", "end"]
    for turn, rules in enumerate(histories):
        learner = open_learner(names[turn], settings=rules)
        teach(learner, "m", range(turn * 40, turn * 40 + 40))
        last = lesson_bytes(learner)
        copy_while_open(tmp_path / names[turn], tmp_path / names[turn + 1])
        found = open_learner(names[turn + 1], settings=rules)
        assert lesson_bytes(found) == last
        found.close()
    assert verify_state(tmp_path / "end", histories[-1]).ok


def test_settings_that_are_the_same_are_not_journaled_again(open_learner: Open) -> None:
    learner = open_learner()
    learner.record_outcome(outcome(1))
    seq = learner.statistics().seq
    learner.close()
    assert open_learner().statistics().seq == seq


def test_settings_that_change_nothing_learned_are_not_journaled(open_learner: Open) -> None:
    learner = open_learner()
    learner.record_outcome(outcome(1))
    seq = learner.statistics().seq
    learner.close()
    other = small_settings(limits={"batch_inputs_max": 7}, thompson_sampling=ThompsonSampling(seed=9))
    learner = open_learner(settings=other)
    assert learner.statistics().seq == seq
    assert learner.thompson_sample().seed == 9


def test_changed_learn_on_applies_to_later_inputs(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(learn_on="proposed"))
    learner.record_predictions([prediction(1), prediction(2)])
    assert learner.resolve_market(resolution(1, status="proposed")).scored == 1
    learner.close()
    learner = open_learner(settings=small_settings(learn_on="final"))
    assert learner.report("m").n == 1
    assert learner.resolve_market(resolution(2, status="proposed")).scored == 0
    assert learner.resolve_market(resolution(2, status="final")).scored == 1


def test_proposed_resolution_that_is_disputed_is_taken_back(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(learn_on="proposed"))
    teach(learner, "m", range(100, 110))
    learner.record_prediction(prediction(1))
    before = learner.report("m", as_of=T0)
    learner.resolve_market(resolution(1, status="proposed"))
    assert learner.report("m").n == 11
    learner.resolve_market(resolution(1, status="disputed"))
    taken_back = learner.report("m", as_of=T0)
    assert (taken_back.n, taken_back.ema_accuracy) == (before.n, before.ema_accuracy)
    assert learner.resolve_market(resolution(1, "NO", status="final")).scored == 1
    assert learner.report("m").n == 11


def test_wrong_settings_are_refused_with_every_problem_and_nothing_is_made(
    open_learner: Open, tmp_path: Path
) -> None:
    wrong = Settings(ema_alpha=2.0, thresholds=Thresholds(min_threshold=0.95))
    with pytest.raises(SettingsError) as refused:
        open_learner(settings=wrong)
    assert len(refused.value.problems) >= 2
    assert not (tmp_path / "state").exists()
