"""Restart intensity as a pure rule; order and bounds of starting and stopping."""

from __future__ import annotations

from typing import Any

import pykka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.runtime import (
    Dispatcher,
    Failure,
    PooledActor,
    PooledRef,
    RestartIntensity,
    ping,
    start_in_order,
    stop_in_reverse,
)

from .conftest import DEADLINE_SECONDS, Gate, Recorder


@given(
    gaps=st.lists(st.floats(0.0, 50.0), max_size=60),
    restarts_max=st.integers(0, 5),
    period_seconds=st.floats(0.1, 100.0),
)
def test_no_period_ever_holds_more_than_the_allowed_restarts(
    gaps: list[float], restarts_max: int, period_seconds: float
) -> None:
    """Against a reference that keeps every restart and counts those in the window before each failure."""
    intensity, remembered, every, now = RestartIntensity(restarts_max, period_seconds), (), [], 0.0
    for gap in gaps:
        now += gap
        allowed = sum(now - at < period_seconds for at in every) < restarts_max
        restart, remembered = intensity.decide(remembered, now)
        assert restart is allowed
        assert len(remembered) <= restarts_max
        if restart:
            every.append(now)


def test_restart_intensity_of_zero_never_restarts() -> None:
    assert RestartIntensity(0, 60.0).decide((), 1.0) == (False, ())


def test_supervisor_restarts_until_the_intensity_is_reached_then_gives_up(dispatcher: Dispatcher) -> None:
    """The pieces together: an actor that fails on every message, restarted twice, then stopped."""

    class Doomed(PooledActor):
        def on_receive(self, message: Any) -> None:
            raise ValueError("doomed")

    intensity, remembered = RestartIntensity(2, 60.0), ()

    def supervise(failure: Failure) -> None:
        nonlocal remembered
        restart, remembered = intensity.decide(remembered, now=1.0)
        if restart:
            failure.resume(retry=True, actor=Doomed())
        else:
            failure.stop()

    ref = Doomed.start_on(dispatcher, name="doomed", on_failure=supervise)
    ref.tell("x")
    assert ref.stopped.wait(DEADLINE_SECONDS)
    (letter,) = dispatcher.dead_letters.latest()
    assert (letter.attempts, letter.recipient) == (3, "doomed")


def test_start_in_order_waits_for_each_before_the_next(dispatcher: Dispatcher) -> None:
    log: list[str] = []

    class Logged(PooledActor):
        def on_start(self) -> None:
            log.append(f"{self.actor_urn} up")

        def on_stop(self) -> None:
            log.append(f"{self.actor_urn} down")

    def starter(name: str) -> Any:
        def start() -> PooledRef[Any]:
            log.append(f"{name} starting")
            return Logged.start_on(dispatcher, name=name)

        return start

    refs = start_in_order(map(starter, "ab"), start_timeout=DEADLINE_SECONDS, stop_timeout=DEADLINE_SECONDS)
    assert stop_in_reverse(refs, timeout=DEADLINE_SECONDS) == []
    assert log == ["a starting", "a up", "b starting", "b up", "b down", "a down"]


def test_start_in_order_when_one_fails_stops_the_others_and_raises_its_reason(dispatcher: Dispatcher) -> None:
    class Unable(PooledActor):
        def on_start(self) -> None:
            raise OSError("disk on fire")

    first = Recorder.start_on(dispatcher)
    with pytest.raises(pykka.ActorDeadError, match="disk on fire"):
        start_in_order(
            [lambda: first, lambda: Unable.start_on(dispatcher), lambda: pytest.fail("must not start")],
            start_timeout=DEADLINE_SECONDS,
            stop_timeout=DEADLINE_SECONDS,
        )
    assert not first.is_alive()


def test_stop_in_reverse_stops_those_hard_that_do_not_make_it(unhelped: Dispatcher) -> None:
    log: list[Any] = []
    suspended, well = Recorder.start_on(unhelped, log), Recorder.start_on(unhelped)
    suspended.cell.suspend()
    suspended.tell("never handled")
    assert stop_in_reverse([suspended, well], timeout=0.05) == [suspended]
    assert suspended.stopped.wait(DEADLINE_SECONDS)
    assert log == ["on_stop"]
    assert not well.is_alive()


def test_ping_of_a_busy_actor_times_out(unhelped: Dispatcher) -> None:
    ref, gate = Recorder.start_on(unhelped), Gate()
    ref.tell(gate)
    gate.wait_entered()
    with pytest.raises(pykka.Timeout):
        ping(ref, 0)
    gate.release()
    ping(ref, DEADLINE_SECONDS)
