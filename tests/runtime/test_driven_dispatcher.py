"""A dispatcher without workers: its owner takes the turns, and is called at most once until he comes."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pykka
import pytest

from handicapper.actors.runtime import (
    Dispatcher,
    Latch,
    LeanFuture,
    PooledRef,
    ping,
    scatter,
    scatter_gather,
    stop_in_reverse,
)

from .conftest import DEADLINE_SECONDS, Calls, Recorder, eventually, raising


def started(dispatcher: Dispatcher, count: int, log: list[Any]) -> list[PooledRef[Recorder]]:
    """Recorders whose first turn is over."""
    refs = [Recorder.start_on(dispatcher, log) for _ in range(count)]
    while dispatcher.run_ready(100):
        pass
    return refs


def test_nothing_runs_before_its_owner_comes_and_he_is_called_once(driven: Dispatcher, calls: Calls) -> None:
    log: list[Any] = []
    refs = started(driven, 3, log)
    before = calls.count
    for number, ref in enumerate(refs):
        ref.tell(number)
    assert (log, calls.count - before) == ([], 1)
    assert driven.run_ready(10) is False
    assert (log, calls.count - before) == ([0, 1, 2], 1)
    refs[0].tell("again")
    assert calls.count - before == 2


def test_scatter_calls_once_for_all(driven: Dispatcher, calls: Calls) -> None:
    log: list[Any] = []
    refs = started(driven, 50, log)
    before = calls.count
    scatter(driven, refs, lambda index: index)
    assert calls.count - before == 1
    assert driven.run_ready(100) is False
    assert log == list(range(50))


def test_turns_are_counted_and_whoever_is_told_that_more_wait_is_not_called_for_them(
    driven: Dispatcher, calls: Calls
) -> None:
    log: list[Any] = []
    refs = started(driven, 5, log)
    for ref in refs:
        ref.tell("mail")
    before = calls.count
    assert [driven.run_ready(2) for _ in range(3)] == [True, True, False]
    assert len(log) == 5
    assert calls.count == before


def test_work_that_comes_during_a_turn_is_told_by_the_answer_instead_of_a_call(
    driven: Dispatcher, calls: Calls
) -> None:
    log: list[Any] = []
    first, second = started(driven, 2, log)
    first.tell(lambda: second.tell("from within"))
    before = calls.count
    assert driven.run_ready(1) is True
    assert driven.run_ready(1) is False
    assert log == ["from within"]
    assert calls.count == before


def test_quantum_of_a_turn_holds_here_too(calls: Calls) -> None:
    dispatcher, log = Dispatcher("small", workers=0, quantum=10, wake=calls), []
    (ref,) = started(dispatcher, 1, log)
    for number in range(25):
        ref.tell(number)
    assert [dispatcher.run_ready(1) for _ in range(3)] == [True, True, False]
    assert log == list(range(25))
    assert dispatcher.stop(DEADLINE_SECONDS)


def test_actor_that_always_has_work_lets_its_owner_do_his_between_two_turns(driven: Dispatcher) -> None:
    log: list[Any] = []
    busy, other = started(driven, 2, log)

    def again() -> None:
        log.append("busy")
        busy.tell(again)

    busy.cell.scheduler.quantum = 1
    busy.tell(again)
    other.tell("other")
    assert driven.run_ready(100) is True
    assert log == ["busy", "other"]
    assert driven.run_ready(100) is True
    assert log == ["busy", "other", "busy"]
    assert busy.stop(timeout=DEADLINE_SECONDS, hard=True)


def test_blocking_ask_works_before_anybody_drives(driven: Dispatcher) -> None:
    inner = Recorder.start_on(driven)
    outer = Recorder.start_on(driven)
    ping(outer, DEADLINE_SECONDS)
    assert (
        outer.ask(lambda: inner.ask("inner", timeout=DEADLINE_SECONDS), timeout=DEADLINE_SECONDS) == "inner"
    )
    refs = [Recorder.start_on(driven) for _ in range(20)]
    gathered = scatter_gather(driven, refs, lambda _: threading.get_ident, timeout=DEADLINE_SECONDS)
    assert set(gathered.values.values()) == {threading.get_ident()}


def test_waiting_owner_runs_what_another_thread_makes_ready(driven: Dispatcher) -> None:
    """The owner waits for an answer that takes a turn of his own actors, and the turn's mail comes late."""
    (ref,) = started(driven, 1, [])
    answer: LeanFuture[str] = LeanFuture(ref.cell)

    def tell_late() -> None:
        eventually(lambda: bool(driven._idle.waiting))
        ref.tell(lambda: answer.set(threading.current_thread().name))

    other = threading.Thread(target=tell_late)
    other.start()
    assert answer.get(timeout=DEADLINE_SECONDS) == threading.current_thread().name
    other.join(DEADLINE_SECONDS)


