"""Asking everybody the same, where most are idle, as they are when one asks for reading.

An idle actor answers here and now, in the asking thread: no letter is written, no turn is queued, and replies
lie in a list. Only who is busy gets a letter; a gather of those few waits for what they say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from pykka._envelope import Envelope

from ...protocol.errors import BusyError
from .cell import NOT_IDLE, Cell
from .dispatcher import Dispatcher
from .gather import Gather, Gathered, Slot

__all__ = ["NO_REPLY", "Asked", "ask_all", "ask_busy", "ask_idle"]

NO_REPLY: Final = NOT_IDLE
"""In place of a reply: none came in time, or the actor raised instead."""

CELLS_A_LOOK: Final = 256
"""Actors asked between two looks at the clock."""


@dataclass(slots=True)
class Asked:
    """What was answered, by the places of those asked."""

    replies: list[Any] = field(default_factory=list)
    """A reply or ``NO_REPLY`` each; shorter than those to be asked if there was no time for all."""
    errors: dict[int, BaseException] = field(default_factory=dict)
    """What was raised in place of a reply, or by sending."""
    busy: list[int] = field(default_factory=list)
    """Who was sent a letter."""

    def ask_idle(self, cells: Iterable[Cell], message: Any) -> None:
        """``Cell.ask_idle`` of each, with its reply or among the busy; written out, which saves a fifth."""
        replies, busy = self.replies, self.busy
        for cell in cells:
            idle, mail = cell._idle, cell._queue
            if not idle.acquire(False):
                busy.append(len(replies))
                replies.append(NO_REPLY)
                continue
            try:
                actor = cell.actor
                if cell._attention or mail or actor is None:
                    busy.append(len(replies))
                    reply = NO_REPLY
                else:
                    cell.handling = message
                    reply = actor.on_receive(message)
            except Exception as error:  # noqa: BLE001 - as for an ask: it goes to the asker
                self.errors[len(replies)] = error
                reply = NO_REPLY
            finally:
                cell.handling = None
                idle.release()
                if mail or cell._attention:
                    cell._schedule_if_needed()
            replies.append(reply)

    def complete(self, gathered: Gathered[int, Any]) -> None:
        """Add what the busy answered."""
        for place, reply in gathered.values.items():
            self.replies[place] = reply
        self.errors.update(gathered.errors)


def ask_all(
    dispatcher: Dispatcher,
    cells: Sequence[Cell],
    message: Any,
    on_complete: Callable[[Asked], object],
    deadline: float = math.inf,
) -> Gather[int, Any] | None:
    """Ask every actor the same; ``on_complete`` is called once everybody answered, here if all are idle.

    Once it is ``deadline`` (monotonic) nobody else is asked. Returns the gather of those that were busy, which
    the caller expires at the deadline; None if it is over. For actors run by a dispatcher that may be helped.
    """
    asked = ask_idle(cells, message, deadline)
    if not asked.busy:
        on_complete(asked)
        return None
    return ask_busy(dispatcher, cells, message, asked, on_complete)


def ask_idle(cells: Sequence[Cell], message: Any, deadline: float = math.inf) -> Asked:
    """The first half of :func:`ask_all`: what the idle say, and who is busy, whom nobody has asked yet."""
    asked = Asked([], {}, [])  # sooner made than by default
    count = len(cells)
    if count <= CELLS_A_LOOK:
        if monotonic() < deadline:
            asked.ask_idle(cells, message)
        return asked
    for start in range(0, count, CELLS_A_LOOK):
        if monotonic() >= deadline:
            break
        asked.ask_idle(cells[start : start + CELLS_A_LOOK], message)
    return asked


def ask_busy(
    dispatcher: Dispatcher,
    cells: Sequence[Cell],
    message: Any,
    asked: Asked,
    on_complete: Callable[[Asked], object],
) -> Gather[int, Any] | None:
    """The second half: letters to the busy, whose answers complete ``asked``."""

    def complete(gathered: Gathered[int, Any]) -> None:
        asked.complete(gathered)
        on_complete(asked)

    gather: Gather[int, Any] = Gather(asked.busy, complete)
    _ask_by_letter(dispatcher, [cells[place] for place in asked.busy], message, gather)
    return None if gather.completed.is_set() else gather


def _ask_by_letter(
    dispatcher: Dispatcher, cells: Sequence[Cell], message: Any, gather: Gather[int, Any]
) -> None:
    owed: list[Cell] = []
    for index, cell in enumerate(cells):
        try:
            slot: Any = Slot(gather, index)
            if cell.offer(Envelope(message, slot)):
                owed.append(cell)
        except BusyError as error:
            gather.fail(index, error)
    dispatcher.schedule_all(owed)
