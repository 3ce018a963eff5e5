"""Params from bytes: both forms, and errors that name the field, its value and what was expected."""

import re

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
        ({**GOOD, "confidence": "high"}, 'confidence was "high"; expected a number from 0 to 1'),
        ({**GOOD, "price": 0.5}, 'price was 0.5; expected an exact amount: an integer or a decimal string'),
        ({**GOOD, "predicted_at": 1.5}, "predicted_at was 1.5; expected integer nanoseconds since 1970 UTC"),
        ({**GOOD, "expires_at": True}, "expires_at was true; expected integer nanoseconds since 1970 UTC"),
        ({**GOOD, "model_id": b"m"}, "model_id was bytes 0x6d; expected an id of 1 to 256 bytes"),
        ({**GOOD, "model_id": None}, "model_id was nil; expected an id"),
        ({**GOOD, "metadata": {"b": 1, "a": [1]}}, 'metadata["a"] was [1]; expected a string, a number, a boolean'),
        ({**GOOD, "metadata": {"b": 1, 7: 2}}, "key of metadata was 7; expected a string"),
        ({**GOOD, "metadata": [1]}, "metadata was [1]; expected a map of strings to strings, numbers, booleans or nil"),
        ({k: v for k, v in GOOD.items() if k != "outcome"}, "outcome was missing; expected an outcome label"),
        (
            ["p", "m"],
            "market_id was missing; expected at least 6 elements: prediction_id, model_id, market_id",
        ),
        (["p", "m", "k", 3, 0.5, 1], "outcome was 3; expected an outcome label"),
        (5, "params was 5; expected a map or an array of: prediction_id"),
        ({1: 2}, "key of params was 1; expected a string, the name of a field: prediction_id, model_id, market_id"),
        ({**GOOD, b"price": "1"}, "key of params was bytes 0x7072696365; expected a string"),
        ({**GOOD, None: "1"}, "key of params was nil; expected a string"),
    ],
)  # fmt: skip
def test_an_error_names_the_field_its_value_and_what_was_expected(params, said):
    with pytest.raises(InvalidValueError) as caught:
        DECODER.decode(msgpack.packb(params))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        ("hello", {"errors": "json"}, 'errors was "json"; expected "pair" or "text"'),
        ("hello", {"errors": 1}, 'errors was 1; expected "pair" or "text"'),
        ("hello", {"protocol": [1]}, "protocol was [1]; expected two integers, such as [1, 0]"),
        ("hello", {"protocol": ["1", 0]}, 'protocol[0] was "1"; expected an integer'),
        ("hello", {"token": 5}, "token was something else; expected the token as a string or nil"),
        ("market_resolved", {"market_id": "k", "resolved_at": 0, "status": "done"},
         'status was "done"; expected "proposed", "disputed" or "final"'),
        ("market_resolved", ["k", 0, {"YES": 1.0, "NO": "all"}], 'payouts["NO"] was "all"; expected a number'),
        ("market_resolved", {"market_id": "k", "resolved_at": 0, "payouts": {1: 1.0}}, "key of payouts was 1"),
        ("get_adaptive_params_batch", {"model_ids": "elo"}, 'model_ids was "elo"; expected an array of model ids'),
        ("get_adaptive_params_batch", {"model_ids": ["elo", 7]}, "model_ids[1] was 7; expected an id"),
        ("thompson_sample", {"as_of": "now"}, "multiply seconds by 1000000000) or nil"),
        ("subscribe", {"topics": [1]}, "topics[0] was 1; expected a string"),
        ("subscribe", {"topics": "models"}, "expected an array of some of: parameters, models, drift or nil"),
        ("subscribe", {"interval_ms": 0}, "interval_ms was 0; expected a whole number of milliseconds from 1 to"),
        ("record_prediction_batch", {"predictions": {"p": 1}}, 'predictions was {"p": 1}; expected an array of items'),
        ("ping", 5, "params was 5; expected nothing: nil, an empty map or an empty array"),
    ],
)  # fmt: skip
def test_what_was_expected_is_told_in_the_words_of_the_field(method, params, said):
    with pytest.raises(InvalidValueError) as caught:
        ParamsDecoder(METHODS[method].params, depth_max=32).decode(msgpack.packb(params))
    assert said in str(caught.value)


def test_the_item_of_a_batch_is_named_with_its_index():
    with pytest.raises(InvalidValueError, match=r"samples\[3\]\.n was nil; expected a whole number of draws"):
        ParamsDecoder(METHODS["thompson_sample"].params, 32).decode(msgpack.packb([None]), at="samples[3].")
    with pytest.raises(InvalidValueError, match=r"key of samples\[3\] was 1; expected a string"):
        ParamsDecoder(METHODS["thompson_sample"].params, 32).decode(msgpack.packb({1: 1}), at="samples[3].")


PYTHON_WORDS = re.compile(r"\b(None|True|False|Decimal|dict|tuple|list|str|int|float|bool|null)\b|b'|\\bx\b")


@pytest.mark.parametrize("method", METHODS)
def test_no_text_has_a_word_that_only_python_understands(method):
    """Each field with a value of every kind, none of which many fields take."""
    decoder = ParamsDecoder(METHODS[method].params, depth_max=32)
    values = [
        None,
        True,
        7,
        1.5,
        "x",
        b"x",
        [None, True],
        {"a": None, "b": False},
        {1: 2},
        msgpack.ExtType(5, b"x"),
    ]
    for params in [*values, *({name: value} for name in decoder.kind.__struct_fields__ for value in values)]:
        try:
            decoder.decode(msgpack.packb(params))
        except InvalidValueError as error:
            text = str(error).replace("a float is not exact", "")
            assert not PYTHON_WORDS.search(text), text


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
