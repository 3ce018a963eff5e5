"""No call to come is ever lost, whoever schedules and whenever: many threads, and an owner who sleeps often."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handicapper.actors.runtime import Dispatcher, PooledActor, scatter_gather
from handicapper.actors.runtime.wakeup import WakeUp

from .conftest import DEADLINE_SECONDS, Calls, Recorder


@pytest.fixture
def nervous_threads() -> Iterator[None]:
    """Threads give way to each other after every few instructions."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class Driver:
    """What an event loop does: sleeps until it is called, then takes turns until there are none."""

    def __init__(self, dispatcher: Dispatcher, calls: Calls, turns: int) -> None:
        self._dispatcher, self._calls, self._turns = dispatcher, calls, turns
        self._stopped = False
        self.missed = False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self._stopped:
            if not self._calls.wait():
                self.missed = True
                return
            while self._dispatcher.run_ready(self._turns):
                pass

    def stop(self) -> None:
        self._stopped = True
        self._calls()
        self.thread.join(DEADLINE_SECONDS)


class Counter(PooledActor):
    def __init__(self, done: threading.Semaphore) -> None:
        super().__init__()
        self.count = 0
        self._done = done

    def on_receive(self, message: Any) -> None:
        self.count += 1
        self._done.release()


@pytest.mark.usefixtures("nervous_threads")
@pytest.mark.parametrize("turns", [1, 3, 1000])
def test_no_call_is_lost_whoever_schedules_and_whenever(driven: Dispatcher, calls: Calls, turns: int) -> None:
    """Every thread waits for each of its letters to be handled before it writes the next: one lost call, and
    everything stands still. The owner sleeps as often as he can."""
    done = [threading.Semaphore(0) for _ in range(8)]
    refs = [Counter.start_on(driven, semaphore) for semaphore in done]
    lost: list[int] = []
    driver = Driver(driven, calls, turns)

    def write(number: int) -> None:
        for _ in range(500):
            refs[number].tell("letter")
            if not done[number].acquire(timeout=DEADLINE_SECONDS):
                lost.append(number)
                return

    writers = [threading.Thread(target=write, args=(number,)) for number in range(len(refs))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(DEADLINE_SECONDS * 2)
    driver.stop()
    assert (lost, driver.missed) == ([], False)
    assert sum(ref.cell.actor.count for ref in refs) == 8 * 500  # pyright: ignore


@pytest.mark.usefixtures("nervous_threads")
def test_no_call_is_lost_beside_callers_that_help(driven: Dispatcher, calls: Calls) -> None:
    """Some threads ask and so take turns themselves, some scatter, some only tell."""
    done = [threading.Semaphore(0) for _ in range(3)]
    told = [Counter.start_on(driven, semaphore) for semaphore in done]
    asked = [Recorder.start_on(driven) for _ in range(4)]
    failures: list[str] = []
    driver = Driver(driven, calls, 2)

    def tell(number: int) -> None:
        for _ in range(300):
            told[number].tell("letter")
            if not done[number].acquire(timeout=DEADLINE_SECONDS):
                failures.append(f"letter to {number} was not handled")
                return

    def ask(number: int) -> None:
        chance = random.Random(number)
        for turn in range(300):
            if chance.random() < 0.5:
                answer = asked[number % 4].ask(turn, timeout=DEADLINE_SECONDS)
                if answer != turn:
                    failures.append(f"answer was {answer}")
            else:
                gathered = scatter_gather(driven, asked, lambda index: index, timeout=DEADLINE_SECONDS)
                if not gathered.complete:
                    failures.append(f"missing {gathered.missing}")

    jobs: list[tuple[Callable[[int], None], int]] = [(tell, n) for n in range(3)] + [
        (ask, n) for n in range(4)
    ]
    threads = [threading.Thread(target=job, args=(number,)) for job, number in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS * 2)
    driver.stop()
    assert (failures, driver.missed) == ([], False)


@pytest.mark.usefixtures("nervous_threads")
def test_wake_up_calls_once_between_rearmings_whoever_calls() -> None:
    made: list[int] = []
    wakeup = WakeUp(lambda: made.append(1))
    for rounds in range(1, 201):
        threads = [threading.Thread(target=wakeup.call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
        assert len(made) == rounds
        wakeup.rearm()
    wakeup.disarm()
    wakeup.call()
    assert len(made) == 200
