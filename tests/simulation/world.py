"""A whole learner without a thread, a file or a clock of its own: somebody else chooses whose turn it is.

Every actor is the real one, on a dispatcher that takes a turn when it is told to; the store is the real one on
:mod:`.memory_lmdb`. Whatever of the learner this file has to know by name is in it and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from handicapper.actors import (
    Learner,
    engine,
    journal,
    loose_records,
    persister,
    prompt,
    restore,
    snapshotter,
    store,
    supervisor,
)
from handicapper.actors.runtime import dispatcher as dispatcher_module
from handicapper.actors.runtime.clock import ManualClock
from handicapper.actors.runtime.dead_letters import DeadLetters
from handicapper.actors.runtime.dispatcher import Dispatcher
from handicapper.actors.runtime.timers import Timers
from handicapper.actors.state import id_index, model_state, pool_state
from handicapper.actors.state.rebuild import rebuild_model
from handicapper.config import Limits, Persistence, Settings, Supervision

from ..state.samples import T0
from .memory_lmdb import Crash, Disk, Environment, MemoryLog

__all__ = ["World", "settings_with"]

TURNS_MAX = 200_000
"""More without coming to rest, and something goes round in circles."""


def settings_with(random: Random, **learning: Any) -> Settings:
    """Small pieces of everything, so that a few inputs need several of each; a model is never given up."""
    return Settings(
        persistence=Persistence(
            initial_map_mib=4,
            idempotency_filter_mib=1,
            snapshot_inputs_max=random.choice([20, 1_000_000]),
        ),
        limits=Limits(batch_inputs_max=random.choice([1, 3, 4096]), future_seconds_max=0.0),
        supervision=Supervision(attempts_max=100, restarts_max=1_000_000),
        **learning,
    )


class TurnDispatcher(Dispatcher):
    """Takes a turn when told to. Who waits inside of a turn lets the others take theirs meanwhile."""

    def __init__(self, world: World, name: str, quantum: int, dead_letters: DeadLetters | None) -> None:
        super().__init__(name, 0, quantum, dead_letters=dead_letters, wake=lambda: None)
        self._world = world

    @property
    def waits(self) -> int:
        """How many waits for its actors there are, one within the other."""
        return self._nesting.depth

    def turn_of(self, place: int) -> None:
        """Give a turn to the actor that is so far down the queue."""
        self._ready.rotate(-place)
        self.run_ready(1)

    def _sleep_as_helper(self, *_: Any) -> bool:
        return self._world.somebody_elses_turn(self)


class ManualTimers(Timers):
    """Calls are made by ``run_due``, and by no thread."""

    def start(self) -> None:
        """There is no thread to start."""


class NoDirectory:
    """In the place of a state directory: nothing is locked or marked, and the data file is never there."""

    used = False
    models_table: str | None = None
    path = Path("/nowhere/simulated")

    def __init__(self, *_: Any) -> None:
        """Takes what a state directory takes."""

    def table_of(self, wanted: str, given: bool) -> str:
        """Any table will do."""
        del given
        return wanted

    def mark_upgraded(self) -> None:
        """There is no marker."""

    def mark_used(self, models_table: str) -> None:
        """There is no marker."""

    def release(self) -> None:
        """There is no lock."""


class World:
    """The learner of one seed, from one crash to the next, and its disk."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.disk = Disk()
        self.clock = ManualClock(T0, 1_000.0)
        self.learner: Any = None
        self.failing_folds = 0
        """So many of the next folds of the learner raise."""
        self.failing_snapshots = 0
        """So many of the next snapshots fail, and the store does not."""
        self._fold_rows = model_state.fold_rows
        self._fold_pool_row = pool_state.fold_row
        self._make_run = id_index.build_run
        self._quantum = random.choice([1, 2, 64])
        self._disk_seconds = 0.0
        self._dispatchers: list[TurnDispatcher] = []
        self._timers: list[ManualTimers] = []
        self._inside = self._within_turn = False

    @contextmanager
    def laws(self) -> Iterator[None]:
        """The learner's pieces made small, its clock and its disk ours."""
        random = self.random
        constants: list[tuple[Any, str, Any]] = [
            (snapshotter, "SEAL_ITEMS", random.choice([1, 3, 50])),
            (snapshotter, "CATCH_UP_ITEMS_MAX", random.choice([1, 30])),
            (snapshotter, "NOTE_NUMBERS", random.choice([1, 4, 50])),
            (snapshotter, "LEAVE_MARKETS", random.choice([1, 3, 50])),
            (loose_records, "SPANS_A_RECORD", random.choice([1, 2, 5, 64])),
            (journal, "RECORD_INPUTS_MAX", random.choice([1, 3, 256])),
            (persister, "RUNS_PER_LEVEL", random.choice([2, 3, 8])),
            (id_index, "build_run", self._build_run),
            (model_state, "CHECKPOINT_ROWS", random.choice([2, 5, 64])),
            (model_state, "fold_rows", self._fold),
            (pool_state, "CHECKPOINT_ROWS", random.choice([2, 5, 64])),
            (pool_state, "fold_row", self._fold_pool),
            (supervisor, "rebuild_model", self._rebuild),
            (restore, "rebuild_model", self._rebuild),
            (prompt, "PROMPT_SECONDS_MAX", 1.0),
            (dispatcher_module, "monotonic", self.clock.monotonic),
            (journal, "HERE_INPUTS_MAX", random.choice([2, 1_024])),
            (journal, "TAIL_BYTES_MAX", random.choice([300, 2**24])),
            (journal, "monotonic", self._disk_clock),
            (store, "CHECKPOINT_BYTES", random.choice([1, 300, 2**21])),
            (store, "LogFile", lambda _: MemoryLog(self.disk)),
            (store.lmdb, "open", lambda _, **options: Environment(self.disk, **options)),
            (engine, "Dispatcher", self._new_dispatcher),
            (engine, "Timers", self._new_timers),
            (engine, "StateDirectory", NoDirectory),
        ]
        with ExitStack() as stack:
            for module, name, value in constants:
                stack.enter_context(patch.object(module, name, value))
            yield

    def _new_dispatcher(
        self, name: str, *_: Any, dead_letters: DeadLetters | None = None, **__: Any
    ) -> TurnDispatcher:
        made = TurnDispatcher(self, name, self._quantum, dead_letters)
        self._dispatchers.append(made)
        return made

    def _new_timers(self, clock: ManualClock, **_: Any) -> ManualTimers:
        timers = ManualTimers(clock)
        self._timers.append(timers)
        return timers

    def _disk_clock(self) -> float:
        """The disk is slow now and then; the router leaves it to the persister then."""
        self._disk_seconds += self.random.choice([0.0, 0.0, 0.0, 0.01, 2.0])
        return self._disk_seconds

    def _fold(self, *arguments: Any) -> None:
        self._perhaps_fail()
        self._fold_rows(*arguments)

    def _fold_pool(self, *arguments: Any) -> None:
        self._perhaps_fail()
        self._fold_pool_row(*arguments)

    def _perhaps_fail(self) -> None:
        if self._inside and self.failing_folds:
            self.failing_folds -= 1
            raise RuntimeError("simulated: the fold broke")

    def _build_run(self, *arguments: Any) -> bytes:
        if self.failing_snapshots:
            self.failing_snapshots -= 1
            raise MemoryError("simulated: no memory for the index of a snapshot")
        return self._make_run(*arguments)

    def _rebuild(self, *arguments: Any) -> Any:
        # What raises in a rebuild is poison, and is left out for good: that is not what is simulated.
        failing, self.failing_folds = self.failing_folds, 0
        try:
            return rebuild_model(*arguments)
        finally:
            self.failing_folds = failing

    # ------------------------------------------------------------------ lifetime

    def open(self, settings: Settings) -> None:
        """Open the learner on what the disk holds; Crash if that happens meanwhile."""
        self.abandon()
        with self._entered():
            self.learner = Learner(
                "simulated", settings, clock=self.clock, wake=lambda: None, future_inputs=True
            )

    def abandon(self) -> None:
        """The process is gone."""
        self.learner = None
        self.failing_folds = self.failing_snapshots = 0
        self._dispatchers, self._timers = [], []

    def close(self) -> None:
        """Stop the learner as its owner does; raises what ``close`` raises."""
        with self._entered():
            self.learner.close()

    @contextmanager
    def _entered(self) -> Iterator[None]:
        outside, self._inside = self._inside, True
        try:
            yield
        finally:
            self._inside = outside

    # --------------------------------------------------------------------- turns

    @property
    def router_at_rest(self) -> bool:
        """Whether everything that was sent is taken in."""
        return self.learner._engine.router.cell.at_rest

    def turn(self) -> bool:
        """Give one of the actors that have something to do a turn; tells whether there was one."""
        ready = [each for each in self._dispatchers if each.ready]
        if not ready or self.disk.crashed:
            return False
        chosen = self.random.choice(ready)
        with self._entered():
            self._within_turn = True
            try:
                chosen.turn_of(self.random.randrange(chosen.ready))
            finally:
                self._within_turn = False
        return True

    def somebody_elses_turn(self, waiting: TurnDispatcher) -> bool:
        """One that waits has nothing to do itself: let another take a turn. False: there is nobody.

        Within a turn that is the persister, which never waits itself. The supervisor has a thread of its own, and
        may have to wait for the end of the very turn that waits here.
        """
        if self.disk.crashed:
            raise Crash
        within = self._within_turn or waiting.waits > 1
        ready = [
            each
            for each in self._dispatchers
            if each.ready and each is not waiting and (not within or "persister" in each.name)
        ]
        if not ready:
            return False
        self.random.choice(ready).turn_of(0)
        return True

    def settle(self) -> None:
        """Turns, until nobody has anything to do or the machine is gone."""
        for _ in range(TURNS_MAX):
            if not self.turn():
                return
        raise AssertionError(f"no rest after {TURNS_MAX} turns")

    def advance(self, seconds: float) -> None:
        """Time passes, and what is due is called."""
        self.clock.advance(seconds)
        with self._entered():
            for timers in self._timers:
                timers.run_due()
