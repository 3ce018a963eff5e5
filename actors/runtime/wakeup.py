"""Calling somebody to come and do what there is to do, once, until they have come.

Between the threads that bring work and the one that comes to do it a call could be lost: work arrives just
after the last look at the queue and just before calls are made again. So whoever has worked first lets calls
be made again, and then looks at the queue once more; whoever brings work first puts it into the queue and
then calls. One of them sees the other.
"""

from __future__ import annotations

import contextlib
import logging
from _thread import allocate_lock
from collections.abc import Callable
from typing import Any

__all__ = ["WakeUp"]

_logger = logging.getLogger(__name__)


class WakeUp:
    """Makes at most one ``call`` until :meth:`rearm`. Thread-safe.

    >>> wakeup = WakeUp(lambda: print("come"))
    >>> wakeup.call(); wakeup.call()
    come
    >>> wakeup.rearm(); wakeup.call()
    come
    """

    __slots__ = ("_call", "_called")

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._called = allocate_lock()
        """Held while a call was made, or is not needed."""

    def call(self) -> None:
        """Make the call, unless it was made since the last :meth:`rearm`."""
        if self._called.acquire(False):
            try:
                self._call()
            except Exception:
                # Whoever brought the work has nothing to do with it, and must not fail for it.
                _logger.exception("the call to come and run actors raised")

    def disarm(self) -> None:
        """Make no call until :meth:`rearm`: whoever would be called is here, or comes anyway."""
        self._called.acquire(False)

    def rearm(self) -> None:
        """Make a call again for work that comes from now on. To be followed by a look whether there is some."""
        with contextlib.suppress(RuntimeError):  # it was never disarmed
            self._called.release()
