"""A filter that is told from elsewhere that the segment ended: what keeps its weight, and what is told of."""

from __future__ import annotations

from random import Random

import pytest

from handicapper.actors.learning.changepoint import ChangePointFilter

HOUR = 3_600 * 10**9
T0 = 1_700_000_000 * 10**9


def at(hour: float) -> int:
    return T0 + round(hour * HOUR)


def taught(rates: list[float], seed: int = 1, per_rate: int = 150) -> ChangePointFilter:
    """An outcome an hour, ``per_rate`` of each hit rate."""
    random, found = Random(seed), ChangePointFilter()
    for hour, rate in enumerate(rate for rate in rates for _ in range(per_rate)):
        found.add(float(random.random() < rate), at(hour))
    return found


def told_later(found: ChangePointFilter, rate: float, hours: range, seed: int = 2) -> list[int]:
    random = Random(seed)
    changes = [found.add(float(random.random() < rate), at(hour)) for hour in hours]
    return [(change.at_ns - T0) // HOUR for change in changes if change is not None]


def test_nothing_of_before_counts_and_what_came_since_does() -> None:
    """After 5 misses the filter still believes most of the 150 outcomes; restarted, it believes the 5 alone."""
    found = taught([0.7])
    for hour in range(150, 155):
        found.add(0.0, at(hour))
    before = found.mean(at(155))
    assert before > 0.5
    assert found.restart(at(150))
    assert found.mean(at(155)) == pytest.approx(1 / 7, abs=0.02)
    assert found.change_probability(at(149), at(154)) == pytest.approx(1.0)


def test_weights_still_sum_to_one_at_the_beliefs_that_were_held_of_each_rate() -> None:
    found = taught([0.7])
    rates = [sum(column) for column in found._weights]
    assert found.restart(at(130))
    assert [sum(column) for column in found._weights] == pytest.approx(rates, rel=1e-12)
    assert sum(rates) == pytest.approx(1.0, abs=1e-3), "but for the runs that were dropped"
    drifts = found._first_run
    assert all(column[place] == 0.0 for column in found._weights for place in range(drifts))
    assert all(start >= at(130) for start in found._starts[drifts:])


def test_runs_begun_after_it_keep_their_weight() -> None:
    found = taught([0.8, 0.2], per_rate=40)
    drifts = found._first_run
    before = dict(zip(found._starts[drifts:], found._weights[2][drifts:], strict=True))
    found._watched_ns = 0  # whatever it told of itself
    assert found.restart(at(45))
    after = dict(zip(found._starts[drifts:], found._weights[2][drifts:], strict=True))
    first = min(after)
    assert len(after) > 1
    assert {start: weight for start, weight in after.items() if start > first} == {
        start: weight for start, weight in before.items() if start > first
    }
    assert after[first] > before[first]


def test_a_change_later_than_all_it_has_seen_leaves_the_prior() -> None:
    found = taught([0.9])
    assert found.restart(at(400))
    assert (found.mean(at(400)), found.as_of_ns) == (0.5, at(400))
    found.add(1.0, at(401))
    assert found.mean(at(401)) == pytest.approx(2 / 3, abs=0.01)


def test_without_a_run_since_then_a_fresh_one_takes_all() -> None:
    found = taught([0.9])
    drifts = found._first_run
    for kept in (*found._weights, found._alphas, found._betas, found._starts):
        del kept[drifts + 1 :]
    assert found.restart(at(120))
    assert found.mean(at(149)) == 0.5
    assert list(found._starts[drifts:]) == [at(120)]
    assert found.as_of_ns == at(149), "time does not run backwards"


def test_the_same_change_is_not_told_again_and_a_later_one_is() -> None:
    """Alone, this filter tells of the change; restarted in between, it has nothing more to say of it."""
    alone, shared = taught([0.85]), taught([0.85])
    assert told_later(alone, 0.15, range(150, 200)) == [150]
    for hour in range(150, 153):
        shared.add(0.0, at(hour))
    assert shared.last is None
    assert shared.restart(at(150))
    assert told_later(shared, 0.15, range(153, 250)) == []
    (later,) = told_later(shared, 0.9, range(250, 300))
    assert abs(later - 250) <= 8


def test_what_was_told_of_shared_or_begun_since_is_not_restarted_again() -> None:
    found = taught([0.85, 0.15])
    assert found.last is not None
    before = found.tobytes()
    assert not found.restart(found.last.at_ns), "its own change"
    assert not found.restart(found.last.detected_ns)
    assert not found.restart(T0), "it began then"
    assert found.tobytes() == before
    assert found.restart(found.last.detected_ns + 1)
    assert not found.restart(found.as_of_ns)
    assert not ChangePointFilter().restart(T0)


def test_its_own_last_change_is_kept() -> None:
    found = taught([0.85, 0.15])
    last = found.last
    assert found.restart(at(299))
    assert found.last == last


def test_packed_between_it_goes_on_bit_for_bit() -> None:
    found = taught([0.6])
    assert found.restart(at(140))
    again = ChangePointFilter(found.rules, found.tobytes())
    for hour in range(150, 260):
        assert found.add(float(hour % 3 > 0), at(hour)) == again.add(float(hour % 3 > 0), at(hour))
    assert again.tobytes() == found.tobytes()
    assert len(found) <= found._first_run + found.rules.runs_max
