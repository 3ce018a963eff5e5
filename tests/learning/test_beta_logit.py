from __future__ import annotations

from math import lgamma, log

import numpy as np
import pytest
from scipy.special import betainc, expit

from handicapper.actors.learning.beta_logit import log_cdf, log_density, logit_support, logit_width

COUNTS = [(1.0, 1.0), (0.5, 3.0), (20.0, 16.0), (16.0, 15.9), (300.0, 2.0), (1e-3, 1e-3), (1e-3, 50.0)]


def column(value: float) -> np.ndarray:
    return np.array([value])


@pytest.mark.parametrize(("alpha", "beta"), COUNTS)
def test_log_density_equals_the_textbook_form(alpha: float, beta: float) -> None:
    for t in (-20.0, -3.0, -0.3, 0.0, 0.7, 4.0, 25.0):
        log_beta = lgamma(alpha) + lgamma(beta) - lgamma(alpha + beta)
        expected = -alpha * np.logaddexp(0.0, -t) - beta * np.logaddexp(0.0, t) - log_beta
        assert log_density(np.array([t]), column(alpha), column(beta))[0] == pytest.approx(
            expected, abs=1e-11
        )


@pytest.mark.parametrize(("alpha", "beta"), [*COUNTS, (1e7, 1e7), (1e7, 3e3), (1e7, 1e-3)])
def test_log_density_is_the_slope_of_the_distribution_function(alpha: float, beta: float) -> None:
    """A central difference over a thousandth of the width w errs by about (h/w)²/6·|f″w²| < 1e-5."""
    a, b = column(alpha), column(beta)
    width = logit_width(a, b)
    h = 1e-3 * min(float(width[0]), 1.0)
    for offset in (-1.5, -0.5, 0.0, 0.5, 1.5):
        t = np.log(a / b) + offset * np.minimum(width, 3.0)
        slope = (np.exp(log_cdf(t + h, a, b)) - np.exp(log_cdf(t - h, a, b))) / (2 * h)
        assert np.exp(log_density(t, a, b))[0] == pytest.approx(slope[0], rel=1e-4)


@pytest.mark.parametrize(("alpha", "beta"), COUNTS)
def test_log_cdf_equals_the_incomplete_beta_function(alpha: float, beta: float) -> None:
    for t in (-15.0, -1.0, 0.0, 1.0, 15.0):
        if alpha * t < -600:
            continue  # the reference has no double for it
        expected = log(betainc(alpha, beta, expit(t)))
        assert log_cdf(np.array([t]), column(alpha), column(beta))[0] == pytest.approx(expected, abs=1e-12)


def test_log_density_and_cdf_beyond_the_doubles_are_exponential_tails() -> None:
    """At t = −5000, x = e⁻⁵⁰⁰⁰ has no double; there ln F = αt − ln α − ln B and f = αF."""
    a, b = column(1e-3), column(2.0)
    t = np.array([-5000.0])
    log_beta = lgamma(1e-3) + lgamma(2.0) - lgamma(2.001)
    expected = 1e-3 * -5000.0 - log(1e-3) - log_beta
    assert log_cdf(t, a, b)[0] == pytest.approx(expected, abs=1e-12)
    assert log_density(t, a, b)[0] == pytest.approx(expected + log(1e-3), abs=1e-12)
    assert log_density(-t, b, a)[0] == pytest.approx(expected + log(1e-3), abs=1e-12)


@pytest.mark.parametrize(("alpha", "beta"), [*COUNTS, (1e7, 1e7), (1e7, 1.0)])
def test_logit_support_leaves_the_asked_for_mass_on_either_side(alpha: float, beta: float) -> None:
    a, b = column(alpha), column(beta)
    lower, upper = logit_support(a, b, 1e-9)
    assert np.exp(log_cdf(lower, a, b))[0] == pytest.approx(1e-9, rel=1e-3)
    assert np.exp(log_cdf(-upper, b, a))[0] == pytest.approx(1e-9, rel=1e-3)
