"""The structs: defaults, immutability, and the learning rules derived from them."""

from __future__ import annotations

import math
import struct

import msgspec
import pytest
from msgspec.structs import replace

from handicapper.config import (
    LearningRules,
    Pool,
    PoolRules,
    Recalibration,
    Settings,
    Sizing,
    ThompsonSampling,
    Thresholds,
    Weights,
    check_settings,
    default_settings,
)


def test_defaults_of_the_mission_are_kept() -> None:
    settings = default_settings()

    assert settings.enabled is True
    assert settings.ema_alpha == 0.1
    assert settings.min_predictions_for_adaptation == 10
    assert settings.decay_half_life_hours == 168
    assert settings.thresholds.min_threshold == 0.40
    assert settings.thresholds.max_threshold == 0.90
    assert settings.thresholds.initial_threshold == 0.60
    assert settings.thresholds.adjustment_rate == 0.01
    assert settings.thompson_sampling.enabled is True
    assert settings.thompson_sampling.prior_alpha == 1.0
    assert settings.thompson_sampling.prior_beta == 1.0
    assert settings.persistence.save_interval_secs == 60
    assert settings.persistence.db_table == "model_learning_stats"


def test_defaults_pass_their_own_checks_unchanged() -> None:
    assert check_settings(default_settings()) == default_settings()


def test_settings_are_immutable_and_hashable() -> None:
    settings = default_settings()

    with pytest.raises(AttributeError):
        settings.ema_alpha = 0.5  # pyright: ignore[reportAttributeAccessIssue]
    assert hash(settings) == hash(Settings())


def test_learning_rules_take_every_value_from_the_settings() -> None:
    settings = Settings(
        enabled=False,
        ema_alpha=0.3,
        min_predictions_for_adaptation=3,
        decay_half_life_hours=2.0,
        calibration_window=77,
        learn_on="proposed",
        thresholds=Thresholds(
            min_threshold=0.1,
            initial_threshold=0.2,
            max_threshold=0.3,
            adjustment_rate=0.04,
            relaxation_half_life_hours=3.0,
        ),
        weights=Weights(
            policy="posterior", min_weight=0.5, max_weight=1.5, shrinkage=4.0, outcome_log_wealth_max=0.5
        ),
        recalibration=Recalibration(enabled=True, memory_outcomes=200.0, half_life_hours=5.0),
        sizing=Sizing(rule="kelly", kelly_fraction=0.75),
        thompson_sampling=ThompsonSampling(posterior="changepoint", shared_changes=True, mode="mean"),
        pool=Pool(retire_after_days=2.0, slow_rate=0.5, linear_prior=0.2, form_decay=0.9),
    )

    assert settings.learning_rules() == LearningRules(
        enabled=False,
        ema_alpha=0.3,
        min_predictions_for_adaptation=3,
        decay_half_life_seconds=7200.0,
        calibration_window=77,
        initial_threshold=0.2,
        min_threshold=0.1,
        max_threshold=0.3,
        adjustment_rate=0.04,
        relaxation_half_life_seconds=10800.0,
        weight_policy="posterior",
        min_weight=0.5,
        max_weight=1.5,
        weight_shrinkage=4.0,
        prior_alpha=1.0,
        prior_beta=1.0,
        min_samples_for_eligibility=0,
        sampling_enabled=True,
        learn_on="proposed",
        recalibration_enabled=True,
        recalibration_memory_outcomes=200.0,
        recalibration_half_life_seconds=18000.0,
        size_rule="kelly",
        kelly_fraction=0.75,
        outcome_log_wealth_max=0.5,
        posterior="changepoint",
        shared_changes=True,
        selection_mode="mean",
        pool=PoolRules(
            retire_after_seconds=172_800.0,
            slow=(0.5, 0.9997, 1e-6),
            fast=(0.1, 0.997, 1e-4),
            form_prior=(0.04, 0.2, 0.04, 0.06),
            form_decay=0.9,
            correction_variance=0.03,
            correction_decay=0.9997,
            probability_floor=0.01,
            simultaneous_seconds=3_600.0,
        ),
    )
    assert replace(settings, pool=Pool(enabled=False)).learning_rules().pool is None


def test_rules_of_a_journal_that_had_fewer_fields_are_those_of_the_default_settings() -> None:
    """Else opening it would journal other rules, although nobody changed any."""
    rules = Settings().learning_rules()
    added = {
        *("recalibration_enabled", "recalibration_memory_outcomes", "recalibration_half_life_seconds"),
        *("size_rule", "kelly_fraction", "outcome_log_wealth_max"),
        *("posterior", "shared_changes"),
    }
    before = {name: value for name, value in msgspec.to_builtins(rules).items() if name not in added}
    assert len(before) == len(LearningRules.__struct_fields__) - len(added)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=LearningRules) == rules


@pytest.mark.parametrize(
    ("decay_hours", "relaxation_hours", "expected_seconds"),
    [
        (168.0, None, 604800.0),
        (168.0, 0.0, 0.0),
        (168.0, 1.0, 3600.0),
        (168.0, math.inf, 0.0),
        (math.inf, None, 0.0),
        (math.inf, 1.0, 3600.0),
    ],
)
def test_relaxation_half_life_absent_zero_or_infinite_is_resolved_to_a_number(
    decay_hours: float, relaxation_hours: float | None, expected_seconds: float
) -> None:
    """Absent means the decay half-life; infinite is the same as none, which is 0."""
    settings = Settings(
        decay_half_life_hours=decay_hours,
        thresholds=Thresholds(relaxation_half_life_hours=relaxation_hours),
    )

    assert settings.learning_rules().relaxation_half_life_seconds == expected_seconds


@pytest.mark.parametrize("hours", [math.inf, 168.0, 0.1, 5e-324, 1e300])
def test_learning_rules_survive_msgpack_bit_for_bit(hours: float) -> None:
    rules = Settings(decay_half_life_hours=hours, ema_alpha=0.1 + 0.2).learning_rules()

    read_back = msgspec.msgpack.decode(msgspec.msgpack.encode(rules), type=LearningRules)

    assert read_back == rules
    for name in LearningRules.__struct_fields__:
        before, after = getattr(rules, name), getattr(read_back, name)
        assert type(before) is type(after)
        if isinstance(before, float):
            assert struct.pack("<d", before) == struct.pack("<d", after)


def test_learning_rules_encode_as_a_map_without_a_tag() -> None:
    encoded = msgspec.msgpack.decode(msgspec.msgpack.encode(default_settings().learning_rules()))

    assert isinstance(encoded, dict)
    assert tuple(encoded) == LearningRules.__struct_fields__
