"""Asking everybody at once, with the idle answering in place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

import pykka
import pytest

from handicapper.actors.runtime import (
    NO_REPLY,
    Asked,
    Dispatcher,
    PooledActor,
    PooledRef,
    ask_all,
    everyone,
    ping,
    stop_in_reverse,
)
from handicapper.protocol.errors import BusyError

DEADLINE_SECONDS = 10.0


class Echo(PooledActor):
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []
        self.answer: Callable[[], Any] = list

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        if isinstance(message, threading.Event):
            assert message.wait(DEADLINE_SECONDS)
        if message == "call":
            return self.answer()
        self.heard.append(message)
        return len(self.heard), threading.get_ident()


@pytest.fixture
def pool() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher("pool")
    dispatcher.start()
    yield dispatcher
    assert dispatcher.stop(DEADLINE_SECONDS)


class Asking:
    """Everybody asked once; ``wait`` for what comes of it."""

    def __init__(
        self, pool: Dispatcher, refs: Sequence[PooledRef[Any]], message: Any, deadline: float = float("inf")
    ) -> None:
        self.pool = pool
        self.completed: list[Asked] = []
        self.gather = ask_all(pool, [ref.cell for ref in refs], message, self.completed.append, deadline)

    def wait(self) -> Asked:
        if self.gather is not None:
            self.gather.wait(DEADLINE_SECONDS, self.pool)
        (asked,) = self.completed
        return asked


def started(pool: Dispatcher, count: int, **options: Any) -> list[PooledRef[Any]]:
    refs = [Echo.start_on(pool, name=str(number), **options) for number in range(count)]
    for ref in refs:
        ping(ref, DEADLINE_SECONDS)
    return refs


def test_ask_all_lets_idle_actors_answer_in_the_asking_thread(pool: Dispatcher) -> None:
    refs = started(pool, 5)
    asking = Asking(pool, refs, "hello")
    assert asking.gather is None
    assert asking.wait() == Asked([(1, threading.get_ident())] * 5)
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []


def test_ask_all_of_nobody_is_complete_at_once(pool: Dispatcher) -> None:
    assert Asking(pool, [], "hello").wait() == Asked()


def test_ask_all_waits_for_the_turn_of_an_actor_that_is_busy_or_has_mail(pool: Dispatcher) -> None:
    refs = started(pool, 3)
    going_on = threading.Event()
    refs[1].tell(going_on)
    refs[1].tell("before")
    asking = Asking(pool, refs, "hello")
    assert asking.completed == []
    going_on.set()
    asked = asking.wait()
    assert [heard for heard, _ in asked.replies] == [1, 3, 1]
    assert asked.busy == [1]
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []


def test_ask_all_reports_what_raises_and_what_is_stopped_without_touching_the_others(
    pool: Dispatcher,
) -> None:
    refs = started(pool, 3)
    refs[2].stop(timeout=DEADLINE_SECONDS)
    asked = Asking(pool, refs, ValueError("no")).wait()
    assert asked.replies == [NO_REPLY] * 3
    assert {place: type(error) for place, error in asked.errors.items()} == {
        0: ValueError,
        1: ValueError,
        2: pykka.ActorDeadError,
    }
    assert refs[0].ask("still there", timeout=DEADLINE_SECONDS)[0] == 1
    assert stop_in_reverse(refs[:2], timeout=DEADLINE_SECONDS) == []


def test_ask_all_reports_a_full_mailbox(pool: Dispatcher) -> None:
    refs = started(pool, 2, messages_max=1)
    refs[0].cell.suspend()
    refs[0].tell("fills it")
    asked = Asking(pool, refs, "hello").wait()
    assert (asked.replies[0], asked.replies[1][0]) == (NO_REPLY, 1)
    assert isinstance(asked.errors[0], BusyError)
    refs[0].cell.resume()
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []


def test_ask_all_beyond_its_time_asks_nobody(pool: Dispatcher) -> None:
    refs = started(pool, 3)
    assert Asking(pool, refs, "hello", monotonic() - 1.0).wait() == Asked()
    assert refs[0].ask("first", timeout=DEADLINE_SECONDS)[0] == 1
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []


def test_ask_all_whose_time_is_up_midway_has_the_replies_of_the_first(
    pool: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = started(pool, 10)
    monkeypatch.setattr(everyone, "CELLS_A_LOOK", 4)
    times = iter([0.0, 0.0, 1.0])
    monkeypatch.setattr(everyone, "monotonic", lambda: next(times))
    assert len(Asking(pool, refs, "hello", 1.0).wait().replies) == 8
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []


def test_ask_all_asks_a_suspended_actor_only_once_it_goes_on(pool: Dispatcher) -> None:
    refs = started(pool, 2)
    refs[0].cell.suspend()
    asking = Asking(pool, refs, "hello")
    assert asking.completed == []
    refs[0].cell.resume()
    assert [heard for heard, _ in asking.wait().replies] == [1, 1]
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []


def test_ask_all_expired_is_complete_without_those_that_did_not_answer(pool: Dispatcher) -> None:
    refs = started(pool, 3)
    refs[1].cell.suspend()
    asking = Asking(pool, refs, "hello")
    assert asking.gather is not None
    asking.gather.expire()
    replies = asking.wait().replies
    assert (replies[0][0], replies[1], replies[2][0]) == (1, NO_REPLY, 1)
    refs[1].cell.resume()
    ping(refs[1], DEADLINE_SECONDS)
    assert replies[1] is NO_REPLY
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []


def test_ask_all_gives_turns_to_what_was_told_meanwhile(pool: Dispatcher) -> None:
    """A letter that comes while the actor answers in place finds it in use: its turn is asked for afterwards."""
    refs = started(pool, 1)

    def tell_and_raise() -> Any:
        refs[0].tell("meanwhile")
        raise ZeroDivisionError

    refs[0].cell.actor.answer = tell_and_raise
    asked = Asking(pool, refs, "call").wait()
    assert isinstance(asked.errors[0], ZeroDivisionError)
    ping(refs[0], DEADLINE_SECONDS)
    assert refs[0].ask("then", timeout=DEADLINE_SECONDS)[0] == 2
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []
