"""The posterior of a state against the sum it stands for, added up from scratch."""

from __future__ import annotations

from math import inf, isclose
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.state import views
from handicapper.actors.state.model_state import ModelState

from .samples import HOUR, T0, rules, scored, state_bytes

outcomes = st.lists(
    st.tuples(st.integers(-2_000 * HOUR, 2_000 * HOUR), st.sampled_from([0.0, 1.0, 0.5, 0.3])),
    min_size=1,
    max_size=40,
)
half_lives_hours = st.sampled_from([0.5, 24.0, 168.0, 5_000.0, inf])


def decayed_sum(pairs: list[tuple[int, float]], as_of: int, half_life_hours: float) -> tuple[float, float]:
    """Σ xᵢ·2^−((t−tᵢ)/h) and the same of 1 − xᵢ, each term with its own age."""
    successes = failures = 0.0
    for at_ns, x in pairs:
        share = 0.5 ** ((as_of - at_ns) / HOUR / half_life_hours)
        successes += x * share
        failures += (1.0 - x) * share
    return successes, failures


@given(
    outcomes,
    half_lives_hours,
    st.randoms(use_true_random=False),
    st.integers(0, 500 * HOUR),
    st.integers(1, 7),
)
def test_posterior_of_any_arrival_order_and_any_reads_is_the_decayed_sum(
    pairs: list[tuple[int, float]], half_life_hours: float, random: Random, later: int, batch: int
) -> None:
    pairs = [(T0 + at_ns, x) for at_ns, x in pairs]
    arrivals = random.sample(pairs, len(pairs))
    in_force = rules(decay_half_life_seconds=half_life_hours * 3_600.0, prior_alpha=2.0, prior_beta=3.0)
    state = ModelState("m", in_force)
    for start in range(0, len(arrivals), batch):
        rows = [
            scored(start + i, x, at_ns=at_ns)
            for i, (at_ns, x) in enumerate(arrivals[start : start + batch], 1)
        ]
        state.apply(rows, start + len(rows))
        for _ in range(random.randrange(3)):  # looking, at any time, changes nothing
            as_of = T0 + random.randrange(-3_000, 3_000) * HOUR
            views.params(state, as_of)
            views.report(state, as_of)
    as_of = max(at_ns for at_ns, _ in pairs) + later
    alpha, beta = views.posterior(state, as_of)
    successes, failures = decayed_sum(pairs, as_of, half_life_hours)
    assert isclose(alpha, 2.0 + successes, rel_tol=1e-11)
    assert isclose(beta, 3.0 + failures, rel_tol=1e-11)


@given(outcomes, st.lists(st.integers(-3_000, 3_000), max_size=20))
def test_state_after_being_looked_at_is_bit_identical(
    pairs: list[tuple[int, float]], looks: list[int]
) -> None:
    seen, unseen = ModelState("m", rules()), ModelState("m", rules())
    for number, (at_ns, x) in enumerate(pairs, 1):
        for state in (seen, unseen):
            state.apply([scored(number, x, 0.7, T0 + at_ns)], number)
        for look in looks:
            views.report(seen, T0 + look * HOUR)
            views.arm(seen, T0 + look * HOUR)
            views.decide_gate(seen, 0.7, T0 + look * HOUR)
    assert state_bytes(seen) == state_bytes(unseen)


def test_posterior_read_before_its_newest_outcome_is_never_amplified() -> None:
    """Dividing decay out again would give a weight of 2^100 to one outcome a hundred half-lives on."""
    state = ModelState("m", rules(decay_half_life_seconds=3_600.0))
    state.apply([scored(1, 1.0, at_ns=T0 + 100 * HOUR)], 1)
    assert views.posterior(state, T0) == (2.0, 1.0)


def test_posterior_read_hourly_over_one_half_life_halves_once() -> None:
    """100 successes read at every hour of a week-long half-life: 1 + 100/2, not 1 + 100/2^168."""
    state = ModelState("m", rules())
    for number in range(1, 101):
        state.apply([scored(number, 1.0)], number)
    reads = [views.posterior(state, T0 + hour * HOUR)[0] for hour in range(169)]
    assert reads[0] == 101.0
    assert reads[168] == 51.0
