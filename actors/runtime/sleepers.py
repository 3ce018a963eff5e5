"""Threads that sleep until there is something to do, each on a lock of its own.

A sleeper first lists its lock, then looks once more whether there is something to do; who brings something to
do first makes it visible, then looks at the list. One of them sees the other: no wake-up is lost, and bringing
work to threads that are awake costs no lock at all. The reverse may happen, a sleep that ends with nothing to
do: whoever sleeps looks again.
"""

from __future__ import annotations

import contextlib
import threading
from _thread import LockType, allocate_lock
from collections.abc import Callable
from typing import Any

from .latch import OneShot

__all__ = ["Sleepers", "held_lock"]


def held_lock() -> LockType:
    """A new lock to sleep on."""
    lock = allocate_lock()
    lock.acquire()
    return lock


class Sleepers:
    """Sleeping threads, each with what it waits for (``None``: anything)."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: list[tuple[LockType, Any]] = []
        """Public so that a hot path can ask "anybody asleep?" without a call."""

    def sleep(
        self,
        lock: LockType,
        something_to_do: Callable[[], object],
        *,
        awaited: Any = None,
        flag: OneShot | None = None,
        timeout: float | None = None,
    ) -> None:
        """Sleep on the calling thread's ``lock`` until woken, until ``flag`` is set or for ``timeout`` seconds."""
        entry = (lock, awaited)

        def wake() -> None:
            _release(lock)

        if flag is not None:
            flag._call_when_set(wake)
        self.waiting.append(entry)
        if not something_to_do():
            lock.acquire(timeout=-1 if timeout is None else min(max(timeout, 0.0), threading.TIMEOUT_MAX))
        if flag is not None and not flag.is_set():
            flag._forget(wake)
        with contextlib.suppress(ValueError):  # whoever woke us took it off the list
            self.waiting.remove(entry)

    def wake(self, count: int = 1) -> None:
        """Wake up to ``count`` threads, whatever they wait for."""
        while count > 0:
            try:
                lock, _ = self.waiting.pop()
            except IndexError:
                return
            _release(lock)
            count -= 1

    def wake_for(self, awaited: Any) -> None:
        """Wake those who wait for ``awaited``."""
        for entry in tuple(self.waiting):
            if entry[1] is awaited:
                try:
                    self.waiting.remove(entry)
                except ValueError:
                    continue
                _release(entry[0])


def _release(lock: LockType) -> None:
    with contextlib.suppress(RuntimeError):  # woken twice, by a flag and by work
        lock.release()
