"""Dispatchers that are stopped again, and actors that say what happened to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handicapper.actors.runtime import Dispatcher, PooledActor

DEADLINE_SECONDS = 20.0
"""Far beyond anything expected: reached only when something is broken."""


class Recorder(PooledActor):
    """Records what it gets, and does what a message says when the message is callable."""

    def __init__(self, log: list[Any] | None = None) -> None:
        super().__init__()
        self.log: list[Any] = [] if log is None else log

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message()
        self.log.append(message)
        return message

    def on_stop(self) -> None:
        self.log.append("on_stop")


class Gate:
    """Holds an actor inside a handler: ``ref.tell(gate)``, ``gate.entered.wait``, ``gate.release()``."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._released = threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self._released.wait(DEADLINE_SECONDS), "gate was never released"

    def wait_entered(self) -> None:
        assert self.entered.wait(DEADLINE_SECONDS)

    def release(self) -> None:
        self._released.set()


class Calls:
    """Counts the calls to come, and lets a thread wait for one."""

    def __init__(self) -> None:
        self.count = 0
        self._called = threading.Semaphore(0)

    def __call__(self) -> None:
        self.count += 1
        self._called.release()

    def wait(self) -> bool:
        return self._called.acquire(timeout=DEADLINE_SECONDS)


def raising(error: BaseException) -> Callable[[], Any]:
    """A message for ``Recorder`` that makes its handler raise."""

    def message() -> None:
        raise error

    return message


def eventually(condition: Callable[[], bool]) -> None:
    """Spin, yielding the GIL, until something becomes true that no event announces."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "condition never became true"
        time.sleep(0)


@pytest.fixture
def make_dispatcher() -> Iterator[Callable[..., Dispatcher]]:
    made: list[Dispatcher] = []

    def make(**options: Any) -> Dispatcher:
        dispatcher = Dispatcher(f"test-{len(made)}", **options)
        dispatcher.start()
        made.append(dispatcher)
        return dispatcher

    yield make
    for dispatcher in made:
        assert dispatcher.stop(DEADLINE_SECONDS)


@pytest.fixture
def dispatcher(make_dispatcher: Callable[..., Dispatcher]) -> Dispatcher:
    """One worker, helping allowed."""
    return make_dispatcher()


@pytest.fixture
def unhelped(make_dispatcher: Callable[..., Dispatcher]) -> Dispatcher:
    """One worker and nobody else: what runs, runs on that thread."""
    return make_dispatcher(helped=False)


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def driven(calls: Calls) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher("driven", workers=0, wake=calls)
    dispatcher.start()
    yield dispatcher
    assert dispatcher.stop(DEADLINE_SECONDS)
