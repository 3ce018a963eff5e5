"""Other settings for an open learner: what can hold at once does, the rest waits, and both are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from handicapper.actors import Learner, SettingsChange, verify_state
from handicapper.actors.runtime.clock import ManualClock
from handicapper.actors.settings_change import settings_following
from handicapper.actors.store import Store
from handicapper.config import (
    Limits,
    Pool,
    Recalibration,
    Settings,
    Sizing,
    Supervision,
    ThompsonSampling,
    Thresholds,
    Weights,
    settings_to_dict,
)
from handicapper.protocol.errors import ClosedError, DeadlineExceededError, SettingsError, StoreFailedError

from .helpers import (
    DEADLINE_SECONDS,
    SOON_SECONDS,
    T0,
    copy_while_open,
    disk_held,
    eventually,
    lesson_bytes,
    outcome,
    pattern,
    small_settings,
    teach,
)

Open = Callable[..., Learner]


def with_persistence(settings: Settings, **fields: Any) -> Settings:
    return replace(settings, persistence=replace(settings.persistence, **fields))


def test_rules_hold_from_then_on_and_are_journaled(open_learner: Open, tmp_path: Path) -> None:
    """EMA by hand: smoothing 0.1 for the first outcomes, 0.5 for the others; the same after a crash."""
    learner = open_learner(settings=small_settings(ema_alpha=0.1))
    learner.record_outcomes(outcome(n, right=pattern(n)) for n in range(20))
    changed = small_settings(ema_alpha=0.5)
    seq = learner.statistics().seq
    assert learner.apply_settings(changed) == SettingsChange(applied=("ema_alpha",))
    assert learner.statistics().durable_seq == seq + 1
    assert learner.settings == changed
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
    assert verify_state(tmp_path / "state", changed).ok


def test_rules_applied_are_those_of_a_learner_opened_with_them(open_learner: Open) -> None:
    """Every key that teaches changes, and is told by name."""
    wanted = small_settings(
        enabled=False,
        ema_alpha=0.3,
        min_predictions_for_adaptation=3,
        decay_half_life_hours=24.0,
        calibration_window=20,
        learn_on="proposed",
        thresholds=Thresholds(
            min_threshold=0.45,
            max_threshold=0.85,
            initial_threshold=0.55,
            adjustment_rate=0.02,
            relaxation_half_life_hours=12.0,
        ),
        weights=Weights(
            policy="edge", min_weight=0.5, max_weight=1.5, shrinkage=5.0, outcome_log_wealth_max=0.1
        ),
        recalibration=Recalibration(enabled=True, memory_outcomes=500.0, half_life_hours=1000.0),
        sizing=Sizing(rule="kelly", kelly_fraction=0.5),
        thompson_sampling=ThompsonSampling(
            enabled=False,
            mode="top_two",
            posterior="changepoint",
            shared_changes=True,
            prior_alpha=2.0,
            prior_beta=3.0,
            seed=9,
            min_samples_for_eligibility=2,
            gather_deadline_ms=77,
        ),
    )
    learner = open_learner()
    change = learner.apply_settings(wanted)
    assert change.needs_restart == ()
    assert set(change.applied) == {
        *("enabled", "ema_alpha", "min_predictions_for_adaptation", "decay_half_life_hours"),
        *("calibration_window", "learn_on"),
        *(f"thresholds.{name}" for name in Thresholds.__struct_fields__),
        *(f"weights.{name}" for name in Weights.__struct_fields__),
        *(f"recalibration.{name}" for name in Recalibration.__struct_fields__),
        *(f"sizing.{name}" for name in Sizing.__struct_fields__),
        *(f"thompson_sampling.{name}" for name in ThompsonSampling.__struct_fields__),
    }
    assert learner.settings == wanted
    opened = open_learner("opened", settings=wanted)
    assert learner._engine.rules == opened._engine.rules == wanted.learning_rules()
    for it in (learner, opened):
        teach(it, "m", range(30))
    assert learner.report("m", as_of=T0) == replace(
        opened.report("m", as_of=T0), applied_seq=learner.report("m").applied_seq
    )
    assert learner.thompson_sample(as_of=T0, selection_id="s") == opened.thompson_sample(
        as_of=T0, selection_id="s"
    )
    assert learner.thompson_sample().seed == 9


def test_seed_and_deadline_change_at_once_and_nothing_is_journaled(open_learner: Open) -> None:
    learner = open_learner()
    teach(learner, "m", range(3))
    seq = learner.statistics().seq
    sampling = ThompsonSampling(seed=5, gather_deadline_ms=15)
    change = learner.apply_settings(small_settings(thompson_sampling=sampling))
    assert change.applied == ("thompson_sampling.seed", "thompson_sampling.gather_deadline_ms")
    assert learner.thompson_sample().seed == 5
    assert learner._engine.settings.thompson_sampling.gather_deadline_ms == 15
    assert learner.statistics().seq == seq


def test_save_interval_is_counted_anew(open_learner: Open) -> None:
    """By a manual clock: the old interval never comes, the new one does."""
    learner = open_learner(
        clock=ManualClock(now_ns=T0), settings=small_settings(supervision={"stuck_after_secs": 0.0})
    )
    learner.record_outcome(outcome(1))
    timers = learner._engine.timers
    before = learner._engine._snapshot_timer
    change = learner.apply_settings(with_persistence(learner.settings, save_interval_secs=10.0))
    assert change == SettingsChange(applied=("persistence.save_interval_secs",))
    assert before.cancelled
    clock = learner._engine.clock
    assert isinstance(clock, ManualClock)
    clock.advance(9.0)
    assert timers.run_due() == 0
    clock.advance(1.0)
    timers.run_due()
    eventually(lambda: learner.statistics().snapshot_seq == learner.statistics().seq)


def test_what_cannot_change_while_running_is_named_and_stays(open_learner: Open) -> None:
    learner = open_learner()
    before = learner.settings
    wanted = replace(
        with_persistence(before, db_table="other", snapshot_inputs_max=7, save_interval_secs=3.0),
        limits=Limits(models_max=5, dead_letters_max=0),
        supervision=Supervision(restarts_max=1),
        ema_alpha=0.2,
    )
    change = learner.apply_settings(wanted)
    assert change.applied == ("ema_alpha", "persistence.save_interval_secs")
    assert change.needs_restart == (
        "persistence.db_table",
        "persistence.snapshot_inputs_max",
        "limits.models_max",
        "limits.dead_letters_max",
        "supervision.restarts_max",
    )
    assert learner.settings == replace(with_persistence(before, save_interval_secs=3.0), ema_alpha=0.2)
    again = learner.apply_settings(wanted)
    assert again == SettingsChange(needs_restart=change.needs_restart)


def test_keys_of_the_server_are_left_to_whoever_serves(open_learner: Open) -> None:
    learner = open_learner()
    server = learner.settings.server
    name = next(n for n in server.__struct_fields__ if type(getattr(server, n)) is int)
    wanted = replace(learner.settings, server=replace(server, **{name: getattr(server, name) + 1}))
    assert learner.apply_settings(wanted) == SettingsChange(needs_restart=(f"server.{name}",))
    assert learner.settings.server == server


def test_the_same_settings_change_nothing(open_learner: Open) -> None:
    learner = open_learner()
    seq = learner.statistics().seq
    assert learner.apply_settings(small_settings()) == SettingsChange()
    assert learner.statistics().seq == seq


def test_wrong_settings_are_refused_whole_with_every_problem(open_learner: Open) -> None:
    learner = open_learner()
    before, seq = learner.settings, learner.statistics().seq
    wrong = small_settings(ema_alpha=2.0, calibration_window=50, thresholds=Thresholds(min_threshold=0.95))
    with pytest.raises(SettingsError) as refused:
        learner.apply_settings(wrong)
    assert len(refused.value.problems) >= 2
    assert learner.settings is before
    assert learner.statistics().seq == seq


def test_every_open_model_follows_the_new_rules(open_learner: Open) -> None:
    learner = open_learner()
    for place, model in enumerate("abc"):
        teach(learner, model, range(place * 100, place * 100 + 20))
    assert learner.get_adaptive_params("a").adapted  # pyright: ignore[reportOptionalMemberAccess]
    learner.apply_settings(small_settings(min_predictions_for_adaptation=1000))
    for model in "abc":
        assert not learner.get_adaptive_params(model).adapted  # pyright: ignore[reportOptionalMemberAccess]


def test_rules_that_cannot_be_journaled_are_not_in_force(
    open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = open_learner()
    before = learner.settings

    def append(*_: Any) -> None:
        raise StoreFailedError("no space left on this device")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "append", append)
        with pytest.raises(StoreFailedError, match="no space"):
            learner.apply_settings(small_settings(ema_alpha=0.7))
    assert learner.settings is before


def test_rules_whose_answer_comes_too_late_can_be_applied_again(open_learner: Open) -> None:
    learner = open_learner()
    wanted = small_settings(ema_alpha=0.7)
    with disk_held(learner), pytest.raises(DeadlineExceededError):
        learner.apply_settings(wanted, timeout=SOON_SECONDS)
    assert learner.apply_settings(wanted, timeout=DEADLINE_SECONDS).applied == ("ema_alpha",)
    assert learner.settings == wanted


def test_learner_opened_without_settings_says_what_its_directory_follows(
    open_learner: Open, tmp_path: Path
) -> None:
    """It has the rules of its last opening, in the keys that say them."""
    rules = small_settings(
        ema_alpha=0.25,
        decay_half_life_hours=0.7,
        thresholds=Thresholds(initial_threshold=0.5, relaxation_half_life_hours=1.1),
        weights=Weights(policy="posterior"),
        thompson_sampling=ThompsonSampling(min_samples_for_eligibility=4, posterior="changepoint"),
    )
    open_learner(settings=rules).close()
    with Learner(tmp_path / "state") as learner:
        assert learner.settings.learning_rules() == rules.learning_rules()
        assert learner.settings.weights.policy == "posterior"
        seq = learner.statistics().seq
        follows = replace(Settings(), ema_alpha=0.25, decay_half_life_hours=0.7)
        change = learner.apply_settings(follows)
        assert set(change.applied) == {
            "thresholds.initial_threshold",
            "thresholds.relaxation_half_life_hours",
            "weights.policy",
            "thompson_sampling.min_samples_for_eligibility",
            "thompson_sampling.posterior",
        }
        assert learner.statistics().seq == seq + 1


def test_settings_that_follow_rules_follow_each_of_them() -> None:
    """A rule that was left out would go back to its default with the next key that is applied."""
    wanted = Settings(
        recalibration=Recalibration(enabled=True),
        sizing=Sizing(rule="kelly"),
        thompson_sampling=ThompsonSampling(posterior="changepoint", enabled=False),
        weights=Weights(policy="score"),
        pool=Pool(enabled=False),
        learn_on="proposed",
        enabled=False,
    ).learning_rules()
    numbers = {
        name: value * 0.5
        for name, value in asdict(wanted).items()
        if type(value) in (int, float) and value != 1
    }
    for rules in (wanted, replace(wanted, **{**numbers, "pool": Pool(fast_rate=0.5).rules()})):
        followed = settings_following(Settings(), rules).learning_rules()
        assert asdict(followed) == asdict(rules)


def test_every_key_is_either_applied_or_waits_for_a_restart(open_learner: Open) -> None:
    """A key added to the settings later is named one way or the other."""
    learner = open_learner()
    tables = settings_to_dict(learner.settings)["online_learning"]
    for table, keys in tables.items():
        if not isinstance(keys, dict):
            continue
        for key, value in keys.items():
            if type(value) is not int or table == "thresholds":
                continue
            struct = getattr(learner.settings, table)
            wanted = replace(learner.settings, **{table: replace(struct, **{key: value + 1})})
            try:
                change = learner.apply_settings(wanted)
            except SettingsError:
                continue  # it had its highest value
            assert (*change.applied, *change.needs_restart) == (f"{table}.{key}",)


def test_closed_learner_takes_no_settings(learner: Learner) -> None:
    learner.close()
    with pytest.raises(ClosedError):
        learner.apply_settings(small_settings(ema_alpha=0.3))


def test_driven_learner_applies_settings_from_its_owners_thread(open_learner: Open) -> None:
    learner = open_learner(wake=lambda: None)
    learner.record_each_nowait([outcome(n) for n in range(10)])
    assert learner.apply_settings(small_settings(ema_alpha=0.3)).applied == ("ema_alpha",)
    assert learner.report("m").n == 10
