from __future__ import annotations

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.pooling.table import REMAINDER, floored_logs, tabulate, target

confidences = st.floats(0.0, 1.0)
forecasts = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("XYZ"), confidences), min_size=1, max_size=12
)


@given(forecasts, st.sets(st.sampled_from("WXYZ")))
def test_every_model_gets_a_distribution_over_the_labels_known(
    said: list[tuple[str, str, float]], labels: set[str]
) -> None:
    table = tabulate(said, labels)
    assert table.labels == sorted(table.labels)
    assert len(table.labels) >= 2
    assert set(table.labels) - {REMAINDER} == labels | {label for _, label, _ in said}
    assert table.model_ids == sorted({model for model, _, _ in said})
    for row in table.rows:
        assert all(p >= 0.0 for p in row)
        assert sum(row) == pytest.approx(1.0)


def test_the_mass_beside_a_forecast_is_spread_evenly_over_the_other_labels() -> None:
    table = tabulate([("a", "HOME", 0.4)], ["HOME", "DRAW", "AWAY"])
    assert table.rows == [[pytest.approx(0.3), pytest.approx(0.3), 0.4]]


def test_with_one_label_known_the_rest_is_none_of_these() -> None:
    assert tabulate([("a", "YES", 0.75)]).labels == [REMAINDER, "YES"]


def test_several_forecasts_of_one_model_are_its_distribution() -> None:
    said = [("a", "HOME", 0.1), ("a", "HOME", 0.5), ("a", "DRAW", 0.25)]
    assert tabulate(said, ["HOME", "DRAW", "AWAY"]).rows == [[0.25, 0.25, 0.5]]


def test_forecasts_of_one_model_that_exceed_one_are_scaled() -> None:
    assert tabulate([("a", "HOME", 0.9), ("a", "AWAY", 0.9)]).rows == [[0.5, 0.5]]


def test_forecasts_of_one_model_that_rule_everything_out_say_nothing() -> None:
    assert tabulate([("a", "HOME", 0.0), ("a", "AWAY", 0.0)]).rows == [[0.5, 0.5]]


@pytest.mark.parametrize(
    ("payouts", "expected"),
    [
        ({"HOME": 1.0}, [0.0, 0.0, 1.0]),
        ({"HOME": 0.5, "AWAY": 0.5}, [0.5, 0.0, 0.5]),
        ({"HOME": 0.0}, [0.5, 0.5, 0.0]),
        ({"HOME": 1.0, "AWAY": 1.0}, [0.5, 0.0, 0.5]),
        ({"HOME": 0.2, "AWAY": 0.2, "DRAW": 0.0}, [0.5, 0.0, 0.5]),
        ({"HOME": 0.0, "AWAY": 0.0, "DRAW": 0.0}, None),
    ],
)
def test_payouts_become_a_distribution(payouts: dict[str, float], expected: list[float] | None) -> None:
    assert target(payouts, ["AWAY", "DRAW", "HOME"]) == expected


@given(st.lists(confidences, min_size=2, max_size=5).filter(lambda row: sum(row) > 0.1))
def test_floored_logarithms_are_finite_and_of_a_distribution(row: list[float]) -> None:
    row = [p / sum(row) for p in row]
    logs = floored_logs(row, 0.01)
    assert sum(exp(value) for value in logs) == pytest.approx(1.0)
    assert min(logs) > -5.0
    if min(row) >= 0.01:
        assert [exp(value) for value in logs] == pytest.approx(row)
