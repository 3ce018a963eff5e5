from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammainc, ndtri

from handicapper.actors.learning import gamma
from handicapper.actors.learning.gamma import ATTEMPTS_MAX, FEW, gamma_variate, gamma_variates
from handicapper.actors.learning.splitmix import word

from .distributions import dkw_bound, kolmogorov_smirnov

shapes_from_1 = (
    st.floats(0.0, 9 * log(10)).map(lambda exponent: float(np.exp(exponent))).filter(lambda a: a <= 1e9)
)


def recomputed(seed: int, shape: float) -> float:
    """The documented recipe, without the short cut."""
    d = shape - 1.0 / 3.0
    c = 1.0 / sqrt(9.0 * d)
    for attempt in range(ATTEMPTS_MAX):
        first, second = word(seed, 2 * attempt), word(seed, 2 * attempt + 1)
        x = float(ndtri(((first >> 11) | 1) / 2**53))
        root = 1.0 + c * x
        y = (first % 2**11 + ((second >> 11) | 1) / 2**53) / 2**11
        v = root * root * root
        if v > 0 and log(y) < x * x / 2 + d * (1 - v + log(v)):
            return d * v
    return d


def arrays(seeds: list[int], shapes: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(seeds, dtype=np.uint64), np.array(shapes)


@given(st.integers(0, 2**64 - 1), shapes_from_1)
def test_variate_follows_the_documented_recipe(seed: int, shape: float) -> None:
    assert gamma_variates(*arrays([seed], [shape])).tolist() == [recomputed(seed, shape)]


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), shapes_from_1), min_size=1, max_size=60))
def test_variate_alone_is_that_among_many(pairs: list[tuple[int, float]]) -> None:
    together = gamma_variates(*arrays([s for s, _ in pairs], [a for _, a in pairs])).tolist()
    for (seed, shape), variate in zip(pairs, together, strict=True):
        alone = gamma_variate(seed, shape)
        assert alone in (0.0, variate)


def test_variates_one_by_one_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 of them: 2,000 of which are not clear by the first word, some 500 of which are refused."""
    rng = np.random.default_rng(3)
    seeds, shapes = rng.integers(0, 2**64, 20_000, dtype=np.uint64), np.exp(rng.uniform(0.0, 15.0, 20_000))
    shapes[:5_000] = rng.uniform(1.0, 3.0, 5_000)
    together = gamma_variates(seeds, shapes).tolist()
    assert list(map(gamma_variate, seeds.tolist(), shapes.tolist())) == together
    monkeypatch.setattr(gamma, "FEW", 0)
    few = gamma_variates(seeds[:FEW], shapes[:FEW]).tolist()
    assert few == together[:FEW]


@pytest.mark.parametrize("shape", [0.0, 0.5, 2e9, float("inf"), float("nan")])
def test_variate_out_of_the_ordinary_is_left_to_the_other(shape: float) -> None:
    assert gamma_variate(1, shape) == 0.0


def test_variate_too_close_to_tell_is_left_to_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gamma, "_CLEAR", float("inf"))
    seeds = list(range(200))
    variates = [gamma_variate(seed, 1.5) for seed in seeds]
    assert 0 < variates.count(0.0) < 60
    assert gamma_variates(*arrays(seeds, [1.5] * 200)).tolist() == [recomputed(seed, 1.5) for seed in seeds]


def test_after_all_attempts_were_refused_the_variate_is_that_of_v_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gamma, "ATTEMPTS_MAX", 1)
    seeds = list(range(500))
    variates = gamma_variates(*arrays(seeds, [1.0] * 500)).tolist()
    assert 5 < variates.count(1.0 - 1.0 / 3.0) < 60
    assert gamma_variates(*arrays(seeds[:1] * 3, [1.0] * 3)).tolist() == variates[:1] * 3


@pytest.mark.parametrize("d", [2.0 / 3.0, 1.0, 3.0, 30.0, 1e3, 1e6])
def test_what_is_clear_by_the_first_word_is_accepted_by_the_inequality(d: float) -> None:
    """1 − 0.0331·x⁴ lies below exp(x²/2 + d·(1 − v + ln v)) wherever it is above 0 (Marsaglia & Tsang 2000)."""
    x = np.linspace(-2.344, 2.344, 20_001)
    v = (1.0 + x / sqrt(9.0 * d)) ** 3
    with np.errstate(invalid="ignore", divide="ignore"):
        bound = np.where(v > 0, x * x / 2 + d * (1 - v + np.log(v)), -np.inf)
    rounding = 1e-15 * d + 1e-14
    assert (1.0 - 0.0331 * x**4 <= np.exp(bound) + rounding).all()


@pytest.mark.parametrize("shape", [1.0, 1.5, 4.0, 70.0, 1e4])
def test_variates_follow_the_gamma_distribution(shape: float) -> None:
    """20,000 values; DKW at a chance of 1e-9 bounds the distance by 0.0232."""
    seeds = np.random.default_rng(11).integers(0, 2**64, 20_000, dtype=np.uint64)
    values = gammainc(shape, gamma_variates(seeds, np.full(20_000, shape)))
    assert kolmogorov_smirnov(values) < dkw_bound(20_000)
