"""Being told what changes: the blocking client."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from handicapper.protocol import Client
from handicapper.protocol.calling.events import (
    Event,
    ModelPaused,
    ModelReset,
    ModelResumed,
    ParametersChanged,
)
from handicapper.protocol.errors import ConnectionLostError, InvalidValueError

from .client_support import (
    DEADLINE_SECONDS,
    Peer,
    Serving,
    answer_everything,
    eventually,
    outcome,
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
        made.record_outcome(outcome(1))
        yield made


class Told:
    """What a callback was told."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.threads: set[str] = set()

    def __call__(self, event: Event) -> None:
        self.threads.add(threading.current_thread().name)
        self._events.put(event)

    def next(self) -> Event:
        return self._events.get(timeout=DEADLINE_SECONDS)

    @property
    def empty(self) -> bool:
        return self._events.empty()


def test_a_subscriber_is_told_in_order_on_a_thread_of_the_client_s(client: Client) -> None:
    told = Told()
    client.subscribe(["models"], told)
    client.pause("m", until=1_800_000_000_000_000_000, reason="enough")
    client.resume("m")
    client.reset("m", "new season")
    assert told.next() == ModelPaused(model_id="m", until=1_800_000_000_000_000_000, reason="enough")
    assert told.next() == ModelResumed(model_id="m")
    assert told.next() == ModelReset(model_id="m", reason="new season")
    assert told.threads == {"handicapper-client"}


def test_changed_parameters_are_told_as_they_are_asked_for(client: Client) -> None:
    told = Told()
    client.subscribe(["parameters"], told, interval_ms=1)
    client.record_outcomes(outcome(n) for n in range(10, 200))
    newest = client.get_adaptive_params("m")
    event = told.next()
    while not (isinstance(event, ParametersChanged) and event.params == newest):
        event = told.next()
    assert event.model_id == "m"


def test_what_waits_for_one_subscriber_is_told_although_another_comes(client: Client) -> None:
    """The first one's hour has begun when the second one makes the client subscribe again, to a millisecond."""
    patient, eager = Told(), Told()
    client.subscribe(["parameters"], patient, interval_ms=3_600_000)
    client.record_outcomes(outcome(n) for n in range(10, 200))
    newest = client.get_adaptive_params("m")
    client.subscribe(["models", "parameters"], eager, interval_ms=1)
    for told in (patient, eager):
        assert told.next() == ParametersChanged(model_id="m", params=newest)


def test_events_come_while_other_threads_call(client: Client) -> None:
    told = Told()
    client.subscribe(["models"], told)
    over = threading.Event()

    def calling() -> None:
        while not over.is_set():
            client.ping()

    threads = [threading.Thread(target=calling) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            client.pause("m")
            assert isinstance(told.next(), ModelPaused)
            client.resume("m")
            assert isinstance(told.next(), ModelResumed)
    finally:
        over.set()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)


def test_several_subscribers_are_each_told_what_they_asked_for(client: Client) -> None:
    models, everything, gone = Told(), Told(), Told()
    client.subscribe(["models"], models)
    client.subscribe(None, everything, interval_ms=1)
    unsubscribe = client.subscribe(["models", "drift"], gone)
    unsubscribe()
    unsubscribe()
    client.record_outcome(outcome(2))
    client.pause("m")
    assert isinstance(models.next(), ModelPaused)
    assert {type(everything.next()), type(everything.next())} == {ModelPaused, ParametersChanged}
    assert models.empty and gone.empty


def test_the_last_to_leave_ends_the_subscription_of_the_connection(client: Client, server: Serving) -> None:
    told = Told()
    unsubscribe = client.subscribe(None, told)
    (session,) = server.server.service.sessions
    assert session.subscriber is not None
    unsubscribe()
    client.ping()
    eventually(lambda: session.subscriber is None or not session.subscriber.topics)
    client.pause("m")
    assert told.empty


def test_a_subscription_is_made_again_after_a_lost_connection(client: Client, server: Serving) -> None:
    told = Told()
    client.subscribe(["models"], told)
    for number in range(5):
        connections = server.connections
        server.hang_up()
        eventually(lambda connections=connections: server.connections > connections)
        assert client.ping() == "pong"
        client.pause("m", reason=str(number))
        assert told.next() == ModelPaused(model_id="m", until=None, reason=str(number))


def test_a_subscription_outlives_the_server(client: Client, server: Serving) -> None:
    told = Told()
    client.subscribe(["models"], told)
    server.stop()
    server.start()
    client.pause("m")
    assert isinstance(told.next(), ModelPaused)


def test_a_callback_that_raises_is_logged_and_called_again(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()

    def raising(event: Event) -> None:
        told(event)
        raise ZeroDivisionError("a bug of the callback's")

    other = Told()
    client.subscribe(["models"], raising)
    client.subscribe(["models"], other)
    client.pause("m")
    client.resume("m")
    assert [type(told.next()), type(told.next())] == [ModelPaused, ModelResumed]
    assert [type(other.next()), type(other.next())] == [ModelPaused, ModelResumed]
    assert "a bug of the callback's" in caplog.text


def test_a_callback_may_ask_the_client_and_unsubscribe(client: Client) -> None:
    asked: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask(event: Event) -> None:
        unsubscribe()
        asked.put((event, client.report("m").paused))

    unsubscribe = client.subscribe(["models"], ask)
    client.pause("m")
    event, paused = asked.get(timeout=DEADLINE_SECONDS)
    assert isinstance(event, ModelPaused) and paused


@pytest.mark.parametrize(
    ("topics", "options"),
    [
        (["weather"], {}),
        ("models", {}),
        ([], {}),
        (7, {}),
        (None, {"interval_ms": 0}),
        (None, {"interval_ms": 3_600_001}),
        (None, {"interval_ms": 1.5}),
    ],
)
def test_a_wrong_subscription_is_refused_by_name(
    client: Client, topics: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidValueError):
        client.subscribe(topics, print, **options)
    client.subscribe(None, Told())


def test_a_subscription_that_failed_is_not_made_later() -> None:
    def refuses(peer: Peer) -> None:
        peer.greet()
        msgid, method, _ = peer.call()
        assert method == "subscribe"
        peer.refuse(msgid, 0, "INTERNAL a bug")
        msgid, method, params = peer.call()
        assert (method, params[0]) == ("subscribe", [])
        peer.answer(msgid, {"topics": [], "interval_ms": 100})

    with scripted(refuses, answer_everything) as address, Client(address) as client:
        with pytest.raises(Exception, match="INTERNAL a bug"):
            client.subscribe(None, print)
        assert client.ping() == "pong"
        assert not client._exchange.wanted


def test_subscribing_on_a_lost_connection_that_is_not_made_again_is_refused(server: Serving) -> None:
    with Client(server.unix, reconnect=False) as client:
        client.subscribe(None, Told())
        server.hang_up()
        eventually(lambda: client._exchange.broken is not None)
        with pytest.raises(ConnectionLostError):
            client.subscribe(None, Told())
