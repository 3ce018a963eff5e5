"""Who may look at the environment, and when: LMDB allows neither growing nor closing it under a reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from ..protocol.errors import ClosedError

__all__ = ["ReadGate"]


class ReadGate:
    """Many readers, or one who needs the environment alone; no new reader overtakes whoever waits for that."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._readers = 0
        self._closed = False
        self.ended = False
        """The environment is closed: nobody may read any more."""

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold off whoever wants to be alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            if self.ended:
                raise ClosedError("the state directory is closed")
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody reads, and let nobody begin."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._readers)
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()
