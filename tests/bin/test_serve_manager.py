"""The environment a service manager sets, and the loop that runs the actors."""

from __future__ import annotations

import asyncio
import os
import resource
import threading

import pytest

from handicapper.bin.daemon.descriptors import FILES_SPARE, raise_file_limit
from handicapper.bin.daemon.sdnotify import ServiceManager, activated_sockets
from handicapper.bin.daemon.turns import TURNS_MAX, Turns
from handicapper.protocol.errors import SettingsError

PID = str(os.getpid())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": PID}, 3.0),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "500000"}, 0.5),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "3000000"}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "3000000"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_only_if_it_is_meant_for_us(
    environment: dict[str, str], expected: float | None
) -> None:
    environment["OTHER"] = "kept"
    assert ServiceManager.from_environment(environment).watchdog_seconds == expected
    assert environment == {"OTHER": "kept"}


def test_without_a_manager_nothing_is_said() -> None:
    manager = ServiceManager()
    manager.ready("s")
    manager.reloading()
    manager.alive()
    manager.stopping("s")


@pytest.mark.parametrize("pid", [str(os.getpid() + 1), "", "nonsense"], ids=["another", "empty", "nonsense"])
def test_sockets_of_another_process_are_not_taken_and_the_variables_go(pid: str) -> None:
    environment = {"LISTEN_FDS": "2", "LISTEN_PID": pid, "LISTEN_FDNAMES": "a:b"}
    assert activated_sockets(environment) == []
    assert environment == {}


@pytest.mark.parametrize("count", ["-1", "many", "1025", "²"])
def test_a_number_of_sockets_that_is_none_is_refused(count: str) -> None:
    with pytest.raises(SettingsError, match=r"LISTEN_FDS was .*; expected a number up to 1024"):
        activated_sockets({"LISTEN_FDS": count, "LISTEN_PID": PID})


def test_the_file_limit_is_raised_as_far_as_the_connections_need_and_the_system_lets() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = len(os.listdir("/proc/self/fd")) + 200
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
        wanted = low + 50
        assert raise_file_limit(wanted) == wanted
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted + FILES_SPARE, hard)
        assert raise_file_limit(3) == 3
        if hard != resource.RLIM_INFINITY:
            assert raise_file_limit(hard) == hard - FILES_SPARE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Driven:
    """Actors with a number of turns to take."""

    def __init__(self, ready: int) -> None:
        self.ready = ready
        self.threads: set[int] = set()
        self.asked: list[int] = []
        self.done = asyncio.Event()

    def run_ready(self, turns: int, /) -> bool:
        self.asked.append(turns)
        self.threads.add(threading.get_ident())
        self.ready = max(self.ready - turns, 0)
        if not self.ready:
            self.done.set()
        return bool(self.ready)


def fail(error: Exception) -> None:
    raise AssertionError from error


def test_turns_go_on_until_there_are_none_and_others_have_theirs_in_between() -> None:
    async def run() -> None:
        others: list[int] = []
        driven = Driven(5 * TURNS_MAX)
        turns = Turns(asyncio.get_running_loop(), fail)
        turns.wake()  # before there is anything to drive: it is not lost
        turns.drive(driven)
        while not driven.done.is_set():
            others.append(driven.ready)
            await asyncio.sleep(0)
        assert len(set(others)) >= 4
        assert set(driven.asked) == {TURNS_MAX}

    asyncio.run(run())


def test_a_call_from_another_thread_is_answered_on_the_loop() -> None:
    async def run() -> None:
        driven = Driven(0)
        turns = Turns(asyncio.get_running_loop(), fail)
        turns.drive(driven)
        await driven.done.wait()
        driven.done.clear()
        threading.Thread(target=turns.wake).start()
        await asyncio.wait_for(driven.done.wait(), 30)
        assert driven.threads == {threading.get_ident()}

    asyncio.run(run())


def test_what_was_woken_for_has_its_turn_and_then_the_loop_writes_before_the_others_have_theirs() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        driven = Driven(0)
        turns = Turns(loop, fail)
        turns.drive(driven)
        await driven.done.wait()
        driven.asked.clear()
        driven.done.clear()
        driven.ready = 2
        turns.wake()
        loop.call_soon(lambda: driven.asked.append(0))  # an answer, posted meanwhile
        await driven.done.wait()
        assert driven.asked == [1, 0, TURNS_MAX]

    asyncio.run(run())


def test_a_call_that_comes_after_the_loop_was_closed_is_nothing() -> None:
    async def make() -> Turns:
        return Turns(asyncio.get_running_loop(), fail)

    turns = asyncio.run(make())
    thread = threading.Thread(target=turns.wake)
    thread.start()
    thread.join()


def test_actors_that_cannot_run_are_told_once() -> None:
    errors: list[Exception] = []

    class Broken(Driven):
        def run_ready(self, turns: int, /) -> bool:
            raise RuntimeError("defect")

    async def run() -> None:
        turns = Turns(asyncio.get_running_loop(), errors.append)
        turns.drive(Broken(1))
        while not errors:
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(run())
    assert [str(error) for error in errors] == ["defect"]
