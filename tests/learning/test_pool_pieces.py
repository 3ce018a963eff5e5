"""Combining in pieces: the same bits as at once, and no piece larger than it may be."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.pooling import (
    DEFAULT_RULES,
    PIECE_CELLS,
    Pool,
    Standing,
    combine,
    combine_in_pieces,
    excerpt,
    learn,
    new_pool,
    slices,
    sorted_in_pieces,
    whole,
)
from handicapper.actors.learning.pooling.in_pieces import combine_large

SHAPES = [(1, 1), (2, 2), (10_000, 3), (1_000, 32), (128, 256), (5_000, 6), (16_384, 1), (3, 4_000)]
"""Models, outcomes."""


def learned(models: int, chance: Random) -> Pool:
    pool = new_pool()
    for market in range(5):
        said = [(f"m{chance.randrange(models)}", chance.choice("ABC"), chance.random()) for _ in range(20)]
        learn(pool, market * 10**13, said, {chance.choice("ABC"): 1.0})
    return pool


def forecasts(models: int, outcomes: int, chance: Random) -> list[tuple[str, str, float]]:
    count = max(models, outcomes)
    said = [(f"m{n % models}", f"o{n % outcomes}", chance.random()) for n in range(count)]
    chance.shuffle(said)
    return said


@pytest.mark.parametrize(("models", "outcomes"), SHAPES)
def test_no_piece_is_larger_than_a_piece_may_be(models: int, outcomes: int) -> None:
    chance = Random(1)
    pool = learned(models, chance)
    said = forecasts(models, outcomes, chance)
    pieces = list(combine_in_pieces(pool, said))
    a_row, a_column = outcomes + 2, models // 8 + 1
    assert max(pieces) <= max(PIECE_CELLS, a_row, a_column, models // 4) + a_row + a_column
    assert sum(pieces) >= models * outcomes


@pytest.mark.parametrize(("models", "outcomes"), SHAPES)
def test_pieces_give_the_bits_of_the_whole_whatever_the_pool_learns_between_them(
    models: int, outcomes: int
) -> None:
    chance = Random(2)
    pool = learned(models, chance)
    said = forecasts(models, outcomes, chance)
    at_once = combine(pool, said)
    known = excerpt(pool, {model_id for model_id, _, _ in said})
    pieces = combine_large(known, said, (), DEFAULT_RULES)
    assert repr(whole(combine_in_pieces(known, said))) == repr(at_once)
    for number in range(6):
        next(pieces)
        learn(pool, 10**15 + number * 10**13, [("m0", "A", 0.9), ("m1", "A", 0.2)], {"A": 1.0})
    assert repr(whole(pieces)) == repr(at_once)
    assert repr(combine(pool, said)) != repr(at_once) or models == 1, "nothing was learned between them"


def test_an_excerpt_of_few_models_leaves_the_others_out() -> None:
    pool = new_pool()
    pool.models.update({f"m{n}": Standing(slow=-float(n)) for n in range(100)})
    assert excerpt(pool, ["m3", "new"]).models == {"m3": Standing(slow=-3.0)}
    every = excerpt(pool, [f"m{n}" for n in range(50)])
    assert every.models == pool.models
    assert every.models is not pool.models


@given(st.lists(st.text(max_size=3), max_size=40), st.integers(1, 5))
def test_sorting_in_pieces_is_sorting(items: list[str], repeated: int) -> None:
    many = [(item, n) for n in range(repeated * 100) for item in items]
    assert whole(sorted_in_pieces(many, lambda each: each[0])) == sorted(many, key=lambda each: each[0])
    assert whole(sorted_in_pieces(items)) == sorted(items)


@given(st.integers(0, 20_000), st.integers(0, 5_000))
def test_slices_cover_everything_once_and_are_small(length: int, cells_each: int) -> None:
    cut = list(slices(length, cells_each))
    assert [n for start, end in cut for n in range(start, end)] == list(range(length))
    assert all((end - start) * cells_each <= max(PIECE_CELLS, cells_each) for start, end in cut)
