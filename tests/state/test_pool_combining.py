"""The pool asked for a computation in pieces: it says what it knew when it was asked."""

from __future__ import annotations

from random import Random

import pytest

from handicapper.actors.learning.pooling import whole
from handicapper.actors.state import pool_views
from handicapper.actors.state.events import PoolScored
from handicapper.actors.state.pool_state import PoolState
from handicapper.protocol.messages import Forecast

from .samples import HOUR, T0, rules

MODELS = [f"m{n}" for n in range(1_000)]


def scored(number: int, chance: Random) -> PoolScored:
    """A market that the first three models forecast, and that ended as the first said."""
    said = tuple((model_id, "YES", chance.random()) for model_id in MODELS[:3])
    return PoolScored(number, T0 + number * 24 * HOUR, said, (("YES", 1.0),))


@pytest.mark.parametrize("count", [3, 1_000])
def test_a_computation_begun_goes_by_what_the_pool_knew_then(count: int) -> None:
    state, chance = PoolState(rules()), Random(5)
    for number in range(1, 6):
        state.apply([scored(number, chance)], number)
    forecasts = [
        Forecast(model_id=model_id, outcome=chance.choice("AB"), confidence=chance.random())
        for model_id in MODELS[:count]
    ]
    then = pool_views.combine(state, T0, forecasts, ["A", "B"])
    begun = pool_views.combining(state, T0, forecasts, MODELS[:count], ["A", "B"])
    for number in range(6, 12):
        next(begun, None)
        state.apply([scored(number, chance)], number)
    if count > 3:
        assert whole(begun) == then
    again = pool_views.combining(state, T0, forecasts, MODELS[:count], ["A", "B"])
    assert whole(again) == pool_views.combine(state, T0, forecasts, ["A", "B"]) != then
