"""What is refused, and what the message says about it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from handicapper.config import (
    Persistence,
    Settings,
    ThompsonSampling,
    Thresholds,
    check_settings,
    default_settings,
    settings_from_dict,
)
from handicapper.protocol.errors import SettingsError


def problems_of(table: dict[str, Any] | Any) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        settings_from_dict({"online_learning": table}, "my.toml")
    assert caught.value.source == "my.toml"
    assert str(caught.value).startswith("SETTINGS_INVALID my.toml: ")
    return caught.value.problems


def nested(path: str, value: object) -> dict[str, Any]:
    table, _, key = path.rpartition(".")
    return {table: {key: value}} if table else {key: value}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("ema_alpha", 0, "was 0; expected a number above 0, up to 1"),
        ("ema_alpha", 1.5, "was 1.5; expected a number above 0, up to 1"),
        ("ema_alpha", math.nan, "was nan; expected a number above 0, up to 1"),
        ("ema_alpha", math.inf, "was inf; expected a number above 0, up to 1"),
        ("ema_alpha", True, "was the boolean true; expected a number"),
        ("ema_alpha", "abc", "was the string 'abc'; expected a number"),
        ("ema_alpha", [0.1], "was the array [0.1]; expected a number"),
        ("ema_alpha", {"x": 1}, "was a table; expected a number"),
        ("ema_alpha", None, "was None; expected a number"),
        ("decay_half_life_hours", 0.0, "was 0.0; expected a number above 0, or inf"),
        ("decay_half_life_hours", -0.0, "was -0.0; expected a number above 0, or inf"),
        ("decay_half_life_hours", -math.inf, "was -inf; expected a number above 0, or inf"),
        ("decay_half_life_hours", math.nan, "was nan; expected a number above 0, or inf"),
        ("calibration_window", 9, "was 9; expected a whole number from 10 to 100000"),
        ("calibration_window", 100_001, "was 100001; expected a whole number from 10 to 100000"),
        ("calibration_window", 100.0, "was the number 100.0; expected a whole number"),
        ("calibration_window", False, "was the boolean false; expected a whole number"),
        ("enabled", 1, "was the integer 1; expected true or false"),
        ("learn_on", "never", 'was \'never\'; expected "final" or "proposed"'),
        ("learn_on", 3, 'was the integer 3; expected "final" or "proposed"'),
        ("thresholds.relaxation_half_life_hours", -1, "was -1; expected a number from 0 up, or inf"),
        ("thompson_sampling.prior_alpha", 0, "was 0; expected a number above 0, up to 1000000"),
        ("thompson_sampling.prior_beta", 1e7, "was 10000000.0; expected a number above 0, up to 1000000"),
        ("thompson_sampling.seed", -1, "was -1; expected a whole number from 0 to 18446744073709551615"),
        ("thompson_sampling.seed", 2**64, "was 18446744073709551616; expected a whole number from 0 to"),
        ("weights.min_weight", 1.1, "was 1.1; expected a number from 0 to 1"),
        ("weights.max_weight", 0.9, "was 0.9; expected a number from 1 to 1000"),
        ("persistence.db_table", "", "was ''; expected 1 to 64 letters"),
        ("persistence.db_table", "a" * 65, "expected 1 to 64 letters"),
        ("persistence.db_table", "a-b", "was 'a-b'; expected 1 to 64 letters"),
        ("persistence.db_table", "states\n", "was 'states\\n'; expected 1 to 64 letters"),
        ("persistence.db_table", "journal", "not one of the reserved names meta, journal"),
        ("limits.models_max", 0, "was 0; expected a whole number from 1 to"),
        ("supervision.attempts_max", 0, "was 0; expected a whole number from 1 to 100"),
    ],
)
def test_value_not_allowed_is_named_with_key_value_and_range(path: str, value: object, expected: str) -> None:
    (problem,) = problems_of(nested(path, value))

    assert problem.startswith(f"online_learning.{path} was ")
    assert expected in problem


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ema_alpha", 1),
        ("ema_alpha", 5e-324),
        ("decay_half_life_hours", math.inf),
        ("calibration_window", 10),
        ("calibration_window", 100_000),
        ("thresholds.relaxation_half_life_hours", 0),
        ("thompson_sampling.prior_alpha", 1e6),
        ("thompson_sampling.seed", 2**64 - 1),
        ("persistence.db_table", "a" * 64),
        ("persistence.db_table", "journal_of_models"),
        ("limits.dead_letters_max", 0),
        ("supervision.restarts_max", 0),
    ],
)
def test_value_on_the_edge_of_its_range_is_accepted(path: str, value: object) -> None:
    settings = settings_from_dict({"online_learning": nested(path, value)})

    for name in path.split("."):
        settings = getattr(settings, name)
    assert settings == value


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("ema_alpha", "0.2", "write it without quotes"),
        ("enabled", "true", "write it without quotes"),
        ("calibration_window", 50.0, "write 50 without a decimal point"),
        ("learn_on", "Final", 'did you mean "final"?'),
        ("ema_alpha", 2, "leave it out for the default, 0.1"),
        ("persistence.db_table", "meta", 'leave it out for the default, "model_learning_stats"'),
        ("thresholds.relaxation_half_life_hours", -1, "leave it out for the default, absent"),
    ],
)
def test_value_not_allowed_comes_with_what_to_do(path: str, value: object, hint: str) -> None:
    (problem,) = problems_of(nested(path, value))

    assert problem.endswith(f"{hint})")


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"ema_alhpa": 0.2}, "online_learning.ema_alhpa is not a setting; did you mean ema_alpha?"),
        ({"EMA-Alpha": 0.2}, "online_learning.EMA-Alpha is not a setting; did you mean ema_alpha?"),
        ({"threshold": {}}, "online_learning.threshold is not a setting; did you mean thresholds?"),
        (
            {"prior_alpha": 2},
            "online_learning.prior_alpha is not a setting; "
            "did you mean online_learning.thompson_sampling.prior_alpha?",
        ),
        (
            {"weights": {"priror_alpha": 2}},
            "online_learning.weights.priror_alpha is not a setting; "
            "did you mean online_learning.thompson_sampling.prior_alpha?",
        ),
        (
            {"weights": {"zzz": 2}},
            "online_learning.weights.zzz is not a setting; "
            "allowed here: policy, min_weight, max_weight, shrinkage",
        ),
        ({"weights": {"a b": 2}}, "online_learning.weights.'a b' is not a setting; allowed here: policy,"),
    ],
)
def test_unknown_key_gets_a_suggestion_or_the_allowed_keys(table: dict[str, Any], expected: str) -> None:
    (problem,) = problems_of(table)

    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"ema_alpha": 0.2}, "ema_alpha is not a setting; did you mean online_learning.ema_alpha?"),
        ({"limits": {}}, "limits is not a setting; did you mean [online_learning.limits]?"),
        ({"online-learning": {}}, "online-learning is not a setting; did you mean online_learning?"),
        ({"xyz": {}}, "xyz is not a setting; allowed here: [online_learning]"),
        ({"": {}}, "'' is not a setting; allowed here: [online_learning]"),
        ({3: {}}, "3 is not a setting; allowed here: [online_learning]"),
    ],
)
def test_key_outside_the_table_is_told_where_it_belongs(document: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from_dict(document)

    assert caught.value.problems == (expected,)


@pytest.mark.parametrize("value", [5, "x", [{"policy": "accuracy"}], None])
def test_table_that_is_no_table_says_how_to_write_one(value: object) -> None:
    (problem,) = problems_of({"weights": value})

    assert problem.endswith("expected a table: write [online_learning.weights] and the keys below it")


def test_document_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"the settings was the array \[\]; expected a mapping"):
        settings_from_dict([])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"min_threshold": 0.7}, "min_threshold was 0.7 and initial_threshold was 0.6 (its default)"),
        ({"max_threshold": 0.5}, "initial_threshold was 0.6 (its default) and max_threshold was 0.5"),
        ({"initial_threshold": 0.95}, "initial_threshold was 0.95 and max_threshold was 0.9 (its default)"),
    ],
)
def test_thresholds_out_of_order_are_refused(table: dict[str, float], told: str) -> None:
    (problem,) = problems_of({"thresholds": table})

    assert problem.startswith(f"online_learning.thresholds: {told}; expected min_threshold <= initial")


def test_thresholds_all_equal_are_accepted() -> None:
    fixed = {"min_threshold": 0.5, "initial_threshold": 0.5, "max_threshold": 0.5}

    assert settings_from_dict({"online_learning": {"thresholds": fixed}}).thresholds.max_threshold == 0.5


def test_thresholds_out_of_order_around_a_bad_one_are_still_compared() -> None:
    bad = {"min_threshold": 0.8, "initial_threshold": "x", "max_threshold": 0.3}

    first, second = problems_of({"thresholds": bad})

    assert first.startswith("online_learning.thresholds.initial_threshold was the string 'x'")
    assert "min_threshold was 0.8 and max_threshold was 0.3" in second


def test_initial_map_above_its_maximum_is_refused() -> None:
    (problem,) = problems_of({"persistence": {"map_mib_max": 32}})

    assert "initial_map_mib was 64 (its default) and map_mib_max was 32" in problem


def test_every_problem_is_reported_at_once() -> None:
    problems = problems_of(
        {
            "ema_alpha": 2,
            "ema_aplha": 0.1,
            "learn_on": "x",
            "thresholds": {"min_threshold": 0.8, "adjustment_rate": math.nan},
            "thompson_sampling": {"seed": -1, "prior_beta": True},
            "persistence": 7,
        }
    )

    assert len(problems) == 8


def test_integer_too_large_to_print_is_described_by_its_bits() -> None:
    (problem,) = problems_of({"calibration_window": 1 << 20_000})

    assert problem.startswith("online_learning.calibration_window was an integer of 20001 bits")


def test_array_holding_an_integer_too_large_to_print_is_refused_all_the_same() -> None:
    (problem,) = problems_of({"ema_alpha": [1 << 20_000]})

    assert "was the array (cannot be printed); expected a number" in problem


def test_integer_beyond_the_largest_float_means_infinite_where_infinity_is_allowed() -> None:
    settings = settings_from_dict({"online_learning": {"decay_half_life_hours": 10**400}})

    assert settings.decay_half_life_hours == math.inf
    assert len(problems_of({"decay_half_life_hours": -(10**400), "ema_alpha": 10**400})) == 2


def test_long_value_is_shortened_in_the_message() -> None:
    (problem,) = problems_of({"learn_on": "x" * 10_000})

    assert "(10002 characters)" in problem
    assert len(problem) < 250


def test_check_settings_refuses_what_the_constructor_let_through() -> None:
    built = Settings(
        ema_alpha=7.0,
        thresholds=Thresholds(min_threshold=0.9, max_threshold=0.1),
        thompson_sampling=ThompsonSampling(seed=-3),
        persistence=Persistence(db_table="index"),
        limits=None,  # pyright: ignore[reportArgumentType]
    )

    with pytest.raises(SettingsError) as caught:
        check_settings(built)

    assert [problem.split(" ")[0] for problem in caught.value.problems] == [
        "online_learning.ema_alpha",
        "online_learning.thresholds:",
        "online_learning.thresholds:",
        "online_learning.thompson_sampling.seed",
        "online_learning.persistence.db_table",
        "online_learning.limits",
    ]


def test_check_settings_of_something_else_is_refused() -> None:
    with pytest.raises(SettingsError, match="online_learning was the integer 42; expected a table"):
        check_settings(42)  # pyright: ignore[reportArgumentType]


def test_check_settings_turns_whole_numbers_into_floats_and_minus_zero_into_zero() -> None:
    built = Settings(decay_half_life_hours=24, thresholds=Thresholds(min_threshold=-0.0))

    checked = check_settings(built)

    assert isinstance(checked.decay_half_life_hours, float)
    assert math.copysign(1.0, checked.thresholds.min_threshold) == 1.0


@pytest.mark.parametrize("document", [{}, {"online_learning": {}}, {"online_learning": {"limits": {}}}])
def test_missing_tables_and_keys_take_their_defaults(document: dict[str, Any]) -> None:
    assert settings_from_dict(document) == default_settings()
