"""Leaving: who asks for it, how long it may take, and what happens when it takes longer.

Nothing that was acknowledged depends on a graceful end, it is durable before the answer goes out. So there is
always a way to leave at once: a second signal, or a thread that waits beside everything else.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final, NoReturn

from ..exit_codes import BUSY, OK
from .log import LogSink

__all__ = ["FLUSH_SECONDS", "OPENING_SECONDS", "PARENT_GONE_SECONDS", "Shutdown"]

OPENING_SECONDS: Final = 1.0
"""How long is waited for a state directory that is being opened when it is time to go."""
PARENT_GONE_SECONDS: Final = 1.6
"""From the end of standard input to the end of the process, which promises to take less than 2."""
FLUSH_SECONDS: Final = 0.2
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_logger = logging.getLogger("handicapper.daemon")


class Shutdown:
    """Takes requests to leave, from signals and from threads, and sees to it that they are met."""

    def __init__(self) -> None:
        self.log: LogSink | None = None
        """Where the last words go."""
        # Unlike a Condition it may be used in a signal handler, whatever that has interrupted.
        self._changed: SimpleQueue[bool] = SimpleQueue()
        self._signals = 0
        self._over = False
        self._deadline: float | None = None
        self.hard_exit_code = BUSY
        """Of a process that leaves without its stop."""
        self.reload_asked = False
        self.reason: str | None = None
        """Why it is time to go; None while it is not."""
        self.opening = True
        self.stop_seconds = OPENING_SECONDS
        """How long a stop may take that a signal asks for."""
        self.on_request: Callable[[], None] = _nothing
        """Called at the first request, in any thread."""
        self.on_reload: Callable[[], None] = _nothing
        """Called at SIGHUP, in the thread of the signals."""
        self.at_hard_stop: Callable[[], None] = _nothing
        """Called before the process leaves without its stop."""

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handle signals, and watch over the deadline. To be entered before other threads are started.

        A thread waits for the signals, which are blocked in all others: Python runs a handler only once the
        main thread is back from whatever it does, and one that comes just before it begins to wait is not
        seen until that wait is over. They stay blocked: a process that has stopped ends with its own exit
        code, whatever comes in its last moments.
        """
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        for number in _SIGNALS:
            # For a thread that was there before, and does not block them.
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for name, work in (("signals", self._wait_for_signals), ("shutdown", self._watch)):
            threading.Thread(target=work, name=f"handicapper-{name}", daemon=True).start()
        try:
            yield
        finally:
            self._over = True
            self._changed.put(False)

    def request(self, reason: str, seconds: float) -> None:
        """Ask for the end, within ``seconds``; of several such bounds the tightest holds."""
        first = self.reason is None
        if first:
            self.reason = reason
            if self.opening:
                self.hard_exit_code = OK  # nothing was begun, nothing is cut off
        until = time.monotonic() + (min(seconds, OPENING_SECONDS) if self.opening else seconds)
        self._deadline = until if self._deadline is None else min(self._deadline, until)
        self._changed.put(True)
        if first:
            self.on_request()

    @property
    def seconds_left(self) -> float:
        """Until the process leaves, ready or not."""
        return max((self._deadline or time.monotonic() + self.stop_seconds) - time.monotonic(), 0.0)

    def _wait_for_signals(self) -> None:
        while True:
            number = signal.sigwait(_SIGNALS)
            try:
                self._on_signal(number)
            except Exception:
                # Whatever it was, this is the only thread that hears the next signal.
                _logger.exception("signal %d was not handled", number)

    def _on_signal(self, number: int, _frame: FrameType | None = None) -> None:
        if self._over:
            return
        if number == signal.SIGHUP:
            self.reload_asked = True
            self.on_reload()
            return
        name = signal.Signals(number).name
        self._signals += 1
        if self._signals > 1:
            self._leave(128 + number, logging.WARNING, f"second signal ({name}): leaving at once")
        self.request(name, self.stop_seconds)

    def _watch(self) -> None:
        while True:
            try:
                going_on = self._changed.get(timeout=None if self._deadline is None else self.seconds_left)
            except Empty:
                level = logging.INFO if self.hard_exit_code == OK else logging.ERROR
                self._leave(self.hard_exit_code, level, "no time left to stop: leaving at once")
            if not going_on:
                return

    def _leave(self, code: int, level: int, event: str) -> NoReturn:
        try:
            if self.log is not None:
                self.log.flush_within(FLUSH_SECONDS)
                self.log.last_words(level, event, reason=self.reason, exit_code=code)
            self.at_hard_stop()
        finally:
            os._exit(code)


def _nothing() -> None:
    """There is nothing to do yet."""
