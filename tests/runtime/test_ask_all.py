"""Asking everybody at once, with the idle answering in place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from handicapper.actors.runtime import Dispatcher, Gather, PooledActor, ask_all, ping, stop_in_reverse

DEADLINE_SECONDS = 10.0


class Echo(PooledActor):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        if isinstance(message, threading.Event):
            assert message.wait(DEADLINE_SECONDS)
        self.heard.append(message)
        return len(self.heard), threading.get_ident()


@pytest.fixture
def pool() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher("pool")
    dispatcher.start()
    yield dispatcher
    assert dispatcher.stop(DEADLINE_SECONDS)


def test_ask_all_lets_idle_actors_answer_in_the_asking_thread(pool: Dispatcher) -> None:
    refs = [Echo.start_on(pool, name=str(number)) for number in range(5)]
    for ref in refs:
        ping(ref, DEADLINE_SECONDS)
    gather: Gather[int, Any] = Gather(5)
    ask_all(pool, refs, "hello", gather)
    assert gather.completed.is_set()
    assert gather.result().values == dict.fromkeys(range(5), (1, threading.get_ident()))
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []


def test_ask_all_waits_for_the_turn_of_an_actor_that_is_busy_or_has_mail(pool: Dispatcher) -> None:
    refs = [Echo.start_on(pool, name=str(number)) for number in range(3)]
    going_on = threading.Event()
    refs[1].tell(going_on)
    refs[1].tell("before")
    gather: Gather[int, Any] = Gather(3)
    ask_all(pool, refs, "hello", gather)
    assert not gather.completed.is_set()
    going_on.set()
    gathered = gather.wait(DEADLINE_SECONDS, pool)
    assert [gathered.values[index][0] for index in range(3)] == [1, 3, 1]
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []


def test_ask_all_reports_what_raises_and_what_is_stopped_without_touching_the_others(
    pool: Dispatcher,
) -> None:
    refs = [Echo.start_on(pool, name=str(number)) for number in range(3)]
    refs[2].stop(timeout=DEADLINE_SECONDS)
    gather: Gather[int, Any] = Gather(3)
    ask_all(pool, refs, ValueError("no"), gather)
    gathered = gather.wait(DEADLINE_SECONDS, pool)
    assert isinstance(gathered.errors[0], ValueError)
    assert isinstance(gathered.errors[2], pykka.ActorDeadError)
    assert refs[0].ask("still there", timeout=DEADLINE_SECONDS)[0] == 1
    assert stop_in_reverse(refs[:2], timeout=DEADLINE_SECONDS) == []


def test_ask_all_beyond_its_time_leaves_the_rest_missing(pool: Dispatcher) -> None:
    refs = [Echo.start_on(pool, name=str(number)) for number in range(3)]
    gather: Gather[str, Any] = Gather(["a", "b", "c"])
    ask_all(pool, refs, "hello", gather, 0.0)
    gather.expire()
    assert gather.result().missing == ("a", "b", "c")
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []


def test_ask_all_asks_a_suspended_actor_only_once_it_goes_on(pool: Dispatcher) -> None:
    refs = [Echo.start_on(pool, name=str(number)) for number in range(2)]
    refs[0].cell.suspend()
    gather: Gather[int, Any] = Gather(2)
    ask_all(pool, refs, "hello", gather)
    assert not gather.completed.is_set()
    refs[0].cell.resume()
    assert gather.wait(DEADLINE_SECONDS, pool).complete
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []
