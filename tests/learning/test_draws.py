from __future__ import annotations

from hashlib import blake2b
from math import isfinite, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc

from handicapper.actors.learning.draws import beta_draw, beta_draws, draw_key, uniforms

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def recomputed(seed: int, selection_id: str, model_id: str, i: int) -> float:
    """The documented recipe, step by step, from hexadecimal text."""
    key = blake2b(str(seed).encode() + b":" + selection_id.encode(), digest_size=32).digest()
    counter = bytes.fromhex(f"{i // 8:08x}")
    text = blake2b(model_id.encode() + counter, key=key, digest_size=64).hexdigest()
    word = int(text[16 * (i % 8) : 16 * (i % 8) + 16], 16)
    return ((word // 2**11) | 1) / 2**53


def kolmogorov_smirnov(values: np.ndarray) -> float:
    """Largest distance between the empirical CDF and that of the uniform distribution."""
    ordered = np.sort(values)
    n = len(ordered)
    return float(max((np.arange(1, n + 1) / n - ordered).max(), (ordered - np.arange(n) / n).max()))


def dkw_bound(n: int, chance: float = 1e-9) -> float:
    """Dvoretzky-Kiefer-Wolfowitz: the distance exceeds √(ln(2/chance)/(2n)) with at most this chance."""
    return sqrt(log(2 / chance) / (2 * n))


@given(st.integers(-(2**70), 2**70), names, names, st.integers(1, 40))
def test_uniforms_follow_the_documented_bytes(seed: int, selection: str, model: str, n: int) -> None:
    us = uniforms(draw_key(seed, selection), model, n)
    assert us == tuple(recomputed(seed, selection, model, i) for i in range(n))


@given(names, st.integers(1, 64), st.integers(1, 64))
def test_uniforms_asked_for_more_keep_the_earlier_ones(model: str, few: int, more: int) -> None:
    key = draw_key(1, "s")
    few, more = sorted((few, more))
    assert uniforms(key, model, more)[:few] == uniforms(key, model, few)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 16, 17, 1000])
def test_uniforms_are_as_many_as_asked_for(n: int) -> None:
    assert len(uniforms(draw_key(1, "s"), "m", n)) == n


def test_uniforms_of_the_extreme_words_are_strictly_inside_zero_and_one() -> None:
    smallest, largest = 0, 2**64 - 1
    assert ((smallest >> 11) | 1) * 2.0**-53 == 2.0**-53
    assert ((largest >> 11) | 1) * 2.0**-53 == 1.0 - 2.0**-53


def test_uniforms_over_many_models_are_uniform() -> None:
    """20,000 values; DKW at a chance of 1e-9 bounds the distance by 0.0232."""
    key = draw_key(11, "selection")
    values = np.array([uniforms(key, f"model-{i}", 1)[0] for i in range(20_000)])
    assert kolmogorov_smirnov(values) < dkw_bound(20_000)


def test_uniforms_of_one_model_over_selections_and_within_one_are_uniform() -> None:
    """As above, along the other two axes: over selections, and over the counter."""
    over_selections = [uniforms(draw_key(11, f"s{i}"), "m", 1)[0] for i in range(20_000)]
    over_counter = uniforms(draw_key(11, "s"), "m", 20_000)
    for values in (over_selections, over_counter):
        assert kolmogorov_smirnov(np.array(values)) < dkw_bound(20_000)


def test_uniforms_of_neighbouring_models_selections_seeds_and_counters_are_uncorrelated() -> None:
    """The correlation of n independent pairs has standard deviation 1/√n: 6 of them at n = 10,000 are
    0.06, exceeded with a chance of 2e-9."""
    n = 10_000
    keys = [draw_key(3, f"s{i}") for i in range(n)]
    base = [uniforms(key, "m", 2) for key in keys]
    first = np.array([pair[0] for pair in base])
    others = {
        "counter": [pair[1] for pair in base],
        "model": [uniforms(key, "n", 1)[0] for key in keys],
        "seed": [uniforms(draw_key(4, f"s{i}"), "m", 1)[0] for i in range(n)],
        "selection": [*first[1:], first[0]],
    }
    for other in others.values():
        assert abs(np.corrcoef(first, np.array(other))[0, 1]) < 6 / sqrt(n)


@given(st.integers(0, 9), st.integers(0, 9), names, names)
def test_draw_keys_of_different_seeds_or_selections_differ(s1: int, s2: int, a: str, b: str) -> None:
    assert (draw_key(s1, a) == draw_key(s2, b)) == ((s1, a) == (s2, b))


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 0.5), (3.2, 1.1), (500.0, 700.0), (1e6, 1e6)])
def test_beta_draws_follow_the_beta_distribution(alpha: float, beta: float) -> None:
    """The CDF of the draws is uniform; DKW at 1e-9 over 5,000 draws: 0.0463."""
    draws = beta_draws(uniforms(draw_key(5, "s"), "m", 5_000), alpha, beta)
    assert kolmogorov_smirnov(betainc(alpha, beta, np.array(draws))) < dkw_bound(5_000)


@given(st.floats(2.0**-53, 1 - 2.0**-53), st.floats(1e-3, 1e7), st.floats(1e-3, 1e7))
def test_beta_draw_of_any_counts_is_finite_and_the_same_alone_or_among_many(
    u: float, alpha: float, beta: float
) -> None:
    draw = beta_draw(u, alpha, beta)
    assert isfinite(draw)
    assert 0.0 <= draw <= 1.0
    assert beta_draws((u, 0.5), alpha, beta)[0] == draw


@given(st.floats(0.001, 0.999), st.floats(0.5, 1e4), st.floats(0.5, 1e4))
def test_beta_draw_inverts_the_distribution_function(u: float, alpha: float, beta: float) -> None:
    draw = beta_draw(u, alpha, beta)
    if 1e-12 < draw < 1 - 1e-6:
        assert betainc(alpha, beta, draw) == pytest.approx(u, abs=1e-9)


def test_beta_draw_accepts_whole_numbers() -> None:
    assert beta_draw(0.5, 1, 1) == 0.5
