"""Calls at a later time, on one thread, by the monotonic clock.

A jump of the wall clock has no effect. After a pause (a suspended laptop, a stopped container) a periodic call
is made once, not once for every period missed, and then goes on in its old rhythm.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import threading
from collections.abc import Callable
from typing import Any

from .clock import Clock, SystemClock

__all__ = ["TimerHandle", "Timers"]

_logger = logging.getLogger(__name__)


class TimerHandle:
    """One call to come, or a periodic one."""

    __slots__ = ("_cancelled", "callback", "due", "period_seconds")

    def __init__(self, due: float, callback: Callable[[], Any], period_seconds: float | None) -> None:
        self.due = due
        """Monotonic time of the next call."""
        self.callback = callback
        self.period_seconds = period_seconds
        """``None`` for a single call."""
        self._cancelled = False

    def cancel(self) -> None:
        """Make no further call. One that is being made in this instant is not waited for."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled


class Timers:
    """Makes calls when they are due, in a daemon thread of its own; callbacks should be short, as a tell is.

    Without ``start`` there is no thread: ``run_due`` makes the calls that are due, for simulations by a manual
    clock. What a callback raises is given to ``on_error(callback, exception)``, by default the log, and keeps
    neither the thread nor a periodic call from going on.

    >>> from .clock import ManualClock
    >>> clock = ManualClock()
    >>> timers = Timers(clock)
    >>> handle = timers.call_every(10.0, lambda: print("snapshot"))
    >>> clock.advance(35.0)
    >>> timers.run_due()                              # three were missed, one is made
    snapshot
    1
    >>> handle.due
    40.0
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        name: str = "timers",
        on_error: Callable[[Callable[[], Any], BaseException], Any] | None = None,
    ) -> None:
        self._clock: Clock = SystemClock() if clock is None else clock
        self._name = name
        self._on_error = on_error
        self._heap: list[tuple[float, int, TimerHandle]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Start the thread. Raises ``RuntimeError`` if it was started before."""
        if self._thread is not None:
            raise RuntimeError(f"{self._name} were started before")
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """Make no further call; waits up to ``timeout`` seconds for one being made. Returns whether it ended."""
        with self._changed:
            self._stopped = True
            self._heap.clear()
            self._changed.notify_all()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def call_after(self, seconds: float, callback: Callable[[], Any]) -> TimerHandle:
        """Call ``callback`` once, ``seconds`` from now; at once for zero or less."""
        return self._add(TimerHandle(self._clock.monotonic() + max(seconds, 0.0), callback, None))

    def call_every(self, seconds: float, callback: Callable[[], Any]) -> TimerHandle:
        """Call ``callback`` every ``seconds``, first after one period. Raises ``ValueError`` unless positive."""
        if not seconds > 0:
            raise ValueError(f"seconds was {seconds}; a period has to be positive")
        return self._add(TimerHandle(self._clock.monotonic() + seconds, callback, seconds))

    def run_due(self) -> int:
        """Make all calls that are due now, in order of their time. Returns how many."""
        calls = 0
        now = self._clock.monotonic()
        while (handle := self._take_due(now)) is not None:
            self._call(handle)
            calls += 1
        return calls

    def _add(self, handle: TimerHandle) -> TimerHandle:
        if math.isnan(handle.due):
            raise ValueError("seconds was nan; expected a number")
        with self._changed:
            if not self._stopped:
                self._push(handle)
                if self._heap[0][2] is handle:
                    self._changed.notify()
        return handle

    def _push(self, handle: TimerHandle) -> None:
        heapq.heappush(self._heap, (handle.due, next(self._order), handle))

    def _take_due(self, now: float) -> TimerHandle | None:
        """The next call that is due. A periodic one is put back for its next time first."""
        with self._changed:
            while self._heap and self._heap[0][0] <= now:
                handle = heapq.heappop(self._heap)[2]
                if handle.cancelled:
                    continue
                period = handle.period_seconds
                if period is not None:
                    missed = math.floor((now - handle.due) / period)
                    handle.due += (missed + 1) * period
                    if handle.due <= now:  # the period is below the clock's resolution
                        handle.due = math.nextafter(now, math.inf)
                    self._push(handle)
                return handle
        return None

    def _call(self, handle: TimerHandle) -> None:
        try:
            handle.callback()
        except BaseException as error:  # SystemExit would end the thread, and all other timers
            if self._on_error is None:
                _logger.error("timer callback %r raised", handle.callback, exc_info=error)
                return
            try:
                self._on_error(handle.callback, error)
            except Exception:
                _logger.exception("on_error of %s raised", self._name)

    def _run(self) -> None:
        while not self._stopped:
            self.run_due()
            with self._changed:
                if self._stopped:
                    return
                while self._heap and self._heap[0][2].cancelled:
                    heapq.heappop(self._heap)
                if not self._heap:
                    self._changed.wait()
                    continue
                delay = self._heap[0][0] - self._clock.monotonic()
                if delay > 0:
                    self._changed.wait(min(delay, threading.TIMEOUT_MAX))
