"""A mixture of Betas: its moments against numerical integration, and which part a uniform picks."""

from __future__ import annotations

import numpy as np
import pytest

from handicapper.actors.learning.hypotheses import numbers
from handicapper.actors.learning.mixture import Mixture, sharpened

MIXTURES = [
    Mixture(numbers([1.0]), numbers([3.0]), numbers([5.0])),
    Mixture(numbers([0.3, 0.7]), numbers([40.0, 2.0]), numbers([10.0, 6.0])),
    Mixture(numbers([0.9, 0.05, 0.05]), numbers([1.5, 100.0, 7.0]), numbers([1.5, 300.0, 2.0])),
]


def moments(mixture: Mixture) -> tuple[float, float]:
    """(mean, variance) of the density, summed over 199,999 points."""
    p = np.linspace(0.0, 1.0, 200_001)[1:-1]
    density = np.zeros_like(p)
    for weight, alpha, beta in zip(*mixture, strict=True):
        part = np.exp((alpha - 1.0) * np.log(p) + (beta - 1.0) * np.log1p(-p))
        density += weight * part / part.sum()
    mean = (p * density).sum()
    return float(mean), float(((p - mean) ** 2 * density).sum())


@pytest.mark.parametrize("mixture", MIXTURES)
def test_matched_beta_has_the_mean_and_the_variance_of_the_mixture(mixture: Mixture) -> None:
    mean, variance = moments(mixture)
    alpha, beta = mixture.matched_beta()
    size = alpha + beta
    assert mixture.mean() == pytest.approx(mean, abs=1e-6)
    assert alpha / size == pytest.approx(mean, abs=1e-6)
    assert alpha * beta / (size**2 * (size + 1.0)) == pytest.approx(variance, rel=1e-4)


def test_beta_alone_stands_for_itself() -> None:
    assert MIXTURES[0].matched_beta() == pytest.approx((3.0, 5.0))


def test_component_is_that_whose_share_of_the_weights_the_sharpened_uniform_falls_into() -> None:
    mixture = MIXTURES[2]
    assert mixture.component(0.5) == (1.5, 1.5)
    # 0.9 of the weight lies before the second part: sharpened(u) = 0.9 where the odds of u are 9 to the power 4.
    border = 6_561.0 / 6_562.0
    assert mixture.component(border - 1e-6) == (1.5, 1.5)
    assert mixture.component(border + 1e-6) == (100.0, 300.0)
    assert mixture.component(1.0 - 1e-12) == (7.0, 2.0)


def test_sharpening_keeps_the_order_the_median_and_both_halves_alike() -> None:
    us = np.linspace(0.001, 0.999, 999)
    sharp = [sharpened(float(u)) for u in us]
    assert sharp == sorted(sharp)
    assert sharpened(0.5) == 0.5
    assert sharp == pytest.approx([1.0 - s for s in reversed(sharp)])
