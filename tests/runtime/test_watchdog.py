"""Handlers that do not return: noticed by name, message and duration, and stood in for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handicapper.actors.runtime import Dispatcher, PooledActor, PooledRef
from handicapper.actors.runtime.cell import Cell
from handicapper.actors.runtime.clock import ManualClock
from handicapper.actors.runtime.watchdog import Stuck, Watchdog, stack_of

from .conftest import DEADLINE_SECONDS, Gate, Recorder, eventually


class Bench:
    """A watchdog on a manual clock, and what it said."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.refs: list[PooledRef[Any]] = []
        self.said: list[tuple[str, Stuck]] = []
        self.watchdog = Watchdog(
            self.clock,
            10.0,
            self._cells,
            lambda stuck: self.said.append(("stuck", stuck)),
            lambda stuck: self.said.append(("freed", stuck)),
        )

    def _cells(self) -> Iterator[Cell]:
        return iter([ref.cell for ref in self.refs])

    def looks(self, *seconds: float) -> None:
        for each in seconds:
            self.clock.advance(each)
            self.watchdog.look()

    def told(self) -> list[tuple[str, str, str, float]]:
        told = [(what, stuck.name, stuck.message, stuck.seconds) for what, stuck in self.said]
        self.said.clear()
        return told


@pytest.fixture
def bench() -> Bench:
    return Bench()


class Batcher(PooledActor):
    def on_batch(self, envelopes: list[Any]) -> None:
        for envelope in envelopes:
            envelope.message()


def test_handler_that_does_not_return_is_told_once_with_message_and_duration_and_so_is_its_end(
    dispatcher: Dispatcher, bench: Bench
) -> None:
    ref, gate = Recorder.start_on(dispatcher, name="model/a"), Gate()
    bench.refs.append(ref)
    ref.tell(gate)
    gate.wait_entered()
    bench.looks(0.0, 9.0)
    assert bench.told() == []
    bench.looks(1.0, 5.0)
    assert bench.told() == [("stuck", "model/a", "Gate", 10.0)]
    assert [(s.name, s.seconds) for s in bench.watchdog.stuck] == [("model/a", 15.0)]
    gate.release()
    assert ref.ask("after", timeout=DEADLINE_SECONDS) == "after"
    eventually(lambda: ref.cell.handling is None)
    bench.looks(1.0)
    assert bench.told() == [("freed", "model/a", "Gate", 16.0)]
    assert bench.watchdog.stuck == ()


@pytest.mark.parametrize("kind", ["batch", "retry", "on_start", "idle"])
def test_every_way_into_a_handler_is_watched(dispatcher: Dispatcher, bench: Bench, kind: str) -> None:
    gate, tries = Gate(), []

    class Starting(Recorder):
        def on_start(self) -> None:
            gate()

    def fails_first() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("once")
        gate()

    def retry(failure: Any) -> None:
        failure.resume(retry=True)

    if kind == "batch":
        ref: PooledRef[Any] = Batcher.start_on(dispatcher)
        ref.tell(gate)
    elif kind == "on_start":
        ref = Starting.start_on(dispatcher)
        ref.tell("mail")
    elif kind == "retry":
        ref = Recorder.start_on(dispatcher, on_failure=retry)
        ref.tell(fails_first)
    else:
        ref = Recorder.start_on(dispatcher)
        ref.ask("begin", timeout=DEADLINE_SECONDS)
        helper = Recorder.start_on(dispatcher)
        helper.tell(lambda: ref.cell.ask_idle(gate))
    bench.refs.append(ref)
    gate.wait_entered()
    bench.looks(0.0, 10.0)
    ((what, _, message, _),) = bench.told()
    assert what == "stuck"
    assert message == {"batch": "Gate", "idle": "Gate", "on_start": "Start", "retry": "function"}[kind]
    gate.release()
    eventually(lambda: ref.cell.handling is None)


def test_actor_that_is_busy_all_the_time_but_goes_on_is_not_stuck(
    dispatcher: Dispatcher, bench: Bench
) -> None:
    """The same message, sent again and again, is another letter each time."""
    ref = Recorder.start_on(dispatcher)
    bench.refs.append(ref)
    gates = [Gate() for _ in range(5)]
    for gate in gates:
        ref.tell(gate)
    for gate in gates:
        gate.wait_entered()
        bench.looks(9.0)
        gate.release()
    eventually(lambda: ref.cell.handling is None)
    assert bench.told() == []


def test_where_a_stuck_handler_is_can_be_seen(dispatcher: Dispatcher) -> None:
    ref, gate = Recorder.start_on(dispatcher), Gate()
    ref.tell(gate)
    gate.wait_entered()
    eventually(lambda: any("wait" in line for line in stack_of(ref.cell)))
    assert any("conftest.py" in line and "__call__" in line for line in stack_of(ref.cell))
    gate.release()
    eventually(lambda: stack_of(ref.cell) == [])


def test_pulse_that_stops_is_told_until_it_beats_or_ends(bench: Bench) -> None:
    loop, other = bench.watchdog.expect_pulse("event loop"), bench.watchdog.expect_pulse("other")
    for _ in range(5):
        loop.beat()
        other.beat()
        bench.looks(5.0)
    assert bench.told() == []
    for _ in range(3):
        other.beat()
        bench.looks(5.0)
    assert bench.told() == [("stuck", "event loop", "", 10.0)]
    loop.beat()
    bench.looks(0.0)
    assert [what for what, *_ in bench.told()] == ["freed"]
    loop.end()
    other.end()
    bench.looks(100.0, 100.0)
    assert bench.told() == []


def test_others_are_served_by_a_spare_worker_which_leaves_again(
    make_dispatcher: Callable[..., Dispatcher],
) -> None:
    unhelped = make_dispatcher(helped=False)
    stuck, other, gate = Recorder.start_on(unhelped), Recorder.start_on(unhelped), Gate()
    stuck.tell(gate)
    gate.wait_entered()
    unhelped.stand_in(1)
    assert other.ask("served", timeout=DEADLINE_SECONDS) == "served"
    unhelped.stand_in(1)
    assert len(unhelped._sparing) == 1
    gate.release()
    unhelped.stand_in(0)
    eventually(lambda: not unhelped._sparing)
    assert other.ask("by the worker", timeout=DEADLINE_SECONDS) == "by the worker"


def test_spare_workers_are_bounded_and_end_with_the_dispatcher(
    make_dispatcher: Callable[..., Dispatcher],
) -> None:
    unhelped = make_dispatcher(helped=False)
    unhelped.stand_in(1_000)
    assert len(unhelped._sparing) == 8
    assert unhelped.stop(DEADLINE_SECONDS)
    assert not unhelped._sparing


def test_driven_dispatcher_has_nobody_to_stand_in(driven: Dispatcher) -> None:
    driven.stand_in(1)
    assert not driven._sparing
