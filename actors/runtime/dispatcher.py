"""Who takes the turns: a queue of cells that are ready, worker threads, and callers that wait anyway.

**Fairness.** A cell is run for at most a quantum of messages and then goes to the end of the ready queue.

**Helping.** The cost of asking an actor is not the queue but waking a thread and handing it the GIL. A caller
about to wait for an answer can as well run ready actors itself. Any thread may run a cell, because a cell is in
the ready queue at most once and nobody else touches it during its turn.

**Driven.** An event loop that is the only source of work can take the turns itself: then there is no thread to
wake, and none to hand the GIL to, between a message's arrival and what is done about it. Such a dispatcher has
no workers: it calls ``wake`` when there is something to do, and its owner calls ``run_ready``.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from .cell import Cell
from .dead_letters import DeadLetters
from .latch import OneShot
from .sleepers import Sleepers, held_lock
from .wakeup import WakeUp

__all__ = ["HELP_DEPTH_MAX", "QUANTUM_MESSAGES", "SPARES_MAX", "Dispatcher"]

_logger = logging.getLogger(__name__)

QUANTUM_MESSAGES = 64
"""Messages an actor handles before another gets its turn."""

HELP_DEPTH_MAX = 8
"""A handler that waits helps, and the handlers it runs may wait as well. At this depth of waits within waits a
thread runs the awaited actor only, so that a flood of asks cannot exhaust the stack."""

SPARES_MAX = 8
"""Workers that stand in for others, at most."""

_RUNNING, _DRAINING, _STOPPED = range(3)


class _Nesting(threading.local):
    depth = 0


class Dispatcher:
    """Runs any number of actors on ``workers`` daemon threads and on the threads of callers that wait.

    ``quantum``: messages a turn. ``helped=False``: only the workers run its actors, as an actor needs that
    blocks or that owns something bound to a thread; give such an actor a dispatcher of its own with one worker.

    ``workers=0`` with ``wake``: no thread at all. ``wake()`` is called, in whichever thread brings work, at most
    once until the next ``run_ready``, which takes the turns in the thread that calls it. It should only pass the
    word on. Callers that wait help here too, so a blocking ask works before anybody runs anything.

    In CPython with the GIL one worker is faster than two, unless the actors block.
    """

    def __init__(
        self,
        name: str,
        workers: int = 1,
        quantum: int = QUANTUM_MESSAGES,
        *,
        helped: bool = True,
        dead_letters: DeadLetters | None = None,
        wake: Callable[[], Any] | None = None,
    ) -> None:
        if quantum < 1 or (workers < 1 and wake is None):
            raise ValueError(f"workers was {workers} and quantum {quantum}; expected at least 1 of each")
        if wake is not None and (workers or not helped):
            raise ValueError(f"workers was {workers} and helped {helped}; with wake expected 0 and True")
        self.name = name
        self.quantum = quantum
        self.helped = helped
        """Whether callers that wait may run its actors. Becomes false when it has stopped."""
        self.dead_letters = DeadLetters() if dead_letters is None else dead_letters
        self._workers = workers
        self._wakeup = None if wake is None else WakeUp(wake)
        self._started = False
        self._threads: list[threading.Thread] = []
        self._thread_ids: set[int] = set()
        self._ready: deque[Cell] = deque()
        self._idle = Sleepers()
        self._deep = Sleepers()
        """Threads at the greatest depth of helping, each waiting for one actor."""
        self._spares = 0
        self._sparing: set[int] = set()
        self._nesting = _Nesting()
        self._phase = _RUNNING

    def __repr__(self) -> str:
        return f"<Dispatcher {self.name}: {self._workers} workers, {len(self._ready)} actors ready>"

    @property
    def ready(self) -> int:
        """How many actors wait for a turn."""
        return len(self._ready)

    def start(self) -> None:
        """Start the workers. Raises ``RuntimeError`` if they were started before."""
        if self._started or self._phase != _RUNNING:
            raise RuntimeError(f"dispatcher {self.name} was started before")
        self._started = True
        self._threads = [
            threading.Thread(target=self._work, name=f"{self.name}-{number}", daemon=True)
            for number in range(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """Finish the turns that are due, then stop the workers; waits ``timeout`` seconds at most in all.
        Without workers the calling thread takes those turns.

        What then still waits for a turn is sent back, like all later mail: asks get ``pykka.ActorDeadError``,
        tells become dead letters. An actor so found is stopped in passing, others keep their ``on_stop`` for
        when they are: stop the actors first. Returns whether all workers ended.
        """
        deadline = monotonic() + timeout
        if self._phase == _RUNNING:
            self._phase = _DRAINING
        self._wake_all()
        while (
            self._wakeup is not None and monotonic() < deadline and (cell := self._next_ready()) is not None
        ):
            self._run_turn(cell)
        current = threading.current_thread()
        others = [thread for thread in self._threads if thread is not current]
        for thread in others:
            thread.join(max(0.0, deadline - monotonic()))
        self._phase = _STOPPED
        self.helped = False
        self._wake_all()
        self._abandon_ready()
        return not any(thread.is_alive() for thread in others)

    # ------------------------------------------------------------------ scheduling

    def schedule(self, cell: Cell, /) -> None:
        """Give the cell a turn soon. Only for whoever took its turn."""
        self._ready.append(cell)
        if self._idle.waiting:
            self._idle.wake()
        if self._deep.waiting:
            self._deep.wake_for(cell)
        if self._wakeup is not None:
            self._wakeup.call()
        if self._phase == _STOPPED:
            self._abandon_ready()

    def schedule_all(self, cells: Iterable[Cell], *, wake: bool = True) -> None:
        """Give all these cells a turn, waking workers once instead of for each.

        ``wake=False`` is for a caller that is about to ``help_until``; that wakes a worker when it leaves
        with work undone. Ignored where helping is off.
        """
        self._ready.extend(cells)
        if self._deep.waiting:
            self._deep.wake(len(self._deep.waiting))
        if wake or not self.helped:
            if self._idle.waiting:
                self._wake_all()
            if self._wakeup is not None:
                self._wakeup.call()
        if self._phase == _STOPPED:
            self._abandon_ready()

    def run_ready(self, turns: int) -> bool:
        """Take up to ``turns`` turns in this thread, of each actor one. Only for a dispatcher without workers.

        Returns whether more actors wait for a turn: then call again, without being woken, once what else there
        is to do was done; so an actor that always has work does not keep its owner from his. Otherwise
        ``wake`` is called when one does.
        """
        wakeup, ready = self._wakeup, self._ready
        if wakeup is None:
            raise RuntimeError(f"dispatcher {self.name} has workers; they take the turns")
        wakeup.disarm()
        had_a_turn: set[Cell] = set()
        try:
            while turns > len(had_a_turn) and (cell := self._next_ready()) is not None:
                if cell in had_a_turn:
                    ready.appendleft(cell)
                    if self._phase == _STOPPED:
                        self._abandon_ready()
                    break
                had_a_turn.add(cell)
                self._run_turn(cell)
        except BaseException:
            wakeup.rearm()
            if ready:
                wakeup.call()
            raise
        wakeup.rearm()
        if not ready:
            return False
        wakeup.disarm()
        return True

    def help_until(self, flag: OneShot, timeout: float | None = None, target: Cell | None = None) -> bool:
        """Run ready actors in this thread until ``flag`` is set; sleep while there are none.

        ``target`` is the actor being waited for, if it is one. The deadline is looked at between turns, so the
        call may take a turn longer than ``timeout`` seconds. Returns whether the flag is set.
        """
        deadline = None if timeout is None else monotonic() + timeout
        ready, nesting = self._ready, self._nesting
        nesting.depth += 1
        only = target if nesting.depth > HELP_DEPTH_MAX else None
        try:
            while not flag._fired:
                try:
                    cell = ready.popleft() if only is None else self._take(only)
                except (IndexError, ValueError):
                    if not self._sleep_as_helper(flag, deadline, only):
                        break
                    continue
                cell.run(self.quantum)
                if deadline is not None and monotonic() >= deadline:
                    break
        finally:
            nesting.depth -= 1
            if self._ready:
                if self._idle.waiting:
                    self._idle.wake()
                if self._wakeup is not None:
                    self._wakeup.call()
        return flag._fired

    def _take(self, cell: Cell) -> Cell:
        self._ready.remove(cell)
        return cell

    def _sleep_as_helper(self, flag: OneShot, deadline: float | None, only: Cell | None) -> bool:
        """Returns whether to look again; ``False`` when the time is up."""
        timeout = None if deadline is None else deadline - monotonic()
        if timeout is not None and timeout <= 0:
            return False
        if only is not None:
            self._deep.sleep(
                held_lock(), lambda: only in self._ready, awaited=only, flag=flag, timeout=timeout
            )
        elif self._wakeup is not None or threading.get_ident() in self._thread_ids:
            # A worker that waits inside a handler is still the one who has to run what becomes ready, perhaps
            # the very thing it waits for: it is woken for both reasons. So is, where there are no workers, any
            # caller: it may be the very thread that would come to run_ready.
            self._idle.sleep(held_lock(), self._ready.__len__, flag=flag, timeout=timeout)
        else:
            flag.wait(timeout)
        return True

    # ------------------------------------------------------------------ workers

    def stand_in(self, workers: int) -> None:
        """Have so many spare workers (``SPARES_MAX`` at most) while others are held up in a handler; those not needed
        any more leave after their turn. Nothing happens where there are no workers. One caller at a time."""
        workers = min(workers, SPARES_MAX)
        if not self._workers or self._phase != _RUNNING or workers == self._spares == len(self._sparing):
            return
        self._spares = workers
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for number in range(workers):
            if number not in self._sparing:
                self._sparing.add(number)
                name = f"{self.name}-spare-{number}"
                spare = threading.Thread(target=self._work_as_spare, args=(number,), name=name, daemon=True)
                self._threads.append(spare)
                spare.start()
        self._wake_all()

    def _work_as_spare(self, number: int) -> None:
        self._thread_ids.add(threading.get_ident())
        lock = held_lock()
        while number < self._spares and self._phase != _STOPPED:
            cell = self._next_ready()
            if cell is not None:
                self._run_turn(cell)
            elif self._phase != _RUNNING:
                break
            else:
                self._idle.sleep(
                    lock, lambda: self._ready or self._phase != _RUNNING or number >= self._spares
                )
        self._thread_ids.discard(threading.get_ident())
        self._sparing.discard(number)
        if self._ready:  # it may have been woken for what another has to do now
            self._wake_all()

    def _work(self) -> None:
        self._thread_ids.add(threading.get_ident())
        ready = self._ready
        lock = held_lock()
        while self._phase != _STOPPED:
            try:
                cell = ready.popleft()
            except IndexError:
                if self._phase != _RUNNING:
                    return
                self._idle.sleep(lock, lambda: ready or self._phase != _RUNNING)
                continue
            try:
                cell.run(self.quantum)
            except BaseException:
                # A cell settles whatever its actor raises; this is a fault of ours, and no reason to
                # leave all other actors without a thread.
                _logger.exception("turn of %s failed", cell.name)

    def _next_ready(self) -> Cell | None:
        try:
            return self._ready.popleft()
        except IndexError:
            return None  # or whoever helps was faster

    def _run_turn(self, cell: Cell) -> None:
        """A turn in the calling thread. An interrupt that is meant for the thread goes on upwards."""
        try:
            cell.run(self.quantum)
        except Exception:
            _logger.exception("turn of %s failed", cell.name)

    def _wake_all(self) -> None:
        self._idle.wake(max(self._workers, len(self._idle.waiting)))

    def _abandon_ready(self) -> None:
        while self._ready:
            try:
                cell = self._ready.popleft()
            except IndexError:
                return
            cell.abandon(f"dispatcher {self.name} was stopped")
