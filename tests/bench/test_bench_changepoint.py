"""What the change-point policy costs, beside the half-life policy in the same run."""

from __future__ import annotations

from random import Random
from time import perf_counter

import pytest

from handicapper.actors.learning.changepoint import ChangePointFilter
from handicapper.actors.learning.draws import draw_key, mixture_draw, stream_of
from handicapper.actors.state.events import Scored
from handicapper.actors.state.model_state import ModelState
from handicapper.config import Settings, ThompsonSampling

pytestmark = pytest.mark.bench

HOUR = 3_600 * 10**9
BATCH = 50
ROUNDS = 60
OUTCOME_SECONDS_MAX = 40e-6


def seconds_an_outcome(policy: str) -> float:
    """Best of many batches, of a filter that holds as many runs as it may."""
    rules = Settings(thompson_sampling=ThompsonSampling(posterior=policy)).learning_rules()  # type: ignore[arg-type]
    state, random, count, best = ModelState("m", rules), Random(1), 0, 1.0
    for _ in range(ROUNDS):
        rows = [
            Scored(count + i, (count + i) * HOUR, float(random.random() < 0.6), 0.6)
            for i in range(1, BATCH + 1)
        ]
        begun = perf_counter()
        state.apply(rows, count + BATCH)
        best = min(best, (perf_counter() - begun) / BATCH)
        count += BATCH
    return best


def test_outcome_under_either_policy() -> None:
    changing, halving = seconds_an_outcome("changepoint"), seconds_an_outcome("half_life")
    print(f"\nan outcome: change points {changing * 1e6:.1f} us, half-life {halving * 1e6:.1f} us")
    assert changing <= OUTCOME_SECONDS_MAX


def test_bench_draw_from_a_mixture_at_hand(benchmark) -> None:
    random, found = Random(1), ChangePointFilter()
    for i in range(500):
        found.add(float(random.random() < 0.6), i * HOUR)
    mixture = found.mixture(501 * HOUR)
    benchmark(mixture_draw, draw_key(7, "s-1"), stream_of("m"), mixture)


def test_bench_mixture_as_of_a_time(benchmark) -> None:
    random, found = Random(1), ChangePointFilter()
    for i in range(500):
        found.add(float(random.random() < 0.6), i * HOUR)
    benchmark(found.mixture, 501 * HOUR)
