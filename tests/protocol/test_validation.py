from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from handicapper.protocol.errors import InvalidValueError
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome
from handicapper.protocol.validation import (
    check_input,
    check_market_resolved,
    check_prediction,
    check_time,
    check_trade_outcome,
)
from handicapper.protocol.values import TIME_NS_MAX, TIME_NS_MIN

T0 = 1_700_000_000_000_000_000


class Text(str):
    """A str that is not exactly str: the fast path leaves it to the slow one."""


def prediction(**fields: Any) -> Prediction:
    known: dict[str, Any] = {
        "prediction_id": "p", "model_id": "m", "market_id": "k", "outcome": "YES", "confidence": 0.7,
        "predicted_at": T0,
    }  # fmt: skip
    return Prediction(**(known | fields))


def resolution(**fields: Any) -> MarketResolved:
    known: dict[str, Any] = {"market_id": "k", "resolved_at": T0}
    if not fields.keys() & {"payouts", "void", "winner"}:
        known["winner"] = "YES"
    return MarketResolved(**(known | fields))


def outcome(**fields: Any) -> TradeOutcome:
    known: dict[str, Any] = {
        "prediction_id": "p", "model_id": "m", "predicted_outcome": "YES", "actual_outcome": "NO",
        "resolved_at": T0,
    }  # fmt: skip
    return TradeOutcome(**(known | fields))


# ------------------------------------------------------------------- fast and slow path agree

odd_texts = st.sampled_from(
    ["", "a", "x" * 64, "x" * 65, "x" * 256, "x" * 257, "é" * 32, "é" * 33, "é" * 128, "é" * 129, "a\nb", "\x7f",
     "\x85", "\ud800", " ", "YES ", 7, None, b"p", True]
)  # fmt: skip
texts = st.text(max_size=12) | odd_texts
numbers = (
    st.sampled_from(
        [0, 1, 0.0, 1.0, -0.0, 1.0000000001, -1e-300, nan, inf, True, "0.5", None, Decimal("0.5"), 5e-324]
    )
    | st.floats()
)
moneys = st.sampled_from(
    [None, 0, 1, -1, "0.5", "x", "", 0.5, True, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"),
     Decimal("-0"), Decimal("-0.01"), Decimal("1E+2"), Decimal("1E-7"), Decimal("1E-18"), Decimal("1E-19"),
     Decimal("9" * 18), Decimal("1" + "0" * 18), Decimal("0." + "1" * 18), Decimal("0." + "1" * 19),
     Decimal("1"), Decimal("1.000000000000000000"), Decimal("1.0000001")]
) | st.decimals(allow_nan=False)  # fmt: skip
moments = st.sampled_from(
    [0, T0, TIME_NS_MIN, TIME_NS_MAX, TIME_NS_MIN - 1, TIME_NS_MAX + 1, 1_700_000_000, 1.7e18, True, None, "now",
     datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1), datetime(1, 1, 1, tzinfo=UTC), 2**70]
)  # fmt: skip


