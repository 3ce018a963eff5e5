from __future__ import annotations

from math import log, sqrt

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.splitmix import advanced, uniforms_of, word, words

MASK = 2**64 - 1
seeds_64 = st.integers(0, MASK)


def sequential(seed: int, count: int) -> list[int]:
    """The generator as published: a state that moves on, and a finalizer."""
    drawn = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) % 2**64
        z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        drawn.append(z ^ (z >> 31))
    return drawn


def as_array(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def test_first_words_are_those_of_the_reference_implementation() -> None:
    """SplitMix64 of seed 1234567, as published with Java's and Vigna's implementation."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [word(1234567, count) for count in range(4)] == expected


@given(seeds_64, st.integers(0, 70))
def test_word_by_counter_is_that_of_the_sequence_alone_or_among_many(seed: int, count: int) -> None:
    expected = sequential(seed, count + 1)[-1]
    assert word(seed, count) == expected
    assert words(as_array(seed, 0, seed), count).tolist() == [expected, word(0, count), expected]


@given(seeds_64, st.integers(0, 2**32), st.integers(0, 9))
def test_advanced_generator_goes_on_where_the_other_would_be(seed: int, by: int, count: int) -> None:
    (later,) = advanced(as_array(seed), as_array(by)).tolist()
    assert word(later, count) == word(seed, by + count)


@given(seeds_64)
def test_uniform_is_the_upper_53_bits_strictly_inside_zero_and_one(drawn: int) -> None:
    (u,) = uniforms_of(as_array(drawn)).tolist()
    assert u == ((drawn >> 11) | 1) / 2**53
    assert 0.0 < u < 1.0


def test_generators_whose_beginnings_are_related_by_xor_give_uncorrelated_uniforms() -> None:
    """Two models in many selections begin a fixed ⊕ apart, and two models in two selections ⊕ to 0. Of 400 pairs with
    random differences and of the 64 one-bit ones, each over n = 20,000 beginnings, no correlation exceeds
    6.5/√n = 0.046: a chance of 464·8e-11 = 4e-8. Nor does that of the four-cycle's products of sides (u − ½)."""
    n, rng = 20_000, np.random.default_rng(5)
    base, other = (rng.integers(0, 2**64, n, dtype=np.uint64) for _ in range(2))
    first, moved = uniforms_of(words(base, 0)) - 0.5, uniforms_of(words(other, 0)) - 0.5
    differences = [*rng.integers(0, 2**64, 400, dtype=np.uint64), *(np.uint64(1 << bit) for bit in range(64))]
    bound = 6.5 / sqrt(n)
    for difference in differences:
        second = uniforms_of(words(base ^ difference, 0)) - 0.5
        assert abs(np.corrcoef(first, second)[0, 1]) < bound
        cycle = np.sign(first) * np.sign(second) * np.sign(moved)
        assert abs((cycle * np.sign(uniforms_of(words(other ^ difference, 0)) - 0.5)).mean()) < bound


def test_bits_of_words_are_even_for_beginnings_of_any_kind() -> None:
    """64 bits over n = 20,000 words; each mean is within 6.5 deviations of 1/2: a chance of 5·64·8e-11 = 3e-8."""
    n, rng = 20_000, np.random.default_rng(6)
    counters = np.arange(n, dtype=np.uint64)
    random = rng.integers(0, 2**64, n, dtype=np.uint64)
    for begun in (counters, counters << np.uint64(40), ~counters, random, random ^ counters):
        bits = np.unpackbits(words(begun, 0).view(np.uint8).reshape(n, 8), axis=1)
        assert (np.abs(bits.mean(axis=0) - 0.5) < 6.5 * 0.5 / sqrt(n)).all()


def test_chi_squared_of_neighbouring_words_is_that_of_independent_ones() -> None:
    """Pairs of words c and c + 1 in a 16 × 16 table over 200,000 generators: χ² with 255 degrees of freedom. Laurent &
    Massart (2000): P(χ² ≥ k + 2√(kt) + 2t) ≤ e⁻ᵗ; t = 20 allows 438, with a chance of 2e-9."""
    seeds = np.random.default_rng(7).integers(0, 2**64, 200_000, dtype=np.uint64)
    cells = (words(seeds, 0) >> np.uint64(60)) * np.uint64(16) + (words(seeds, 1) >> np.uint64(60))
    counts = np.bincount(cells.astype(np.int64), minlength=256)
    expected = len(seeds) / 256
    k, t = 255, -log(2e-9)
    assert ((counts - expected) ** 2 / expected).sum() < k + 2 * sqrt(k * t) + 2 * t
