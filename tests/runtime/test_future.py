"""Futures and latches alone, and against pykka's own future."""

from __future__ import annotations

import queue
import sys
import threading
from typing import Any

import pykka
import pytest

from handicapper.actors.runtime import Latch, LeanFuture

from .conftest import DEADLINE_SECONDS


def test_future_gives_its_value_as_often_as_asked() -> None:
    future: LeanFuture[int] = LeanFuture()
    future.set(1)
    assert (future.get(), future.get(timeout=0)) == (1, 1)
    assert future.exception() is None


def test_future_first_set_wins() -> None:
    future: LeanFuture[int] = LeanFuture()
    future.set(1)
    future.set(2)
    future.set_exception((ValueError, ValueError("late"), None))
    assert future.get() == 1


def test_future_first_set_wins_among_threads() -> None:
    """Of eight threads that set at once exactly one value is seen, by every reader."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        for _ in range(50):
            future: LeanFuture[int] = LeanFuture()
            seen: list[int] = []
            future.add_done_callback(lambda done, seen=seen: seen.append(done.get(timeout=0)))
            barrier = threading.Barrier(8)

            def give(number: int, barrier: Any = barrier, future: Any = future) -> None:
                barrier.wait(DEADLINE_SECONDS)
                future.set(number)

            threads = [threading.Thread(target=give, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(DEADLINE_SECONDS)
            assert seen == [future.get(timeout=0)]
    finally:
        sys.setswitchinterval(before)


def test_future_without_value_times_out_with_pykkas_timeout() -> None:
    future: LeanFuture[int] = LeanFuture()
    for timeout in (0, -1, 1e-4):
        with pytest.raises(pykka.Timeout):
            future.get(timeout=timeout)


def test_future_wakes_a_sleeping_getter() -> None:
    future: LeanFuture[str] = LeanFuture()
    got: list[Any] = []
    asleep = threading.Thread(target=lambda: got.append(future.get(timeout=DEADLINE_SECONDS)))
    asleep.start()
    while not future._callbacks:
        threading.Event().wait(0)
    future.set("awake")
    asleep.join(DEADLINE_SECONDS)
    assert got == ["awake"]


def test_future_set_exception_takes_the_one_being_handled() -> None:
    future: LeanFuture[int] = LeanFuture()
    try:
        raise KeyError("here")
    except KeyError:
        future.set_exception()
    with pytest.raises(KeyError, match="here"):
        future.get()
    assert isinstance(future.exception(), KeyError)


@pytest.mark.parametrize("make", [LeanFuture, pykka.ThreadingFuture])
def test_future_combinators_work_as_in_pykka(make: type[pykka.Future[Any]]) -> None:
    first, second = make(), make()
    joined = first.join(second)
    filtered, mapped, reduced = (
        first.filter(lambda x: x > 1),
        first.map(len),
        first.reduce(lambda x, y: x + y, 10),
    )
    first.set([1, 2, 3])
    second.set("b")
    assert joined.get() == [[1, 2, 3], "b"]
    assert filtered.get() == [2, 3]
    assert mapped.get() == 3
    assert reduced.get() == 16
    assert pykka.get_all([first, second]) == [[1, 2, 3], "b"]


def test_future_hook_runs_once_and_after_a_timeout_again() -> None:
    future: LeanFuture[int] = LeanFuture()
    calls: list[float | None] = []

    def hook(timeout: float | None) -> int:
        calls.append(timeout)
        if len(calls) == 1:
            raise pykka.Timeout
        return 7

    future.set_get_hook(hook)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=1)
    assert (future.get(timeout=2), future.get(timeout=3)) == (7, 7)
    assert calls == [1, 2]


def test_future_with_a_value_refuses_a_hook_as_pykka_does() -> None:
    future: LeanFuture[int] = LeanFuture()
    future.set(1)
    with pytest.raises(queue.Full):
        future.set_get_hook(lambda _: 2)


def test_future_callbacks_run_once_in_order_before_and_after_completion() -> None:
    future: LeanFuture[int] = LeanFuture()
    calls: list[Any] = []
    future.add_done_callback(lambda done: calls.append(("a", done.get())))
    future.add_done_callback(lambda done: calls.append(("b", done.get())))
    assert calls == []
    future.set(1)
    future.add_done_callback(lambda done: calls.append(("c", done.get())))
    assert calls == [("a", 1), ("b", 1), ("c", 1)]


def test_future_callback_that_raises_is_logged_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    future: LeanFuture[int] = LeanFuture()
    calls: list[int] = []
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda done: calls.append(done.get()))
    future.set(1)
    assert calls == [1]
    assert "ZeroDivisionError" in caplog.text


def test_latch_wakes_all_sleepers() -> None:
    latch = Latch()
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(latch.wait(DEADLINE_SECONDS))) for _ in range(5)]
    for thread in threads:
        thread.start()
    latch.set()
    latch.set()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert woken == [True] * 5


def test_latch_that_timed_out_keeps_nothing_of_the_sleeper() -> None:
    latch = Latch()
    assert latch.wait(1e-4) is False
    assert latch._callbacks == []
    assert latch.wait(0) is False
    assert not latch.is_set()


def test_latch_callback_added_later_runs_at_once() -> None:
    latch, calls = Latch(), []
    latch.add_callback(lambda: calls.append(1))
    latch.set()
    latch.add_callback(lambda: calls.append(2))
    assert calls == [1, 2]
