"""Notices handlers that do not return, and whoever stops giving a sign of life.

It looks now and then at what each actor is handling, and whether that is still what it was at the last look: an
actor notes what it is about to handle, and that is all it costs. So it learns of a handler at its first
look, and what it tells of a duration is at least so long.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import Any, Final, NamedTuple

from pykka._envelope import Envelope

from .cell import Cell
from .clock import Clock
from .everyone import Asked

__all__ = ["LOOKS_PER_PERIOD", "Pulse", "Stuck", "Watchdog", "stack_of"]

LOOKS_PER_PERIOD: Final = 4
"""Looks within the time after which something counts as stuck."""

FRAMES_SHOWN: Final = 6

_TURNS: Final = {
    function.__code__: "self"
    for function in (Cell.run, Cell.ask_idle, Cell._run_batch, Cell._run_retries, Cell._start, Cell._control)
} | {Asked.ask_idle.__code__: "cell"}
"""Where turns are taken, each with the name that it has for the cell."""


class Stuck(NamedTuple):
    """A handler that has not returned."""

    name: str
    """The actor, or whoever gives no sign of life."""
    message: str
    """Type of the message it was given; empty where it is none."""
    seconds: float
    """How long, at least."""
    cell: Cell | None


class Pulse:
    """Signs of life of something that is no actor, such as an event loop."""

    def __init__(self, name: str, watchdog: Watchdog) -> None:
        self.name = name
        self.beats = 0
        self._watchdog = watchdog

    def beat(self) -> None:
        """It is alive."""
        self.beats += 1

    def end(self) -> None:
        """Expect no further sign of life."""
        self._watchdog._pulses.pop(self, None)


class _Seen(NamedTuple):
    handling: Any
    since: float


class Watchdog:
    """Looks at the ``cells`` when told to, and calls ``on_stuck`` and ``on_freed``, once each, with what it finds.

    ``cells`` is asked anew at each look. What has been the same for ``after_seconds`` is stuck.
    """

    def __init__(
        self,
        clock: Clock,
        after_seconds: float,
        cells: Callable[[], Iterable[Cell]],
        on_stuck: Callable[[Stuck], object],
        on_freed: Callable[[Stuck], object],
    ) -> None:
        self._clock = clock
        self._after_seconds = after_seconds
        self._cells = cells
        self._on_stuck = on_stuck
        self._on_freed = on_freed
        self._pulses: dict[Pulse, None] = {}
        self._seen: dict[Hashable, _Seen] = {}
        self._stuck: dict[Hashable, _Seen] = {}
        self._looking = Lock()

    def expect_pulse(self, name: str) -> Pulse:
        """Take ``name`` for stuck if its pulse does not beat."""
        pulse = Pulse(name, self)
        self._pulses[pulse] = None
        return pulse

    @property
    def stuck(self) -> tuple[Stuck, ...]:
        """What was stuck at the last look, longest first. From any thread."""
        now = self._clock.monotonic()
        found = [_described(who, seen, now) for who, seen in list(self._stuck.items())]
        return tuple(sorted(found, key=lambda each: -each.seconds))

    def look(self) -> None:
        """See who has gone on since the last look."""
        with self._looking:
            now = self._clock.monotonic()
            self._seen = self._present(now)
            stuck = {who: seen for who, seen in self._seen.items() if now - seen.since >= self._after_seconds}
            were, self._stuck = self._stuck, stuck
            for who, seen in were.items():
                if who not in stuck or stuck[who].handling is not seen.handling:
                    self._on_freed(_described(who, seen, now))
            for who, seen in stuck.items():
                if who not in were or were[who].handling is not seen.handling:
                    self._on_stuck(_described(who, seen, now))

    def _present(self, now: float) -> dict[Hashable, _Seen]:
        """What everybody is handling, and since when."""
        before, seen = self._seen, dict[Hashable, _Seen]()
        for cell in self._cells():
            handling = cell.handling
            if handling is not None:
                last = before.get(cell)
                seen[cell] = last if last is not None and last.handling is handling else _Seen(handling, now)
        for pulse in list(self._pulses):
            last, beats = before.get(pulse), pulse.beats
            seen[pulse] = last if last is not None and last.handling == beats else _Seen(beats, now)
        return seen


def _described(who: Hashable, seen: _Seen, now: float) -> Stuck:
    if not isinstance(who, Cell):
        assert isinstance(who, Pulse)
        return Stuck(who.name, "", now - seen.since, None)
    handling = seen.handling
    first = handling[0] if isinstance(handling, tuple) else handling
    message = first.message if isinstance(first, Envelope) else first
    return Stuck(who.name, type(message).__name__, now - seen.since, who)


def stack_of(cell: Cell) -> list[str]:
    """Where the thread that has the turn of a cell is now, innermost call last; empty if none has."""
    for top in sys._current_frames().values():
        frame = top
        while frame is not None:
            if (name := _TURNS.get(frame.f_code)) is not None and frame.f_locals.get(name) is cell:
                summary = traceback.StackSummary.extract(traceback.walk_stack(top), lookup_lines=False)
                return [f"{each.filename}:{each.lineno} {each.name}" for each in summary[:FRAMES_SHOWN]][::-1]
            frame = frame.f_back
    return []
