"""The sans-io heart of both clients: no socket, no clock."""

from __future__ import annotations

import msgpack
import pytest

from handicapper.protocol.calling import requests
from handicapper.protocol.calling.exchange import WAITING_CALLS_MAX
from handicapper.protocol.calling.outbox import Call
from handicapper.protocol.calling.requests import spec_of
from handicapper.protocol.calling.subscribers import Subscribers
from handicapper.protocol.errors import (
    BadMessageError,
    BusyError,
    DeadlineExceededError,
    HandicapperError,
    TooLargeError,
    UnframeableError,
    UnknownModelError,
)
from handicapper.protocol.messages import Receipt

from .exchange_support import NEVER, Ends


def test_nothing_goes_out_before_the_server_has_answered_hello() -> None:
    ends = Ends()
    ends.ask()
    assert ends.sent() == []
    ends.exchange.connected()
    (hello,) = ends.sent()
    assert hello[2:] == ["hello", {"client": "", "protocol": [1, 0], "errors": "pair", "token": None}]
    assert ends.sent() == []
    ends.greet(hello[1])
    assert [message[2] for message in ends.sent()] == ["ping"]


def test_answers_find_their_calls_in_whatever_order_they_come() -> None:
    ends = Ends().connect()
    calls = [ends.ask() for _ in range(5)]
    msgids = [message[1] for message in ends.sent()]
    assert msgids == [call.msgid for call in calls]
    for msgid in reversed(msgids):
        ends.answer(msgid, f"pong {msgid}")
    assert [call.value for call in calls] == [f"pong {msgid}" for msgid in msgids]
    assert [call.msgid for call in ends.exchange.finished] == msgids[::-1]


def test_answers_may_come_byte_by_byte() -> None:
    ends = Ends().connect()
    call = ends.ask()
    ends.sent()
    for byte in msgpack.packb([1, call.msgid, None, "pong"]):
        assert not call.done
        ends.exchange.received(bytes([byte]), 0.0)
    assert call.value == "pong"


def test_an_answer_nobody_asked_for_is_dropped() -> None:
    ends = Ends().connect()
    call = ends.ask()
    ends.sent()
    ends.answer(4_000_000_000)
    ends.answer(call.msgid)
    ends.answer(call.msgid, "again")
    assert call.value == "pong"
    assert ends.exchange.finished == [call]


def test_errors_are_those_of_the_library_and_unknown_ones_keep_their_code() -> None:
    ends = Ends().connect()
    known, unknown, text = ends.ask(), ends.ask(), ends.ask()
    ends.sent()
    ends.refuse(known.msgid, "UNKNOWN_MODEL model 'x' was never seen", 1)
    ends.refuse(unknown.msgid, "OUT_OF_LUCK try again")
    ends.receive([1, text.msgid, "STALE_REVISION older", None])
    assert isinstance(known.error, UnknownModelError)
    assert unknown.error is not None and unknown.error.code == "OUT_OF_LUCK"
    assert text.error is not None and text.error.code == "STALE_REVISION"


def test_a_result_of_the_wrong_form_ends_its_call_and_no_other() -> None:
    ends = Ends().connect()
    wrong, right = ends.ask(requests.resume("m")), ends.ask(requests.resume("m"))
    ends.sent()
    ends.answer(wrong.msgid, {"seq": "seven"})
    ends.answer(right.msgid, {"seq": 7, "a_field_of_a_later_release": 1})
    assert isinstance(wrong.error, BadMessageError)
    assert right.value == Receipt(seq=7)


@pytest.mark.parametrize(
    "garbage", [b"\xc1", b"\x07", b"HTTP/1.1 400 Bad Request", b"\x94\x01\xa1x\xc0\xc0", b"\x90"]
)
def test_bytes_that_are_no_message_of_the_protocol_end_the_connection(garbage: bytes) -> None:
    ends = Ends().connect()
    with pytest.raises(HandicapperError) as broken:
        ends.exchange.received(garbage, 0.0)
    assert isinstance(broken.value, BadMessageError | UnframeableError)


# -------------------------------------------------------------------- window


def test_no_more_requests_are_in_flight_than_the_server_allows() -> None:
    ends = Ends(in_flight_per_connection_max=3).connect()
    calls = [ends.ask() for _ in range(8)]
    assert [message[1] for message in ends.sent()] == [call.msgid for call in calls[:3]]
    ends.answer(calls[1].msgid)
    assert [message[1] for message in ends.sent()] == [calls[3].msgid]
    ends.answer(calls[0].msgid)
    ends.answer(calls[2].msgid)
    assert [message[1] for message in ends.sent()] == [calls[4].msgid, calls[5].msgid]


