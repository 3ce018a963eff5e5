"""Mail that nobody could handle: kept with its reason, bounded, always counted."""

from __future__ import annotations

import threading
from collections.abc import Iterable
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
    id: int
    """Its number, in order of arrival, from 1 on."""
    content: Any
    """What can be tried again, if anything can; for whoever added it."""


class DeadLetters:
    """The newest ``letters_max`` dead letters; older ones are forgotten but stay counted. Thread-safe.

    >>> from .clock import ManualClock
    >>> letters = DeadLetters(letters_max=1, clock=ManualClock())
    >>> letters.add("model/a", "stopped", 1)
    >>> letters.add("model/b", "stopped", 2)
    >>> letters.total, letters.forgotten, [letter.recipient for letter in letters.latest()]
    (2, 1, ['model/b'])
    """

    __slots__ = ("_clock", "_forgotten", "_letters", "_letters_max", "_lock", "_total")

    def __init__(self, letters_max: int = 1_000, clock: Clock | None = None) -> None:
        if letters_max < 0:
            raise ValueError(f"letters_max was {letters_max}; expected 0 or more")
        self._clock: Clock = SystemClock() if clock is None else clock
        self._letters: dict[int, DeadLetter] = {}
        self._letters_max = letters_max
        self._lock = threading.Lock()
        self._total = 0
        self._forgotten = 0

    def add(self, recipient: str, reason: str, message: Any, attempts: int = 0, content: Any = None) -> None:
        """Keep one letter. The message itself is not kept, only what it looked like; ``content`` is."""
        shown, at_ns = written_out(message, MESSAGE_CHARS_MAX), self._clock.now_ns()
        reason = plain(reason, REASON_CHARS_MAX)
        with self._lock:
            self._total = number = self._total + 1
            self._letters[number] = DeadLetter(recipient, reason, shown, attempts, at_ns, number, content)
            if len(self._letters) > self._letters_max:
                del self._letters[next(iter(self._letters))]
                self._forgotten += 1

    def remove(self, number: int) -> None:
        """It was dealt with. It stays counted."""
        with self._lock:
            self._letters.pop(number, None)

    def tried_again(self, number: int, reason: str) -> None:
        """It was tried once more, in vain."""
        with self._lock:
            letter = self._letters.get(number)
            if letter is not None:
                self._letters[number] = letter._replace(
                    reason=plain(reason, REASON_CHARS_MAX),
                    attempts=letter.attempts + 1,
                    at_ns=self._clock.now_ns(),
                )

    @property
    def total(self) -> int:
        """How many there have been."""
        return self._total

    @property
    def forgotten(self) -> int:
        """How many of them had to make room for others."""
        with self._lock:
            return self._forgotten

    def latest(self, numbers: Iterable[int] | None = None) -> tuple[DeadLetter, ...]:
        """Those still kept (of ``numbers``), oldest first."""
        with self._lock:
            if numbers is None:
                return tuple(self._letters.values())
            return tuple(self._letters[number] for number in sorted({*numbers} & self._letters.keys()))
