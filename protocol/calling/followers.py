"""Threads that sleep until the call they wait for is done, or until it is their turn to read for all."""

from __future__ import annotations

import threading
from _thread import LockType, allocate_lock
from time import monotonic
from typing import Any

from .replies import Reply

__all__ = ["Followers", "sleep_at"]


class Followers:
    """The sleeping threads, oldest first; each sleeps at a gate of its own. Guarded by the link's lock."""

    def __init__(self) -> None:
        self._sleeping: dict[LockType, Reply[Any]] = {}

    def __len__(self) -> int:
        return len(self._sleeping)

    def join(self, call: Reply[Any]) -> LockType:
        """A gate for a thread that is about to sleep."""
        gate = allocate_lock()
        gate.acquire()
        call.gates = [*(call.gates or ()), gate]
        self._sleeping[gate] = call
        return gate

    def leave(self, gate: LockType) -> bool:
        """The thread sleeps no more; tells whether it was woken."""
        return self._sleeping.pop(gate, None) is None

    def wake_one(self) -> bool:
        """Wake the thread that has slept longest, for it to read; False if there is none."""
        for gate, call in self._sleeping.items():
            if not call.done:
                del self._sleeping[gate]
                gate.release()
                return True
        return False

    def wake_for(self, call: Reply[Any]) -> None:
        """Wake those that wait for a call, because it is done."""
        for gate in call.gates or ():
            if self._sleeping.pop(gate, None) is not None:
                gate.release()


def sleep_at(gate: LockType, until: float) -> None:
    """Sleep until somebody opens the gate, or the time is up."""
    gate.acquire(timeout=min(max(until - monotonic(), 0.0), threading.TIMEOUT_MAX))
