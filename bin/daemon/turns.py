"""The event loop runs the learner's actors: no thread to wake between a request and what is done about it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["Turns"]

TURNS_MAX: Final = 16
"""Turns between two looks at the sockets: a report of a model takes a third of a millisecond, and each of a thousand
models may have one to make."""


class _Driven(Protocol):
    def run_ready(self, turns: int, /) -> bool: ...


class Turns:
    """Takes a learner's turns on the loop of the thread that makes this.

    ``on_failure`` is called if that raises, which is a defect: nothing runs any more then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_failure: Callable[[Exception], None]) -> None:
        self._loop = loop
        self._thread_id = threading.get_ident()
        self._on_failure = on_failure
        self._driven: _Driven | None = None

    def wake(self) -> None:
        """There is something to do. From any thread."""
        if self._driven is None:
            return  # it is done with the first turns
        if threading.get_ident() == self._thread_id:
            self._loop.call_soon(self._first)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: the learner was before
            self._loop.call_soon_threadsafe(self._first)

    def drive(self, driven: _Driven) -> None:
        """Begin; what has been woken for while it was being opened is done now."""
        self._driven = driven
        self._loop.call_soon(self._run)

    def _first(self) -> None:
        """The turn that was woken for is mostly the router's, which answers: that is written before the models learn,
        so that the clients go on meanwhile."""
        self._run(1)

    def _run(self, turns: int = TURNS_MAX) -> None:
        assert self._driven is not None
        try:
            more = self._driven.run_ready(turns)
        except Exception as error:  # noqa: BLE001  # the loop would only log it
            self._on_failure(error)
            return
        if more:
            self._loop.call_soon(self._run)
