"""One client, many threads; and processes forked from its own."""

from __future__ import annotations

import gc
import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from handicapper.protocol import Client
from handicapper.protocol.errors import ClosedError, DeadlineExceededError
from handicapper.protocol.messages import Receipt

from .client_support import (
    DEADLINE_SECONDS,
    SOON_SECONDS,
    Peer,
    Serving,
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
def client(server: Serving) -> Iterator[Client]:
    with Client(server.unix) as made:
        yield made


def test_a_lone_caller_needs_no_thread(client: Client) -> None:
    before = threading.active_count()
    client.record_outcome(outcome(1))
    with client.batch() as batch:
        batch.ping()
    client.record_outcomes(outcome(n) for n in range(2_000))
    assert threading.active_count() == before


@pytest.mark.parametrize("with_reader", [False, True])
def test_threads_share_a_connection_and_each_gets_its_own_answers(client: Client, with_reader: bool) -> None:
    if with_reader:
        client.record_outcome_nowait(outcome(10**6)).result()

    def work(thread: int) -> int:
        chance = random.Random(thread)
        for n in range(60):
            number = thread * 1_000 + n
            match chance.randrange(5):
                case 0:
                    decision = client.process_signal(prediction(number, f"model-{thread}"))
                    assert decision.prediction_id == f"p{number}"
                case 1:
                    assert isinstance(client.record_outcome(outcome(number, f"model-{thread}")), Receipt)
                case 2:
                    numbers = range(number * 50, number * 50 + 5)
                    with client.batch() as batch:
                        replies = [batch.process_signal(prediction(i, f"model-{thread}")) for i in numbers]
                    assert [reply.result().prediction_id for reply in replies] == [f"p{i}" for i in numbers]
                case 3:
                    reply = client.process_signal_nowait(prediction(number, f"other-{thread}", market_id="x"))
                    assert reply.result().model_id == f"other-{thread}"
                case _:
                    assert client.call("ping") == "pong"
        return thread

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(work, range(1, 13))) == list(range(1, 13))


def test_threads_take_over_reading_from_one_that_gives_up() -> None:
    """The first leads; its deadline passes; the others' answers come after it."""
    gone = threading.Event()

    def late(peer: Peer) -> None:
        peer.greet()
        first = peer.call()
        others = [peer.call() for _ in range(5)]
        assert gone.wait(DEADLINE_SECONDS)
        for msgid, _, _ in reversed(others):
            peer.answer(msgid, "pong")
        peer.answer(first[0], "too late")
        peer.wait_for_end()

    with scripted(late) as address, Client(address) as client, ThreadPoolExecutor(6) as pool:

        def first() -> None:
            with pytest.raises(DeadlineExceededError):
                client.ping(timeout=0.3)
            gone.set()

        leading = pool.submit(first)
        link = client._link
        assert link is not None
        eventually(lambda: link._leading)
        others = [pool.submit(client.ping) for _ in range(5)]
        assert [other.result(DEADLINE_SECONDS) for other in others] == ["pong"] * 5
        leading.result(DEADLINE_SECONDS)


def test_several_threads_may_wait_for_one_reply() -> None:
    release = threading.Event()

    def slow(peer: Peer) -> None:
        peer.greet()
        msgid, _, _ = peer.call()
        assert release.wait(DEADLINE_SECONDS)
        peer.answer(msgid, {"seq": 5})
        peer.wait_for_end()

    with scripted(slow) as address, Client(address) as client, ThreadPoolExecutor(4) as pool:
        reply = client.record_outcome_nowait(outcome(1))
        waiting = [pool.submit(reply.result) for _ in range(4)]
        link = client._link
        assert link is not None
        eventually(lambda: len(link._followers) == 3)
        release.set()
        assert [each.result(DEADLINE_SECONDS).seq for each in waiting] == [5] * 4


def test_closing_ends_the_calls_of_other_threads() -> None:
    def silent(peer: Peer) -> None:
        peer.greet()
        peer.wait_for_end()

    with scripted(silent) as address, ThreadPoolExecutor(4) as pool:
        client = Client(address)
        waiting = [pool.submit(client.ping) for _ in range(4)]
        link = client._link
        assert link is not None
        eventually(lambda: len(link._followers) == 3)
        client.close(timeout=SOON_SECONDS)
        for each in waiting:
            with pytest.raises(ClosedError):
                each.result(DEADLINE_SECONDS)


def test_a_client_may_be_closed_from_a_callback(server: Serving) -> None:
    client = Client(server.unix)
    closed = threading.Event()

    def close(_: Any) -> None:
        client.close()
        closed.set()

    client.record_outcome_nowait(outcome(1)).add_done_callback(close)
    assert closed.wait(DEADLINE_SECONDS)
    with pytest.raises(ClosedError):
        client.ping()


def test_a_callback_may_call_the_client(client: Client) -> None:
    results: list[Any] = []
    done = threading.Event()

    def ask(_: Any) -> None:
        results.append(client.report("m").n)
        done.set()

    client.record_outcome_nowait(outcome(1)).add_done_callback(ask)
    assert done.wait(DEADLINE_SECONDS)
    assert results == [1]


def test_closing_gives_every_descriptor_and_thread_back(server: Serving) -> None:
    def use() -> None:
        with Client(server.unix) as client:
            client.record_outcome_nowait(outcome(1)).result()
            client.ping()

    use()
    gc.collect()
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(20):
        use()
    eventually(lambda: server.server.statistics.connections == 0)
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert threading.active_count() == threads


# ------------------------------------------------------------------------------ fork


def in_child(action: Callable[[], None]) -> int:
    """Run something in a forked child; its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return status


@pytest.mark.parametrize("with_reader", [False, True])
def test_a_forked_child_is_refused_by_name_and_the_parent_goes_on(client: Client, with_reader: bool) -> None:
    if with_reader:
        client.record_outcome_nowait(outcome(10)).result()
    reply = client.record_outcome_nowait(outcome(1)) if with_reader else None
    notify = client.notify if with_reader else None

    def child() -> None:
        calls: list[Callable[[], Any]] = [
            client.ping,
            lambda: client.record_outcomes([outcome(2)]),
            lambda: client.record_outcome_nowait(outcome(2)),
            lambda: client.notify,
            lambda: client.subscribe(None, print),
            lambda: client.batch().ping().result(),
        ]
        if notify is not None and reply is not None:
            calls.append(lambda: notify.record_outcome(outcome(2)))
            calls.append(lambda: reply.add_done_callback(print))
        for call in calls:
            with pytest.raises(ClosedError, match="of which this one was forked"):
                call()
        client.close()

    link = client._link
    assert link is not None
    with link._lock:  # as another thread may, at that moment
        status = in_child(child)
    assert status == 0
    if reply is not None:
        assert isinstance(reply.result(), Receipt)
    assert client.record_outcome(outcome(3)).seq > 0
    assert client.statistics().outcomes == (3 if with_reader else 1)


def test_a_child_may_make_a_client_of_its_own(server: Serving) -> None:
    with Client(server.unix) as client:

        def child() -> None:
            with Client(server.unix) as own:
                own.record_outcome(outcome(1))

        assert in_child(child) == 0
        assert client.statistics().outcomes == 1
