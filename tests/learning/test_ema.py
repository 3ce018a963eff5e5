from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.ema import EMA_START, ema_update

unit = st.floats(0.0, 1.0)


@given(st.lists(unit, max_size=60), st.floats(0.001, 1.0))
def test_ema_after_every_outcome_equals_the_explicit_weighted_sum(
    outcomes: list[float], alpha: float
) -> None:
    ema = EMA_START
    for n in range(1, len(outcomes) + 1):
        ema = ema_update(ema, outcomes[n - 1], alpha)
        explicit = EMA_START * (1 - alpha) ** n
        explicit += sum(alpha * (1 - alpha) ** (n - 1 - i) * outcomes[i] for i in range(n))
        assert abs(ema - explicit) < 1e-12


@given(unit, unit, unit)
def test_ema_of_values_between_zero_and_one_stays_between_them(ema: float, x: float, alpha: float) -> None:
    assert 0.0 <= ema_update(ema, x, alpha) <= 1.0
