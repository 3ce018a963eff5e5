"""A flag that is set once. It owns no lock or condition until a thread really has to sleep on it.

A ``threading.Event`` takes 1.2 KB, too much for one per actor. Here an unset flag is two slots; sleeping is
a callback like any other, one that releases the sleeper's own lock.

Why no lock is needed: a waiter first leaves its callback, then looks at the flag; the setter first sets the
flag, then collects callbacks. Whatever the interleaving, one of them sees the other, and ``list.pop`` hands
each callback to exactly one of the two.
"""

from __future__ import annotations

import logging
import threading
from _thread import allocate_lock
from collections.abc import Callable
from typing import Any

__all__ = ["Latch", "OneShot"]

_logger = logging.getLogger(__name__)
_first_callback = allocate_lock()
"""Held while a flag gets its list of callbacks, so that two first waiters do not each make one."""


class OneShot:
    """What latches and futures share: being set once, sleeping on it, callbacks."""

    __slots__ = ("_callbacks", "_fired")

    def __init__(self) -> None:
        self._fired = False
        self._callbacks: list[Callable[[], Any]] | None = None

    def is_set(self) -> bool:
        """Whether it happened."""
        return self._fired

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until it happened or ``timeout`` seconds passed. Returns whether it happened."""
        if self._fired:
            return True
        if timeout is not None and timeout <= 0:
            return False
        sleeper = allocate_lock()
        sleeper.acquire()
        self._call_when_set(sleeper.release)
        sleeper.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        if not self._fired:
            self._forget(sleeper.release)
        return self._fired

    def _call_when_set(self, callback: Callable[[], Any]) -> None:
        """Call ``callback`` once, in the setting thread, or here if it happened already."""
        callbacks = self._callbacks
        if callbacks is None:
            with _first_callback:
                callbacks = self._callbacks
                if callbacks is None:
                    callbacks = self._callbacks = []
        callbacks.append(callback)
        if self._fired:
            self._run_callbacks(callbacks)

    def _forget(self, callback: Callable[[], Any]) -> None:
        callbacks = self._callbacks
        if callbacks:
            try:
                callbacks.remove(callback)
            except ValueError:
                return  # the setter has just taken it

    def _fire(self) -> None:
        self._fired = True
        callbacks = self._callbacks
        if callbacks:
            self._run_callbacks(callbacks)

    @staticmethod
    def _run_callbacks(callbacks: list[Callable[[], Any]]) -> None:
        while callbacks:
            try:
                callback = callbacks.pop(0)
            except IndexError:
                return  # another thread took the last one
            try:
                callback()
            except Exception:
                # The setter is an unrelated actor: it must not fail for a listener's mistake.
                _logger.exception("callback %r raised", callback)


class Latch(OneShot):
    """A one-shot stand-in for ``threading.Event``.

    >>> latch = Latch()
    >>> latch.wait(timeout=0)
    False
    >>> latch.set()
    >>> latch.wait()
    True
    """

    __slots__ = ()

    def set(self) -> None:
        """Set it and wake all sleepers. Setting it again does nothing."""
        self._fire()

    def add_callback(self, callback: Callable[[], Any]) -> None:
        """Call ``callback`` once when it is set: in the setting thread, or at once if it is set already."""
        self._call_when_set(callback)
