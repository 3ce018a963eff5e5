"""A reply to come. The first ``set`` wins, waiting helps, and nothing is created until a thread must sleep."""

from __future__ import annotations

import queue
import sys
import threading
from _thread import allocate_lock
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar

import pykka

from .latch import OneShot

__all__ = ["ExcInfo", "LeanFuture", "Waiting"]

T = TypeVar("T")

ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Waiting(Protocol):
    """Something that knows a better way to wait than to sleep: a mailbox whose dispatcher can be helped."""

    def wait_for(self, flag: OneShot, timeout: float | None) -> bool:
        """Return once ``flag`` is set or ``timeout`` seconds passed; tells whether it is set."""
        ...


class LeanFuture(OneShot, pykka.Future[T]):
    """A ``pykka.Future`` for actors that share threads.

    Unlike ``pykka.ThreadingFuture`` a second ``set`` is ignored instead of raising: an actor's answer and the
    closing of its mailbox may race, and the first of them is the answer.

    >>> future = LeanFuture()
    >>> doubled = future.map(lambda value: 2 * value)
    >>> future.set(21)
    >>> future.set(0)
    >>> future.get(), doubled.get()
    (21, 42)
    """

    __slots__ = ("_claim", "_exc_info", "_value", "waiting")

    # Class attributes instead of pykka's Future.__init__: three attribute writes and an object less per ask.
    _get_hook = None

    def __init__(self, waiting: Waiting | None = None) -> None:
        self._fired = False
        self._callbacks = None
        self._claim = allocate_lock()
        self._value: Any = None
        self._exc_info: ExcInfo | None = None
        self.waiting = waiting
        """Who is asked, where the wait can be spent on running it."""

    def get(self, *, timeout: float | None = None) -> T:
        """The value, or the exception raised by whoever was asked.

        Raises ``pykka.Timeout`` after ``timeout`` seconds. While it waits, this thread may run actors of the
        dispatcher it waits for; the timeout is looked at between their turns.
        """
        if not self._fired:
            if self._get_hook is not None:
                return self._get_from_hook(timeout)
            waiting = self.waiting
            done = self.wait(timeout) if waiting is None else waiting.wait_for(self, timeout)
            if not done:
                raise pykka.Timeout(f"{timeout} seconds")
        if self._exc_info is not None:
            kind, value, traceback = self._exc_info
            if value is None:
                value = RuntimeError("future failed without an exception") if kind is None else kind()
            raise value.with_traceback(traceback)
        return self._value

    def _get_from_hook(self, timeout: float | None) -> T:
        # One getter at a time, as in pykka: the hook may have side effects.
        with self._hook_lock:
            if not self._fired:
                assert self._get_hook is not None
                self.set(self._get_hook(timeout))
        return self.get(timeout=timeout)

    def set(self, value: T | None = None) -> None:
        """Give the value. Ignored if there is a value or an exception already."""
        if self._claim.acquire(False):
            self._value = value
            self._fired = True
            if self._callbacks:
                self._run_callbacks(self._callbacks)

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Give an exception, by default the one being handled. Ignored if something was given before."""
        if self._claim.acquire(False):
            self._exc_info = sys.exc_info() if exc_info is None else exc_info
            self._fire()

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Let ``get(timeout)`` compute the value by calling ``func(timeout)``; used by ``map``, ``join``, ....

        Raises ``queue.Full``, as pykka does, if there is a value already.
        """
        if self._fired:
            raise queue.Full
        self._hook_lock = threading.Lock()
        self._get_hook = func

    def exception(self) -> BaseException | None:
        """The exception it was given, ``None`` if it has a value or nothing yet. Never waits."""
        return None if self._exc_info is None else self._exc_info[1]

    def add_done_callback(self, callback: Callable[[LeanFuture[T]], Any]) -> None:
        """Call ``callback(self)`` once there is a value or exception: in the thread that gives it, or at once.

        What the callback raises is logged. A future made by ``map``, ``join``, ``filter`` or ``reduce`` is
        computed by ``get`` and so is never done before somebody gets it.
        """
        self._call_when_set(lambda: callback(self))
