"""Scatter and gather: exactly one completion, one deadline, and names for what is missing."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pykka
import pytest

from handicapper.actors.runtime import Dispatcher, Gather, Gathered, scatter, scatter_gather
from handicapper.protocol.errors import BusyError

from .conftest import DEADLINE_SECONDS, Gate, Recorder, eventually, raising


def test_gather_completes_with_the_last_reply_in_the_order_of_the_keys() -> None:
    results: list[Gathered[str, int]] = []
    gather: Gather[str, int] = Gather(["a", "b", "c"], results.append)
    for index in (2, 0, 1):
        assert results == []
        gather.deliver(index, index * 10)
    assert results == [Gathered({"a": 0, "b": 10, "c": 20}, {}, ())]
    assert list(results[0].values) == ["a", "b", "c"]
    assert results[0].complete


def test_gather_of_nobody_is_complete_at_once() -> None:
    results: list[Any] = []
    assert Gather(0, results.append).result() == Gathered({}, {}, ())
    assert len(results) == 1


def test_gather_counts_a_second_reply_of_the_same_index_once() -> None:
    gather: Gather[int, str] = Gather(2)
    gather.deliver(0, "first")
    gather.deliver(0, "second")
    assert not gather.completed.is_set()
    gather.deliver(1, "other")
    assert gather.result().values == {0: "first", 1: "other"}


def test_gather_expired_names_the_missing_and_ignores_late_replies() -> None:
    results: list[Any] = []
    gather: Gather[str, int] = Gather(["a", "b", "c"], results.append)
    gather.deliver(1, 5)
    assert gather.expire() is True
    gather.deliver(0, 1)
    gather.deliver(2, 2)
    assert gather.expire() is False
    assert results == [Gathered({"b": 5}, {}, ("a", "c"))]
    assert gather.result() is results[0]


def test_gather_keeps_errors_apart_from_values_and_missing() -> None:
    gather: Gather[str, int] = Gather(["a", "b", "c"])
    error = ValueError("no posterior")
    gather.fail(0, error)
    gather.deliver(2, 1)
    gather.expire()
    assert gather.result() == Gathered({"c": 1}, {"a": error}, ("b",))
    assert not gather.result().complete


def test_gather_with_a_none_reply_has_a_value() -> None:
    gather: Gather[int, None] = Gather(1)
    gather.deliver(0, None)
    assert gather.result() == Gathered({0: None}, {}, ())


@pytest.mark.parametrize("index", [-1, 2])
def test_gather_refuses_an_index_nobody_was_asked_under(index: int) -> None:
    gather: Gather[int, int] = Gather(2)
    with pytest.raises(IndexError, match=f"index was {index}; expected 0 to 1"):
        gather.deliver(index, 0)


def test_gather_result_before_completion_is_an_error() -> None:
    gather: Gather[int, int] = Gather(2)
    gather.deliver(0, 0)
    with pytest.raises(RuntimeError, match="1 of 2 replies"):
        gather.result()


def test_gather_on_complete_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    Gather(1, lambda _: 1 / 0).deliver(0, 1)
    assert "ZeroDivisionError" in caplog.text


def test_gather_completes_exactly_once_among_threads_and_an_expiry() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        for _ in range(50):
            results: list[Gathered[int, int]] = []
            gather: Gather[int, int] = Gather(40, results.append)
            barrier = threading.Barrier(5)

            def deliver(start: int, gather: Any = gather, barrier: Any = barrier) -> None:
                barrier.wait(DEADLINE_SECONDS)
                for index in range(start, 40, 4):
                    gather.deliver(index, index)

            def expire(gather: Any = gather, barrier: Any = barrier) -> None:
                barrier.wait(DEADLINE_SECONDS)
                gather.expire()

            threads = [threading.Thread(target=deliver, args=(start,)) for start in range(4)]
            threads.append(threading.Thread(target=expire))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE_SECONDS)
            (result,) = results
            assert sorted([*result.values, *result.missing]) == list(range(40))
            assert all(key == value for key, value in result.values.items())
    finally:
        sys.setswitchinterval(before)


def test_scatter_gather_at_its_deadline_names_the_actors_that_did_not_answer(dispatcher: Dispatcher) -> None:
    refs = [Recorder.start_on(dispatcher) for _ in range(4)]
    refs[1].cell.suspend()
    refs[3].cell.suspend()
    gathered = scatter_gather(dispatcher, refs, lambda index: index, list("abcd"), timeout=0.01)
    assert gathered == Gathered({"a": 0, "c": 2}, {}, ("b", "d"))


def test_scatter_gather_without_helping_is_done_by_the_workers(unhelped: Dispatcher) -> None:
    refs = [Recorder.start_on(unhelped) for _ in range(50)]
    gathered = scatter_gather(
        unhelped, refs, lambda _: lambda: threading.current_thread().name, timeout=DEADLINE_SECONDS
    )
    assert set(gathered.values.values()) == {f"{unhelped.name}-0"}


def test_scatter_gather_reports_raised_dead_and_busy_per_actor_at_once(dispatcher: Dispatcher) -> None:
    dead, broken, full, well = (Recorder.start_on(dispatcher, name=name, messages_max=2) for name in "dbfw")
    dead.stop(timeout=DEADLINE_SECONDS)
    full.cell.suspend()
    full.tell(1)
    full.tell(2)
    messages = ["x", raising(ValueError("broken")), "x", "x"]
    gathered = scatter_gather(
        dispatcher, [dead, broken, full, well], messages.__getitem__, list("dbfw"), timeout=DEADLINE_SECONDS
    )
    assert gathered.values == {"w": "x"}
    assert {key: type(error) for key, error in gathered.errors.items()} == {
        "d": pykka.ActorDeadError,
        "b": ValueError,
        "f": BusyError,
    }
    assert gathered.missing == ()


def test_scatter_without_waiting_completes_by_callback_on_a_worker(dispatcher: Dispatcher) -> None:
    done, threads = threading.Event(), []

    def on_complete(gathered: Gathered[Any, Any]) -> None:
        threads.append(threading.current_thread().name)
        done.set()

    refs = [Recorder.start_on(dispatcher) for _ in range(100)]
    scatter(dispatcher, refs, lambda index: index, Gather(100, on_complete))
    assert done.wait(DEADLINE_SECONDS)
    assert threads == [f"{dispatcher.name}-0"]


def test_scatter_reaches_actors_of_another_dispatcher_too(
    dispatcher: Dispatcher, unhelped: Dispatcher
) -> None:
    refs = [Recorder.start_on(dispatcher), Recorder.start_on(unhelped)]
    gathered = scatter_gather(dispatcher, refs, lambda index: index, timeout=DEADLINE_SECONDS)
    assert gathered.values == {0: 0, 1: 1}


def test_scatter_of_tells_with_a_full_mailbox_serves_the_others_then_says_busy(
    dispatcher: Dispatcher,
) -> None:
    logs: list[list[Any]] = [[], [], []]
    refs = [Recorder.start_on(dispatcher, log, messages_max=1) for log in logs]
    refs[1].cell.suspend()
    refs[1].tell("fills it")
    with pytest.raises(BusyError):
        scatter(dispatcher, refs, lambda index: index)
    eventually(lambda: logs == [[0], [], [2]])


def test_scatter_whose_message_maker_raises_still_schedules_those_before(dispatcher: Dispatcher) -> None:
    log: list[Any] = []
    refs = [Recorder.start_on(dispatcher, log), Recorder.start_on(dispatcher, log)]
    with pytest.raises(IndexError):
        scatter(dispatcher, refs, ["only one"].__getitem__)
    eventually(lambda: log == ["only one"])


def test_gather_in_flight_when_the_dispatcher_stops_reports_dead_actors() -> None:
    dispatcher, gate = Dispatcher("going"), Gate()
    dispatcher.start()
    busy, other = Recorder.start_on(dispatcher), Recorder.start_on(dispatcher)
    busy.tell(gate)
    gate.wait_entered()
    gather: Gather[int, Any] = Gather(1)
    scatter(dispatcher, [other], lambda index: index, gather)
    assert dispatcher.stop(timeout=0) is False
    gate.release()
    gathered = gather.wait(DEADLINE_SECONDS)
    assert isinstance(gathered.errors[0], pykka.ActorDeadError)
