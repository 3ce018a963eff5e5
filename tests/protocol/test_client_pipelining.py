"""Many calls on one connection: batches, replies to come, and messages without an answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from handicapper.protocol import Client
from handicapper.protocol.errors import (
    BatchError,
    BusyError,
    ClosedError,
    ConflictError,
    DeadlineExceededError,
    InvalidValueError,
    UnknownModelError,
)
from handicapper.protocol.messages import Receipt

from .client_support import (
    ANSWERED_SECONDS,
    DEADLINE_SECONDS,
    SOON_SECONDS,
    T0,
    Peer,
    Serving,
    answer_everything,
    eventually,
    outcome,
    prediction,
    resolution,
    scripted,
    serving,
)


@pytest.fixture
def server() -> Iterator[Serving]:
    with serving() as made:
        yield made


@pytest.fixture
def client(server: Serving) -> Iterator[Client]:
    with Client(server.unix) as made:
        yield made


# ------------------------------------------------------------------------- batches


def test_calls_of_a_batch_take_effect_in_order_and_each_has_its_own_result(client: Client) -> None:
    with client.batch() as batch:
        signal = batch.process_signal(prediction(1, confidence=0.9))
        unknown = batch.report("nobody")
        resolved = batch.resolve_market(resolution(1))
        report = batch.report("m")
        paused = batch.pause("m", reason="enough")
        resumed = batch.resume("m")
        others = [
            batch.record_prediction(prediction(2)),
            batch.record_outcome(outcome(3, "n")),
            batch.get_adaptive_params("m"),
            batch.thompson_sample(2, models=["m"], mode="mean"),
            batch.models(),
            batch.reset("n", "anew"),
            batch.set_posterior("n", "changepoint"),
            batch.ping(),
            batch.call("dead_letters"),
        ]
    assert all(reply.done for reply in (signal, unknown, resolved, report, paused, resumed, *others))
    assert signal.result().accepted
    assert resolved.result().scored == 1
    assert report.result().n == 1
    assert paused.result().seq < resumed.result().seq
    assert isinstance(unknown.exception(), UnknownModelError)
    with pytest.raises(UnknownModelError):
        unknown.result()
    assert [reply.exception() for reply in others] == [None] * len(others)


def test_a_batch_far_larger_than_the_window_and_the_socket_s_buffers_goes_through() -> None:
    with serving(in_flight_per_connection_max=16) as server, Client(server.unix) as client:
        with client.batch() as batch:
            replies = [batch.record_outcome(outcome(n)) for n in range(4_000)]
        seqs = [reply.result().seq for reply in replies]
        assert seqs == sorted(seqs) and len(set(seqs)) == 4_000


def test_long_answers_are_read_while_a_long_batch_is_written(client: Client) -> None:
    client.record_predictions(prediction(n, f"model-{n:04}") for n in range(500))
    note = {"note": "x" * 4_000}
    with client.batch() as batch:
        for n in range(1_000, 1_300):
            batch.record_prediction(prediction(n, metadata=note))
            batch.thompson_sample()
        last = batch.models()
    assert len(last.result()) == 501


def test_a_wrong_call_is_refused_when_it_is_put_into_the_batch(client: Client) -> None:
    with client.batch() as batch:
        with pytest.raises(InvalidValueError):
            batch.record_outcome(outcome(1, model=""))
        right = batch.record_outcome(outcome(1))
    assert right.result().scored == 1


def test_asking_for_a_result_sends_what_was_collected_so_far(client: Client) -> None:
    with client.batch() as batch:
        first = batch.record_outcome(outcome(1))
        assert not first.done
        second = batch.record_outcome(outcome(2))
        assert first.result().seq < second.result().seq
        third = batch.record_outcome(outcome(3))
    assert third.done


def test_a_batch_left_by_an_exception_sends_nothing(client: Client, server: Serving) -> None:
    with pytest.raises(ZeroDivisionError), client.batch() as batch:
        reply = batch.record_outcome(outcome(1))
        _ = 1 / 0
    with pytest.raises(ClosedError, match="was not sent"):
        reply.result()
    with pytest.raises(ClosedError, match="begin another"):
        batch.ping()
    assert client.statistics().outcomes == 0


def test_an_empty_batch_is_nothing(client: Client) -> None:
    with client.batch():
        pass
    assert client.ping() == "pong"


def test_calls_of_a_batch_that_are_not_answered_in_time_are_over_their_deadline() -> None:
    def half(peer: Peer) -> None:
        peer.greet()
        for _ in range(2):
            msgid, _, _ = peer.call()
            peer.answer(msgid, "pong")
        peer.wait_for_end()

    with scripted(half) as address, Client(address) as client:
        with client.batch(timeout=ANSWERED_SECONDS) as batch:
            replies = [batch.ping() for _ in range(4)]
        assert [type(reply.exception()) for reply in replies] == [
            type(None),
            type(None),
            DeadlineExceededError,
            DeadlineExceededError,
        ]


# ----------------------------------------------------------------- replies to come


def test_calls_that_nobody_waits_for_are_answered(client: Client) -> None:
    answered = threading.Semaphore(0)
    replies: list[Any] = [
        client.process_signal_nowait(prediction(1)),
        client.record_prediction_nowait(prediction(2)),
        client.resolve_market_nowait(market_id="k2", winner="YES", resolved_at=T0 + 10**15),
        client.record_outcome_nowait(outcome(3)),
        client.pause_nowait("m"),
        client.resume_nowait("m"),
        client.reset_nowait("m"),
        client.snapshot_nowait(),
        client.get_adaptive_params_nowait("m"),
        client.thompson_sample_nowait(),
        client.record_predictions_nowait(prediction(n) for n in range(10, 3_000)),
        client.resolve_markets_nowait([resolution(10)]),
        client.record_outcomes_nowait(outcome(n) for n in range(10, 3_000)),
        client.record_nowait([prediction(9_000), outcome(9_001)]),
        client.process_signals_nowait([prediction(9_002), prediction(9_003, confidence=7)]),
        client.record_predictions_nowait([]),
    ]
    for reply in replies:
        reply.add_done_callback(lambda _: answered.release())
    for _ in replies:
        assert answered.acquire(timeout=DEADLINE_SECONDS)
    assert all(reply.done and reply.exception() is None for reply in replies)
    assert replies[1].get() == replies[1].result() == replies[1].result(0)
    assert replies[10].result().accepted == 2_990
    decision, refused = replies[14].result()
    assert decision.prediction_id == "p9002" and isinstance(refused, InvalidValueError)


def test_a_refused_call_that_nobody_waited_for_keeps_its_error(client: Client) -> None:
    client.record_prediction(prediction(1))
    reply = client.record_prediction_nowait(prediction(1, outcome="NO"))
    with pytest.raises(ConflictError):
        reply.result()
    bulk = client.record_predictions_nowait(
        [prediction(1, outcome="NO"), prediction(2), prediction(3, size=-1)]
    )
    assert [(i, type(e)) for i, e in bulk.result().errors] == [(0, ConflictError), (2, InvalidValueError)]


def test_what_a_callback_raises_harms_nobody(client: Client) -> None:
    called = threading.Event()
    first = client.record_outcome_nowait(outcome(1))
    first.add_done_callback(lambda _: 1 / 0)
    first.add_done_callback(lambda _: called.set())
    assert called.wait(DEADLINE_SECONDS)
    first.add_done_callback(lambda _: 1 / 0)
    assert client.ping() == "pong"


def test_waiting_shorter_than_the_call_takes_leaves_it_going_on() -> None:
    release = threading.Event()

    def slow(peer: Peer) -> None:
        peer.greet()
        msgid, _, _ = peer.call()
        assert release.wait(DEADLINE_SECONDS)
        peer.answer(msgid, {"seq": 9})
        peer.wait_for_end()

    with scripted(slow) as address, Client(address) as client:
        reply = client.record_outcome_nowait(outcome(1))
        with pytest.raises(DeadlineExceededError, match="the call goes on"):
            reply.result(SOON_SECONDS)
        assert not reply.done
        release.set()
        assert reply.result() == Receipt(seq=9)


def test_a_call_that_nobody_waits_for_is_over_at_its_deadline() -> None:
    over = threading.Event()

    def silent(peer: Peer) -> None:
        peer.greet()
        peer.wait_for_end()

    with scripted(silent) as address, Client(address, timeout_seconds=SOON_SECONDS) as client:
        reply = client.record_outcome_nowait(outcome(1))
        reply.add_done_callback(lambda _: over.set())
        assert over.wait(DEADLINE_SECONDS)
        assert isinstance(reply.exception(), DeadlineExceededError)
        bulk = client.record_outcomes_nowait([outcome(1)])
        with pytest.raises(DeadlineExceededError):
            bulk.result()


def test_calls_that_a_server_does_not_take_are_refused_in_the_end() -> None:
    def reads_nothing(peer: Peer) -> None:
        peer.greet(in_flight_per_connection_max=4)
        peer.wait_for_end()

    with scripted(reads_nothing) as address:
        client = Client(address)
        try:
            with pytest.raises(BusyError, match="65536 calls wait to be sent"):
                for n in range(100_000):
                    client.record_outcome_nowait(outcome(n))
        finally:
            client.close(timeout=SOON_SECONDS)


# ------------------------------------------------------------------ without answers


def test_notifications_are_recorded_in_order_with_calls_around_them(client: Client) -> None:
    client.notify.record_prediction(prediction(1))
    client.notify.process_signal(prediction(2))
    client.notify.resolve_market(resolution(1))
    client.notify.record_outcome(outcome(3))
    client.notify.record_predictions(prediction(n) for n in range(10, 3_000))
    client.notify.resolve_markets([resolution(10)])
    client.notify.record_outcomes([outcome(4), outcome(5)])
    client.record_outcome(outcome(6))
    known = client.statistics()
    assert (known.predictions, known.resolutions, known.outcomes) == (2_992, 2, 4)
    assert known.server.notifications_refused == 0


def test_a_wrong_notification_is_refused_here_and_a_contradicting_one_is_kept_there(client: Client) -> None:
    with pytest.raises(InvalidValueError):
        client.notify.record_outcome(outcome(1, model=""))
    with pytest.raises(BatchError) as refused:
        client.notify.record_outcomes([outcome(1), outcome(2, confidence=2), outcome(3)])
    assert [index for index, _ in refused.value.result.errors] == [1]
    client.notify.record_outcome(outcome(1, actual_outcome="OTHER"))
    client.ping()
    eventually(lambda: client.statistics().server.notifications_refused == 1)
    assert len(client.dead_letters()) == 1
    assert client.statistics().outcomes == 2


def test_a_notification_waits_for_a_server_that_reads_no_more() -> None:
    reading = threading.Event()

    def reads_late(peer: Peer) -> None:
        peer.greet()
        assert reading.wait(DEADLINE_SECONDS)
        answer_everything_after_greeting(peer)

    with scripted(reads_late) as address, Client(address, timeout_seconds=0.2) as client:
        note = {"note": "x" * 4_000}
        with pytest.raises(DeadlineExceededError):
            for n in range(10_000):
                client.notify.record_prediction(prediction(n, metadata=note))
        reading.set()
        client.timeout_seconds = DEADLINE_SECONDS
        client.notify.record_prediction(prediction(10_001))
        assert client.ping() == "pong"


def answer_everything_after_greeting(peer: Peer) -> None:
    while True:
        message = peer.message()
        if message[0] == 0:
            peer.answer(message[1], "pong")


def test_notifications_alone_hold_no_memory(client: Client) -> None:
    notify = client.notify
    for n in range(2_000):
        notify.record_outcome(outcome(n))
    assert client._exchange.finished == []
    assert client._exchange.under_way() == []


def test_a_well_behaved_scripted_server_is_a_server() -> None:
    with scripted(answer_everything) as address, Client(address) as client:
        assert client.ping() == "pong"
        assert client.record_outcome(outcome(1)) == Receipt(seq=7)