def mostly(good: Any, other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly the good value, so that one odd field at a time is often all that is odd."""
    return st.one_of(st.just(good), st.just(good), st.just(good), other)


predictions = st.builds(
    Prediction,
    prediction_id=mostly("p", texts), model_id=mostly("m", texts), market_id=mostly("k", texts),
    outcome=mostly("YES", texts), confidence=mostly(0.7, numbers), predicted_at=mostly(T0, moments),
    price=mostly(None, moneys), size=mostly(None, moneys), fee=mostly(None, moneys),
    expires_at=mostly(None, moments),
    metadata=mostly(None, st.sampled_from([{}, {"a": 1}, {"a": nan}, {"a": [1]}, {1: 1}, "x", {"a": 2**80}])),
)  # fmt: skip
outcomes = st.builds(
    TradeOutcome,
    prediction_id=mostly("p", texts), model_id=mostly("m", texts), predicted_outcome=mostly("YES", texts),
    actual_outcome=mostly("NO", texts), resolved_at=mostly(T0, moments), pnl=mostly(None, moneys),
    confidence=mostly(None, numbers),
)  # fmt: skip
resolutions = st.builds(
    MarketResolved,
    market_id=mostly("k", texts), resolved_at=mostly(T0, moments), winner=mostly(None, texts),
    payouts=st.sampled_from([None, {"YES": 1.0}, {"YES": 1, "NO": 0.5}, {}, {"YES": nan}, {"": 1.0}, {1: 1.0}, []]),
    void=mostly(False, st.sampled_from([True, 1, None])),
    status=mostly("final", st.sampled_from(["proposed", "FINAL", None, []])),
    revision=mostly(0, st.sampled_from([1, -1, 2**31, True, 1.0, None])),
    source=mostly(None, texts),
)  # fmt: skip


def result(check: Callable[[Any], Any], message: Any) -> str:
    """What a check makes of a message, with types and digits; only InvalidValueError may leave it."""
    try:
        return repr(check(message))
    except InvalidValueError as error:
        return str(error)


@given(predictions)
@example(prediction(price=Decimal("-0"), size=Decimal("0.000001")))
def test_prediction_fast_and_slow_path_agree(message: Prediction) -> None:
    if isinstance(message.prediction_id, str):
        slow = replace(message, prediction_id=Text(message.prediction_id))
        assert result(check_prediction, message) == result(check_prediction, slow)


@given(outcomes)
def test_trade_outcome_fast_and_slow_path_agree(message: TradeOutcome) -> None:
    if isinstance(message.prediction_id, str):
        slow = replace(message, prediction_id=Text(message.prediction_id))
        assert result(check_trade_outcome, message) == result(check_trade_outcome, slow)


@given(resolutions)
def test_resolution_fast_and_slow_path_agree(message: MarketResolved) -> None:
    if isinstance(message.market_id, str):
        slow = replace(message, market_id=Text(message.market_id))
        assert result(check_market_resolved, message) == result(check_market_resolved, slow)


@given(predictions | outcomes | resolutions)
def test_checked_message_is_checked_again_without_a_change(message: Any) -> None:
    try:
        checked = check_input(message)
    except InvalidValueError as error:
        assert error.field
        assert error.expected
        return
    assert repr(check_input(checked)) == repr(checked)


def test_fast_path_hands_back_the_very_message_it_was_given() -> None:
    """Nothing to normalise: no copy. And the slow path makes one, so the tests above compare two paths."""
    fast, slow = prediction(), prediction(prediction_id=Text("p"))
    assert check_prediction(fast) is fast
    assert check_prediction(slow) is not slow
    assert type(check_prediction(slow).prediction_id) is str
    told = outcome()
    assert check_trade_outcome(told) is told


# ------------------------------------------------------------------------------- each rule


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("confidence", nan), ("confidence", 1.2), ("confidence", -0.1), ("confidence", inf),
        ("confidence", True), ("confidence", "0.5"), ("confidence", None),
        ("prediction_id", ""), ("prediction_id", "x" * 10_000), ("prediction_id", "a\0b"),
        ("prediction_id", "\ud800"), ("prediction_id", None), ("model_id", ""), ("market_id", "é" * 200),
        ("outcome", ""), ("outcome", "x" * 65), ("outcome", 1),
        ("size", Decimal(-1)), ("size", 1.5), ("size", Decimal("1E+19")), ("fee", Decimal("-0.01")),
        ("price", Decimal("1.01")), ("price", Decimal("NaN")), ("price", 0.5), ("price", "a lot"),
        ("predicted_at", datetime(1, 1, 1, tzinfo=UTC)), ("predicted_at", datetime(9999, 12, 31, tzinfo=UTC)),
        ("predicted_at", datetime(2024, 1, 1)), ("predicted_at", 253_402_214_400 * 10**9),
        ("predicted_at", 1.7e18), ("predicted_at", True), ("predicted_at", "2024-01-01"),
        ("expires_at", T0 - 1), ("expires_at", "never"),
        ("metadata", {"note": "x" * 5_000}), ("metadata", []), ("metadata", {"a": 2**80}),
    ],
)  # fmt: skip
def test_bad_prediction_is_refused_by_the_name_of_the_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_prediction(prediction(**{field: value}))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"INVALID_VALUE {field} was ")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"payouts": {"YES": nan}}, 'payouts["YES"]'),
        ({"payouts": {"YES": 1.5}}, 'payouts["YES"]'),
        ({"payouts": {}}, "payouts"),
        ({"payouts": {f"l{n}": 0.0 for n in range(257)}}, "payouts"),
        ({"payouts": {"": 1.0}}, "key of payouts"),
        ({"payouts": {1: 1.0}}, "key of payouts"),
        ({"winner": ""}, "winner"),
        ({"winner": "YES", "void": True}, "payouts, winner, void"),
        ({"payouts": {"YES": 1.0}, "void": True}, "payouts, winner, void"),
        ({"payouts": {"YES": 1.0}, "winner": "NO"}, "payouts, winner, void"),
        ({"void": False}, "payouts, winner, void"),
        ({"void": 1}, "void"),
        ({"revision": -1}, "revision"),
        ({"revision": 2**31}, "revision"),
        ({"revision": True}, "revision"),
        ({"status": "settled"}, "status"),
        ({"source": "x" * 2_000}, "source"),
        ({"market_id": "x" * 300}, "market_id"),
        ({"resolved_at": 0.5}, "resolved_at"),
    ],
)
def test_bad_resolution_is_refused_by_the_name_of_the_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_market_resolved(resolution(**fields))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prediction_id", ""), ("model_id", 3), ("predicted_outcome", ""), ("actual_outcome", "x" * 65),
        ("resolved_at", 1_700_000_000.0), ("confidence", nan), ("pnl", 1.5), ("pnl", Decimal("Infinity")),
        ("pnl", Decimal("1E-19")),
    ],
)  # fmt: skip
def test_bad_trade_outcome_is_refused_by_the_name_of_the_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_trade_outcome(outcome(**{field: value}))
    assert caught.value.field == field


@pytest.mark.parametrize("thing", [None, 7, "prediction", {"prediction_id": "p"}, object()])
def test_anything_but_a_message_is_refused(thing: Any) -> None:
    for check in (check_input, check_prediction, check_market_resolved, check_trade_outcome):
        with pytest.raises(InvalidValueError):
            check(thing)


def test_message_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidValueError):
        check_prediction(outcome())  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidValueError):
        check_trade_outcome(prediction())  # pyright: ignore[reportArgumentType]


def test_whole_numbers_texts_and_datetimes_are_normalised() -> None:
    half_past = datetime(2024, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=1)))
    checked = check_prediction(prediction(confidence=1, price="0.5", size=3, predicted_at=half_past))
    assert repr(checked.confidence) == "1.0"
    assert (checked.price, checked.size) == (Decimal("0.5"), Decimal(3))
    assert checked.predicted_at == 1_704_069_000 * 10**9


def test_winner_becomes_its_payout_and_may_be_stated_beside_it() -> None:
    checked = check_market_resolved(resolution(winner="HOME"))
    assert (checked.winner, checked.payouts) == (None, {"HOME": 1.0})
    assert check_market_resolved(resolution(winner="HOME", payouts={"HOME": 1.0})) == checked


def test_metadata_is_copied_so_that_the_callers_later_changes_do_not_reach_it() -> None:
    mine: dict[str, Any] = {"strategy": "a"}
    checked = check_prediction(prediction(metadata=mine))
    mine["strategy"] = "b"
    assert checked.metadata == {"strategy": "a"}


def test_payouts_are_copied_so_that_the_callers_later_changes_do_not_reach_them() -> None:
    mine = {"YES": 1.0}
    checked = check_market_resolved(resolution(payouts=mine))
    mine["YES"] = 0.0
    assert checked.payouts == {"YES": 1.0}


@given(st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC)))
def test_datetime_is_converted_to_the_microsecond(when: datetime) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    at_ns = check_time("at", when)
    assert at_ns % 1000 == 0
    assert epoch + timedelta(microseconds=at_ns // 1000) == when


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (resolution(status="settled"), 'status was "settled"; expected "proposed", "disputed" or "final"'),
        (prediction(price=Decimal("1.01")), 'price was "1.01"; expected the price of a claim that pays 1, from 0 to 1'),
        (prediction(size=-1), "size was -1; expected an amount that is not negative"),
        (prediction(size=1.5), 'a decimal string such as "0.58", with at most 18 digits on each side of the point'),
        (prediction(size=1.5), '(a float is not exact); write "1.5"'),
        (prediction(confidence=True), "confidence was true; expected a number from 0 to 1"),
        (prediction(confidence=None), "confidence was nil; expected a number from 0 to 1"),
        (prediction(metadata={"a": [None]}), 'metadata["a"] was [nil]; expected a string, a number, a boolean or nil'),
        (prediction(metadata={1: "a"}), "key of metadata was 1; expected a string"),
        (resolution(void=True, winner="YES"), 'void was {"payouts": nil, "winner": "YES", "void": true}; expected'),
    ],
)  # fmt: skip
def test_a_text_is_one_for_callers_of_every_language(message: Any, said: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        check_input(message)
    assert said in str(caught.value)


def test_time_in_seconds_is_told_how_to_become_nanoseconds() -> None:
    """1,700,000,000 is a valid number of nanoseconds (1.7 s into 1970): only its text can help. A float is
    refused, which is what time.time() gives."""
    with pytest.raises(InvalidValueError, match="multiply seconds by 1000000000"):
        check_time("at", 1_700_000_000.5)


def test_metadata_of_too_many_pairs_is_refused_without_looking_at_each() -> None:
    class Unlooked(dict[str, int]):
        def items(self) -> Any:
            raise AssertionError("looked at")

    with pytest.raises(InvalidValueError, match="at most 4096 bytes when encoded, not 4098 or more"):
        check_prediction(prediction(metadata=Unlooked({f"{n}": 0 for n in range(2_049)})))


@given(st.text(min_size=1, max_size=6))
@example("\u00a0")
@example("a\x7f")
@example("\x85")
@example("\u2028")
def test_an_outcome_may_be_any_text_without_control_characters(label: str) -> None:
    right = not any(unicodedata.category(c) in ("Cc", "Cs") for c in label)
    try:
        checked = check_prediction(prediction(outcome=label))
    except InvalidValueError:
        assert not right
    else:
        assert right
        assert checked.outcome == label
