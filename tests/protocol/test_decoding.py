"""Params from bytes: both forms, and errors that name the field, its value and what was expected."""

import msgpack
import pytest

from handicapper.protocol.decoding import ParamsDecoder, check_depth
from handicapper.protocol.errors import InvalidValueError, TooDeepError
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome
from handicapper.protocol.methods import METHODS
from handicapper.protocol.params import MarketResolvedParams, OutcomeParams, PredictionParams

GOOD = {
    "prediction_id": "p",
    "model_id": "m",
    "market_id": "k",
    "outcome": "YES",
    "confidence": 0.5,
    "predicted_at": 1,
}
DECODER = ParamsDecoder(PredictionParams, depth_max=32)


@pytest.mark.parametrize(
    "params",
    [
        GOOD,
        list(GOOD.values()),
        [GOOD],
        {**GOOD, "new_field": [1, {"a": 2}]},
        [*GOOD.values(), None, None, None, None, None, "a field of a later version"],
        {**GOOD, "confidence": 0.5, "price": None},
    ],
)
def test_every_form_of_params_means_the_same(params):
    decoded = DECODER.decode(msgpack.packb(params))
    assert decoded.message() == Prediction(**GOOD)


def test_nil_counts_as_no_fields():
    with pytest.raises(InvalidValueError, match="prediction_id was missing"):
        DECODER.decode(b"\xc0")
    assert ParamsDecoder(METHODS["ping"].params, 32).decode(b"\xc0") is not None
    assert ParamsDecoder(METHODS["ping"].params, 32).decode(b"\x90") is not None


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({**GOOD, "confidence": "high"}, "confidence was 'high'; expected a number"),
        ({**GOOD, "price": 0.5}, 'price was 0.5; expected an amount as a decimal string such as "0.58"'),
        ({**GOOD, "predicted_at": 1.5}, "predicted_at was 1.5; expected an integer"),
        ({**GOOD, "model_id": b"m"}, "model_id was b'm'; expected a string"),
        ({**GOOD, "metadata": {"a": [1]}}, "metadata"),
        ({k: v for k, v in GOOD.items() if k != "outcome"}, "outcome was missing; expected a value"),
        (
            ["p", "m"],
            "market_id was missing; expected at least 6 elements: prediction_id, model_id, market_id",
        ),
        (["p", "m", "k", 3, 0.5, 1], "outcome was 3; expected a string"),
        (5, "params was 5; expected a map or an array of: prediction_id"),
        ({1: 2}, "params was {1: 2}"),
    ],
)
def test_an_error_names_the_field_its_value_and_what_was_expected(params, said):
    with pytest.raises(InvalidValueError) as caught:
        DECODER.decode(msgpack.packb(params))
    assert said in str(caught.value)


def test_invalid_utf_8_is_a_named_error():
    with pytest.raises(InvalidValueError, match="UTF-8"):
        DECODER.decode(b"\x81\xadprediction_id\xa2\xff\xfe")


@pytest.mark.parametrize(("depth", "passes"), [(30, True), (31, False), (600, False)])
def test_unknown_fields_may_nest_as_deep_as_the_limit(depth, passes):
    # The message and its params are two levels around the field.
    nested = b"\x91" * (depth - 1) + b"\x90"
    raw = b"\x87" + b"".join(msgpack.packb(x) for pair in GOOD.items() for x in pair) + b"\xa1x" + nested
    if passes:
        assert DECODER.decode(raw).model_id == "m"
    else:
        with pytest.raises(TooDeepError):
            DECODER.decode(raw)


def test_depth_is_counted_through_every_kind_of_value():
    values = [
        0,
        -1,
        200,
        70_000,
        2**40,
        -(2**40),
        1.5,
        "x" * 40,
        "x" * 300,
        "x" * 70_000,
        b"\x91" * 300,
        b"\x91" * 70_000,
        None,
        True,
        msgpack.ExtType(5, b"\x91" * 16),
        msgpack.ExtType(5, b"\x91" * 300),
        list(range(20)),
        {i: i for i in range(20)},
    ]
    raw = msgpack.packb([values, {"a": {"b": [values]}}])
    check_depth(raw, 6)
    with pytest.raises(TooDeepError, match="deeper than 5"):
        check_depth(raw, 5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (PredictionParams, Prediction),
        (MarketResolvedParams, MarketResolved),
        (OutcomeParams, TradeOutcome),
    ],
)
def test_params_have_the_fields_of_their_message(params, message):
    assert set(params.__struct_fields__) == set(message.__struct_fields__)
