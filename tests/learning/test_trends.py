"""Sums and counts of a trend against least squares solved as a system of equations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.hypotheses import Numbers, numbers
from handicapper.actors.learning.trends import SUMS, age_trends, count_in_trends, read_trends

outcomes = st.lists(st.tuples(st.floats(0.0, 12.0), st.floats(0.0, 1.0)), max_size=60)
priors = st.floats(0.01, 5.0)


def counted(rows: list[tuple[float, float]]) -> Numbers:
    """Sums of outcomes, each given with its age."""
    sums = numbers([0.0] * SUMS)
    for age, x in rows:
        count_in_trends(sums, x, [age], [2.0**-age])
    return sums


def read(sums: Numbers, alpha: float = 1.0, beta: float = 1.0) -> tuple[float, float]:
    alphas, betas = numbers([0.0]), numbers([0.0])
    read_trends(sums, alphas, betas, 0, alpha, beta)
    return alphas[0], betas[0]


@given(outcomes, priors, priors)
def test_counts_are_those_of_the_discounted_least_squares_line(
    rows: list[tuple[float, float]], alpha: float, beta: float
) -> None:
    design = np.array([[1.0, -age] for age, _ in rows] + [[1.0, 0.0]] * 2)
    x = np.array([x for _, x in rows] + [1.0, 0.0])
    weights = np.array([2.0**-age for age, _ in rows] + [alpha, beta])
    information = design.T @ (weights[:, None] * design)
    information[1, 1] += 0.02 * information[1, 1] + 1e-3
    level = np.linalg.solve(information, design.T @ (weights * x))[0]
    size = 1.0 / np.linalg.inv(information)[0, 0]
    room = size + alpha + beta
    level = min(max(level, alpha / room), 1.0 - beta / room)
    found = read(counted(rows), alpha, beta)
    assert found == pytest.approx((level * size, (1.0 - level) * size), rel=1e-6, abs=1e-6)
    assert found[0] >= alpha / 2 * (1 - 1e-9)
    assert found[1] >= beta / 2 * (1 - 1e-9)


@given(outcomes, st.floats(0.0, 12.0))
def test_sums_that_age_are_those_of_older_outcomes(rows: list[tuple[float, float]], passed: float) -> None:
    """So an outcome that comes late counts as if it had come in time."""
    sums = counted(rows)
    age_trends(sums, [passed], [2.0**-passed])
    assert list(sums) == pytest.approx(
        list(counted([(age + passed, x) for age, x in rows])), rel=1e-9, abs=1e-300
    )


@given(outcomes, priors, priors)
def test_what_has_faded_reads_as_the_prior(
    rows: list[tuple[float, float]], alpha: float, beta: float
) -> None:
    sums = counted(rows)
    age_trends(sums, [80.0], [2.0**-80])
    assert read(sums, alpha, beta) == pytest.approx((alpha, beta), rel=1e-6)
    age_trends(sums, [1e9], [0.0])
    assert read(sums, alpha, beta) == pytest.approx((alpha, beta), rel=1e-12)


def test_outcomes_that_come_together_have_no_slope() -> None:
    burst = [(1e-4 * i, float(i < 10)) for i in range(20)]
    alpha, beta = read(counted(burst))
    assert alpha / (alpha + beta) == pytest.approx(0.5, abs=0.02)
    assert alpha + beta == pytest.approx(22.0, abs=0.5)
