"""The composition of one learner: its dispatchers, actors and timers, started in order, stopped in reverse."""

from __future__ import annotations

import os
from collections.abc import Sequence
from threading import Lock
from typing import Any

from pykka._envelope import Envelope

from ..config import Settings, default_settings
from ..protocol.errors import ClosedError, HandicapperError
from ..protocol.messages import DeadLetter, Statistics
from .calls import Admission, Reply
from .log import get_logger
from .persister import Open, PersisterActor
from .restore import Restored
from .roster import Roster
from .router import RouterActor, Submit, TakeSnapshot
from .runtime.clock import Clock
from .runtime.dead_letters import DeadLetters
from .runtime.dispatcher import Dispatcher
from .runtime.failure import Failure
from .runtime.ref import PooledRef
from .runtime.supervision import start_in_order, stop_in_reverse
from .runtime.timers import Timers
from .selector import SelectorActor
from .state.entries import RulesInForce
from .state.intake import Submission
from .state_directory import StateDirectory
from .supervisor import SupervisorActor

__all__ = ["Engine"]

_log = get_logger("engine")


class Engine:
    """Everything a learner runs on. Construction opens; :meth:`stop` closes."""

    persister: PooledRef[PersisterActor]
    router: PooledRef[RouterActor]
    selector: PooledRef[SelectorActor]
    supervisor: PooledRef[SupervisorActor]

    def __init__(
        self,
        state_dir: str | os.PathLike[str],
        settings: Settings | None,
        clock: Clock,
        create: bool,
        accept_loss: bool,
    ) -> None:
        self._settings_given = settings is not None
        self.settings = settings = default_settings() if settings is None else settings
        self.clock = clock
        self.rules = settings.learning_rules()
        self.admission = Admission(settings.limits.in_flight_inputs_max)
        self.state = "accepting"
        self._pid = os.getpid()
        self._stopping = Lock()
        self.dead_letters = DeadLetters(settings.limits.dead_letters_max, clock)
        self.directory = StateDirectory(state_dir, create)
        self.pool = Dispatcher("handicapper-pool", dead_letters=self.dead_letters)
        self._blocking = [
            Dispatcher(f"handicapper-{name}", helped=False, dead_letters=self.dead_letters)
            # Nor does a caller run the router: its stack, its decimal context and its Ctrl-C are not the book's.
            for name in ("persister", "supervisor", "router")
        ]
        self.timers = Timers(clock, name="handicapper-timers")
        self._started: list[PooledRef[Any]] = []
        self.roster = Roster(self.pool, settings.limits.mailbox_messages_max, self._model_failed)
        try:
            self._start(create, accept_loss)
        except BaseException:
            self._stop_threads(settings.supervision.stop_timeout_secs)
            raise

    # ------------------------------------------------------------------ start

    def _start(self, create: bool, accept_loss: bool) -> None:
        began = self.clock.monotonic()
        for dispatcher in (self.pool, *self._blocking):
            dispatcher.start()
        self.timers.start()
        limits, mailbox = self.settings.limits, self.settings.limits.mailbox_messages_max
        self.persister = PersisterActor.start_on(
            self._blocking[0], limits.batch_inputs_max, name="persister", messages_max=2 * mailbox + 1024
        )
        self._started.append(self.persister)
        table = self.directory.table_of(self.settings.persistence.db_table, self._settings_given)
        request = Open(self.directory, self.settings, table, create and not self.directory.used, accept_loss)
        restored, self.store = self.persister.ask(request)
        for state in restored.states.values():
            self.roster.add(state)
        self._start_others(restored)
        self._follow_rules(restored)
        self.timers.call_every(self.settings.persistence.save_interval_secs, self._snapshot_due)
        self.replayed = restored.replayed
        self.quarantined = tuple(self.store.quarantined())
        for model_id, text in restored.poison:
            self.dead_letters.add(f"model/{model_id}", "poison: not folded", text, 1)
        self.opened_in_seconds = self.clock.monotonic() - began
        _log.info(
            "opened",
            path=str(self.directory.path),
            seq=restored.book.seq,
            snapshot_seq=restored.snapshot_seq,
            replayed=restored.replayed,
            models=len(restored.states),
            quarantined=len(self.quarantined),
        )

    def _start_others(self, restored: Restored) -> None:
        settings, mailbox = self.settings, self.settings.limits.mailbox_messages_max
        stop_timeout = settings.supervision.stop_timeout_secs

        def start_router() -> PooledRef[RouterActor]:
            self.router = RouterActor.start_on(
                self._blocking[2],
                restored,
                settings,
                self.roster,
                self.persister,
                self.pool,
                self.clock,
                name="router",
                messages_max=mailbox,
            )
            return self.router

        def start_selector() -> PooledRef[SelectorActor]:
            self.selector = SelectorActor.start_on(
                self.pool,
                self.roster,
                self.pool,
                self.timers,
                name="selector",
                messages_max=mailbox,
            )
            return self.selector

        def start_supervisor() -> PooledRef[SupervisorActor]:
            self.supervisor = SupervisorActor.start_on(
                self._blocking[1],
                self.store,
                self.roster,
                self.router,
                settings.supervision,
                self.clock,
                name="supervisor",
                messages_max=mailbox,
            )
            return self.supervisor

        starters = (start_router, start_selector, start_supervisor)
        self._started += start_in_order(starters, start_timeout=stop_timeout, stop_timeout=stop_timeout)

    def _follow_rules(self, restored: Restored) -> None:
        """Journal the rules in force, if they are not the last ones journaled; without settings those stay."""
        history = restored.book.rules_history
        if history and not self._settings_given:
            self.rules = history[-1][1]
        elif not history or history[-1][1] != self.rules:
            self.submit([RulesInForce(self.rules)], single=True, timeout=60.0).get(60.0)

    def _model_failed(self, failure: Failure) -> None:
        self.supervisor.post(failure)

    def _snapshot_due(self) -> None:
        self.router.post(TakeSnapshot())

    # ------------------------------------------------------------------- work

    def check_open(self) -> None:
        """Raise ClosedError if this learner cannot be used (any more, or in this process)."""
        if self.state == "closed":
            raise ClosedError(f"the learner on {self.directory.path} is closed")
        if os.getpid() != self._pid:
            raise ClosedError(
                f"the learner on {self.directory.path} belongs to process {self._pid}; after a fork it cannot be used: "
                "open it in one process only"
            )

    def submit(
        self, items: Sequence[Submission], single: bool = False, timeout: float | None = None
    ) -> Reply[Any]:
        """Send valid inputs to the router."""
        reply: Reply[Any] = Reply(self.router.cell)
        self.send(Submit(list(items), reply, single), reply, len(items), timeout)
        return reply

    def call(self, item: Submission, timeout: float) -> Any:
        """Send one valid input to the router and wait for its receipt, ``timeout`` seconds in all."""
        deadline = self.clock.monotonic() + timeout
        reply = self.submit([item], single=True, timeout=timeout)
        return reply.get(max(deadline - self.clock.monotonic(), 0.0))

    def send(self, message: Any, reply: Reply[Any], inputs: int, timeout: float | None) -> None:
        """Send the router a message that brings inputs and is answered through ``reply``.

        Raises:
            BusyError: too many inputs are in flight.
            ClosedError: the learner is closed.

        """
        self.check_open()
        self.admission.enter(reply, inputs, timeout)
        try:
            self.ask(self.router, message, reply)
        except BaseException as error:
            reply.set_exception((type(error), error, error.__traceback__))
            raise

    def ask(self, ref: PooledRef[Any], message: Any, reply: Reply[Any]) -> None:
        """Ask any actor; its answer goes into ``reply``, and so does ClosedError if it stops before."""
        self.check_open()
        ref.cell.put(Envelope(message, reply))

    def statistics(self) -> Statistics:
        """What is going on, read without stopping anybody."""
        persister, router = self._actor(self.persister), self._actor(self.router)
        if persister is None or router is None:
            raise ClosedError(f"the learner on {self.directory.path} is closed")
        failure = persister.failure or router.failure
        counters, book, snapshots = router.intake.counters, router.book, router.snapshots
        return Statistics(
            state="failed" if failure is not None else "accepting",
            failure=str(failure) if failure is not None else None,
            seq=book.seq,
            durable_seq=persister.durable_seq,
            snapshot_seq=snapshots.seq,
            snapshot_failures=snapshots.failures,
            models=len(self.roster.refs),
            models_failed=tuple(sorted(self.roster.failed)),
            markets_open=book.open_markets,
            predictions_pending=book.pending,
            settled_in_memory=len(book.by_prediction) - book.pending,
            predictions=counters.predictions,
            resolutions=counters.resolutions,
            outcomes=counters.outcomes,
            duplicates=counters.duplicates,
            refused=counters.refused,
            scored=counters.scored,
            revised=counters.revised,
            commits=persister.commits,
            journal_bytes=persister.journal_bytes,
            in_flight=self.admission.in_flight,
            restarts=self._restarts(),
            dead_letters=self.dead_letters.total,
            quarantined=self.quarantined,
            opened_in_seconds=self.opened_in_seconds,
            replayed=self.replayed,
        )

    def letters(self) -> list[DeadLetter]:
        """The newest dead letters."""
        return [
            DeadLetter(
                recipient=letter.recipient,
                reason=letter.reason,
                message=letter.message,
                attempts=letter.attempts,
                at=letter.at_ns,
            )
            for letter in self.dead_letters.latest()
        ]

    def _restarts(self) -> int:
        supervisor = self._actor(self.supervisor)
        return supervisor.restarts if supervisor is not None else 0

    @staticmethod
    def _actor(ref: PooledRef[Any]) -> Any:
        return ref.cell.actor

    # ------------------------------------------------------------------- stop

    def stop(self) -> None:
        """Drain, snapshot, stop everything in reverse order, let go of the directory.

        Raises:
            HandicapperError: the last snapshot could not be written. What was acknowledged is durable all
                the same; the next opening replays the journal.

        """
        if os.getpid() != self._pid:
            self.state = "closed"
            return
        with self._stopping:
            if self.state != "closed":
                self._stop()

    def _stop(self) -> None:
        timeout = self.settings.supervision.stop_timeout_secs
        problem: HandicapperError | None = None
        try:
            self._last_snapshot(timeout)
        except HandicapperError as error:
            problem = error
        self.state = "closed"
        self._stop_threads(timeout)
        _log.info("closed", path=str(self.directory.path), problem=str(problem) if problem else None)
        if problem is not None:
            raise problem

    def _last_snapshot(self, timeout: float) -> None:
        persister = self._actor(self.persister)
        if persister is None or persister.failure is not None:
            return
        reply: Reply[Any] = Reply(self.router.cell)
        self.router.post(TakeSnapshot(reply))
        reply.get(timeout)

    def _stop_threads(self, timeout: float) -> None:
        self.timers.stop(timeout)
        refs = list(self.roster.refs.values())
        persister, others = self._started[:1], self._started[1:]
        late = stop_in_reverse([*persister, *others, *refs], timeout=timeout)
        self.admission.refuse_all(ClosedError(f"the learner on {self.directory.path} was closed meanwhile"))
        ended = [dispatcher.stop(timeout) for dispatcher in (self.pool, *reversed(self._blocking))]
        if ended[-1]:
            # Whoever else opens the directory must not meet a write of ours.
            self.directory.release()
        if late or not all(ended):
            names = ", ".join(sorted(ref.actor_urn for ref in late)[:10])
            _log.error("did not stop in time", actors=names, timeout_seconds=timeout)