def test_a_call_that_was_given_up_keeps_its_place_until_the_server_answers() -> None:
    ends = Ends(in_flight_per_connection_max=1).connect()
    first, second = ends.ask(), ends.ask()
    ends.sent()
    ends.exchange.give_up(first)
    assert isinstance(first.error, DeadlineExceededError)
    assert ends.sent() == [] and ends.exchange.stuck
    ends.answer(first.msgid, "late")
    assert first.value is None
    assert [message[1] for message in ends.sent()] == [second.msgid]


def test_a_call_given_up_before_it_was_sent_is_never_sent() -> None:
    ends = Ends()
    calls = [ends.ask() for _ in range(300)]
    for call in calls[:-1]:
        ends.exchange.give_up(call)
    assert "it was not sent" in str(calls[0].error)
    assert ends.exchange._outbox.waiting == 1
    assert len(ends.exchange._outbox._waiting) < 150, "swept"
    ends.connect()
    assert [message[1] for message in ends.sent()] == [calls[-1].msgid]


def test_a_write_may_be_taken_in_pieces() -> None:
    ends = Ends().connect()
    call = ends.ask()
    assert ends.sent(bytes_max=3) == []
    second = ends.ask()
    rest = b""
    while (chunk := ends.exchange.outgoing()) is not None:
        rest += bytes(chunk[:2])
        ends.exchange.sent(len(chunk[:2]))
    assert rest == (call.data + second.data)[3:]


def test_unattended_calls_that_cannot_be_sent_are_bounded() -> None:
    ends = Ends()
    for _ in range(WAITING_CALLS_MAX):
        ends.exchange._outbox.put(Call(spec_of("ping"), 1, b"", NEVER))
    with pytest.raises(BusyError, match="wait to be sent"):
        ends.ask(bounded=True)
    ends.ask()


def test_a_message_larger_than_the_server_takes_is_refused_before_it_is_sent() -> None:
    ends = Ends(message_bytes_max=100).connect()
    with pytest.raises(TooLargeError, match="the 100 bytes that the server takes"):
        ends.ask(requests.reset("m", "x" * 100))


# -------------------------------------------------------------- notifications


def test_a_notification_is_done_once_all_of_it_is_written() -> None:
    ends = Ends().connect()
    call = ends.ask()
    notification = ends.notify()
    ends.sent(bytes_max=len(call.data) + len(notification.data) - 1)
    assert not notification.done
    ends.sent()
    assert notification.done and notification.error is None
    assert not call.done


def test_a_notification_that_was_half_written_goes_out_again_in_its_place() -> None:
    ends = Ends().connect()
    calls = [ends.ask(), ends.notify(1), ends.ask(), ends.notify(2)]
    ends.sent(bytes_max=len(calls[0].data) + 3)
    ends.exchange.lost("gone")
    assert not any(call.done for call in calls)
    ends.connect()
    assert [message[0] for message in ends.sent()] == [0, 2, 0, 2]


# --------------------------------------------------------------- subscriptions


def test_a_subscription_is_renewed_with_every_connection_before_anything_else() -> None:
    subscribers = Subscribers()
    subscribers.add(["models"], 250, lambda _: None)
    ends = Ends()
    ends.exchange.subscribe(subscribers.request())
    ends.ask()
    for _ in range(2):
        ends.connect()
        first, second = ends.sent()
        assert first[2:] == ["subscribe", [["models"], 250]]
        assert second[2] == "ping"
        ends.exchange.lost("gone")
        assert ends.exchange.wanted


def test_a_subscription_is_the_union_of_what_is_wanted() -> None:
    subscribers = Subscribers()
    told: list[str] = []
    subscribers.add(["models"], 250, lambda _: told.append("first"))
    second = subscribers.add(["drift", "models"], 500, lambda _: told.append("second"))
    assert subscribers.request().params == (["drift", "models"], 250)
    subscribers.remove(second)
    assert subscribers.request().params == (["models"], 250)


def test_notifications_become_events_and_unknown_ones_are_passed_over() -> None:
    ends = Ends().connect()
    ends.receive([2, "model_resumed", [{"model_id": "elo", "later": 1}]])
    ends.receive([2, "of_a_later_release", [{"x": 1}]])
    ends.receive([2, "events_missed", [{"count": 3}]])
    assert [type(event).__name__ for event in ends.exchange.events] == ["ModelResumed", "EventsMissed"]
