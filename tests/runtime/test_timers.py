"""Timers by a manual clock where time matters, by the real thread where threads matter."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from handicapper.actors.runtime import ManualClock, Timers

from .conftest import DEADLINE_SECONDS


def test_call_after_is_made_once_when_due_and_not_before() -> None:
    clock, calls = ManualClock(), []
    timers = Timers(clock)
    timers.call_after(5.0, lambda: calls.append("five"))
    clock.advance(4.9)
    assert timers.run_due() == 0
    clock.advance(0.1)
    assert timers.run_due() == 1
    clock.advance(100.0)
    assert timers.run_due() == 0
    assert calls == ["five"]


def test_calls_due_together_are_made_in_order_of_time_then_of_creation() -> None:
    clock, calls = ManualClock(), []
    timers = Timers(clock)
    for name, seconds in (("c", 3.0), ("a", 1.0), ("b1", 2.0), ("b2", 2.0)):
        timers.call_after(seconds, lambda name=name: calls.append(name))
    clock.advance(10.0)
    assert timers.run_due() == 4
    assert calls == ["a", "b1", "b2", "c"]


def test_call_every_keeps_its_rhythm_whatever_the_delay_of_each_call() -> None:
    clock, calls = ManualClock(), []
    timers = Timers(clock)
    handle = timers.call_every(10.0, lambda: calls.append(clock.monotonic()))
    for _ in range(4):
        clock.advance(10.5)
        timers.run_due()
    assert calls == [10.5, 21.0, 31.5, 42.0]
    assert handle.due == 50.0


def test_call_every_after_a_pause_is_made_once_and_skips_what_was_missed() -> None:
    clock, calls = ManualClock(), []
    timers = Timers(clock)
    handle = timers.call_every(1.0, lambda: calls.append(clock.monotonic()))
    clock.advance(3_600.5)
    assert timers.run_due() == 1
    assert calls == [3_600.5]
    assert handle.due == 3_601.0


def test_period_below_the_resolution_of_the_clock_is_not_made_endlessly() -> None:
    clock = ManualClock(monotonic=1e9)
    timers = Timers(clock)
    timers.call_every(1e-12, lambda: None)
    clock.advance(1.0)
    assert timers.run_due() == 1


def test_wall_clock_jump_has_no_effect() -> None:
    clock, calls = ManualClock(), []
    timers = Timers(clock)
    timers.call_after(5.0, lambda: calls.append(1))
    clock.set_wall(10**18)
    assert timers.run_due() == 0
    clock.set_wall(-(10**18))
    clock.advance(5.0)
    assert timers.run_due() == 1


def test_cancelled_timers_are_not_called() -> None:
    clock, calls = ManualClock(), []
    timers = Timers(clock)
    once = timers.call_after(1.0, lambda: calls.append("once"))
    every = timers.call_every(1.0, lambda: calls.append(every.cancel()))
    once.cancel()
    clock.advance(1.0)
    assert timers.run_due() == 1  # the periodic one, which cancels itself
    clock.advance(10.0)
    assert timers.run_due() == 0
    assert calls == [None]
    assert every.cancelled


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1)])
def test_callback_that_raises_is_reported_and_the_others_go_on(error: BaseException) -> None:
    clock, calls, reported = ManualClock(), [], []
    timers = Timers(clock, on_error=lambda callback, raised: reported.append((callback, raised)))

    def broken() -> None:
        raise error

    timers.call_every(1.0, broken)
    timers.call_every(1.0, lambda: calls.append(1))
    for _ in range(3):
        clock.advance(1.0)
        timers.run_due()
    assert calls == [1, 1, 1]
    assert reported == [(broken, error)] * 3


def test_error_without_a_handler_and_error_in_a_handler_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("broken")

    for timers in (Timers(ManualClock()), Timers(ManualClock(), on_error=broken)):
        timers.call_after(0.0, broken)
        assert timers.run_due() == 1
    assert "timer callback" in caplog.text
    assert "on_error of timers raised" in caplog.text


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_period_that_is_not_positive_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="a period has to be positive"):
        Timers(ManualClock()).call_every(seconds, lambda: None)


def test_thread_makes_an_earlier_call_added_while_it_sleeps_for_a_later_one() -> None:
    timers, called = Timers(), threading.Event()
    timers.start()
    timers.call_after(3_600.0, lambda: None)
    timers.call_after(0.001, called.set)
    assert called.wait(DEADLINE_SECONDS)
    assert timers.stop(DEADLINE_SECONDS)


def test_thread_survives_a_callback_that_raises_and_one_that_exits(caplog: pytest.LogCaptureFixture) -> None:
    def leave() -> None:
        raise SystemExit(1)

    timers, called = Timers(), threading.Event()
    timers.start()
    timers.call_after(0.0, lambda: 1 / 0)
    timers.call_after(0.0, leave)
    timers.call_after(0.0, called.set)
    assert called.wait(DEADLINE_SECONDS)
    assert timers.stop(DEADLINE_SECONDS)
    assert "ZeroDivisionError" in caplog.text


def test_thread_repeats_a_periodic_call() -> None:
    timers, calls, thrice = Timers(), [], threading.Event()

    def call() -> None:
        calls.append(threading.current_thread().name)
        if len(calls) == 3:
            thrice.set()

    timers.start()
    timers.call_every(0.001, call)
    assert thrice.wait(DEADLINE_SECONDS)
    assert timers.stop(DEADLINE_SECONDS)
    assert set(calls) == {"timers"}


def test_stop_makes_no_further_call_and_may_be_called_by_a_callback() -> None:
    timers, stopped = Timers(), threading.Event()
    timers.start()

    def stop() -> None:
        timers.stop()
        stopped.set()

    timers.call_after(0.0, stop)
    assert stopped.wait(DEADLINE_SECONDS)
    assert timers.stop(DEADLINE_SECONDS)
    timers.call_after(0.0, lambda: pytest.fail("called after stop"))
    assert timers.run_due() == 0


def test_start_twice_is_refused() -> None:
    timers = Timers()
    timers.start()
    with pytest.raises(RuntimeError, match="started before"):
        timers.start()
    assert timers.stop(DEADLINE_SECONDS)
