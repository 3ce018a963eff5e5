from __future__ import annotations

from math import exp, lgamma, log, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handicapper.actors.learning.selection import probability_best, rank

parameters = st.floats(1e-3, 1e7)


def log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def chance_second_beats_first(a1: int, b1: int, a2: int, b2: int) -> float:
    """Closed form for whole a₂: Σ_{i<a₂} B(a₁+i, b₁+b₂) / ((b₂+i)·B(1+i, b₂)·B(a₁, b₁)) (Miller 2014)."""
    return sum(
        exp(log_beta(a1 + i, b1 + b2) - log(b2 + i) - log_beta(1 + i, b2) - log_beta(a1, b1))
        for i in range(a2)
    )


def test_rank_puts_the_highest_first_and_keeps_the_order_of_equal_ones() -> None:
    samples = [("a", 0.2), ("b", 0.9), ("c", 0.2), ("d", 0.2)]
    assert rank(samples) == [("b", 0.9), ("a", 0.2), ("c", 0.2), ("d", 0.2)]
    assert rank([]) == []


@given(st.dictionaries(st.text(max_size=3), st.sampled_from([0.1, 0.5, 0.9]), max_size=8))
def test_rank_of_what_is_in_the_order_of_names_breaks_ties_by_name(samples: dict[str, float]) -> None:
    assert rank(sorted(samples.items())) == sorted(samples.items(), key=lambda pair: (-pair[1], pair[0]))


def test_probability_best_of_none_and_of_one_arm() -> None:
    assert probability_best([], []) == []
    assert probability_best([1e-3], [1e7]) == [1.0]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_probability_best_of_two_arms_equals_the_closed_form(a1: int, b1: int, a2: int, b2: int) -> None:
    """The closed form's own rounding in lgamma is about 1e-12 at these counts."""
    first, second = probability_best([a1, a2], [b1, b2])
    assert second == pytest.approx(chance_second_beats_first(a1, b1, a2, b2), abs=1e-10)
    assert first == pytest.approx(1 - second, abs=1e-10)


@pytest.mark.parametrize(("alpha", "beta"), [(1e7, 1e7), (9e6, 1e6), (1.0, 1e7), (1e7, 1.0), (1e-3, 1.0)])
def test_probability_best_against_a_flat_arm_is_the_mean_of_the_other(alpha: float, beta: float) -> None:
    """P(X > U) for U uniform is E[X] exactly, however sharp X is."""
    sharp, flat = probability_best([alpha, 1.0], [beta, 1.0])
    assert sharp == pytest.approx(alpha / (alpha + beta), abs=1e-9)
    assert flat == pytest.approx(beta / (alpha + beta), abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 10, 10_000])
@pytest.mark.parametrize("counts", [(1.0, 1.0), (1e-3, 1e-3), (1e7, 1e7)])
def test_probability_best_of_equal_arms_is_one_share_each(n: int, counts: tuple[float, float]) -> None:
    result = probability_best([counts[0]] * n, [counts[1]] * n)
    assert result == pytest.approx([1 / n] * n, rel=1e-9)


def test_probability_best_of_powers_is_proportional_to_the_exponent() -> None:
    """F of Beta(a, 1) is x^a, so P(best) is aᵢ/Σa exactly."""
    alphas = [0.25, 1.0, 2.0, 7.0, 100.0]
    expected = [a / sum(alphas) for a in alphas]
    assert probability_best(alphas, [1.0] * 5) == pytest.approx(expected, abs=1e-10)


@settings(max_examples=60)
@given(st.lists(st.tuples(parameters, parameters), min_size=2, max_size=12))
def test_probability_best_of_any_arms_sums_to_one(arms: list[tuple[float, float]]) -> None:
    result = probability_best([a for a, _ in arms], [b for _, b in arms])
    assert sum(result) == pytest.approx(1.0, abs=1e-9)
    assert all(0.0 <= p <= 1.0 for p in result)


def test_probability_best_of_sharp_arms_nested_in_wide_ones_sums_to_one() -> None:
    rng = np.random.default_rng(8)
    counts = 10.0 ** rng.uniform(0, 7, 1_500)
    rates = rng.uniform(0.499, 0.5, 1_500)
    result = probability_best((1 + rates * counts).tolist(), (1 + (1 - rates) * counts).tolist())
    assert sum(result) == pytest.approx(1.0, abs=1e-9)


def test_probability_best_equals_the_share_of_monte_carlo_draws() -> None:
    """A share of N = 200,000 seeded draws is off by more than 5·√(p(1−p)/N) ≤ 0.0056 with 6e-7 an arm."""
    alphas = [30.0, 33.0, 3.0, 0.7, 400.0, 1.0]
    betas = [20.0, 25.0, 2.0, 0.4, 300.0, 1.0]
    draws = np.random.default_rng(99).beta(alphas, betas, (200_000, 6))
    shares = np.bincount(draws.argmax(axis=1), minlength=6) / 200_000
    for p, share in zip(probability_best(alphas, betas), shares, strict=True):
        assert abs(p - share) < 5 * sqrt(max(p * (1 - p), 1e-4) / 200_000)


def test_probability_best_does_not_depend_on_the_order_of_the_arms() -> None:
    alphas, betas = [3.0, 50.0, 1.0, 3.0], [2.0, 40.0, 1.0, 2.0]
    forward = probability_best(alphas, betas)
    assert probability_best(alphas[::-1], betas[::-1])[::-1] == pytest.approx(forward, abs=1e-14)
    assert forward[0] == forward[3]


def test_probability_best_of_an_arm_out_of_reach_is_zero() -> None:
    assert probability_best([9e6, 1e6], [1e6, 9e6]) == pytest.approx([1.0, 0.0], abs=1e-9)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_probability_best_of_an_impossible_parameter_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="above 0 and finite"):
        probability_best([1.0, bad], [1.0, 1.0])


def test_probability_best_of_unequal_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        probability_best([1.0, 2.0], [1.0])
