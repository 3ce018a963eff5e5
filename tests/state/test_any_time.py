"""Outcomes of any time in any order, and questions about any time: always finite, never negative, always the same."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.state import views
from handicapper.actors.state.events import Scored
from handicapper.actors.state.model_state import ModelState
from handicapper.config import Settings, Thresholds
from handicapper.config.rules import LearningRules
from handicapper.protocol.validation import TIME_NS_MAX, TIME_NS_MIN

HOUR = 3_600 * 10**9

times = st.one_of(
    st.integers(TIME_NS_MIN, TIME_NS_MAX),
    st.integers(-50, 50).map(lambda hours: hours * HOUR),  # around 1970
    st.sampled_from([TIME_NS_MIN, -1, 0, 1, TIME_NS_MAX]),
)
outcomes = st.lists(
    st.tuples(times, st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0)), min_size=1, max_size=40
)
half_lives = st.sampled_from([1e-9, 0.01, 1.0, 168.0, 1e9, math.inf])


def rules(half_life_hours: float, relaxation_hours: float) -> LearningRules:
    return Settings(
        decay_half_life_hours=half_life_hours,
        min_predictions_for_adaptation=0,
        thresholds=Thresholds(relaxation_half_life_hours=relaxation_hours),
    ).learning_rules()


def folded(rows: list[tuple[int, float, float]], in_force: LearningRules) -> ModelState:
    state = ModelState("m", in_force)
    for seq, (at, x, confidence) in enumerate(rows, 1):
        assert not state.apply((Scored(seq, at, x, confidence, math.nan, False, None, None),), seq)
    return state


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers(each)]
    if isinstance(value, list | tuple):
        return [number for each in value for number in numbers(each)]
    return [float(value)] if isinstance(value, int | float) else []


@given(
    rows=outcomes, half_life=half_lives, relaxation=half_lives, asked=st.lists(times, min_size=1, max_size=5)
)
def test_whatever_the_times_all_that_is_believed_is_finite_within_its_range_and_repeatable(
    rows: list[tuple[int, float, float]], half_life: float, relaxation: float, asked: list[int]
) -> None:
    in_force = rules(half_life, relaxation)
    state = folded(rows, in_force)
    answers = {}
    for as_of in asked:
        alpha, beta = views.posterior(state, as_of)
        assert in_force.prior_alpha <= alpha <= in_force.prior_alpha + len(rows)
        assert in_force.prior_beta <= beta <= in_force.prior_beta + len(rows)
        assert in_force.min_threshold <= views.threshold(state, as_of) <= in_force.max_threshold
        report = views.report(state, as_of)
        assert all(map(math.isfinite, numbers(msgspec.to_builtins(report))))
        assert 0.0 <= report.posterior_low <= report.posterior_high <= 1.0
        assert 0.0 <= report.effective_sample_size <= len(rows) * (1 + 1e-9)
        params = views.params(state, as_of)
        assert in_force.min_weight <= params.weight <= in_force.max_weight
        answers[as_of] = (report, params)
    # Asking ages nothing: the same questions in another order have the same answers.
    for as_of in sorted(answers):
        assert (views.report(state, as_of), views.params(state, as_of)) == answers[as_of]


@given(rows=outcomes, half_life=st.sampled_from([0.01, 1.0, 168.0, 1e9, math.inf]), data=st.data())
def test_the_posterior_does_not_depend_on_the_order_in_which_outcomes_come(
    rows: list[tuple[int, float, float]], half_life: float, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(rows))
    in_force = rules(half_life, 168.0)
    one, other = folded(rows, in_force), folded(shuffled, in_force)
    for as_of in (max(at for at, _, _ in rows), TIME_NS_MAX):
        assert views.posterior(one, as_of) == pytest.approx(views.posterior(other, as_of), rel=1e-9)


@given(rows=outcomes, half_life=half_lives)
def test_evidence_never_grows_with_time(rows: list[tuple[int, float, float]], half_life: float) -> None:
    state = folded(rows, rules(half_life, 168.0))
    asked = sorted({at + hours * HOUR for at, _, _ in rows for hours in (-5, 0, 5, 500)})
    sizes = [views.report(state, as_of).effective_sample_size for as_of in asked]
    assert all(later <= earlier * (1 + 1e-9) + 1e-12 for earlier, later in itertools.pairwise(sizes))
