from __future__ import annotations

from fractions import Fraction
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.threshold import adjust_threshold, relax_threshold, threshold_wall

HOUR = 3_600 * 10**9
CENTURY = 100 * 365 * 24 * HOUR
thetas = st.floats(0.40, 0.90)


@given(thetas, st.lists(st.floats(-1.0, 1.0), max_size=50), st.floats(0.0, 1.0))
def test_threshold_after_every_step_equals_the_clipped_integral(
    theta: float, errors: list[float], rate: float
) -> None:
    exact = Fraction(theta)
    for error in errors:
        theta = adjust_threshold(theta, error, rate, 0.40, 0.90)
        exact = min(max(exact + Fraction(rate) * Fraction(error), Fraction(0.40)), Fraction(0.90))
        assert theta == pytest.approx(float(exact), abs=1e-13)
        assert 0.40 <= theta <= 0.90


@pytest.mark.parametrize("half_life_seconds", [0.0, inf])
@given(theta=thetas, elapsed_ns=st.integers(0, CENTURY))
def test_threshold_without_relaxation_is_bit_for_bit_unchanged(
    theta: float, elapsed_ns: int, half_life_seconds: float
) -> None:
    assert relax_threshold(theta, 0.6, elapsed_ns, half_life_seconds) == theta


@given(thetas)
def test_threshold_relaxed_for_no_time_is_bit_for_bit_unchanged(theta: float) -> None:
    assert relax_threshold(theta, 0.6, 0, 3_600.0) == theta


@given(thetas, thetas, st.integers(0, CENTURY), st.floats(1e-3, 1e9))
def test_threshold_relaxed_lies_between_where_it_was_and_the_initial_one(
    theta: float, initial: float, elapsed_ns: int, half_life_seconds: float
) -> None:
    relaxed = relax_threshold(theta, initial, elapsed_ns, half_life_seconds)
    assert min(theta, initial) <= relaxed <= max(theta, initial)


@given(thetas, thetas, st.lists(st.integers(0, 50 * HOUR), min_size=1, max_size=10))
def test_threshold_relaxed_in_steps_equals_one_step_over_the_whole_time(
    theta: float, initial: float, steps: list[int]
) -> None:
    stepped = theta
    for elapsed_ns in steps:
        stepped = relax_threshold(stepped, initial, elapsed_ns, 168 * 3_600.0)
    at_once = relax_threshold(theta, initial, sum(steps), 168 * 3_600.0)
    assert stepped == pytest.approx(at_once, abs=1e-13)


def test_threshold_after_centuries_is_the_initial_one() -> None:
    assert relax_threshold(0.9, 0.6, 50 * CENTURY, 1.0) == 0.6


def test_threshold_relaxed_backwards_in_time_is_refused() -> None:
    with pytest.raises(ValueError, match="elapsed_ns was -1"):
        relax_threshold(0.9, 0.6, -1, 3_600.0)


def test_threshold_wall_is_named_only_on_a_bound() -> None:
    assert threshold_wall(0.90, 0.40, 0.90) == "max"
    assert threshold_wall(0.40, 0.40, 0.90) == "min"
    assert threshold_wall(0.90 - 1e-12, 0.40, 0.90) is None
    assert threshold_wall(0.60, 0.60, 0.60) == "max"
