"""A field that is wrong: refused by name at every door, and nothing else changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.protocol.errors import BatchError, InvalidValueError
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

from .bad_input import (
    BAD_IDS,
    BAD_TIMES,
    OUTCOME,
    PREDICTION,
    RESOLUTION,
    filled_learner,
    nothing_changes,
    shown,
)

ENOUGH_SECONDS = 20.0
BAD_LABELS: list[Any] = ["", "x" * 65, "x" * 10_240, "YES\n", "\ud800", None, True, 1]
BAD_CONFIDENCES: list[Any] = [math.nan, math.inf, -math.inf, 1.2, -0.1, 1.0000001, "0.5", None, True,
                              Decimal("0.5"), 0.5j]  # fmt: skip
BAD_MONEY: list[Any] = [0.5, math.nan, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1e30"),
                        Decimal("1e-30"), Decimal("1e999999"), "much", True, b"1", [1]]  # fmt: skip
BAD_PREDICTIONS: dict[str, list[Any]] = {
    "prediction_id": BAD_IDS,
    "model_id": BAD_IDS,
    "market_id": BAD_IDS,
    "outcome": BAD_LABELS,
    "confidence": BAD_CONFIDENCES,
    "predicted_at": BAD_TIMES,
    "price": [*BAD_MONEY, Decimal(-1), Decimal("1.01"), 2],
    "size": [*BAD_MONEY, Decimal(-1), Decimal("-0.01")],
    "fee": [*BAD_MONEY, Decimal(-1)],
    "expires_at": [value for value in BAD_TIMES if value is not None] + [19],
    "metadata": [
        "text", ["list"], 7, {1: "key"}, {"nested": {}}, {"list": []}, {"x": math.nan}, {"x": math.inf},
        {"huge": "x" * 100_000}, {"x": 2**64}, {"x": -(2**63) - 1}, {"x": "\ud800"}, {"\ud800": 1}, {"x": b"bytes"},
        {"x": Decimal(1)}, {f"k{i}": i for i in range(5000)},
    ],
}  # fmt: skip
BAD_RESOLUTIONS: dict[str, list[Any]] = {
    "market_id": BAD_IDS,
    "resolved_at": BAD_TIMES,
    "winner": ["", "x" * 65, "\ud800", 1, True, b"YES", ["YES"]],
    "revision": [-1, 2**31, 2**70, 1.0, "1", True, None],
    "status": ["", "FINAL", "done", None, 1, True],
    "void": [True, 1, "no", None],
    "source": ["x" * 1025, "a\nb", "\ud800", 7, b"x"],
    "payouts": [{"YES": 1.0, "NO": 0.0}, {}],
}
BAD_PAYOUTS: list[Any] = [
    {}, {"YES": math.nan}, {"YES": math.inf}, {"YES": 1.1}, {"YES": -0.1}, {"YES": "1"}, {"YES": None},
    {"YES": True}, {"": 1.0}, {1: 1.0}, {"\ud800": 1.0}, {"x" * 65: 1.0}, {f"L{i}": 0.0 for i in range(1000)},
    [("YES", 1.0)], "YES", 1.0, {"YES": Decimal(1)},
]  # fmt: skip
BAD_OUTCOMES: dict[str, list[Any]] = {
    "prediction_id": BAD_IDS,
    "model_id": BAD_IDS,
    "predicted_outcome": BAD_LABELS,
    "actual_outcome": BAD_LABELS,
    "resolved_at": BAD_TIMES,
    "confidence": [value for value in BAD_CONFIDENCES if value is not None],
    "pnl": BAD_MONEY,
}


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Learner]:
    with filled_learner(tmp_path / "state") as opened:
        yield opened


class Text(str):
    """A str that is not exactly one."""

    __slots__ = ()


def _fields(table: dict[str, list[Any]]) -> list[Any]:
    return [pytest.param(field, values, id=field) for field, values in table.items()]


def _refused_at_every_door(
    learner: Learner, bad: Any, one: Callable[[Any], Any], many: Callable[..., Any], field: str
) -> None:
    """Alone, in a batch, and in a batch of all kinds."""
    with pytest.raises(InvalidValueError, match=field):
        one(bad)
    with pytest.raises(BatchError) as refused:
        many([bad])
    assert refused.value.result.accepted == 0
    ((index, error),) = refused.value.result.errors
    assert (index, type(error)) == (0, InvalidValueError)
    result = learner.record([bad], on_error="return")
    assert [type(error) for _, error in result.errors] == [InvalidValueError]
    assert str(error).startswith("INVALID_VALUE ")
    assert len(str(error)) < 1000
    str(error).encode()


@pytest.mark.parametrize(("field", "values"), _fields(BAD_PREDICTIONS))
def test_prediction_with_a_bad_field_is_refused_by_name_and_nothing_changes(
    field: str, values: list[Any], learner: Learner
) -> None:
    for value in values:
        bad = Prediction(**{**PREDICTION, field: value})
        with nothing_changes(learner):
            _refused_at_every_door(learner, bad, learner.record_prediction, learner.record_predictions, field)
            with pytest.raises(InvalidValueError, match=field):
                learner.process_signal(bad)
            with pytest.raises(InvalidValueError, match=field):
                learner.record_prediction_nowait(bad)
            with pytest.raises(InvalidValueError, match=field):
                learner.process_signals_nowait([bad])
            with pytest.raises(BatchError):
                learner.process_signals([bad])
            (refused,) = learner.record_predictions_nowait([bad]).get(ENOUGH_SECONDS).errors
            assert isinstance(refused[1], InvalidValueError), shown(value)


@pytest.mark.parametrize(
    ("field", "values"),
    [*_fields(BAD_RESOLUTIONS), pytest.param("payouts", BAD_PAYOUTS, id="payouts-alone")],
)
def test_resolution_with_a_bad_field_is_refused_by_name_and_nothing_changes(
    field: str, values: list[Any], learner: Learner
) -> None:
    """Winner and payouts both, or winner and void both, contradict each other even where they agree."""
    for value in values:
        fields = {**RESOLUTION, field: value}
        if values is BAD_PAYOUTS:
            del fields["winner"]
        bad = MarketResolved(**fields)
        with nothing_changes(learner):
            _refused_at_every_door(learner, bad, learner.resolve_market, learner.resolve_markets, field)
            with pytest.raises(InvalidValueError, match=field):
                learner.resolve_market_nowait(bad)


def test_resolution_that_says_nothing_is_refused(learner: Learner) -> None:
    with nothing_changes(learner), pytest.raises(InvalidValueError, match="exactly one"):
        learner.resolve_market(market_id="open", resolved_at=30)


@pytest.mark.parametrize(("field", "values"), _fields(BAD_OUTCOMES))
def test_trade_outcome_with_a_bad_field_is_refused_by_name_and_nothing_changes(
    field: str, values: list[Any], learner: Learner
) -> None:
    for value in values:
        bad = TradeOutcome(**{**OUTCOME, field: value})
        with nothing_changes(learner):
            _refused_at_every_door(learner, bad, learner.record_outcome, learner.record_outcomes, field)
            with pytest.raises(InvalidValueError, match=field):
                learner.record_outcome_nowait(bad)


@pytest.mark.parametrize("thing", [None, 7, "p", {"prediction_id": "p"}, object(), Prediction])
def test_something_that_is_no_message_is_refused_in_every_bulk_form(thing: Any, learner: Learner) -> None:
    with nothing_changes(learner):
        for many in (
            learner.record_predictions, learner.resolve_markets, learner.record_outcomes, learner.record,
            learner.process_signals,
        ):  # fmt: skip
            with pytest.raises(BatchError) as refused:
                many([thing])
            assert isinstance(refused.value.result.errors[0][1], InvalidValueError)


def test_message_of_another_kind_is_refused(learner: Learner) -> None:
    prediction, resolution = Prediction(**PREDICTION), MarketResolved(**RESOLUTION)
    with nothing_changes(learner):
        for one, message in (
            (learner.record_prediction, resolution), (learner.resolve_market, prediction),
            (learner.record_outcome, prediction), (learner.process_signal, resolution),
        ):  # fmt: skip
            with pytest.raises(InvalidValueError):
                one(message)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "fields", [{}, {"unknown": 1}, {**PREDICTION, "unknown": 1}, {"prediction_id": "p"}, {"confidence": 1}]
)
def test_missing_and_unknown_fields_are_refused_by_name(fields: dict[str, Any], learner: Learner) -> None:
    with nothing_changes(learner), pytest.raises(InvalidValueError, match="the fields of Prediction"):
        learner.record_prediction(**fields)


def test_message_and_fields_together_are_refused(learner: Learner) -> None:
    with nothing_changes(learner), pytest.raises(InvalidValueError, match="not both"):
        learner.record_prediction(Prediction(**PREDICTION), confidence=0.7)


def test_good_items_of_a_batch_are_recorded_beside_bad_ones(learner: Learner) -> None:
    good = [Prediction(**{**PREDICTION, "prediction_id": f"g{i}"}) for i in range(3)]
    bad = Prediction(**{**PREDICTION, "confidence": math.nan})
    with pytest.raises(BatchError) as refused:
        learner.record_predictions([good[0], bad, good[1], good[0], bad, good[2]])
    result = refused.value.result
    assert (result.total, result.accepted, result.duplicates) == (6, 3, 1)
    assert [index for index, _ in result.errors] == [1, 4]
    assert learner.record_predictions(good).duplicates == 3


def test_str_subclass_and_int_confidence_are_taken_and_normalised(learner: Learner) -> None:
    """What loses nothing is no error."""
    fields = {**PREDICTION, "prediction_id": Text("sub"), "confidence": 1, "price": "0.25", "size": 3}
    assert learner.record_prediction(**fields).seq
    assert learner.record_prediction(**{**fields, "confidence": 1.0, "price": Decimal("0.25")}).duplicate
