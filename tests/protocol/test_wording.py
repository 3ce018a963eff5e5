"""How values are written in errors: for readers of every language, in bounded time and space."""

from __future__ import annotations

import enum
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.protocol.errors import BusyError, reason_of
from handicapper.protocol.messages import MarketResolved
from handicapper.protocol.wording import alternatives, plain, shown, written_out


class Colour(enum.StrEnum):
    RED = "red"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr today")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nil"), (True, "true"), (False, "false"), (7, "7"), (-0.0, "-0.0"), (1e300, "1e+300"),
        (float("nan"), "NaN"), (float("-inf"), "-Infinity"), ("", '""'), ('a "b"', '"a \\"b\\""'), ("é", '"é"'),
        (Decimal("0.10"), '"0.10"'), (Decimal("NaN"), '"NaN"'), (b"", "bytes 0x"), (b"\xff\x00", "bytes 0xff00"),
        ([], "[]"), ((1, [None]), "[1, [nil]]"), ({}, "{}"), ({1: "a", None: {}}, '{1: "a", nil: {}}'),
        ({"a": [True, {"b": ()}]}, '{"a": [true, {"b": []}]}'), (Colour.RED, '"red"'),
        (datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01T00:00:00+00:00"),
        (MarketResolved(market_id="k", resolved_at=0), "a MarketResolved"),
        (Broken(), "a Broken that cannot be shown (RuntimeError: no repr today)"),
        ([1, Broken()], "a list that cannot be shown (RuntimeError: no repr today)"),
        (len, "a builtin_function_or_method"), (object(), "a object"),
        ("a\nb\x1b[2J\u202e\ud800", '"a\\nb\\u001b[2J\\u202e\\ud800"'),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_json_has_it(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_number_that_python_does_not_write_is_told_by_its_size() -> None:
    assert shown(10**5000) == "an integer of 16610 bits"


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("x" * 10**6, "(1000000 characters)"), (b"x" * 10**6, "(1000000 bytes)"), (range(5), None),
        (list(range(10**6)), "(1000000 items)"), ({n: n for n in range(100)}, "(100 items)"),
    ],
)  # fmt: skip
def test_what_is_long_is_cut_and_told_how_long_it_is(value: Any, size: str | None) -> None:
    text = shown(value)
    assert len(text) <= 100
    if size is not None:
        assert text.endswith(f"... {size}")


def test_what_is_nested_deeply_costs_no_more_than_its_first_levels() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert shown(nested) == "[" * 60 + "... (1 items)"
    circle: list[Any] = []
    circle.append(circle)
    assert shown(circle).startswith("[[[")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(json_values)
def test_what_json_can_say_is_said_in_json_but_for_nil(value: Any) -> None:
    text = shown(value)
    assert text.isprintable()
    if "nil" not in text and "..." not in text:
        assert json.loads(text) == value


@given(st.binary(max_size=64))
def test_whatever_msgpack_brings_can_be_shown(data: bytes) -> None:
    try:
        value = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        return
    assert len(shown(value)) <= 120


def test_alternatives_are_all_told() -> None:
    assert alternatives([1]) == "1"
    assert alternatives(["a", "b"]) == '"a" or "b"'
    assert alternatives(["a", "b", None]) == '"a", "b" or nil'


# ------------------------------------------------------------------- messages and reasons


def test_a_message_is_written_with_its_fields_but_those_that_are_nil() -> None:
    message = MarketResolved(market_id="k", resolved_at=0, payouts={"YES": 0.5})
    text = (
        'MarketResolved {"market_id": "k", "resolved_at": 0, "payouts": {"YES": 0.5}, "void": false, '
        '"status": "final", "revision": 0}'
    )
    assert written_out(message, 200) == text
    assert written_out({"first": message}, 200) == f'{{"first": {text}}}'
    assert written_out(message, 60) == text[:40] + "..."


@pytest.mark.parametrize("value", ["x" * 10**6, b"x" * 10**6, ["x" * 10**6] * 3, {"x" * 10**6: 1}])
def test_whatever_a_message_holds_it_is_written_within_the_bound(value: Any) -> None:
    for chars_max in (30, 80, 200, 1_000):
        assert chars_max - 20 <= len(written_out(value, chars_max)) <= chars_max + 4


@given(st.text(), st.integers(30, 60))
def test_a_plain_text_is_one_line_and_bounded(text: str, chars_max: int) -> None:
    told = plain(text, chars_max)
    assert told.isprintable()
    assert len(told) <= chars_max + 4
    if text.isprintable() and len(text) <= chars_max:
        assert told == text


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text today")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BusyError("full", 3), "BUSY full; retry after 3 ms"), (ValueError("a\nbug"), "ValueError: a\\nbug"),
        (ValueError(), "ValueError"), (KeyError("elo"), "KeyError: 'elo'"),
        (OSError(28, "No space left"), "OSError: [Errno 28] No space left"),
        (ValueError("\ud800"), "ValueError: \\ud800"), (MuteError(), "MuteError: its text cannot be shown"),
    ],
)  # fmt: skip
def test_a_reason_is_one_line_of_class_and_text(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
    assert len(reason_of(ValueError("x" * 10**6))) < 450
