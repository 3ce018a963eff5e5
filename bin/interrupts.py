"""SIGINT and SIGTERM while a learner works in this thread.

A caller that waits for the learner may run actors itself, and an exception raised by a signal handler in
the middle of an actor's work would be taken for that actor's failure. So inside :meth:`Interrupts.shielded`
a signal is only noted, and raised when the section ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

from .exit_codes import TERMINATED

__all__ = ["Interrupts"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While open, SIGINT raises KeyboardInterrupt and SIGTERM SystemExit(143), but never in a shield.

    A second signal inside one shield ends the process at once, as if nothing had been installed: whoever
    repeats it does not want to wait. Outside the main thread it does nothing (Python allows handlers only
    there), and a signal the process was started to ignore stays ignored.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._noted: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """A section no signal breaks into; what came meanwhile is raised at its end."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._noted is not None and self._depth == 0:
            noted, self._noted = self._noted, None
            _raise(noted)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._depth == 0:
            _raise(number)
        if self._noted is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._noted = number


def _raise(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(TERMINATED)
