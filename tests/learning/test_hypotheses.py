"""Loops over hypotheses against what they stand for, written down plainly."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import numpy as np
import pytest

from handicapper.actors.learning.hypotheses import (
    Numbers,
    bayes_rule,
    chances,
    count_in,
    fade,
    judge_by_others,
    late_shares,
    marginals,
    mean_of,
    numbers,
    packed,
    packed_rows,
    packed_times,
    pairwise_sum,
    place_of_share,
    segments_end,
    square_of,
    sum_from,
    times,
    unpacked,
    unpacked_times,
)


def some(random: Random, count: int, low: float = 0.0, high: float = 1.0) -> Numbers:
    return numbers([random.uniform(low, high) for _ in range(count)])


def weights(random: Random, rates: int, count: int) -> list[Numbers]:
    """Columns whose weights sum to 1."""
    columns = [[random.random() for _ in range(count)] for _ in range(rates)]
    total = sum(map(sum, columns))
    return [numbers([w / total for w in column]) for column in columns]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 15, 16, 127, 128, 129, 136, 300, 1_000])
def test_pairwise_sums_are_those_of_numpy_and_right(count: int) -> None:
    values = some(Random(count), count + 3, -1.0, 1.0)
    found = pairwise_sum(values, 2, count)
    part = np.array(values)[2 : 2 + count]
    assert found == float(np.add.reduce(part))
    assert math.isclose(found, float(sum(map(Fraction, part.tolist()))), rel_tol=1e-13, abs_tol=1e-13)
    assert sum_from(values, 1) == sum(values[1:]) or math.isclose(
        sum_from(values, 1), math.fsum(values[1:]), abs_tol=1e-12
    )


def test_ended_segments_lose_weight_to_the_first_ones_and_to_whoever_is_told() -> None:
    columns = [numbers([0.2, 0.3]), numbers([0.1, 0.4])]
    lost = segments_end(columns, [0.5, 1.0], [0.25])
    assert lost == pytest.approx([0.25, 0.0])
    assert list(columns[0]) == pytest.approx([0.1 + 0.25 * 0.25, 0.15])
    assert list(columns[1]) == pytest.approx([0.1, 0.4])


def test_bayes_rule_multiplies_and_scales() -> None:
    random = Random(3)
    columns, chance = weights(random, 3, 9), some(random, 9)
    before = np.array(columns)
    expected = before * np.array(chance)
    expected /= expected.sum()
    marginal = bayes_rule(columns, chance)
    np.testing.assert_allclose(np.array(columns), expected, rtol=1e-14)
    np.testing.assert_allclose(np.array(marginal), expected.sum(axis=0), rtol=1e-14)


@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_chances_are_those_of_a_beta_bernoulli(x: float) -> None:
    alphas, betas = some(Random(1), 5, 0.5, 9.0), some(Random(2), 5, 0.5, 9.0)
    for alpha, beta, chance in zip(alphas, betas, chances(alphas, betas, x), strict=True):
        p = alpha / (alpha + beta)
        assert math.isclose(chance, p * x + (1.0 - p) * (1.0 - x), rel_tol=1e-14)


def test_what_is_left_of_the_weights_and_what_is_missing_make_one() -> None:
    columns = weights(Random(5), 2, 4)
    found = marginals(columns, [0.5, 0.9], 4)
    for place in range(4):
        assert math.isclose(found[place], columns[0][place] * 0.5 + columns[1][place] * 0.9)
    assert math.isclose(sum(found), 1.0)
    assert marginals([numbers([1.0 + 1e-16])], [1.0], 1)[1] == 0.0


def test_counts_fade_towards_the_prior_and_grow_by_shares() -> None:
    counts = numbers([5.0, 3.0, 2.0])
    fade(counts, [0.5, 0.25], 1.0)
    assert list(counts) == [3.0, 1.5, 2.0]
    count_in(counts, 0.5)
    assert list(counts) == [3.5, 2.0, 2.5]
    count_in(counts, 2.0, numbers([0.0, 0.5, 1.0]))
    assert list(counts) == [3.5, 3.0, 4.5]


def test_a_late_outcome_counts_for_those_begun_by_its_time() -> None:
    assert list(late_shares(times([0, 0, 10, 20, 30]), [0.5, 0.25], 20)) == [0.5, 0.25, 1.0, 1.0, 0.0]


def test_those_begun_later_are_judged_as_the_others_are() -> None:
    chance, shares, marginal = numbers([0.2, 0.8, 0.9]), numbers([1.0, 0.5, 0.0]), numbers([0.3, 0.1, 0.6])
    assert judge_by_others(chance, shares, marginal)
    assert math.isclose(chance[2], (0.2 * 0.3 + 0.8 * 0.1) / 0.4)
    assert list(chance[:2]) == [0.2, 0.8]
    unjudged = numbers([0.2, 0.8])
    assert not judge_by_others(unjudged, numbers([1.0, 0.0]), numbers([0.0, 1.0]))
    assert list(unjudged) == [0.2, 0.8]


def test_moments_of_a_mixture() -> None:
    weight, alphas, betas = numbers([0.25, 0.75]), numbers([2.0, 3.0]), numbers([2.0, 1.0])
    assert math.isclose(mean_of(weight, alphas, betas), 0.25 * 0.5 + 0.75 * 0.75)
    # E[p²] = α(α + 1) / ((α + β)(α + β + 1))
    assert math.isclose(square_of(weight, alphas, betas), 0.25 * 6 / 20 + 0.75 * 12 / 20)


@pytest.mark.parametrize(
    ("share", "place"), [(0.0, 0), (0.2, 0), (0.21, 1), (0.7, 1), (0.71, 2), (1.0, 2), (2.0, 2)]
)
def test_place_of_a_share(share: float, place: int) -> None:
    assert place_of_share(numbers([0.2, 0.5, 0.3]), share) == place


def test_packed_is_unpacked_again() -> None:
    random = Random(9)
    columns = [some(random, 6) for _ in range(3)]
    rows = np.frombuffer(packed_rows(columns)).reshape(6, 3)
    assert rows.T.tolist() == [list(column) for column in columns]
    assert list(unpacked(packed(columns[0]))) == list(columns[0])
    assert list(unpacked_times(packed_times(times([-5, 2**62])))) == [-5, 2**62]
    with pytest.raises(ValueError, match="bytes"):
        unpacked(b"1234567")
