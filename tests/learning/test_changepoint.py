from __future__ import annotations

from math import exp, isclose
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handicapper.actors.learning.changepoint import ChangePointFilter, ChangePointRules
from handicapper.actors.learning.mixture import sharpened

HOUR = 3_600 * 10**9
RATES = (50 * 3_600.0, 1_000 * 3_600.0)
EXACT = ChangePointRules(
    mean_runs_seconds=RATES, half_lives_seconds=(), trend_half_lives_seconds=(), runs_max=200
)


def exact_mean(outcomes: list[tuple[float, int]], at_ns: int) -> float:
    """The textbook's recursion, one rate after another and run by run: every hypothesis is kept."""
    first = outcomes[0][1]
    runs = [(rate, rate / sum(RATES), 1.0, 1.0) for rate in RATES]
    now = first

    def passed(elapsed_ns: int) -> list[tuple[float, float, float, float]]:
        kept = [(rate, w * exp(-elapsed_ns / 1e9 / rate), a, b) for rate, w, a, b in runs]
        for rate in RATES:
            ended = sum(w * (1 - exp(-elapsed_ns / 1e9 / rate)) for r, w, _, _ in runs if r == rate)
            kept.append((rate, ended, 1.0, 1.0))
        return kept

    for x, when in outcomes:
        if when > now:
            runs, now = passed(when - now), when
        runs = [(r, w * (a * x + b * (1 - x)) / (a + b), a + x, b + 1 - x) for r, w, a, b in runs]
        total = sum(w for _, w, _, _ in runs)
        runs = [(r, w / total, a, b) for r, w, a, b in runs]
    return sum(w * a / (a + b) for _, w, a, b in passed(at_ns - now))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, 0.5]), st.integers(0, 60)), min_size=1, max_size=60),
    st.integers(0, 500),
)
def test_mean_without_drifts_or_pruning_is_that_of_the_exact_recursion(
    steps: list[tuple[float, int]], later: int
) -> None:
    outcomes, now = [], 10**18
    for x, hours in steps:
        now += hours * HOUR
        outcomes.append((x, now))
    found = ChangePointFilter(EXACT)
    for x, when in outcomes:
        found.add(x, when)
    at_ns = now + later * HOUR
    assert isclose(found.mean(at_ns), exact_mean(outcomes, at_ns), rel_tol=1e-9)


def test_dropping_the_least_probable_runs_hardly_moves_the_mean() -> None:
    apart = []
    for seed in range(20):
        generator, few, many = (
            Random(seed),
            ChangePointFilter(),
            ChangePointFilter(ChangePointRules(runs_max=400)),
        )
        for i in range(300):
            x = float(generator.random() < (0.7 if i < 150 else 0.4))
            few.add(x, i * HOUR)
            many.add(x, i * HOUR)
        apart.append(abs(few.mean(300 * HOUR) - many.mean(300 * HOUR)))
    assert sum(apart) / len(apart) < 0.01
    assert max(apart) < 0.1


def taught(outcomes: list[tuple[float, int]]) -> ChangePointFilter:
    found = ChangePointFilter()
    for x, when in outcomes:
        found.add(x, when)
    return found


def test_what_is_read_back_goes_on_as_if_it_had_never_been_put_away() -> None:
    generator = Random(5)
    outcomes = [(generator.choice([0.0, 1.0, 0.5]), generator.randrange(500) * HOUR) for _ in range(400)]
    outcomes += [(float(i > 450), (500 + i) * HOUR) for i in range(100)]
    whole, parts = ChangePointFilter(), ChangePointFilter()
    for x, when in outcomes:
        assert whole.add(x, when) == parts.add(x, when)
        parts = ChangePointFilter(parts.rules, parts.tobytes())
        assert parts.last == whole.last
    assert whole.tobytes() == parts.tobytes()


def test_a_model_that_is_not_observed_drifts_back_to_the_prior() -> None:
    found = taught([(1.0, i * HOUR) for i in range(300)])
    means = [found.mean((300 + hours) * HOUR) for hours in (0, 1_000, 10_000, 100_000, 10_000_000)]
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.98
    assert means[-1] == pytest.approx(0.5, abs=1e-6)
    assert sum(found.mixture(300 * HOUR).matched_beta()) > 50
    assert found.mixture(10_000_000 * HOUR).matched_beta() == pytest.approx((1.0, 1.0), abs=1e-6)


def test_looking_changes_nothing() -> None:
    found = taught([(float(i % 3 == 0), i * HOUR) for i in range(100)])
    before = found.tobytes()
    (
        found.mean(10_000 * HOUR),
        found.mixture(500 * HOUR).component(0.9),
        found.change_probability(3 * HOUR, 200 * HOUR),
    )
    assert found.tobytes() == before


def test_a_late_outcome_leaves_the_weights_of_runs_begun_after_it_where_they_were() -> None:
    found = taught([(1.0, i * HOUR) for i in range(100)] + [(0.0, i * HOUR) for i in range(100, 120)])
    before = found.change_probability(90 * HOUR, 119 * HOUR)
    assert before > 0.99
    for _ in range(5):
        assert found.add(1.0, 50 * HOUR) is None
    assert found.as_of_ns == 119 * HOUR
    assert found.change_probability(90 * HOUR, 119 * HOUR) == pytest.approx(before, abs=0.005)
    assert found.mean(119 * HOUR) == pytest.approx(1 / 22, abs=0.02)


