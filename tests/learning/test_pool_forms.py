from __future__ import annotations

from math import log
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.pooling.forms import (
    disagreement,
    linear_pool,
    log_pool,
    newton_step,
    softmax,
)

probabilities = st.floats(0.01, 0.99)


@given(probabilities, probabilities, st.floats(0.0, 1.0))
def test_both_pools_lie_between_the_models(p: float, q: float, share: float) -> None:
    shares, rows = [share, 1.0 - share], [[p, 1.0 - p], [q, 1.0 - q]]
    logs = [[log(value) for value in row] for row in rows]
    for pool in (linear_pool(shares, rows), log_pool(shares, logs)):
        assert min(p, q) - 1e-12 <= pool[0] <= max(p, q) + 1e-12
        assert sum(pool) == pytest.approx(1.0)


def test_the_log_odds_pool_of_two_labels_is_the_mean_of_the_log_odds() -> None:
    p = log_pool([0.25, 0.75], [[log(0.9), log(0.1)], [log(0.3), log(0.7)]])[0]
    assert log(p / (1.0 - p)) == pytest.approx(0.25 * log(9.0) + 0.75 * log(3.0 / 7.0))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5))
def test_softmax_of_any_logarithms_sums_to_one(logs: list[float]) -> None:
    assert sum(softmax(logs)) == pytest.approx(1.0)


@given(st.lists(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3), min_size=1, max_size=5))
def test_disagreement_is_between_none_and_all(rows: list[list[float]]) -> None:
    rows = [[value / sum(row) for value in row] if sum(row) > 0.1 else [1.0, 0.0, 0.0] for row in rows]
    assert 0.0 <= disagreement([1.0 / len(rows)] * len(rows), rows) <= 1.0
    assert disagreement([1.0 / len(rows)] * len(rows), [rows[0]] * len(rows)) == pytest.approx(0.0, abs=1e-12)


def test_newton_steps_reach_the_coefficient_of_a_logistic_regression() -> None:
    """Outcomes with log odds 1.5 times those forecast: the exponent 1 + c is 1.5 within three standard errors,
    and what is known of it is the Fisher information at the optimum within 10 %."""
    random = Random(3)
    coefficient = information = 0.0
    fisher = 0.0
    for _ in range(20_000):
        x = random.gauss(0.0, 1.0)
        base = [x / 2.0, -x / 2.0]
        truth = softmax([1.5 * value for value in base])
        fisher += x * x * truth[0] * truth[1]
        outcome = [1.0, 0.0] if random.random() < truth[0] else [0.0, 1.0]
        forecast = softmax([(1.0 + coefficient) * value for value in base])
        coefficient, information = newton_step(coefficient, information, base, forecast, outcome, 1, 1.0, 1.0)
    assert information == pytest.approx(fisher, rel=0.1)
    assert abs(coefficient - 0.5) < 3.0 / np.sqrt(fisher)


def test_a_feature_that_tells_no_labels_apart_moves_nothing() -> None:
    assert newton_step(0.25, 2.0, [3.0, 3.0], [0.5, 0.5], [1.0, 0.0], 4, 0.03, 1.0) == (0.25, 2.0)
