"""The filter's loops against the same in NumPy's words, and compiled against their source: equal to the last bit, over
long histories of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from random import Random

import pytest

from handicapper.actors.learning.changepoint import ChangePointFilter, ChangePointRules
from handicapper.actors.learning.draws import draw_key, mixture_draw, stream_of
from handicapper.actors.learning.hypotheses import numbers, pairwise_sum
from handicapper.protocol.compiled import compiled_modules

from ..state.test_compiled import run_pure
from .changepoint_in_numpy import NumPyFilter, np

HOUR = 3_600 * 10**9
HOURS = 3_600.0

RULES = {
    "default": ChangePointRules(),
    "no drifts": ChangePointRules(half_lives_seconds=(), trend_half_lives_seconds=()),
    "no trends": ChangePointRules(trend_half_lives_seconds=()),
    "trends alone": ChangePointRules(half_lives_seconds=(), trend_share=0.7),
    "few runs": ChangePointRules(runs_max=3),
    "one run": ChangePointRules(runs_max=1),
    "many runs": ChangePointRules(runs_max=300),
    "two rates and a prior": ChangePointRules(
        0.3, 2.5, (10 * HOURS, 1e3 * HOURS), (50 * HOURS,), 0.2, 20, 0.9, (20 * HOURS, 5 * HOURS), 0.3
    ),
    "seven rates": ChangePointRules(mean_runs_seconds=tuple(10.0**k * HOURS for k in range(7)), alarm=0.7),
}


def outcomes(seed: int, count: int) -> Iterator[tuple[float, int]]:
    """(x, time): a rate that changes, gaps of every length, some at once, some late, some half right."""
    chance, now, p = Random(seed), 1_700_000_000 * 10**9, 0.6
    for _ in range(count):
        kind = chance.random()
        if kind < 0.01:
            p = chance.random()
        gap = chance.choice([0, 1, HOUR, HOUR, chance.randrange(5 * HOUR), chance.randrange(200 * HOUR)])
        now += gap if kind > 0.005 else 50_000 * HOUR
        x = float(chance.random() < p) if chance.random() < 0.8 else chance.choice([0.5, chance.random()])
        late = chance.random()
        yield x, now if late > 0.15 else now - chance.randrange(400 * HOUR) if late > 0.005 else 0


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_the_loops_give_the_bits_of_whole_arrays(name: str, seed: int) -> None:
    rules = RULES[name]
    loops, arrays, chance = ChangePointFilter(rules), NumPyFilter(rules), Random(seed)
    for number, (x, at_ns) in enumerate(outcomes(seed, 1_000)):
        assert loops.add(x, at_ns) == arrays.add(x, at_ns)
        assert len(loops) == len(arrays)
        if number % 10:
            continue
        data = loops.tobytes()
        assert data == arrays.tobytes()
        if number % 30 == 0:
            loops, arrays = ChangePointFilter(rules, data), NumPyFilter(rules, data)
        as_of = loops.as_of_ns + chance.choice([-HOUR, 0, HOUR, chance.randrange(10_000 * HOUR)])
        ours, theirs = loops.mixture(as_of), arrays.mixture(as_of)
        assert list(map(list, ours)) == list(map(list, theirs))
        assert ours.mean() == loops.mean(as_of) == theirs.mean()
        assert ours.matched_beta() == theirs.matched_beta()
        u = chance.random()
        assert ours.component(u) == theirs.component(u)
        since = as_of - chance.randrange(500 * HOUR)
        assert loops.change_probability(since, as_of) == arrays.change_probability(since, as_of)
    assert arrays.last is not None or rules.runs_max < 20


def test_a_sum_in_strands_is_numpy_s() -> None:
    chance = Random(1)
    for count in (*range(150), 255, 256, 257, 1_000, 4_099):
        values = [chance.uniform(-1.0, 1.0) * 10.0 ** chance.randrange(-8, 8) for _ in range(count + 3)]
        assert pairwise_sum(numbers(values), 3, count) == float(np.add.reduce(np.array(values[3:])))


def all_readings() -> str:
    """A hash of what every history leads through: states, what is read of them, and draws."""
    digest = sha256()
    for name, rules in RULES.items():
        found, stream = ChangePointFilter(rules), stream_of(name)
        for number, (x, at_ns) in enumerate(outcomes(7, 600)):
            digest.update(repr(found.add(x, at_ns)).encode())
            if number % 5:
                continue
            mixture = found.mixture(found.as_of_ns + number * HOUR)
            draw = mixture_draw(draw_key(number, "s"), stream, mixture)
            read = [*map(list, mixture), mixture.mean(), mixture.matched_beta(), draw]
            digest.update(found.tobytes() + repr(read).encode())
    return digest.hexdigest()


def test_compiled_loops_give_the_bits_of_their_source() -> None:
    if not compiled_modules():
        pytest.skip(
            "nothing is compiled here: an editable install, or a wheel built without Cython or a compiler"
        )
    code = "from tests.learning.test_changepoint_bits import all_readings; print(all_readings())"
    assert run_pure(code) == all_readings()
