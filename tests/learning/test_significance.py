"""What of an error is more than chance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.significance import STANDARD_ERRORS, significant_error

sums = st.floats(-1e6, 1e6)
positive = st.floats(1e-6, 1e6)


@given(sums, positive, positive)
def test_significant_error_has_the_sign_of_the_error_and_is_less(
    error_sum: float, count: float, variance: float
) -> None:
    error = significant_error(error_sum, count, variance)
    assert abs(error) <= abs(error_sum / count)
    assert error == 0.0 or (error > 0.0) == (error_sum > 0.0)
    assert significant_error(-error_sum, count, variance) == -error


def test_error_of_exactly_so_many_standard_errors_is_chance() -> None:
    assert significant_error(STANDARD_ERRORS * 3.0, 10.0, 9.0) == 0.0
    assert significant_error(STANDARD_ERRORS * 3.0 + 1.0, 10.0, 9.0) == pytest.approx(0.1)


def test_error_without_any_outcome_is_none() -> None:
    assert significant_error(0.0, 0.0, 0.0) == 0.0
