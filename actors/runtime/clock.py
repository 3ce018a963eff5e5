"""Time as an argument: wall time for what is recorded, monotonic time for how long to wait."""

from __future__ import annotations

import threading
import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """Where an edge of the system reads the time."""

    def now_ns(self) -> int:
        """Wall clock: nanoseconds since 1970-01-01 UTC. May jump in either direction."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary origin. Never goes backwards; for durations and deadlines only."""
        ...


class SystemClock:
    """The clocks of the operating system."""

    __slots__ = ()

    def now_ns(self) -> int:
        """Wall clock in nanoseconds UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to, for tests and simulations. Safe to share between threads.

    >>> clock = ManualClock(now_ns=1_000)
    >>> clock.advance(2.5)
    >>> clock.monotonic(), clock.now_ns()
    (2.5, 2500001000)
    >>> clock.set_wall(5)                    # somebody sets the wall clock back
    >>> clock.monotonic(), clock.now_ns()
    (2.5, 5)
    """

    __slots__ = ("_lock", "_monotonic", "_now_ns")

    def __init__(self, now_ns: int = 0, monotonic: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._now_ns = now_ns
        self._monotonic = monotonic

    def now_ns(self) -> int:
        """Wall clock in nanoseconds UTC."""
        return self._now_ns

    def monotonic(self) -> float:
        """Monotonic seconds."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks forward. Raises ``ValueError`` for a negative number: time never runs backwards."""
        if seconds < 0:
            raise ValueError(f"seconds was {seconds}; a clock only moves forward")
        with self._lock:
            self._monotonic += seconds
            self._now_ns += round(seconds * 1e9)

    def set_wall(self, now_ns: int) -> None:
        """Let the wall clock jump, in either direction; the monotonic clock does not notice."""
        with self._lock:
            self._now_ns = now_ns
