"""The sans-io heart of both clients when something is lost, late, refused or closed."""

from __future__ import annotations

import pytest

from handicapper.protocol.errors import (
    BusyError,
    ClosedError,
    ConnectionLostError,
    DeadlineExceededError,
    ProtocolUnsupportedError,
    UnauthenticatedError,
)

from .exchange_support import RESET, Ends

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
