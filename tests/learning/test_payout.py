from __future__ import annotations

from handicapper.actors.learning.payout import outcome_value


def test_outcome_value_is_the_payout_of_exactly_this_label() -> None:
    payouts = {"YES": 1.0, "NO": 0.0, "draw": 0.5}
    assert [outcome_value(payouts, label) for label in ("YES", "NO", "draw")] == [1.0, 0.0, 0.5]


def test_outcome_value_of_a_label_that_differs_in_case_or_space_is_zero() -> None:
    assert outcome_value({"YES": 1.0}, "Yes") == 0.0
    assert outcome_value({"YES": 1.0}, "YES ") == 0.0
    assert outcome_value({}, "YES") == 0.0
