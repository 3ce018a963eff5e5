from __future__ import annotations

import numpy as np
import pytest

from handicapper.actors.learning.draws import (
    beta_draws,
    draw_key,
    later_seeds,
    stream_of,
    stream_seeds,
    streams_of,
)
from handicapper.actors.learning.selection import probability_best
from handicapper.actors.learning.top_two import ROUNDS_BEGIN, challenge, leader_leads, rounds_of

STREAMS = streams_of(map(stream_of, "abc"))
ALPHAS, BETAS = [12.0, 10.0, 6.0], [8.0, 10.0, 10.0]


def first_of(selection_id: str) -> tuple[int, int]:
    """(leader, model that comes first) of a selection of three models."""
    key = draw_key(1, selection_id)
    seeds = stream_seeds(key, STREAMS)
    leader = int(beta_draws(seeds, ALPHAS, BETAS, 1)[:, 0].argmax())
    if leader_leads(key):
        return leader, leader
    rounds = beta_draws(later_seeds(seeds, ROUNDS_BEGIN), ALPHAS, BETAS, 16)
    return leader, challenge(leader, rounds)[1]


def test_model_comes_first_as_often_as_top_two_sampling_says() -> None:
    """P(first = j) = pⱼ/2 · (1 + Σ_{i ≠ j} pᵢ/(1 − pᵢ)) with pᵢ the chance to be the best (Russo 2016, section 3).

    Of 6,000 selections, each share has a deviation of at most √(0.25/6000) = 0.0065; four of them are 0.026. All
    sixteen rounds have the same leader with a chance of at most max(p)¹⁶ = 0.7¹⁶ = 0.003 of a half: in the noise.
    """
    best = probability_best(ALPHAS, BETAS)
    expected = [
        p / 2 * (1 + sum(q / (1 - q) for j, q in enumerate(best) if j != i)) for i, p in enumerate(best)
    ]
    assert sum(expected) == pytest.approx(1.0, abs=1e-9)
    firsts = [first_of(f"s{number}")[1] for number in range(6_000)]
    for place, share in enumerate(expected):
        assert firsts.count(place) / 6_000 == pytest.approx(share, abs=0.026)


def test_coin_is_fair_and_independent_of_who_leads() -> None:
    """Given the leader, half of 3,000 or so selections: a deviation of 0.0091 at most; four of them."""
    drawn = [first_of(f"u{number}") for number in range(6_000)]
    leading = [(leader == first) for leader, first in drawn if leader == 0]
    assert len(leading) > 3_000
    assert sum(leading) / len(leading) == pytest.approx(0.5, abs=0.037)


@pytest.mark.parametrize("models", [2, 10, 1_024, 1_025, 16_384, 10**6])
def test_rounds_are_bounded_by_number_and_by_draws(models: int) -> None:
    rounds = rounds_of(models)
    assert 1 <= rounds <= 16
    assert rounds == 1 or rounds * models <= 16_384


def test_challenge_that_nobody_wins_goes_to_the_next_best_of_the_last_round() -> None:
    rounds = np.array([[0.9, 0.9, 0.9], [0.1, 0.8, 0.3], [0.2, 0.1, 0.4]])
    assert challenge(0, rounds) == (2, 2)
    assert challenge(0, rounds[:, :1]) == (0, 2)
    assert challenge(1, rounds) == (0, 0)


def test_equal_draws_are_led_by_the_first_name() -> None:
    assert challenge(2, np.array([[0.5], [0.5], [0.5]])) == (0, 0)
    assert challenge(0, np.array([[0.0], [0.0]])) == (0, 1)
