"""A session answers the same whether messages come in one piece, in any pieces or one by one, and whichever way
it takes: neighbours together, or each alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.protocol.limits import WireLimits
from handicapper.protocol.many import ManyDecoder
from handicapper.protocol.serving import outgoing, session, taking
from handicapper.protocol.serving.session import Session

from .fuzz_harness import Harness, MemoryBackend
from .inputs import outcome, prediction
from .odd_requests import FORMS, fields, formed, streams
from .wire import notification, request

ROOMY = WireLimits(message_bytes_max=2**20)
LIMITS = st.builds(
    WireLimits,
    in_flight_per_connection_max=st.sampled_from([1, 2, 3, 5, 8, 4_096]),
    in_flight_requests_max=st.just(65_536),
)
TURNS = st.sampled_from([1, 2, 5, 7, 256])
"""What a turn may take: small ones end in the middle of neighbours."""


@contextmanager
def changed(**names: Any) -> Iterator[None]:
    """Attributes of the session's modules that hold for a while, in each that has them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            modules = [module for module in (session, taking, outgoing) if hasattr(module, name)]
            assert modules
            for module in modules:
                patch.setattr(module, name, value)
        yield


def answers(messages: list[bytes], pieces: list[int] | None = None, limits: WireLimits = ROOMY) -> bytes:
    """Every byte that the session sends, and nothing else matters; ``pieces`` are where the stream is cut."""
    harness = Harness(MemoryBackend(), limits)
    data = b"".join(messages)
    cuts = [0, *sorted(pieces or []), len(data)]
    for start, end in pairwise(cuts):
        harness.receive(data[start:end])
    counters = harness.service.counters
    known = counters.requests + counters.notifications + counters.bad_messages
    assert harness.session.faulty or known == len(messages), "every one is counted once"
    assert harness.session.in_flight == harness.session.in_flight_bytes == harness.service.in_flight == 0
    return b"".join(harness.sent)


def alone(messages: list[bytes], limits: WireLimits = ROOMY) -> bytes:
    """The same on the way of one by one, with the same turns."""
    with changed(requests_of=lambda _: None, plain_requests=lambda _: None):
        return answers(messages, limits=limits)


def ends_of(messages: list[bytes]) -> list[int]:
    ends, end = [], 0
    for message in messages[:-1]:
        end += len(message)
        ends.append(end)
    return ends


