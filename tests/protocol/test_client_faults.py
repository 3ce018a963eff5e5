"""The blocking client where connections are lost and servers misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from handicapper.protocol import Client
from handicapper.protocol.errors import (
    BadMessageError,
    BusyError,
    ClosedError,
    ConnectionLostError,
    DeadlineExceededError,
    HandicapperError,
    ProtocolUnsupportedError,
    UnframeableError,
)
from handicapper.protocol.messages import Receipt

from .client_support import (
    DEADLINE_SECONDS,
    SOON_SECONDS,
    Cut,
    Peer,
    Serving,
    answer_everything,
    cut,
    eventually,
    outcome,
    prediction,
    scripted,
    serving,
)


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as made:
        yield made


@pytest.fixture
def proxy(server: Serving) -> Iterator[Cut]:
    with cut(server) as made:
        yield made


# ------------------------------------------------------- counted once, whatever is lost


def test_an_input_whose_answer_was_lost_is_sent_again_and_counted_once(server: Serving, proxy: Cut) -> None:
    with Client(proxy.address) as client:
        for n in range(20):
            proxy.lose_answers = 2
            receipt = client.record_outcome(outcome(n))
            assert receipt.duplicate, "it had taken effect"
        assert proxy.lost == 40
        assert server.learner.statistics().outcomes == 20
        assert server.learner.report("m").n == 20


def test_a_pipeline_whose_answers_were_lost_is_counted_once(server: Serving, proxy: Cut) -> None:
    with Client(proxy.address) as client:
        proxy.lose_answers = 3
        with client.batch() as batch:
            replies = [batch.record_outcome(outcome(n)) for n in range(2_000)]
        assert all(isinstance(reply.result(), Receipt) for reply in replies)
        proxy.lose_answers = 3
        result = client.record_outcomes(outcome(n) for n in range(10_000))
        assert result.accepted + result.duplicates == 10_000
        proxy.lose_answers = 1
        client.record_outcome_nowait(outcome(20_000)).result()
        assert server.learner.report("m").n == 10_001


def test_a_server_restarted_on_the_same_directory_goes_on_where_it_was(server: Serving) -> None:
    with Client(server.unix) as client:
        client.record_outcome(outcome(1))
        server.stop()
        server.start()
        assert client.record_outcome(outcome(2)).seq == 3
        assert client.report("m").n == 2


def test_calls_made_while_the_server_is_away_are_answered_once_it_is_back(server: Serving) -> None:
    with Client(server.unix) as client:
        server.stop()
        nowait = client.record_outcome_nowait(outcome(1))
        results: list[Any] = []
        waiting = threading.Thread(target=lambda: results.append(client.record_outcome(outcome(2))))
        waiting.start()
        server.start()
        waiting.join(DEADLINE_SECONDS)
        assert isinstance(nowait.result(), Receipt)
        assert isinstance(results[0], Receipt)
        assert client.statistics().outcomes == 2


def test_connections_cut_again_and_again_lose_nothing(server: Serving) -> None:
    over = threading.Event()

    def cutting() -> None:
        while not over.wait(0.002):
            server.hang_up()

    cutter = threading.Thread(target=cutting)
    with Client(server.unix) as client:
        cutter.start()
        try:
            replies = [client.record_outcome_nowait(outcome(n)) for n in range(2_000)]
            for n in range(2_000, 2_200):
                client.record_outcome(outcome(n))
            client.record_outcomes(outcome(n) for n in range(2_200, 5_000))
            assert all(isinstance(reply.result(), Receipt) for reply in replies)
        finally:
            over.set()
            cutter.join(DEADLINE_SECONDS)
        assert client.report("m").n == 5_000


# ---------------------------------------------------------------------- not repeated


def test_a_reset_whose_answer_was_lost_is_not_repeated_and_says_what_may_have_happened(
    server: Serving, proxy: Cut
) -> None:
    with Client(proxy.address) as client:
        client.record_outcome(outcome(1))
        proxy.lose_answers = 1
        with pytest.raises(ConnectionLostError, match="may have taken effect, so look before repeating it"):
            client.reset("m")
        assert client.report("m").n == 0
        assert proxy.lost == 1


def test_a_reset_on_a_connection_found_closed_is_sent_on_a_new_one(server: Serving) -> None:
    with Client(server.unix) as client:
        client.record_outcome(outcome(1))
        server.stop()
        server.start()
        assert client.reset("m").seq == 3


def test_without_reconnecting_a_lost_connection_ends_the_client_s_use(server: Serving, proxy: Cut) -> None:
    with Client(proxy.address, reconnect=False) as client:
        proxy.lose_answers = 1
        with pytest.raises(ConnectionLostError, match="it may have taken effect, repeating it is safe"):
            client.record_outcome(outcome(1))
        with pytest.raises(ConnectionLostError):
            client.ping()
        with pytest.raises(ConnectionLostError):
            client.record_outcomes([outcome(1)])
        with pytest.raises(ConnectionLostError):
            client.notify.record_outcome(outcome(1))
    assert server.learner.statistics().outcomes == 1


# -------------------------------------------------------------------------- deadlines


def test_a_late_answer_is_dropped_and_the_connection_goes_on() -> None:
    late = threading.Event()

    def slow(peer: Peer) -> None:
        peer.greet()
        first, _, _ = peer.call()
        assert late.wait(DEADLINE_SECONDS)
        second, _, _ = peer.call()
        peer.answer(first, "late")
        peer.answer(second, "pong")
        peer.wait_for_end()

    def never(_: Peer) -> None:
        raise AssertionError("the first connection was given up")

    with scripted(slow, never) as address, Client(address) as client:
        with pytest.raises(DeadlineExceededError, match="it may have taken effect, repeating it is safe"):
            client.ping(timeout=SOON_SECONDS)
        late.set()
        assert client.ping() == "pong"


def test_a_deadline_of_nothing_passes_at_once(server: Serving) -> None:
    with Client(server.unix) as client:
        with pytest.raises(DeadlineExceededError):
            client.ping(timeout=0)
        assert client.ping() == "pong"


def test_a_call_without_a_server_is_over_at_its_deadline_and_says_why(server: Serving) -> None:
    with Client(server.unix) as client:
        server.stop()
        with pytest.raises(DeadlineExceededError, match=r"no connection to unix:.*; it was not sent"):
            client.record_outcome(outcome(1), timeout=SOON_SECONDS)
        with pytest.raises(DeadlineExceededError):
            client.record_outcomes((outcome(n) for n in range(5)), timeout=SOON_SECONDS)
        server.start()
        assert client.ping() == "pong"


def test_a_server_that_answers_nothing_any_more_is_left() -> None:
    def deaf(peer: Peer) -> None:
        peer.greet(in_flight_per_connection_max=2)
        peer.wait_for_end()

    with scripted(deaf, answer_everything) as address, Client(address) as client:
        for _ in range(2):
            with pytest.raises(DeadlineExceededError):
                client.ping(timeout=SOON_SECONDS)
        assert client.ping() == "pong"


def test_an_interrupted_call_leaves_the_client_usable(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(server.unix) as client:
        link = client._link
        assert link is not None
        step = link._carrier.step
        monkeypatch.setattr(link._carrier, "step", interrupting(step))
        with pytest.raises(KeyboardInterrupt):
            client.record_outcome(outcome(1))
        assert client.record_outcome(outcome(1)).seq == 2
        assert client.report("m").n == 1


def interrupting(step: Any) -> Any:
    """The first time as Ctrl-C after the bytes were read, then as always."""
    calls = iter([True])

    def stepping(happened: int) -> None:
        step(happened)
        if next(calls, False):
            raise KeyboardInterrupt

    return stepping


# -------------------------------------------------------------------- faulty servers


def test_answers_in_any_order_find_their_calls() -> None:
    def backwards(peer: Peer) -> None:
        peer.greet()
        calls = [peer.call() for _ in range(50)]
        for msgid, _, params in reversed(calls):
            peer.answer(msgid, {"seq": int(params[0][1:])})
        peer.wait_for_end()

    with scripted(backwards) as address, Client(address) as client:
        replies = [client.record_outcome_nowait(outcome(n)) for n in range(50)]
        assert [reply.result().seq for reply in replies] == list(range(50))


@pytest.mark.parametrize(
    "garbage", [b"\xc1" * 100, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x94\x01", b"\x93\x02\xc0\xc0"]
)
def test_garbage_ends_the_connection_and_the_call_is_made_on_the_next(garbage: bytes) -> None:
    def babbles(peer: Peer) -> None:
        peer.greet()
        peer.call()
        peer.socket.sendall(garbage)

    with scripted(babbles, babbles, answer_everything) as address, Client(address) as client:
        assert client.ping() == "pong"


@pytest.mark.parametrize(
    ("garbage", "error"),
    [
        (b"\xc1", UnframeableError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", BadMessageError),
        (b"\x94\x01\x7f\xc0\xc0", BadMessageError),
        (b"", ConnectionLostError),
    ],
)
def test_what_is_no_daemon_is_noticed_when_it_is_greeted(
    garbage: bytes, error: type[HandicapperError]
) -> None:
    def other(peer: Peer) -> None:
        peer.call()
        peer.socket.sendall(garbage)

    with scripted(other) as address, pytest.raises(error):
        Client(address)


def test_a_server_that_never_greets_is_given_up_after_the_connect_timeout() -> None:
    said = pytest.raises(ConnectionLostError, match=r"no answer to hello within 0\.05 s")
    with scripted(Peer.wait_for_end) as address, said:
        Client(address, connect_timeout_seconds=SOON_SECONDS)


def test_another_major_version_is_refused() -> None:
    def newer(peer: Peer) -> None:
        assert peer.greet(protocol=(2, 0))["protocol"] == [1, 0]
        peer.wait_for_end()

    with scripted(newer) as address, pytest.raises(ProtocolUnsupportedError, match=r"speaks protocol 2\.0"):
        Client(address)


def test_a_version_that_changed_while_away_ends_the_calls_that_wait() -> None:
    def closes(peer: Peer) -> None:
        peer.greet()
        peer.call()

    def newer(peer: Peer) -> None:
        peer.greet(protocol=(2, 0))
        peer.wait_for_end()

    with (
        scripted(closes, newer) as address,
        Client(address) as client,
        pytest.raises(ProtocolUnsupportedError),
    ):
        client.ping()


def test_a_full_server_is_asked_again_until_it_has_room() -> None:
    calls: list[int] = []

    def full(peer: Peer) -> None:
        peer.greet()
        for _ in range(3):
            msgid, _, _ = peer.call()
            calls.append(msgid)
            peer.refuse(msgid, 0, "BUSY 3 of 3 in flight; retry after 10 ms")
        msgid, _, _ = peer.call()
        calls.append(msgid)
        peer.answer(msgid, "pong")
        peer.wait_for_end()

    with scripted(full) as address, Client(address) as client:
        assert client.ping() == "pong"
    assert len(calls) == 4 and len(set(calls)) == 1


def test_busy_beyond_the_deadline_is_what_the_caller_is_told() -> None:
    def full(peer: Peer) -> None:
        peer.greet()
        while True:
            msgid, _, _ = peer.call()
            peer.refuse(msgid, 0, "BUSY 3 of 3 in flight; retry after 60000 ms")

    with scripted(full) as address, Client(address) as client, pytest.raises(BusyError) as busy:
        client.ping()
    assert busy.value.retry_after_ms == 60_000


def test_one_connection_too_many_is_busy_at_first_and_waited_for_later() -> None:
    with serving(connections_max=1) as server, Client(server.unix) as first:
        with pytest.raises(BusyError, match="connections at a time"):
            Client(server.unix)
        server.hang_up()
        assert first.ping() == "pong"


def test_a_closing_server_is_waited_for() -> None:
    def closing(peer: Peer) -> None:
        peer.greet()
        msgid, _, _ = peer.call()
        peer.refuse(msgid, 0, "CLOSED the learner is closing")

    with scripted(closing, answer_everything) as address, Client(address) as client:
        assert client.ping() == "pong"
        assert client.record_outcome(outcome(1)) == Receipt(seq=7)

    with scripted(closing) as address, Client(address, reconnect=False) as client, pytest.raises(ClosedError):
        client.ping()


def test_a_result_of_another_form_is_the_error_of_its_call_alone() -> None:
    def odd(peer: Peer) -> None:
        peer.greet()
        peer.answer(peer.call()[0], {"sequence": 1})
        peer.answer(peer.call()[0], {"seq": 1})
        peer.wait_for_end()

    with scripted(odd) as address, Client(address) as client:
        with pytest.raises(BadMessageError, match="the answer to record_outcome could not be read"):
            client.record_outcome(outcome(1))
        assert client.record_outcome(outcome(2)).seq == 1


def test_what_the_server_said_before_it_closed_is_told(server: Serving) -> None:
    def complaining(peer: Peer) -> None:
        peer.greet()
        peer.call()
        peer.refuse(None, 1, "TIMED_OUT a message was begun and not finished")

    said = pytest.raises(ConnectionLostError, match="TIMED_OUT a message was begun")
    with scripted(complaining) as address, Client(address, reconnect=False) as client, said:
        client.ping()


def test_a_client_that_nobody_uses_does_not_connect_again(server: Serving) -> None:
    with Client(server.unix) as client:
        client.record_prediction(prediction(1))
        before = server.connections
        server.hang_up()
        eventually(lambda: server.server.statistics.connections == 0)
        assert server.connections == before
        assert client.ping() == "pong"
        assert server.connections == before + 1
