"""The sans-io heart of both clients: no socket, no clock."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest

from handicapper.protocol.calling import requests
from handicapper.protocol.calling.exchange import WAITING_CALLS_MAX, Exchange
from handicapper.protocol.calling.outbox import Call
from handicapper.protocol.calling.requests import Request, spec_of
from handicapper.protocol.calling.subscribers import Subscribers
from handicapper.protocol.errors import (
    BadMessageError,
    BusyError,
    ClosedError,
    ConnectionLostError,
    DeadlineExceededError,
    HandicapperError,
    ProtocolUnsupportedError,
    TooLargeError,
    UnauthenticatedError,
    UnframeableError,
    UnknownModelError,
)
from handicapper.protocol.limits import WireLimits
from handicapper.protocol.messages import HelloReply, Receipt
from handicapper.protocol.params import Hello

from .client_support import outcome

NEVER = 1e9


class Ends:
    """An exchange, and the server at the other end of it."""

    def __init__(self, reconnect: bool = True, **limits: Any) -> None:
        self.exchange = Exchange(Hello(), "unix:/x", reconnect=reconnect, jitter=lambda: 0.0)
        self.limits = limits
        self.now = 0.0

    def connect(self) -> Ends:
        self.exchange.connected()
        (hello,) = self.sent()
        assert hello[2] == "hello"
        self.greet(hello[1])
        return self

    def greet(self, msgid: int, protocol: tuple[int, int] = (1, 0)) -> None:
        reply = HelloReply(
            server="s",
            protocol=protocol,
            pid=1,
            state_dir="",
            limits=WireLimits(**self.limits),
            methods=(),
            topics=(),
        )
        self.answer(msgid, msgspec.to_builtins(reply))

    def ask(self, request: Request[Any] | None = None, deadline: float = NEVER, **options: Any) -> Call[Any]:
        request = requests.ping() if request is None else request
        msgid, data = self.exchange.encoded(request)
        call: Call[Any] = Call(request.spec, msgid, data, deadline)
        self.exchange.add(call, **options)
        return call

    def notify(self, number: int = 1) -> Call[Any]:
        request = requests.record_outcome(outcome(number), {})
        call: Call[Any] = Call(request.spec, None, self.exchange.encoded_notification(request), NEVER)
        self.exchange.add(call)
        return call

    def sent(self, bytes_max: int | None = None) -> list[Any]:
        """Take what goes out, up to so many bytes; the whole messages in it."""
        unpacker = msgpack.Unpacker()
        left = bytes_max
        while left != 0 and (chunk := self.exchange.outgoing()) is not None:
            part = bytes(chunk if left is None else chunk[:left])
            left = None if left is None else left - len(part)
            unpacker.feed(part)
            self.exchange.sent(len(part))
        return list(unpacker)

    def receive(self, message: Any) -> None:
        self.exchange.received(msgpack.packb(message), self.now)

    def answer(self, msgid: int | None, result: Any = "pong") -> None:
        self.receive([1, msgid, None, result])

    def refuse(self, msgid: int | None, text: str, fault: int = 0) -> None:
        self.receive([1, msgid, [fault, text], None])


RESET = requests.reset("m", "")


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


# ------------------------------------------------------------ lost connections


def test_calls_in_flight_are_sent_again_in_their_order_before_those_that_wait() -> None:
    ends = Ends(in_flight_per_connection_max=3).connect()
    calls = [ends.ask() for _ in range(5)]
    ends.sent()
    ends.answer(calls[1].msgid)
    ends.exchange.lost("gone")
    assert ends.exchange.state == "down"
    ends.connect()
    assert [message[1] for message in ends.sent()] == [calls[i].msgid for i in (0, 2, 3)]


def test_a_reset_that_may_have_been_received_is_not_sent_again() -> None:
    ends = Ends().connect()
    reset, ping = ends.ask(RESET), ends.ask()
    ends.sent()
    ends.exchange.lost("gone")
    assert isinstance(reset.error, ConnectionLostError)
    assert "may have taken effect, so look before repeating it" in str(reset.error)
    ends.connect()
    assert [message[2] for message in ends.sent()] == ["ping"]
    assert not ping.done


def test_a_reset_of_which_no_byte_left_is_sent_on_the_next_connection() -> None:
    ends = Ends().connect()
    reset = ends.ask(RESET)
    assert ends.exchange.outgoing() is not None
    ends.exchange.lost("gone")
    assert not reset.done
    ends.connect()
    assert [message[2] for message in ends.sent()] == ["reset"]


def test_without_reconnecting_every_call_ends_and_every_later_one_is_refused() -> None:
    ends = Ends(reconnect=False).connect()
    sent, waiting = ends.ask(), None
    ends.sent()
    waiting = ends.ask()
    ends.exchange.lost("gone")
    assert isinstance(sent.error, ConnectionLostError) and "repeating it is safe" in str(sent.error)
    assert isinstance(waiting.error, ConnectionLostError)
    assert sent.error is not waiting.error
    with pytest.raises(ConnectionLostError):
        ends.ask()


def test_what_the_server_said_last_is_in_the_error() -> None:
    ends = Ends(reconnect=False).connect()
    call = ends.ask()
    ends.sent()
    ends.refuse(None, "TIMED_OUT a message was begun and not finished", 1)
    ends.exchange.lost("the server closed the connection")
    assert "TIMED_OUT a message was begun" in str(call.error)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("UNAUTHENTICATED the token is wrong", UnauthenticatedError),
        ("PROTOCOL_UNSUPPORTED 2.0", ProtocolUnsupportedError),
    ],
)
def test_a_refused_hello_ends_the_calls_that_wait_with_its_error(said: str, kind: type) -> None:
    ends = Ends()
    call = ends.ask()
    ends.exchange.connected()
    (hello,) = ends.sent()
    with pytest.raises(kind) as refused:
        ends.refuse(hello[1], said, 1)
    ends.exchange.lost(refused.value)
    assert isinstance(call.error, kind)
    assert not ends.ask().done, "the next call may try again"


def test_a_hello_refused_because_the_server_is_full_leaves_the_calls_waiting() -> None:
    ends = Ends()
    call = ends.ask()
    ends.exchange.connected()
    ends.sent()
    with pytest.raises(BusyError) as refused:
        ends.refuse(None, "BUSY 256 connections; retry after 20 ms")
    ends.exchange.lost(refused.value)
    assert not call.done
    assert "256 connections" in str(ends.exchange.trouble)


def test_another_major_version_is_refused() -> None:
    ends = Ends()
    ends.exchange.connected()
    (hello,) = ends.sent()
    with pytest.raises(ProtocolUnsupportedError, match=r"speaks protocol 2\.0, this client 1\.0"):
        ends.greet(hello[1], (2, 0))


def test_a_higher_minor_version_is_taken() -> None:
    ends = Ends()
    ends.exchange.connected()
    (hello,) = ends.sent()
    ends.greet(hello[1], (1, 9))
    assert ends.exchange.state == "up"


# ------------------------------------------------------------------- come later


def test_a_call_told_to_come_later_is_asked_again_after_the_hint() -> None:
    ends = Ends().connect()
    call = ends.ask(RESET)
    ends.sent()
    ends.refuse(call.msgid, "BUSY full; retry after 40 ms")
    assert not call.done and ends.exchange.next_due() == pytest.approx(0.040)
    ends.exchange.due(0.039)
    assert ends.sent() == []
    ends.exchange.due(0.040)
    assert [message[1] for message in ends.sent()] == [call.msgid]
    ends.now = 0.040
    ends.refuse(call.msgid, "BUSY full; retry after 40 ms")
    assert ends.exchange.next_due() == pytest.approx(0.040 + 0.080)


def test_a_call_that_cannot_come_later_within_its_deadline_ends_with_what_it_was_told() -> None:
    ends = Ends().connect()
    call = ends.ask(deadline=0.030)
    ends.sent()
    ends.refuse(call.msgid, "BUSY full; retry after 40 ms")
    assert isinstance(call.error, BusyError) and call.error.retry_after_ms == 40


def test_a_closing_server_is_asked_again_but_not_to_reset() -> None:
    ends = Ends().connect()
    ping, reset = ends.ask(), ends.ask(RESET)
    ends.sent()
    ends.refuse(ping.msgid, "CLOSED the learner is closing")
    ends.refuse(reset.msgid, "CLOSED the learner is closing")
    assert not ping.done
    assert isinstance(reset.error, ClosedError)


def test_a_postponed_call_survives_a_lost_connection() -> None:
    ends = Ends().connect()
    call = ends.ask()
    ends.sent()
    ends.refuse(call.msgid, "BUSY full; retry after 40 ms")
    ends.exchange.lost("gone")
    ends.exchange.due(1.0)
    ends.connect()
    assert [message[1] for message in ends.sent()] == [call.msgid]


def test_a_watched_call_ends_at_its_deadline_and_an_answer_after_it_is_dropped() -> None:
    ends = Ends().connect()
    early, late = ends.ask(deadline=1.0, watched=True), ends.ask(deadline=2.0, watched=True)
    ends.sent()
    assert ends.exchange.next_due() == 1.0
    ends.exchange.due(1.5)
    assert isinstance(early.error, DeadlineExceededError)
    assert not late.done
    ends.answer(early.msgid)
    ends.answer(late.msgid)
    assert ends.exchange.next_due() is None
    assert isinstance(early.error, DeadlineExceededError)


def test_a_deadline_without_a_connection_tells_why_there_is_none() -> None:
    ends = Ends()
    call = ends.ask(deadline=1.0, watched=True)
    ends.exchange.lost("[Errno 111] Connection refused")
    ends.exchange.due(1.0)
    assert "no connection to unix:/x: [Errno 111] Connection refused" in str(call.error)


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


# ------------------------------------------------------------------------ close


def test_closing_ends_every_call_wherever_it_is() -> None:
    ends = Ends(in_flight_per_connection_max=2).connect()
    postponed, in_flight, waiting = ends.ask(), ends.ask(), ends.ask()
    ends.sent()
    ends.refuse(postponed.msgid, "BUSY full; retry after 40 ms")
    ends.sent()
    more = ends.ask()
    assert {id(call) for call in ends.exchange.under_way()} == {
        id(call) for call in (postponed, in_flight, waiting, more)
    }
    ends.exchange.close(ClosedError("the client is closed"))
    assert all(isinstance(call.error, ClosedError) for call in (postponed, in_flight, waiting, more))
    assert ends.exchange.under_way() == []
    with pytest.raises(ClosedError):
        ends.ask()
