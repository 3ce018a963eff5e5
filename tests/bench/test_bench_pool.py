"""What an event costs the pool, and what a model weighs in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from random import Random
from typing import Any

import msgspec
import pytest

from handicapper.actors.learning.pooling import Pool, combine, learn, new_pool

pytestmark = pytest.mark.bench

LABELS = ("NO", "YES")
SECOND_NS = 10**9
EVENT_US_AIM = {2: 50, 5: 100, 20: 400}
"""Of learning an event with that many forecasts; 100 for 5 is the issue's, in proportion beyond."""
GUARD = 2
"""Asserted, of processor time: this many times the aim. The machine's pace changes by a factor of two."""
MODEL_BYTES_MAX = 1_024

Events = list[tuple[list[tuple[str, str, float]], dict[str, float]]]


def events_of(models: int, count: int = 500) -> Events:
    random = Random(models)
    return [
        ([(f"model-{k}", "YES", random.random()) for k in range(models)], {random.choice(LABELS): 1.0})
        for _ in range(count)
    ]


def taught(events: Events) -> Pool:
    state = new_pool()
    for n, (said, payouts) in enumerate(events):
        learn(state, n * 60 * SECOND_NS, said, payouts, LABELS)
    return state


def processor_us(call: Callable[[], Any], rounds: int = 20, calls: int = 200) -> float:
    """Of one call, in the fastest round: what others do on the machine is left out as far as it can be."""
    seconds: list[float] = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(calls):
            call()
        seconds.append(time.process_time() - began)
    return min(seconds) / calls * 1e6


@pytest.mark.parametrize("models", sorted(EVENT_US_AIM))
def test_bench_learning_an_event(benchmark: Any, models: int) -> None:
    events = events_of(models)
    state, following = taught(events), cycle(events)

    def one() -> None:
        said, payouts = next(following)
        learn(state, SECOND_NS * state.events, said, payouts, LABELS)

    took = processor_us(one)
    benchmark.pedantic(one, rounds=20, iterations=200)
    size = len(msgspec.msgpack.encode(state)) / models
    aim = EVENT_US_AIM[models]
    benchmark.extra_info.update(processor_us=round(took, 1), aim_us=aim, bytes_a_model=round(size))
    print(f"\nlearning an event of {models} models: {benchmark.extra_info}")
    assert size < MODEL_BYTES_MAX
    assert took < GUARD * aim


@pytest.mark.parametrize("models", sorted(EVENT_US_AIM))
def test_bench_combining_an_event(benchmark: Any, models: int) -> None:
    events = events_of(models)
    state = taught(events)
    took = processor_us(lambda: combine(state, events[0][0], LABELS))
    benchmark.pedantic(lambda: combine(state, events[0][0], LABELS), rounds=20, iterations=200)
    benchmark.extra_info.update(processor_us=round(took, 1), aim_us=EVENT_US_AIM[models])
    print(f"\ncombining an event of {models} models: {benchmark.extra_info}")
    assert took < GUARD * EVENT_US_AIM[models]
