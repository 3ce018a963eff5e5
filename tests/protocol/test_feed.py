"""What a subscriber is owed stays owed when it subscribes again: without a socket, a learner or a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from msgspec import structs

from handicapper.actors.watching import LearnerEvent, ModelResumed, ParametersTouched
from handicapper.protocol.messages import AdaptiveParams
from handicapper.protocol.serving.feed import EVENTS_WAITING_MAX

from .fuzz_harness import Done, Harness, MemoryBackend, Timer
from .samples import example
from .wire import request

HOUR_MS = 3_600_000


class Later:
    """An answer that comes when the test says so."""

    def __init__(self, result: Any) -> None:
        self._done = Done(result)
        self._callbacks: list[Callable[[Any], Any]] = []

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        self._callbacks.append(callback)

    def come(self) -> None:
        for callback in self._callbacks:
            callback(self._done)


class Watched(MemoryBackend):
    """Tells what the test tells it, and answers at once unless it is to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.tell: Callable[[LearnerEvent], None] | None = None
        self.params: AdaptiveParams = example(AdaptiveParams)
        self.waits = False
        self.asked: list[Later] = []

    def watch(self, listener: Callable[[Any], None]) -> Callable[[], None]:
        self.tell = listener

        def unwatch() -> None:
            self.tell = None

        return unwatch

    def get_adaptive_params_nowait(self, model_id: str, *, as_of: int | None = None) -> Any:
        if not self.waits:
            return Done(self.params)
        self.asked.append(Later(self.params))
        return self.asked[-1]


class Client:
    """One connection, of which every notification is kept."""

    def __init__(self) -> None:
        self.backend = Watched()
        self.harness = Harness(self.backend)
        self._seen = 0

    def settle(self) -> None:
        """What the loop does until it has nothing left to do; timers stand still."""
        self.harness.service.drain()
        while self.harness.service._inbox:
            self.harness.service.drain()

    def subscribe(self, topics: list[str], interval_ms: int = HOUR_MS) -> None:
        self.harness.session.receive(request(1, "subscribe", {"topics": topics, "interval_ms": interval_ms}))
        self.harness.session.turn(0.0)
        self.settle()

    def happens(self, event: LearnerEvent) -> None:
        assert self.backend.tell is not None
        self.backend.tell(event)
        self.settle()

    def timer(self) -> Timer | None:
        """The one that runs, if one does."""
        running = [timer for timer in self.harness.timers if not timer.cancelled]
        assert len(running) <= 1
        return running[0] if running else None

    def interval_passes(self) -> None:
        timer = self.timer()
        assert timer is not None
        timer.fire()
        self.settle()

    def reads(self, does: bool) -> None:
        session = self.harness.session
        session.blocked = not does
        if does:
            assert session.subscriber is not None
            session.subscriber.catch_up()
            session.turn(0.0)
        self.settle()

    def told(self) -> list[tuple[str, Any]]:
        """Name and map of each notification since the last look."""
        unpacker = msgpack.Unpacker()
        unpacker.feed(b"".join(self.harness.sent[self._seen :]))
        self._seen = len(self.harness.sent)
        return [(message[1], message[2][0]) for message in unpacker if message[0] == 2]


@pytest.fixture
def client() -> Client:
    return Client()


def models_of(told: list[tuple[str, Any]]) -> list[str]:
    assert all(name == "parameters_changed" for name, _ in told)
    return [params["model_id"] for _, params in told]


def test_what_had_changed_is_told_after_the_new_interval(client: Client) -> None:
    client.subscribe(["parameters"])
    client.happens(ParametersTouched(frozenset({"a", "b"})))
    client.subscribe(["parameters", "models"], interval_ms=1)
    timer = client.timer()
    assert timer is not None
    assert timer.seconds == 0.001
    client.interval_passes()
    assert models_of(client.told()) == ["a", "b"]
    assert client.timer() is None


def test_what_was_being_asked_is_told(client: Client) -> None:
    client.subscribe(["parameters"])
    client.backend.waits = True
    client.happens(ParametersTouched(frozenset({"a"})))
    client.interval_passes()
    client.subscribe(["parameters"], interval_ms=1)
    (asked,) = client.backend.asked
    asked.come()
    client.settle()
    assert models_of(client.told()) == ["a"]


def test_a_longer_interval_does_not_put_off_what_waits(client: Client) -> None:
    client.subscribe(["parameters"], interval_ms=100)
    client.happens(ParametersTouched(frozenset({"a"})))
    first = client.timer()
    for interval_ms in (HOUR_MS, 100, HOUR_MS, 100):
        client.subscribe(["parameters"], interval_ms)
        assert client.timer() is first
    client.interval_passes()
    assert models_of(client.told()) == ["a"]


def test_what_was_told_is_not_told_again(client: Client) -> None:
    client.subscribe(["parameters"])
    client.happens(ParametersTouched(frozenset({"a"})))
    client.interval_passes()
    assert models_of(client.told()) == ["a"]
    client.subscribe(["parameters", "models"])
    client.happens(ParametersTouched(frozenset({"a"})))
    client.interval_passes()
    assert client.told() == [], "it has these parameters"
    client.backend.params = structs.replace(client.backend.params, weight=0.123)
    client.happens(ParametersTouched(frozenset({"a"})))
    client.interval_passes()
    assert models_of(client.told()) == ["a"]


@pytest.mark.parametrize("between", [["models"], []], ids=["another topic", "no topic"])
def test_who_leaves_the_topic_is_owed_nothing_of_it(client: Client, between: list[str]) -> None:
    client.subscribe(["parameters"])
    client.backend.waits = True
    client.happens(ParametersTouched(frozenset({"asked"})))
    client.interval_passes()
    client.happens(ParametersTouched(frozenset({"waiting"})))
    client.subscribe(between)
    for asked in client.backend.asked:
        asked.come()
    client.settle()
    if client.timer() is not None:
        client.interval_passes()
    assert client.told() == []
    client.backend.waits = False
    client.subscribe(["parameters"])
    client.happens(ParametersTouched(frozenset({"asked"})))
    client.interval_passes()
    assert models_of(client.told()) == ["asked"], "told anew: it may have changed in between"


def test_events_that_wait_and_those_missed_are_told_once_the_client_reads(client: Client) -> None:
    client.subscribe(["models"])
    client.reads(False)
    for _ in range(EVENTS_WAITING_MAX + 7):
        client.happens(ModelResumed("a"))
    client.subscribe(["models", "parameters"])  # handled once it reads
    client.reads(True)
    told = client.told()
    assert told == [("model_resumed", {"model_id": "a"})] * EVENTS_WAITING_MAX + [
        ("events_missed", {"count": 7})
    ]


def test_who_is_gone_leaves_no_timer_and_no_listener(client: Client) -> None:
    client.subscribe(["parameters"])
    client.happens(ParametersTouched(frozenset({"a"})))
    assert client.timer() is not None
    client.harness.service.feed.remove(client.harness.session.subscriber)
    assert client.timer() is None
    assert client.backend.tell is None
