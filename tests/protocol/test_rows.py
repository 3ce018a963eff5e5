"""Requests taken in as rows: exactly what one by one would give, or nothing."""

from __future__ import annotations

from decimal import Decimal
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.protocol import rows
from handicapper.protocol.connection import BadCall, call_of
from handicapper.protocol.decoding import ParamsDecoder
from handicapper.protocol.framing import Chunk
from handicapper.protocol.messages import Prediction, TradeOutcome
from handicapper.protocol.methods import METHODS
from handicapper.protocol.rows import plain_requests
from handicapper.protocol.validation import check_input

from .inputs import outcome, prediction
from .odd_requests import AMOUNTS, IDS, LABELS, ORDER, SHARES, TIMES, formed, runs
from .test_many import DEPTH_MAX, written
from .wire import Raw, notification, request

METHODS_OF_ROWS = ["process_signal", "record_outcome", "record_prediction"]


def chunk_of(messages: list[bytes]) -> Chunk:
    return Chunk(b"".join(messages), list(accumulate(map(len, messages))))


def one_by_one(message: bytes) -> tuple[int | None, str, str] | None:
    """(msgid, method, all of the checked message); None if there is anything wrong with it."""
    try:
        msgid, method, params = call_of(message)
        decoded = ParamsDecoder(METHODS[method].params, DEPTH_MAX).decode(params)
        return msgid, method, written(check_input(decoded.message()))
    except (BadCall, ValueError, KeyError, AttributeError):
        return None


def assert_like_one_by_one(messages: list[bytes]) -> bool:
    """Whether they were taken in as rows, and then as one by one."""
    found = plain_requests(chunk_of(messages))
    if found is None:
        return False
    together = [
        (msgid, found.method, written(each)) for msgid, each in zip(found.msgids, found.messages, strict=True)
    ]
    assert together == [one_by_one(message) for message in messages]
    return True


@given(st.integers(1, 9).flatmap(runs))
def test_whatever_comes_is_nothing_or_what_one_by_one_gives(messages: list[bytes]) -> None:
    assert_like_one_by_one(messages)


ODD: list[tuple[str, str, Any]] = [
    *(("record_outcome", "pnl", amount) for amount in AMOUNTS),
    *(("record_prediction", name, amount) for name in ("price", "size") for amount in AMOUNTS),
    *((method, "confidence", share) for method in METHODS_OF_ROWS for share in SHARES),
    *(("record_outcome", "resolved_at", time) for time in TIMES),
    *(("process_signal", "predicted_at", time) for time in TIMES),
    *(("record_outcome", name, value) for name in ("prediction_id", "model_id") for value in IDS),
    *(("process_signal", name, value) for name in ("prediction_id", "model_id", "market_id") for value in IDS),
    *(("record_outcome", name, value) for name in ("predicted_outcome", "actual_outcome") for value in LABELS),
    *(("record_prediction", "outcome", value) for value in LABELS),
]  # fmt: skip


def usual(method: str, number: int, **fields: Any) -> dict[str, Any]:
    return (outcome if method == "record_outcome" else prediction)(number, "m", **fields)


@pytest.mark.parametrize("form", ["map", "array"])
@pytest.mark.parametrize(("method", "name", "value"), ODD)
def test_an_odd_value_is_nothing_or_what_one_by_one_gives(
    method: str, name: str, value: Any, form: str
) -> None:
    odd = usual(method, 1, **{name: float(value) if name == "confidence" else value})
    each = [
        request(n, method, formed(method, params, form)) for n, params in enumerate([usual(method, 0), odd])
    ]
    assert_like_one_by_one(each)


@pytest.mark.parametrize("form", ["map", "array"])
@pytest.mark.parametrize("method", METHODS_OF_ROWS)
@pytest.mark.parametrize("msgid", [0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1])
def test_usual_requests_are_taken_in_as_rows(method: str, form: str, msgid: int) -> None:
    """Or these tests would compare nothing."""
    money = {"pnl": "-12.50"} if method == "record_outcome" else {"price": "0.62", "size": "10"}
    params = formed(method, usual(method, 1, confidence=0.5, **money), form)
    assert assert_like_one_by_one([request(msgid, method, params)] * 3)


@pytest.mark.parametrize("form", ["map", "array"])
def test_what_is_left_out_is_taken_in_as_rows(form: str) -> None:
    assert assert_like_one_by_one(
        [request(1, m, formed(m, usual(m, 1), form)) for m in ["record_outcome"] * 4]
    )
    whole = [*ORDER["record_outcome"]]
    params = outcome(1, "m", pnl=None, confidence=None)
    assert assert_like_one_by_one([request(1, "record_outcome", [params[name] for name in whole])] * 4)


@pytest.mark.parametrize(
    "message",
    [
        notification("record_outcome", outcome(1, "m")),
        request(1, "record_prediction", prediction(1, "m")),
        request(2**32, "record_outcome", outcome(1, "m")),
        request(1, Raw(b"\xc4\x0erecord_outcome"), outcome(1, "m")),
        request(1, "record_outcome", [outcome(1, "m")]),
        request(1, "record_outcome", outcome(1, "m", unknown=1)),
        request(1, "ping"),
        b"\xc0",
    ],
)
@pytest.mark.parametrize("place", [0, 2])
def test_one_that_is_something_else_leaves_all_to_the_other_ways(message: bytes, place: int) -> None:
    messages = [request(n, "record_outcome", outcome(n, "m")) for n in range(4)]
    messages[place] = message
    assert plain_requests(chunk_of(messages)) is None


@pytest.mark.parametrize(
    "data", [b"", b"\x94", b"\x94\x00", b"\x94\x00\x01", b"\x94\x00\xcc", b"\x94\x00\x01\xa0"]
)
def test_beginnings_are_nothing(data: bytes) -> None:
    assert plain_requests(Chunk(data, [len(data)])) is None


def test_rows_have_the_documented_order() -> None:
    for method in METHODS_OF_ROWS:
        assert list(METHODS[method].params.__struct_fields__) == ORDER[method]
    of_outcome = rows._outcomes([("p", "m", "YES", "NO", 5, "-1.50", 0.5)])
    assert of_outcome == [
        TradeOutcome(
            prediction_id="p", model_id="m", predicted_outcome="YES", actual_outcome="NO", resolved_at=5,
            pnl=Decimal("-1.50"), confidence=0.5,
        )
    ]  # fmt: skip
    of_prediction = rows._predictions([("p", "m", "k", "YES", 0.5, 7, "0.62", "10", None, None, None)])
    assert of_prediction == [
        Prediction(
            prediction_id="p", model_id="m", market_id="k", outcome="YES", confidence=0.5, predicted_at=7,
            price=Decimal("0.62"), size=Decimal(10),
        )
    ]  # fmt: skip