def unpacked(data: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker(strict_map_key=False)
    unpacker.feed(data)
    return list(unpacker)


# ---------------------------------------------------------------------- any mixture


@given(streams())
def test_both_ways_give_the_same_bytes_in_the_same_order(messages: list[bytes]) -> None:
    assert answers(messages) == alone(messages)


@given(streams(inputs_only=True), LIMITS, TURNS, st.data())
def test_inputs_are_answered_the_same_however_they_come(
    messages: list[bytes], limits: WireLimits, turn_units: int, data: st.DataObject
) -> None:
    """They are answered in their order, so that nothing can tell how they were cut, bounded or grouped."""
    expected = alone(messages)
    cuts = data.draw(st.lists(st.integers(0, len(b"".join(messages))), max_size=6))
    with changed(TURN_UNITS=turn_units):
        assert answers(messages, limits=limits) == expected
        assert answers(messages, ends_of(messages), limits) == expected
        assert answers(messages, cuts, limits) == expected
        assert alone(messages, limits) == expected


@given(streams(), LIMITS, TURNS)
def test_whatever_comes_is_answered_alike_within_any_bounds(
    messages: list[bytes], limits: WireLimits, turn_units: int
) -> None:
    """Questions and refusals may overtake inputs, so of their places nothing is said."""
    expected = sorted(map(repr, _without_numbers(alone(messages))))
    with changed(TURN_UNITS=turn_units):
        for pieces in (None, ends_of(messages)):
            told = answers(messages, pieces, limits)
            assert sorted(map(repr, _without_numbers(told))) == expected
            inputs = [message[1] for message in unpacked(told) if message[1] and message[1] >= 100]
            assert inputs == sorted(inputs), "inputs are answered in their order"


def _without_numbers(data: bytes) -> list[Any]:
    """Responses without the numbers that the backend counts: a control may be counted before or after."""
    found = unpacked(data)
    for message in found:
        if isinstance(message[3], dict):
            message[3].pop("seq", None)
    return found


# --------------------------------------------------------------------------- longer


def many_outcomes(count: int, odd: dict[int, Any] | None = None) -> list[bytes]:
    """Requests with msgids from 100 on; those of ``odd`` with these params."""
    odd = odd or {}
    return [request(100 + n, "record_outcome", odd.get(n, outcome(n, "m"))) for n in range(count)]


@pytest.mark.parametrize("count", [1, 3, 4, 15, 16, 17, 255, 256, 257, 1_000])
def test_any_number_of_neighbours_is_answered_alike(count: int) -> None:
    messages = many_outcomes(count)
    told = answers(messages)
    assert told == alone(messages) == answers(messages, ends_of(messages))
    assert [message[1] for message in unpacked(told)] == list(range(100, 100 + count))


@pytest.mark.parametrize("place", [0, 1, 128, 254, 255])
@pytest.mark.parametrize(
    "params",
    [
        {"model_id": "m"},
        outcome(0, "m", confidence=7),
        outcome(0, "m", unknown=1),
        list(outcome().values()),
        None,
    ],
    ids=["fields missing", "value out of range", "field unknown", "array", "nil"],
)
def test_one_odd_neighbour_changes_nothing_for_the_others(place: int, params: Any) -> None:
    messages = many_outcomes(256, {place: params})
    assert answers(messages) == alone(messages)


def test_one_odd_neighbour_has_the_others_decoded_once_more_and_not_more_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tried again with one less after each, 256 messages would be decoded 32,000 times."""
    decoded: list[int] = []
    decode = ManyDecoder.decode

    def counted(self: ManyDecoder, params: Any) -> Any:
        decoded.append(len(params))
        return decode(self, params)

    monkeypatch.setattr(ManyDecoder, "decode", counted)
    answers(many_outcomes(256, {255: {"model_id": "m"}}))
    assert decoded == [256]


@pytest.mark.parametrize("room", [1, 2, 7, 100, 255])
def test_no_more_are_in_flight_than_allowed(room: int) -> None:
    limits = WireLimits(in_flight_per_connection_max=room)
    messages = many_outcomes(600, {5: None})
    most = 0
    enter = Session.enter

    def counted(self: Session, *arguments: Any) -> None:
        nonlocal most
        enter(self, *arguments)
        most = max(most, self.in_flight)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "enter", counted)
        assert answers(messages, limits=limits) == alone(messages, limits)
    assert 0 < most <= room


def test_a_connection_given_up_among_neighbours_takes_in_nothing_behind() -> None:
    """The wrong token ends it; what came in the same piece is not kept either."""
    harness = Harness(token=b"token")
    behind = [request(n, "ping") for n in range(2, 9)]
    harness.receive(request(1, "hello", {"token": "wrong"}) + b"".join(behind))
    assert [message[1] for message in harness.messages()] == [1]
    assert harness.finished
    assert not harness.session._queue


def test_a_defect_among_neighbours_costs_one_call_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way they take: it is answered in its place, and the others are recorded."""

    def broken(message: Any) -> Any:
        if message.prediction_id == "m-trade-2":
            raise ZeroDivisionError("for the test")
        return message

    monkeypatch.setattr("handicapper.protocol.many.check_input", broken)
    monkeypatch.setattr(taking, "check_input", broken)
    messages = many_outcomes(6, {n: outcome(n, "m", pnl=5) for n in range(6)})
    told = answers(messages)
    assert told == alone(messages)
    assert [message[2] and message[2][1].partition(":")[0] for message in unpacked(told)] == [
        None, None, "INTERNAL ZeroDivisionError", None, None, None,
    ]  # fmt: skip


def test_signals_and_inputs_in_turn_keep_their_order() -> None:
    messages: list[bytes] = []
    for number in range(100, 400):
        method = "process_signal" if number // 7 % 2 else "record_prediction"
        messages.append(request(number, method, prediction(number, "m")))
    told = answers(messages)
    assert told == alone(messages) == answers(messages, ends_of(messages))
    assert [message[1] for message in unpacked(told)] == list(range(100, 400))


def test_a_notification_among_neighbours_is_recorded_in_its_place() -> None:
    messages = many_outcomes(50)
    messages[20:20] = [notification("record_outcome", outcome(900, "m"))]
    told = unpacked(answers(messages))
    assert [message[3]["seq"] for message in told] == [*range(1, 21), *range(22, 52)]


# -------------------------------------------------------------------------- batches

FIELD_OF = {
    "record_outcome": "outcomes",
    "record_prediction": "predictions",
    "process_signal": "predictions",
    "market_resolved": "resolutions",
}


@st.composite
def batches(draw: st.DrawFn) -> bytes:
    """One batch request whose items are alike but for a few."""
    method = draw(st.sampled_from(sorted(FIELD_OF)))
    form = draw(st.sampled_from(FORMS))
    items = [
        formed(method, draw(fields(method, n)), draw(st.sampled_from(FORMS)) if n % 5 == 4 else form)
        for n in range(draw(st.integers(0, 12)))
    ]
    return request(100, f"{method}_batch", {FIELD_OF[method]: items})


@given(batches())
def test_items_of_a_batch_are_answered_the_same_both_ways(message: bytes) -> None:
    expected = answers([message])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ManyDecoder, "decode", lambda *_: None)
        assert answers([message]) == expected
