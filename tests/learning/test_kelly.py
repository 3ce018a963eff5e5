"""Kelly's stake against the growth it is to maximise, and log-wealth as evidence."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.kelly import bet_log_growth, kelly_fraction, kelly_size

unit = st.floats(0.0, 1.0)
inside = st.floats(0.01, 0.99)


@given(unit, unit, st.floats(0.0, 1.0), st.floats(0.0, 1000.0))
def test_kelly_size_is_never_negative_and_at_most_1(
    probability: float, price: float, fraction: float, weight: float
) -> None:
    size = kelly_size(probability, price, fraction, weight)
    assert 0.0 <= size <= 1.0
    assert probability > price or size == 0.0


@given(inside, inside)
def test_kelly_fraction_grows_fastest_of_all_stakes(probability: float, price: float) -> None:
    """Expected growth p·ln(1 + f(1/price − 1)) + (1 − p)·ln(1 − f) against stakes all over [0, 1)."""

    def growth(f: float) -> float:
        return probability * log(1.0 + f * (1.0 / price - 1.0)) + (1.0 - probability) * log(1.0 - f)

    best = growth(kelly_fraction(probability, price))
    assert all(best >= growth(i / 100) - 1e-12 for i in range(100))


def test_kelly_size_of_the_extremes() -> None:
    assert kelly_size(0.7, 0.0, 0.25, 1.0) == pytest.approx(0.175), "for nothing: as much as it is likely"
    assert kelly_size(1.0, 1.0, 1.0, 2.0) == 0.0, "nothing to win"
    assert kelly_size(1.0, 0.5, 1.0, 2.0) == 1.0, "capped"


@given(inside, inside, st.sampled_from([0.25, 0.5, 1.0]))
def test_log_growth_of_a_kelly_bettor_is_the_likelihood_ratio_of_a_claim_shrunk_to_the_price(
    probability: float, price: float, fraction: float
) -> None:
    """With all of Kelly's stake wealth is multiplied by p/price or (1 − p)/(1 − price); with a fraction of it by the
    same of price + fraction·(p − price). That is why it is evidence for the claim against the price."""
    if probability <= price:
        assert bet_log_growth(probability, price, 1.0, fraction, 1e9) is None
        return
    claimed = price + fraction * (probability - price)
    assert bet_log_growth(probability, price, 1.0, fraction, 1e9) == pytest.approx(
        log(claimed / price), abs=1e-12
    )
    lost = log((1.0 - claimed) / (1.0 - price))
    assert bet_log_growth(probability, price, 0.0, fraction, 1e9) == pytest.approx(lost, abs=1e-12)


@given(unit, unit, unit, st.floats(0.01, 1.0), st.floats(0.01, 2.0))
def test_log_growth_is_capped_either_way_and_a_split_lies_between(
    probability: float, price: float, x: float, fraction: float, most: float
) -> None:
    growth = bet_log_growth(probability, price, x, fraction, most)
    if growth is None:
        assert probability <= price or price == 0.0
        return
    won = bet_log_growth(probability, price, 1.0, fraction, most)
    lost = bet_log_growth(probability, price, 0.0, fraction, most)
    assert won is not None
    assert lost is not None
    assert -most <= lost <= growth <= won <= most


def test_all_staked_and_lost_takes_the_most_that_one_outcome_may() -> None:
    assert bet_log_growth(1.0, 0.5, 0.0, 1.0, 0.25) == -0.25


def test_wealth_at_a_fair_price_is_a_fair_game() -> None:
    """Ville: of 4,000 bettors whose model is only noise about a fair price, at most half ever see a wealth of 2, and
    the mean of their wealth is 1: within 4 standard errors, of a spread that is less than 0.5 after 100 bets of a
    quarter of a Kelly stake."""
    random = np.random.default_rng(3)
    wealth, highest = np.zeros(4_000), np.zeros(4_000)
    for bettor in range(4_000):
        for _ in range(100):
            price = random.uniform(0.3, 0.7)
            growth = bet_log_growth(
                price + random.uniform(0.0, 0.2), price, float(random.random() < price), 0.25, 9.9
            )
            assert growth is not None
            wealth[bettor] += growth
            highest[bettor] = max(highest[bettor], wealth[bettor])
    assert float(np.mean(highest >= log(2.0))) <= 0.5
    spread = float(np.std(np.exp(wealth)))
    assert abs(float(np.mean(np.exp(wealth))) - 1.0) < 4 * spread / 4_000**0.5
    assert exp(float(np.mean(wealth))) < 1.0, "and the growth of noise is a loss"