def test_helper_that_leaves_work_undone_calls_the_owner(driven: Dispatcher, calls: Calls) -> None:
    log: list[Any] = []
    refs = started(driven, 3, log)
    driven.run_ready(1)
    before = calls.count
    scatter(driven, refs, lambda index: index, wake=False)
    assert calls.count == before
    flag = Latch()
    flag.set()
    assert driven.help_until(flag)
    assert calls.count == before + 1
    assert driven.run_ready(10) is False
    assert log == [0, 1, 2]


def test_call_that_raises_costs_whoever_brought_the_work_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def wake() -> None:
        raise RuntimeError("the loop is closed")

    dispatcher, log = Dispatcher("orphaned", workers=0, wake=wake), []
    ref: PooledRef[Any] = Recorder.start_on(dispatcher, log)
    with caplog.at_level(logging.ERROR):
        ref.tell("mail")
        ref.tell("more")
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert ref.ask("asked", timeout=DEADLINE_SECONDS) == "asked"
    assert log == ["mail", "more", "asked"]
    assert dispatcher.stop(DEADLINE_SECONDS)


def test_interrupt_in_a_turn_goes_to_the_owner_and_the_rest_is_called_for(
    driven: Dispatcher, calls: Calls
) -> None:
    log: list[Any] = []
    refs = started(driven, 2, log)
    asked = refs[0].ask(raising(KeyboardInterrupt()), block=False)
    refs[1].tell("after")
    before = calls.count
    with pytest.raises(KeyboardInterrupt):
        driven.run_ready(10)
    assert asked.exception() is not None
    assert calls.count == before + 1
    assert driven.run_ready(10) is False
    assert log == ["after"]


def test_stop_takes_the_turns_that_are_due_then_sends_mail_back(calls: Calls) -> None:
    dispatcher, log = Dispatcher("stopping", workers=0, wake=calls), []
    refs = [Recorder.start_on(dispatcher, log) for _ in range(3)]
    for ref in refs:
        ref.tell("due")
    assert dispatcher.stop(DEADLINE_SECONDS)
    assert log == ["due"] * 3
    with pytest.raises(pykka.ActorDeadError, match="dispatcher stopping was stopped"):
        refs[0].ask("late", timeout=DEADLINE_SECONDS)
    assert dispatcher.run_ready(10) is False


def test_actors_are_stopped_in_order_from_the_owners_thread(driven: Dispatcher) -> None:
    log: list[Any] = []
    refs = [Recorder.start_on(driven, log) for _ in range(10)]
    for ref in refs:
        ref.tell("mail")
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []
    assert (log.count("mail"), log.count("on_stop")) == (10, 10)


def test_sizes_and_wake_that_contradict_each_other_are_refused(dispatcher: Dispatcher) -> None:
    with pytest.raises(ValueError, match="with wake expected 0"):
        Dispatcher("both", workers=1, wake=print)
    with pytest.raises(ValueError, match="with wake expected 0"):
        Dispatcher("unhelped", workers=0, helped=False, wake=print)
    with pytest.raises(ValueError, match="workers was 0"):
        Dispatcher("none", workers=0)
    with pytest.raises(RuntimeError, match="has workers"):
        dispatcher.run_ready(1)
    started_twice = Dispatcher("twice", workers=0, wake=print)
    started_twice.start()
    with pytest.raises(RuntimeError, match="started before"):
        started_twice.start()
    assert started_twice.stop(0)
