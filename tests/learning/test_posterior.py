from __future__ import annotations

from math import inf, isclose, isfinite
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning import posterior
from handicapper.actors.learning.decay import add_decayed, decayed_at

HOUR = 3_600 * 10**9
CENTURY = 100 * 365 * 24 * HOUR
outcomes_at = st.lists(
    st.tuples(st.integers(0, 500 * HOUR), st.sampled_from([0.0, 0.5, 1.0, 0.3])), min_size=1, max_size=40
)
half_lives = st.sampled_from([600.0, 168 * 3_600.0, inf])
parameters = st.floats(1e-3, 1e7)


def learn(pairs: list[tuple[int, float]], half_life_seconds: float) -> tuple[float, float, int]:
    state = (0.0, 0.0, 0)
    for at_ns, x in pairs:
        state = posterior.add_outcome(*state, x, at_ns, half_life_seconds)
    return state


@given(outcomes_at, half_lives)
def test_add_outcome_at_every_step_is_two_decayed_sums_bit_for_bit(
    pairs: list[tuple[int, float]], half_life_seconds: float
) -> None:
    successes, failures, as_of_ns = 0.0, 0.0, 0
    s, f = (0.0, 0), (0.0, 0)
    for at_ns, x in pairs:
        successes, failures, as_of_ns = posterior.add_outcome(
            successes, failures, as_of_ns, x, at_ns, half_life_seconds
        )
        s = add_decayed(*s, x, at_ns, half_life_seconds)
        f = add_decayed(*f, 1.0 - x, at_ns, half_life_seconds)
        assert (successes, failures, as_of_ns) == (s[0], f[0], s[1])


@given(outcomes_at, half_lives, st.randoms(use_true_random=False), st.integers(0, 600 * HOUR))
def test_posterior_in_any_order_is_prior_plus_the_sum_over_outcomes(
    pairs: list[tuple[int, float]], half_life_seconds: float, random: Random, read_ns: int
) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    now = max(read_ns, *(t for t, _ in pairs))
    expected_alpha = 2.0 + sum(x * 2.0 ** (-(now - t) / 1e9 / half_life_seconds) for t, x in pairs)
    expected_beta = 3.0 + sum((1 - x) * 2.0 ** (-(now - t) / 1e9 / half_life_seconds) for t, x in pairs)
    for order in (pairs, shuffled):
        alpha, beta = posterior.posterior_at(
            *learn(order, half_life_seconds), read_ns, half_life_seconds, 2.0, 3.0
        )
        assert isclose(alpha, expected_alpha, rel_tol=1e-12)
        assert isclose(beta, expected_beta, rel_tol=1e-12)


@given(outcomes_at, half_lives, st.integers(0, 600 * HOUR))
def test_posterior_at_a_time_equals_the_sums_decayed_one_by_one(
    pairs: list[tuple[int, float]], half_life_seconds: float, read_ns: int
) -> None:
    s, f, as_of_ns = learn(pairs, half_life_seconds)
    assert posterior.posterior_at(s, f, as_of_ns, read_ns, half_life_seconds, 1.0, 1.0) == (
        1.0 + decayed_at(s, as_of_ns, read_ns, half_life_seconds),
        1.0 + decayed_at(f, as_of_ns, read_ns, half_life_seconds),
    )


def test_posterior_long_after_the_last_outcome_is_the_prior() -> None:
    assert posterior.posterior_at(1e7, 1e7, 0, CENTURY, 3_600.0, 1.5, 2.5) == (1.5, 2.5)


@given(parameters, parameters)
def test_beta_moments_equal_the_textbook_forms(alpha: float, beta: float) -> None:
    n = alpha + beta
    assert posterior.beta_mean(alpha, beta) == alpha / n
    assert isclose(posterior.beta_variance(alpha, beta), alpha * beta / (n * n * (n + 1)), rel_tol=1e-12)


def test_beta_quantiles_of_an_empirical_sample_split_it_as_asked() -> None:
    """The share of 200,000 seeded draws below a quantile q is q ± 5·√(q(1−q)/200000) (5 sd, 6e-7)."""
    draws = np.random.default_rng(20).beta(3.5, 1.7, 200_000)
    for q in (0.01, 0.05, 0.5, 0.95, 0.99):
        share = (draws < posterior.beta_quantile(3.5, 1.7, q)).mean()
        assert abs(share - q) < 5 * np.sqrt(q * (1 - q) / 200_000)


@given(parameters, parameters, st.floats(0.01, 0.99))
def test_beta_interval_is_ordered_within_bounds_and_mirrors(alpha: float, beta: float, level: float) -> None:
    low, high = posterior.beta_interval(alpha, beta, level)
    assert 0.0 <= low <= high <= 1.0
    mirror_low, mirror_high = posterior.beta_interval(beta, alpha, level)
    assert isclose(low, 1 - mirror_high, abs_tol=1e-6)
    assert isclose(high, 1 - mirror_low, abs_tol=1e-6)


@given(st.floats(0.0, 1e7), st.floats(0.0, 1e7), st.floats(1e-3, 10.0), st.floats(1e-3, 10.0))
def test_effective_sample_size_is_the_evidence_beyond_the_prior(
    successes: float, failures: float, prior_alpha: float, prior_beta: float
) -> None:
    alpha, beta = posterior.posterior_parameters(successes, failures, prior_alpha, prior_beta)
    size = posterior.effective_sample_size(alpha, beta, prior_alpha, prior_beta)
    assert size >= 0.0
    assert isclose(size, successes + failures, rel_tol=1e-9, abs_tol=1e-12)


def test_posterior_of_sums_rounded_below_zero_is_the_prior() -> None:
    assert posterior.posterior_parameters(-1e-12, -1e-12, 1e-3, 1e-3) == (1e-3, 1e-3)
    assert posterior.effective_sample_size(1e-3, 1e-3, 1e-3, 1e-3) == 0.0


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e7])
@pytest.mark.parametrize("beta", [1e-3, 1.0, 1e7])
def test_posterior_figures_of_extreme_counts_are_finite(alpha: float, beta: float) -> None:
    figures = [posterior.beta_mean(alpha, beta), posterior.beta_variance(alpha, beta)]
    figures += posterior.beta_interval(alpha, beta)
    figures += [posterior.beta_quantile(alpha, beta, p) for p in (0.0, 2.0**-53, 0.5, 1 - 2.0**-53, 1.0)]
    assert all(isfinite(value) and 0.0 <= value <= 1.0 for value in figures)


def test_posterior_functions_accept_whole_numbers() -> None:
    assert posterior.beta_quantile(1, 1, 0.5) == 0.5
    assert posterior.beta_interval(1, 1, 0.5) == (0.25, 0.75)
