from __future__ import annotations

from fractions import Fraction
from math import inf, isclose, isfinite
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.decay import add_decayed, decay_factor, decayed_at

HOUR = 3_600 * 10**9
CENTURY = 100 * 365 * 24 * HOUR
events = st.lists(st.tuples(st.integers(0, 100 * HOUR), st.floats(0.0, 1.0)), min_size=1, max_size=30)
half_lives = st.sampled_from([60.0, 3_600.0, 168 * 3_600.0, inf])


def reference(pairs: list[tuple[int, float]], at_ns: int, half_life_seconds: float) -> float:
    """Σ amountᵢ · 2^(−(t − tᵢ)/h), term by term from exact ratios of integers."""
    total = 0.0
    for event_ns, amount in pairs:
        halvings = 0.0
        if half_life_seconds != inf:
            halvings = float(Fraction(at_ns - event_ns, 10**9) / Fraction(half_life_seconds))
        total += amount * 2.0**-halvings
    return total


@pytest.mark.parametrize("halvings", [0, 1, 2, 10, 1000])
def test_decay_factor_at_whole_half_lives_is_an_exact_power_of_two(halvings: int) -> None:
    assert decay_factor(halvings * HOUR, 3_600.0) == 2.0**-halvings


def test_decay_factor_with_infinite_half_life_is_exactly_one() -> None:
    assert decay_factor(CENTURY, inf) == 1.0


def test_decay_factor_after_a_century_at_one_second_is_zero_and_does_not_raise() -> None:
    assert decay_factor(CENTURY, 1.0) == 0.0


def test_decay_factor_of_negative_elapsed_is_refused() -> None:
    with pytest.raises(ValueError, match="elapsed_ns was -1"):
        decay_factor(-1, 3_600.0)


@pytest.mark.parametrize("half_life_seconds", [0.0, -1.0, float("nan")])
def test_decay_factor_with_a_half_life_not_above_zero_is_refused(half_life_seconds: float) -> None:
    with pytest.raises(ValueError, match="half_life_seconds was"):
        decay_factor(1, half_life_seconds)


@given(events, half_lives)
def test_decayed_sum_after_every_event_equals_the_sum_over_all_events(
    pairs: list[tuple[int, float]], half_life_seconds: float
) -> None:
    total, as_of_ns = 0.0, 0
    for i, (event_ns, amount) in enumerate(pairs, 1):
        total, as_of_ns = add_decayed(total, as_of_ns, amount, event_ns, half_life_seconds)
        assert as_of_ns == max(t for t, _ in pairs[:i])
        assert isclose(total, reference(pairs[:i], as_of_ns, half_life_seconds), rel_tol=1e-12, abs_tol=1e-15)


@given(events, half_lives, st.randoms(use_true_random=False))
def test_decayed_sum_in_any_arrival_order_is_the_same(
    pairs: list[tuple[int, float]], half_life_seconds: float, random: Random
) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    sums = []
    for order in (pairs, shuffled):
        state = (0.0, 0)
        for event_ns, amount in order:
            state = add_decayed(*state, amount, event_ns, half_life_seconds)
        sums.append(state)
    assert sums[0][1] == sums[1][1]
    assert isclose(sums[0][0], sums[1][0], rel_tol=1e-12, abs_tol=1e-15)


@given(events, half_lives, st.lists(st.integers(0, 200 * HOUR), max_size=20))
def test_decayed_sum_read_any_number_of_times_is_not_changed_by_reading(
    pairs: list[tuple[int, float]], half_life_seconds: float, looks: list[int]
) -> None:
    total, as_of_ns = 0.0, 0
    for event_ns, amount in pairs:
        total, as_of_ns = add_decayed(total, as_of_ns, amount, event_ns, half_life_seconds)
    for at_ns in looks:
        read = decayed_at(total, as_of_ns, at_ns, half_life_seconds)
        expected = reference(pairs, max(at_ns, as_of_ns), half_life_seconds)
        assert isclose(read, expected, rel_tol=1e-12, abs_tol=1e-15)


def test_decayed_sum_looked_at_hourly_over_one_half_life_halves_once() -> None:
    """The trap: decaying the stored value at every look compounds, and leaves next to nothing."""
    readings = [decayed_at(100.0, 0, hour * HOUR, 168 * 3_600.0) for hour in range(169)]
    assert readings[-1] == 50.0
    assert readings == sorted(readings, reverse=True)


def test_decayed_sum_read_before_its_time_is_not_amplified() -> None:
    assert decayed_at(5.0, CENTURY, 0, 1.0) == 5.0


@pytest.mark.parametrize("at_ns", [-CENTURY, 0, CENTURY, 50 * CENTURY])
@pytest.mark.parametrize("total", [0.0, 1e-300, 1e7, 1e300])
def test_decayed_sum_of_extreme_ages_and_counts_stays_finite(at_ns: int, total: float) -> None:
    new_total, as_of_ns = add_decayed(total, CENTURY, 1.0, at_ns, 1e-3)
    assert isfinite(new_total)
    assert as_of_ns == max(at_ns, CENTURY)
    assert isfinite(decayed_at(new_total, as_of_ns, as_of_ns + 50 * CENTURY, 1e-3))
