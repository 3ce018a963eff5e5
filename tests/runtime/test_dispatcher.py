"""Turns, fairness, helping, and stopping a dispatcher."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pykka
import pytest
from pykka._envelope import Envelope

from handicapper.actors.runtime import (
    Dispatcher,
    Latch,
    LeanFuture,
    PooledActor,
    PooledRef,
    ping,
    scatter_gather,
    stop_in_reverse,
)
from handicapper.actors.runtime.dispatcher import HELP_DEPTH_MAX

from .conftest import DEADLINE_SECONDS, Gate, Recorder, eventually


def test_flooded_actor_does_not_starve_others(make_dispatcher: Callable[..., Dispatcher]) -> None:
    """With a quantum of 10, the second actor's one message waits for 10 of the 1,000 before it at most."""
    dispatcher = make_dispatcher(quantum=10, helped=False)
    log: list[str] = []
    flooded, modest, gate = Recorder.start_on(dispatcher, log), Recorder.start_on(dispatcher, log), Gate()
    flooded.tell(gate)
    gate.wait_entered()
    for _ in range(1_000):
        flooded.tell("flood")
    modest.tell("modest")
    gate.release()
    ping(flooded, DEADLINE_SECONDS)
    assert log.index("modest") <= 10
    assert log.count("flood") == 1_000


def test_actor_that_keeps_telling_itself_does_not_starve_others(unhelped: Dispatcher) -> None:
    class Endless(PooledActor):
        def on_receive(self, message: Any) -> None:
            self.actor_ref.tell(message)

    endless, modest = Endless.start_on(unhelped), Recorder.start_on(unhelped)
    endless.tell("again")
    assert modest.ask("me too", timeout=DEADLINE_SECONDS) == "me too"
    assert endless.stop(timeout=DEADLINE_SECONDS, hard=True)


