"""Neighbours decoded, checked and answered together: exactly what one by one would give."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from handicapper.protocol import many
from handicapper.protocol.connection import BadCall, call_of, encode_response
from handicapper.protocol.decoding import ParamsDecoder
from handicapper.protocol.errors import HandicapperError
from handicapper.protocol.many import ManyDecoder, checked_messages, encode_receipts, requests_of
from handicapper.protocol.messages import Receipt, TradeOutcome
from handicapper.protocol.methods import METHODS
from handicapper.protocol.params import OutcomeParams
from handicapper.protocol.validation import check_input

from .inputs import T0, outcome
from .odd_requests import (
    AMOUNTS,
    IDS,
    LABELS,
    ORDER,
    SHARES,
    TIMES,
    amounts,
    fields,
    ids,
    labels,
    runs,
    shares,
    times,
)
from .wire import pack, request

DEPTH_MAX = 32


def written(result: Any) -> str:
    """All of a message or an error: ``Decimal("1.0")`` and ``Decimal("1.00")`` are equal, and not the same."""
    if isinstance(result, BaseException):
        return f"{type(result).__name__}: {result}"
    return repr(result) + " ".join(type(getattr(result, name)).__name__ for name in result.__struct_fields__)


def one_by_one(params: Any) -> Any:
    try:
        return check_input(params.message())
    except HandicapperError as error:
        return error


# --------------------------------------------------------------------------- checked

outcome_params = st.builds(
    OutcomeParams,
    prediction_id=ids, model_id=ids, predicted_outcome=labels, actual_outcome=labels,
    resolved_at=st.just(T0) | times, pnl=amounts, confidence=st.none() | shares,
)  # fmt: skip


@given(st.lists(outcome_params, max_size=5))
def test_outcomes_are_checked_as_one_by_one(params: list[OutcomeParams]) -> None:
    assert list(map(written, checked_messages(params))) == [written(one_by_one(each)) for each in params]


ODD: list[tuple[str, Any]] = [
    *(("pnl", amount) for amount in AMOUNTS),
    *(("confidence", share) for share in SHARES),
    *(("resolved_at", time) for time in TIMES),
    *((name, value) for name in ("prediction_id", "model_id") for value in IDS),
    *((name, value) for name in ("predicted_outcome", "actual_outcome") for value in LABELS),
]


@pytest.mark.parametrize(("name", "value"), ODD)
def test_each_odd_value_of_an_outcome_is_checked_as_one_by_one(name: str, value: Any) -> None:
    params = OutcomeParams(**outcome(1, "m", **{name: float(value) if name == "confidence" else value}))
    for each in ([params], [OutcomeParams(**outcome(0, "m")), params]):
        assert written(checked_messages(each)[-1]) == written(one_by_one(params))


def test_a_usual_outcome_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or these tests would compare the long way with itself."""
    monkeypatch.setattr(many, "check_input", None)
    params = [OutcomeParams(**outcome(n, "m", pnl="-12.50", confidence=0.5)) for n in range(3)]
    assert [type(message) for message in checked_messages(params)] == [TradeOutcome] * 3


def test_nothing_is_checked_of_nothing() -> None:
    assert checked_messages([]) == []


def test_a_defect_costs_one_its_place_and_not_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(message: Any) -> Any:
        if message.pnl is not None:
            raise ZeroDivisionError("for the test")
        return message

    monkeypatch.setattr(many, "check_input", broken)
    params = [OutcomeParams(**outcome(n, "m", pnl=5 if n == 1 else None)) for n in range(3)]
    assert [type(result) for result in checked_messages(params)] == [
        TradeOutcome,
        ZeroDivisionError,
        TradeOutcome,
    ]


# --------------------------------------------------------------------------- decoded


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """Method and params of requests next to each other; of some no decoder would have anything."""
    messages = draw(runs(1, inputs_only=True))
    calls = [call_of(message) for message in messages]
    return calls[0][1], [bytes(params) for _, _, params in calls]


@given(neighbours())
def test_what_is_decoded_together_is_what_one_by_one_gives(given_: tuple[str, list[bytes]]) -> None:
    method, raws = given_
    kind = METHODS[method].params
    together = ManyDecoder(kind).decode([Raw(raw) for raw in raws])
    if together is None:
        return  # the long way is left to say why
    decoder = ParamsDecoder(kind, DEPTH_MAX)
    alone = [decoder.decode(raw) for raw in raws]
    assert [written(each.message()) for each in together] == [written(each.message()) for each in alone]
    assert list(map(written, checked_messages(together))) == [written(one_by_one(each)) for each in alone]


@pytest.mark.parametrize("method", sorted(ORDER))
@given(data=st.data())
def test_usual_neighbours_are_decoded_together(method: str, data: st.DataObject) -> None:
    params = data.draw(fields(method, 1))
    try:
        ParamsDecoder(METHODS[method].params, DEPTH_MAX).fast[False](pack(params))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return
    together = ManyDecoder(METHODS[method].params).decode([Raw(pack(params))] * 5)
    assert together is not None
    assert len(together) == 5


def test_nothing_decoded_together_is_nothing() -> None:
    assert ManyDecoder(OutcomeParams).decode([]) == []


@given(st.integers(1, 9).flatmap(runs))
@example([request(n, "ping") for n in range(300)])
def test_requests_read_together_are_what_one_by_one_gives(messages: list[bytes]) -> None:
    together = requests_of(messages)
    alone: list[Any] = []
    for message in messages:
        try:
            alone.append(call_of(message))
        except BadCall:
            alone.append(None)
    if together is not None:
        got = [(msgid, method, bytes(params)) for _, msgid, method, params in together]
        assert got == [(msgid, method, bytes(params)) for msgid, method, params in alone]
    elif all(message[0] == 0x94 for message in messages):
        assert any(call is None for call in alone) or any(b"\xc4\x04ping" in message for message in messages)


# --------------------------------------------------------------------------- answered

receipts = st.builds(
    Receipt,
    seq=st.integers(0, 2**63 - 1), duplicate=st.booleans(), scored=st.integers(0, 300), revised=st.integers(0, 300),
    waiting=st.booleans(), unscored=st.lists(st.text(max_size=4), max_size=2).map(tuple),
)  # fmt: skip
msgids = st.integers(0, 2**32 - 1)


def answered_one_by_one(numbers: list[int], answers: list[Receipt]) -> bytes:
    return b"".join(encode_response(msgid, each) for msgid, each in zip(numbers, answers, strict=True))


@given(st.lists(st.tuples(msgids, receipts), min_size=1, max_size=40))
def test_receipts_are_encoded_as_one_by_one(pairs: list[tuple[int, Receipt]]) -> None:
    numbers, answers = [msgid for msgid, _ in pairs], [receipt for _, receipt in pairs]
    assert encode_receipts(numbers, answers) == answered_one_by_one(numbers, answers)


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 255, 256, 65_535, 65_536, 65_537])
def test_receipts_of_any_number_are_encoded_as_one_by_one(count: int) -> None:
    """The head of an array of 16 or of 65,536 is longer: it must be cut off whole."""
    numbers = list(range(count))
    answers = [Receipt(seq=n, duplicate=n % 3 == 0, scored=n % 2) for n in numbers]
    assert encode_receipts(numbers, answers) == answered_one_by_one(numbers, answers)


def test_every_receipt_needs_its_msgid() -> None:
    with pytest.raises(ValueError, match="zip"):
        encode_receipts([1, 2], [Receipt(seq=1)])
