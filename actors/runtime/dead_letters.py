"""Mail that nobody could handle: kept with its reason, bounded, always counted."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Final, NamedTuple

from ...protocol.wording import plain, written_out
from .clock import Clock, SystemClock

__all__ = ["DeadLetter", "DeadLetters"]

MESSAGE_CHARS_MAX: Final = 200
REASON_CHARS_MAX: Final = 1_000


class DeadLetter(NamedTuple):
    """One undeliverable message."""

    recipient: str
    """Name of the actor it was meant for."""
    reason: str
    message: str
    """What it was, as JSON has it, shortened."""
    attempts: int
    """How often a handler was given it; 0 when it was never tried."""
    at_ns: int
    """Processing time, wall clock, nanoseconds UTC."""


class DeadLetters:
    """The newest ``letters_max`` dead letters; older ones are forgotten but stay counted. Thread-safe.

    >>> from .clock import ManualClock
    >>> letters = DeadLetters(letters_max=1, clock=ManualClock())
    >>> letters.add("model/a", "stopped", 1)
    >>> letters.add("model/b", "stopped", 2)
    >>> letters.total, letters.forgotten, [letter.recipient for letter in letters.latest()]
    (2, 1, ['model/b'])
    """

    __slots__ = ("_clock", "_letters", "_lock", "_total")

    def __init__(self, letters_max: int = 1_000, clock: Clock | None = None) -> None:
        if letters_max < 0:
            raise ValueError(f"letters_max was {letters_max}; expected 0 or more")
        self._clock: Clock = SystemClock() if clock is None else clock
        self._letters: deque[DeadLetter] = deque(maxlen=letters_max)
        self._lock = threading.Lock()
        self._total = 0

    def add(self, recipient: str, reason: str, message: Any, attempts: int = 0) -> None:
        """Keep one letter. The message itself is not kept, only what it looked like."""
        shown = written_out(message, MESSAGE_CHARS_MAX)
        letter = DeadLetter(recipient, plain(reason, REASON_CHARS_MAX), shown, attempts, self._clock.now_ns())
        with self._lock:
            self._letters.append(letter)
            self._total += 1

    @property
    def total(self) -> int:
        """How many there have been."""
        return self._total

    @property
    def forgotten(self) -> int:
        """How many of them are no longer kept."""
        with self._lock:
            return self._total - len(self._letters)

    def latest(self) -> tuple[DeadLetter, ...]:
        """Those still kept, oldest first."""
        with self._lock:
            return tuple(self._letters)
