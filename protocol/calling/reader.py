"""The thread of a blocking client that reads while no caller does, and calls what wants to be called back."""

from __future__ import annotations

import select
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from ..log import get_logger
from .dialing import Doorbell

__all__ = ["Reader"]

NEVER: Final = float("inf")
_log = get_logger("client")


class Reader:
    """Sleeps until the socket it was armed with, the clock or another thread calls it, and takes a turn.

    ``turn`` says when to take the next one at the latest, or None when it is over. Arming and disarming is
    for the holder of the link's lock.
    """

    def __init__(self, turn: Callable[[], float | None]) -> None:
        self.until = 0.0
        """When it will look by itself; whoever needs it earlier wakes it."""
        self._turn = turn
        self._posted: deque[Callable[[], object]] = deque()
        self._epoll = select.epoll()
        self._doorbell = Doorbell()
        self._epoll.register(self._doorbell.fd, select.EPOLLIN)
        self._armed = (-1, 0)
        self._stopped_by_itself = False
        self._thread = threading.Thread(target=self._run, name="handicapper-client", daemon=True)
        self._thread.start()

    def arm(self, fd: int, mask: int) -> None:
        """Watch a socket, from this moment on, also if it sleeps already."""
        if self._armed != (fd, mask):
            if self._armed[0] == fd:
                self._epoll.modify(fd, mask)
            else:
                self.disarm()
                self._epoll.register(fd, mask)
            self._armed = (fd, mask)

    def disarm(self) -> None:
        """Watch no socket: somebody else does, or it is about to be closed."""
        if self._armed[0] != -1:
            self._epoll.unregister(self._armed[0])
            self._armed = (-1, 0)

    def wake(self) -> None:
        """Have it take a turn now."""
        self._doorbell.ring()

    def post(self, action: Callable[[], object]) -> None:
        """Have something called on this thread, between turns: it may call the client itself."""
        self._posted.append(action)
        if threading.current_thread() is not self._thread:
            self._doorbell.ring()

    def stop(self) -> None:
        """Wait until it has ended; ``turn`` returns None from now on, and nobody wakes it any more."""
        if threading.current_thread() is self._thread:
            self._stopped_by_itself = True
            return
        self._doorbell.ring()
        self._thread.join()
        self._close()

    def _close(self) -> None:
        self._epoll.close()
        self._doorbell.close()

    def _run(self) -> None:
        while (until := self._safe_turn()) is not None:
            self._call_back()
            if not self._posted:
                self._epoll.poll(None if until == NEVER else max(until - monotonic(), 0.0))
                self._doorbell.answer()
        self._call_back()
        if self._stopped_by_itself:
            self._close()

    def _safe_turn(self) -> float | None:
        try:
            return self._turn()
        except Exception:  # noqa: BLE001  # whatever it is, others still wait for their answers
            _log.exception("reader_failed")
            return 0.0

    def _call_back(self) -> None:
        # Only what is there now: what is posted meanwhile comes after the next turn.
        for _ in range(len(self._posted)):
            action = self._posted.popleft()
            try:
                action()
            except Exception:  # noqa: BLE001  # the others want to be called too
                _log.exception("callback_failed")