def test_actor_is_run_by_one_thread_at_a_time_whoever_helps(
    make_dispatcher: Callable[..., Dispatcher],
) -> None:
    class Exclusive(PooledActor):
        def __init__(self) -> None:
            super().__init__()
            self.inside = threading.Lock()

        def on_receive(self, message: Any) -> bool:
            alone = self.inside.acquire(False)
            if alone:
                sum(range(50))
                self.inside.release()
            return alone

    dispatcher = make_dispatcher(workers=2)
    refs = [Exclusive.start_on(dispatcher) for _ in range(3)]
    answers: list[bool] = []

    def ask_all() -> None:
        answers.extend(refs[number % 3].ask(number, timeout=DEADLINE_SECONDS) for number in range(200))

    threads = [threading.Thread(target=ask_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert answers == [True] * 800


def test_caller_helps_while_the_only_worker_is_busy(dispatcher: Dispatcher) -> None:
    busy, gate = Recorder.start_on(dispatcher), Gate()
    busy.tell(gate)
    gate.wait_entered()
    refs = [Recorder.start_on(dispatcher) for _ in range(20)]
    gathered = scatter_gather(dispatcher, refs, lambda _: threading.get_ident, timeout=DEADLINE_SECONDS)
    assert set(gathered.values.values()) == {threading.get_ident()}
    gate.release()


def test_helper_that_leaves_hands_the_rest_to_a_worker(dispatcher: Dispatcher) -> None:
    """A flag that is set from the start: the helper runs nothing, so a worker has to."""
    ref = Recorder.start_on(dispatcher)
    eventually(lambda: bool(dispatcher._idle.waiting))
    future: LeanFuture[Any] = LeanFuture()
    assert ref.cell.offer(Envelope(threading.get_ident, future))
    dispatcher.schedule_all([ref.cell], wake=False)
    flag = Latch()
    flag.set()
    assert dispatcher.help_until(flag)
    assert future.wait(DEADLINE_SECONDS)
    assert future.get() != threading.get_ident()


def test_help_until_a_timeout_returns_false(dispatcher: Dispatcher) -> None:
    assert dispatcher.help_until(Latch(), timeout=0) is False
    assert dispatcher.help_until(Latch(), timeout=-1.0) is False
    assert dispatcher.help_until(Latch(), timeout=1e-4) is False


def test_handler_that_asks_an_actor_of_the_same_single_worker_gets_its_answer(
    make_dispatcher: Callable[..., Dispatcher],
) -> None:
    dispatcher = make_dispatcher()
    inner = Recorder.start_on(dispatcher)
    outer = Recorder.start_on(dispatcher)
    future = outer.ask(lambda: inner.ask("inner", timeout=DEADLINE_SECONDS), block=False)
    assert future.wait(DEADLINE_SECONDS)  # asleep, not helping: the worker has to manage alone
    assert future.get() == "inner"


def test_worker_waiting_inside_a_handler_runs_what_becomes_ready_later(dispatcher: Dispatcher) -> None:
    """The answer it waits for is given by an actor that is told only once the worker is asleep."""
    answer: LeanFuture[str] = LeanFuture()
    waiter = Recorder.start_on(dispatcher)
    answer.waiting = waiter.cell
    done = waiter.ask(lambda: answer.get(timeout=DEADLINE_SECONDS), block=False)
    eventually(lambda: bool(dispatcher._idle.waiting) and waiter.cell._idle.locked())
    giver = Recorder.start_on(dispatcher)
    giver.tell(lambda: answer.set("given"))
    assert done.wait(DEADLINE_SECONDS)
    assert done.get() == "given"


def test_flood_of_asks_within_asks_does_not_exhaust_the_stack(
    make_dispatcher: Callable[..., Dispatcher],
) -> None:
    """2,000 handlers wait for one actor that is busy in another thread: waits nest, but only so deep."""
    dispatcher = make_dispatcher()
    hub, gate = Recorder.start_on(dispatcher), Gate()
    depth_seen: list[int] = []

    def ask_hub() -> Any:
        depth_seen.append(dispatcher._nesting.depth)
        return hub.ask("x", timeout=DEADLINE_SECONDS)

    occupied = threading.Thread(target=hub.ask, args=(gate,), kwargs={"timeout": DEADLINE_SECONDS})
    occupied.start()
    gate.wait_entered()
    refs = [Recorder.start_on(dispatcher) for _ in range(2_000)]
    futures = [ref.ask(ask_hub, block=False) for ref in refs]
    eventually(lambda: bool(dispatcher._deep.waiting))
    gate.release()
    for future in futures:
        assert future.wait(DEADLINE_SECONDS)
        assert future.get() == "x"
    occupied.join(DEADLINE_SECONDS)
    assert max(depth_seen) <= HELP_DEPTH_MAX


def test_ten_thousand_actors_start_answer_and_stop(dispatcher: Dispatcher) -> None:
    class Doubler(PooledActor):
        def on_receive(self, message: int) -> int:
            return 2 * message

    before = threading.active_count()
    refs = [Doubler.start_on(dispatcher, name=f"model/{number}") for number in range(10_000)]
    assert threading.active_count() == before
    gathered = scatter_gather(
        dispatcher, refs, lambda index: index, [str(ref) for ref in refs], timeout=DEADLINE_SECONDS
    )
    assert gathered.complete
    assert gathered.values["model/9999"] == 19_998
    assert list(gathered.values) == [str(ref) for ref in refs]
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []
    assert not any(ref.is_alive() for ref in refs)


def test_mail_sent_before_start_is_handled_after_it() -> None:
    dispatcher, log = Dispatcher("late"), []
    ref: PooledRef[Any] = Recorder.start_on(dispatcher, log)
    ref.tell("early")
    assert log == []
    dispatcher.start()
    ping(ref, DEADLINE_SECONDS)
    assert log == ["early"]
    assert dispatcher.stop(DEADLINE_SECONDS)


def test_stop_drains_what_is_due_then_sends_late_mail_back_and_runs_on_stop() -> None:
    dispatcher, log, gate = Dispatcher("d"), [], Gate()
    dispatcher.start()
    ref: PooledRef[Any] = Recorder.start_on(dispatcher, log, name="a")
    ref.tell(gate)
    gate.wait_entered()
    for number in range(100):
        ref.tell(number)
    gate.release()
    assert dispatcher.stop(DEADLINE_SECONDS)
    assert log == list(range(100))
    ref.tell("late")
    with pytest.raises(pykka.ActorDeadError, match="dispatcher d was stopped"):
        ref.ask("later", timeout=DEADLINE_SECONDS)
    assert [letter.message for letter in dispatcher.dead_letters.latest()] == ['"late"']
    assert log[-1] == "on_stop"


def test_stop_does_not_wait_longer_than_its_timeout_for_a_stuck_handler() -> None:
    dispatcher, gate = Dispatcher("stuck", quantum=1), Gate()
    dispatcher.start()
    ref = Recorder.start_on(dispatcher)
    ref.tell(gate)
    gate.wait_entered()
    asked = ref.ask("never handled", block=False)
    assert dispatcher.stop(timeout=0) is False
    gate.release()
    assert asked.wait(DEADLINE_SECONDS)
    assert isinstance(asked.exception(), pykka.ActorDeadError)


def test_stop_from_a_handler_of_its_own_does_not_wait_for_itself() -> None:
    dispatcher = Dispatcher("own", helped=False)
    dispatcher.start()
    ref = Recorder.start_on(dispatcher)
    future = ref.ask(lambda: dispatcher.stop(DEADLINE_SECONDS), block=False)
    assert future.get(timeout=DEADLINE_SECONDS) is True


def test_start_twice_and_nonsense_sizes_are_refused() -> None:
    dispatcher = Dispatcher("twice")
    dispatcher.start()
    with pytest.raises(RuntimeError, match="started before"):
        dispatcher.start()
    assert dispatcher.stop(DEADLINE_SECONDS)
    with pytest.raises(ValueError, match="workers was 0"):
        Dispatcher("none", workers=0)
    with pytest.raises(ValueError, match="quantum 0"):
        Dispatcher("none", quantum=0)


def test_workers_are_daemons_so_that_a_forgotten_dispatcher_does_not_keep_the_process() -> None:
    dispatcher = Dispatcher("forgotten", workers=2)
    dispatcher.start()
    assert all(thread.daemon for thread in dispatcher._threads)
    assert dispatcher.stop(DEADLINE_SECONDS)


def test_blocking_actor_on_a_private_dispatcher_is_run_by_its_thread_only(unhelped: Dispatcher) -> None:
    ref = Recorder.start_on(unhelped)
    names = {ref.ask(threading.current_thread, timeout=DEADLINE_SECONDS).name for _ in range(20)}
    assert names == {f"{unhelped.name}-0"}
    with pytest.raises(pykka.Timeout):
        gate = Gate()
        ref.tell(gate)
        gate.wait_entered()
        try:
            ref.ask("x", timeout=0.001)
        finally:
            gate.release()
