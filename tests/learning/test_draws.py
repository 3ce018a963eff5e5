from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import isfinite, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc, ndtri

from handicapper.actors.learning.draws import (
    beta_draws,
    draw_key,
    few_beta_draws,
    stream_of,
    stream_seeds,
    streams_of,
)
from handicapper.actors.learning.splitmix import uniforms_of, word, words

from .distributions import dkw_bound, kolmogorov_smirnov

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
counts = st.floats(1e-3, 1e7)


def seeds_of(seed: int, selection_id: str, *models: str) -> np.ndarray:
    return stream_seeds(draw_key(seed, selection_id), streams_of([stream_of(model) for model in models]))


def draws_of(seed: int, selection_id: str, models: list[str], alpha: float, beta: float) -> np.ndarray:
    seeds = seeds_of(seed, selection_id, *models)
    return beta_draws(seeds, [alpha] * len(models), [beta] * len(models), 1)[:, 0]


def few_of(
    seed: int, selection_id: str, models: Sequence[str], alphas: Sequence[float], betas: Sequence[float]
) -> list[float]:
    return few_beta_draws(draw_key(seed, selection_id), [stream_of(model) for model in models], alphas, betas)


def gamma(seed: int, first: int, shape: float) -> float:
    """Marsaglia & Tsang from the words from ``first`` on, as documented, for shapes from 1 on."""
    d = np.float64(shape - 1 / 3)
    c = 1 / np.sqrt(9 * d)
    for place in range(first, first + 30, 2):
        one, two = word(seed, place), word(seed, place + 1)
        x = ndtri(((one >> 11) | 1) / 2**53)
        v = (1 + c * x) ** 3
        y = (one % 2**11 + ((two >> 11) | 1) / 2**53) / 2**11
        if v > 0 and np.log(y) < x * x / 2 + d * (1 - v + np.log(v)):
            return float(d * v)
    raise AssertionError("fifteen attempts were refused")


@given(st.integers(-(2**70), 2**70), names, names)
def test_seeds_follow_the_documented_bytes(seed: int, selection: str, model: str) -> None:
    """Step by step, from hexadecimal text, little end first."""
    key = blake2b(str(seed).encode() + b":" + selection.encode(), digest_size=16).hexdigest()
    stream = blake2b(model.encode(), digest_size=16).hexdigest()
    k, h = (
        [int.from_bytes(bytes.fromhex(text[at : at + 16])[::-1], "big") for at in (0, 16)]
        for text in (key, stream)
    )
    assert seeds_of(seed, selection, "other", model)[:, 1].tolist() == [h[0] ^ k[0], h[1] ^ k[1]]


@given(names, st.integers(0, 20), st.floats(1.0, 1e7), st.floats(1.0, 1e7))
def test_draw_is_the_documented_ratio(model: str, i: int, alpha: float, beta: float) -> None:
    seeds = seeds_of(7, "s", model)
    a, b = (gamma(seed, 32 * i, shape) for (seed,), shape in zip(seeds.tolist(), (alpha, beta), strict=True))
    assert beta_draws(seeds, [alpha], [beta], i + 1)[0, i] == pytest.approx(a / (a + b), rel=1e-12)


@given(names, st.integers(0, 9), st.floats(0.05, 0.999), st.floats(1.0, 1e4))
def test_draw_of_a_shape_below_one_is_the_documented_ratio(
    model: str, i: int, alpha: float, beta: float
) -> None:
    seeds = seeds_of(7, "s", model)
    (alpha_seed,), (beta_seed,) = seeds.tolist()
    u = ((word(alpha_seed, 32 * i + 30) >> 11) | 1) / 2**53
    a, b = gamma(alpha_seed, 32 * i, alpha + 1.0) * u ** (1 / alpha), gamma(beta_seed, 32 * i, beta)
    assert beta_draws(seeds, [alpha], [beta], i + 1)[0, i] == pytest.approx(a / (a + b), rel=1e-9, abs=1e-300)
    assert beta_draws(seeds[::-1], [beta], [alpha], i + 1)[0, i] == pytest.approx(b / (a + b), rel=1e-9)


@given(st.lists(st.tuples(names, counts, counts), min_size=1, max_size=40), st.integers(1, 9))
def test_draw_is_the_same_alone_among_many_and_asked_for_more(
    arms: list[tuple[str, float, float]], n: int
) -> None:
    models, alphas, betas = zip(*arms, strict=True)
    seeds = seeds_of(1, "s", *models)
    together = beta_draws(seeds, alphas, betas, n)
    assert together.shape == (len(arms), n)
    assert together[:, :1].tolist() == beta_draws(seeds, alphas, betas, 1).tolist()
    assert together[:, 0].tolist() == few_of(1, "s", models, alphas, betas)
    for place, (model, alpha, beta) in enumerate(arms):
        alone = beta_draws(seeds_of(1, "s", model), [alpha], [beta], n)
        assert alone[0].tolist() == together[place].tolist()


def test_draws_of_no_models_are_none() -> None:
    assert beta_draws(seeds_of(1, "s"), [], [], 3).shape == (0, 3)
    assert few_of(1, "s", [], [], []) == []


def test_draws_of_whole_counts_are_those_of_floats() -> None:
    assert few_of(1, "s", ["m"], [3], [2]) == few_of(1, "s", ["m"], [3.0], [2.0])


SHAPES = [(1.0, 1.0), (0.5, 0.5), (0.05, 2.0), (3.2, 1.1), (500.0, 700.0), (1e6, 1e6), (1e3, 1e9)]


@pytest.mark.parametrize(("alpha", "beta"), SHAPES)
def test_draws_follow_the_beta_distribution_along_every_axis(alpha: float, beta: float) -> None:
    """The CDF of the draws is uniform: over the draws of one model, over models, and over selections. DKW at 1e-9
    over 5,000 draws: 0.0463."""
    n = 5_000
    streams = streams_of([stream_of("m")])
    over_selections = [
        beta_draws(stream_seeds(draw_key(5, f"s{i}"), streams), [alpha], [beta], 1) for i in range(n)
    ]
    for draws in (
        beta_draws(seeds_of(5, "s", "m"), [alpha], [beta], n),
        draws_of(5, "s", [f"model-{i}" for i in range(n)], alpha, beta),
        np.array(over_selections),
    ):
        assert kolmogorov_smirnov(betainc(alpha, beta, draws.ravel())) < dkw_bound(n)


def test_draws_of_neighbours_are_uncorrelated() -> None:
    """The correlation of n independent pairs has standard deviation 1/√n: 6 of them at n = 10,000 are 0.06, exceeded
    with a chance of 2e-9. Draws of Beta(1, 1) and of Beta(3, 2); the next draw, the next model, a model over
    selections, and the seed."""
    n = 10_000
    models = [f"model-{i}" for i in range(n)]
    one = [stream_of("m"), stream_of("n")]
    for alpha, beta in ((1.0, 1.0), (3.0, 2.0)):
        several = beta_draws(seeds_of(3, "s", *models), [alpha] * n, [beta] * n, 2)
        of_two = np.array(
            [few_beta_draws(draw_key(3, f"s{i}"), one, [alpha] * 2, [beta] * 2) for i in range(n)]
        )
        for first, second in (
            (several[:, 0], several[:, 1]),
            (several[:, 0], np.roll(several[:, 0], 1)),
            (several[:, 0], draws_of(4, "s", models, alpha, beta)),
            (several[:, 0], draws_of(3, "t", models, alpha, beta)),
            (of_two[:, 0], of_two[:, 1]),
            (of_two[:, 0], np.roll(of_two[:, 0], 1)),
        ):
            assert abs(np.corrcoef(first, second)[0, 1]) < 6 / sqrt(n)


def test_both_gammas_of_a_draw_come_from_unrelated_words() -> None:
    """As above, of the two generators of a model, and of generators of neighbouring names."""
    n = 10_000
    alpha_side, beta_side = uniforms_of(words(seeds_of(3, "s", *(f"model-{i}" for i in range(n))), 0))
    for other in (beta_side, np.roll(alpha_side, 1)):
        assert abs(np.corrcoef(alpha_side, other)[0, 1]) < 6 / sqrt(n)


@given(st.integers(0, 9), st.integers(0, 9), names, names)
def test_draw_keys_of_different_seeds_or_selections_differ(s1: int, s2: int, a: str, b: str) -> None:
    assert (draw_key(s1, a) == draw_key(s2, b)) == ((s1, a) == (s2, b))


@given(names, counts, counts)
def test_draw_of_any_counts_is_finite_and_between_zero_and_one(model: str, alpha: float, beta: float) -> None:
    (draw,) = few_of(1, "s", [model], [alpha], [beta])
    assert isfinite(draw)
    assert 0.0 <= draw <= 1.0
