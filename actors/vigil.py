"""Watching over the actors of one learner: who is stuck is in the log, in what is told, and in what is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .log import get_logger
from .roster import MODEL_PREFIX, Roster
from .runtime.cell import Cell
from .runtime.clock import Clock
from .runtime.dispatcher import Dispatcher
from .runtime.ref import PooledRef
from .runtime.watchdog import Stuck, Watchdog, stack_of
from .watching import ActorRecovered, ActorStuck, Watchers

__all__ = ["Vigil"]

_log = get_logger("watchdog")


class Vigil:
    """What a watchdog finds, made known. While a thread of the pool is held up, another stands in for it; a model that
    is stuck is told its inputs still, and questions to it are answered ``BUSY``."""

    def __init__(
        self,
        clock: Clock,
        after_seconds: float,
        actors: Sequence[PooledRef[Any]],
        roster: Roster,
        pool: Dispatcher,
        watchers: Watchers,
    ) -> None:
        self._actors = actors
        self._roster = roster
        self._pool = pool
        self._watchers = watchers
        self.watchdog = Watchdog(clock, after_seconds, self._cells, self._stuck, self._freed)

    def look(self) -> None:
        """Look once; to be called now and then, on a thread that no actor can hold up."""
        self.watchdog.look()
        held_up = sum(
            stuck.cell is not None and stuck.cell.scheduler is self._pool for stuck in self.watchdog.stuck
        )
        self._pool.stand_in(held_up)

    def _cells(self) -> Iterator[Cell]:
        for ref in self._actors:
            yield ref.cell
        for ref in list(self._roster.refs.values()):
            yield ref.cell

    def _stuck(self, stuck: Stuck) -> None:
        if stuck.cell is not None and stuck.name.startswith(MODEL_PREFIX):
            self._roster.stuck[stuck.name.removeprefix(MODEL_PREFIX)] = None
            # Neither a gather nor a snapshot is to wait for it.
            stuck.cell.turn_away(
                f"{stuck.name} has been handling a {stuck.message} for {stuck.seconds:.0f} s and does not return"
            )
        stack = [] if stuck.cell is None else stack_of(stuck.cell)
        _log.error(
            "stuck: a handler does not return",
            actor=stuck.name,
            message=stuck.message,
            seconds=round(stuck.seconds, 3),
            stack=stack,
        )
        self._watchers.tell(ActorStuck(stuck.name, stuck.message, stuck.seconds))

    def _freed(self, stuck: Stuck) -> None:
        if stuck.cell is not None and stuck.name.startswith(MODEL_PREFIX):
            self._roster.stuck.pop(stuck.name.removeprefix(MODEL_PREFIX), None)
            stuck.cell.welcome()
        _log.warning("no longer stuck", actor=stuck.name, seconds=round(stuck.seconds, 3))
        self._watchers.tell(ActorRecovered(stuck.name, stuck.seconds))