def test_an_outcome_older_than_everything_counts_for_drifts_alone() -> None:
    found = taught([(1.0, 1_000 * HOUR)] * 50)
    found.add(0.0, 0)
    weight, alpha, beta = found.mixture(1_000 * HOUR)
    assert (alpha[7], beta[7]) == (51.0, 1.0)
    assert beta[0] == pytest.approx(1.0 + 2.0 ** (-1_000 / 6_144))
    assert sum(weight) == pytest.approx(1.0)


def test_a_change_from_07_to_04_is_found_within_400_outcomes_and_told_once() -> None:
    """On average an outcome tells KL(0.4, 0.7) = 0.18 nats, and log(99 · 32,000 h) = 15 are needed: 81 outcomes."""
    delays, places, after = [], [], []
    for seed in range(20):
        generator, found = Random(seed), ChangePointFilter()
        changes = []
        for i in range(2_000):
            change = found.add(float(generator.random() < (0.7 if i < 1_000 else 0.4)), i * HOUR)
            if change is not None:
                changes.append(change)
        assert len(changes) == 1, (seed, changes)
        assert changes[0].before == pytest.approx(0.7, abs=0.1)
        after.append(changes[0].after)
        assert 0.99 <= changes[0].probability <= 1.0
        delays.append(changes[0].detected_ns // HOUR - 1_000)
        places.append(changes[0].at_ns // HOUR - 1_000)
    assert sum(after) / len(after) == pytest.approx(0.4, abs=0.1)
    assert min(delays) > 0
    assert sum(delays) / len(delays) <= 120
    assert max(delays) <= 400
    assert sorted(map(abs, places))[10] <= 15


def test_no_more_than_one_false_alarm_in_ten_thousand_outcomes() -> None:
    alarms = 0
    for seed, p in enumerate((0.5, 0.55, 0.6, 0.7, 0.9)):
        generator, found = Random(seed), ChangePointFilter()
        alarms += sum(found.add(float(generator.random() < p), i * HOUR) is not None for i in range(4_000))
    assert alarms <= 2


@given(st.floats(0.001, 0.999))
def test_a_sharpened_uniform_lies_between_it_and_a_half(u: float) -> None:
    low, high = sorted((u, 0.5))
    assert low - 1e-12 <= sharpened(u) <= high + 1e-12
    assert sharpened(1.0 - u) == pytest.approx(1.0 - sharpened(u))


def test_a_filter_packed_before_there_were_trends_goes_on_and_begins_them() -> None:
    before = ChangePointFilter(ChangePointRules(trend_half_lives_seconds=()))
    for i in range(100):
        before.add(float(i % 4 != 0), i * HOUR)
    data, at = before.tobytes(), 99 * HOUR
    found = ChangePointFilter(data=data)
    assert found.tobytes() == ChangePointFilter(data=data).tobytes()
    assert ChangePointFilter(data=found.tobytes()).tobytes() == found.tobytes()
    assert len(found) == len(before) + 2
    assert found.mean(at) == pytest.approx(before.mean(at), abs=1e-12)
    assert list(found.mixture(at).weights)[5:7] == [0.0, 0.0]
    for i in range(100, 3_000):
        found.add(float(i % 3 == 0), i * HOUR)
    assert sum(found.mixture(3_000 * HOUR).weights[5:7]) > 0.001
    assert found.mean(3_000 * HOUR) == pytest.approx(1 / 3, abs=0.03)


def test_a_trend_takes_over_where_the_hit_rate_moves_along_a_line_and_forecasts_better() -> None:
    plain, mass = ChangePointRules(trend_half_lives_seconds=()), []
    losses = {True: 0.0, False: 0.0}
    for seed in range(10):
        generator = Random(seed)
        filters = {True: ChangePointFilter(), False: ChangePointFilter(plain)}
        for i in range(600):
            p = 0.1 + 0.8 * i / 600
            x = float(generator.random() < p)
            for knows, found in filters.items():
                losses[knows] += (found.mean(i * HOUR) - p) ** 2 if i > 100 else 0.0
                found.add(x, i * HOUR)
        mass.append(sum(filters[True].mixture(600 * HOUR).weights[5:7]))
    assert sum(mass) / len(mass) > 0.5
    assert losses[True] < 0.8 * losses[False]


@pytest.mark.parametrize("steps", [[0.0] * 5, [1.0] * 400, [float(i > 200) for i in range(400)]])
def test_a_line_is_not_drawn_on_through_a_long_time_without_outcomes(steps: list[float]) -> None:
    found = taught([(x, i * HOUR) for i, x in enumerate(steps)])
    for hours in (0, 24, 100, 400, 1_000, 4_000, 40_000, 10**6):
        _, alphas, betas = found.mixture((len(steps) + hours) * HOUR)
        for place, half_life in ((5, 400), (6, 100)):
            alpha, beta = alphas[place], betas[place]
            assert alpha >= 0.5
            assert beta >= 0.5
            assert alpha + beta >= 2.0
            if hours >= 10 * half_life:
                assert (alpha, beta) == pytest.approx((1.0, 1.0), abs=0.25)
            if hours >= 40 * half_life:
                assert (alpha, beta) == pytest.approx((1.0, 1.0), abs=1e-6)


def test_no_alarm_where_nothing_but_a_trend_goes_on() -> None:
    """What rises as slowly as this has not changed at one time: few tell of it, and none twice."""
    told = []
    for seed in range(10):
        generator, found = Random(seed), ChangePointFilter()
        told.append(
            sum(
                found.add(float(generator.random() < 0.4 + 0.2 * i / 2_000), i * HOUR) is not None
                for i in range(2_000)
            )
        )
    assert max(told) <= 1
