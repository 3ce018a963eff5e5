"""The composition of one learner: its dispatchers, actors and timers, started in order, stopped in reverse."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import Lock
from typing import Any, Final

from msgspec.structs import replace

from ..config import Settings, default_settings
from ..protocol.errors import ClosedError, HandicapperError, StoreFailedError, reason_of
from .calls import Admission, Reply
from .journal import Journal, JournalBatch
from .letters import set_aside
from .log import get_logger
from .persister import Open, PersisterActor, Retry
from .requests import StoreBroken, TakeSnapshot
from .restore import Restored
from .roster import Roster
from .router import RouterActor
from .runtime.clock import Clock
from .runtime.dead_letters import DeadLetters
from .runtime.dispatcher import Dispatcher
from .runtime.failure import Failure
from .runtime.ref import PooledRef
from .runtime.supervision import start_in_order, stop_in_reverse
from .runtime.timers import TimerHandle, Timers
from .runtime.watchdog import LOOKS_PER_PERIOD
from .selector import Scatter, SelectorActor
from .sending import Sending
from .settings_change import SettingsChange, change_settings, settings_following
from .state.entries import RulesInForce
from .state_directory import StateDirectory
from .supervisor import SupervisorActor
from .vigil import Vigil
from .watching import Watchers, telling_of_drift

__all__ = ["Engine"]

RETRY_SECONDS: Final = 1.0
"""Between two tries to write to a disk that was full."""

_log = get_logger("engine")


class Engine(Sending):
    """Everything a learner runs on. Construction opens; :meth:`stop` closes.

    With ``wake`` the router, the selector and the models have no thread: :meth:`run_ready` takes their turns.
    """

    journal: Journal
    persister: PooledRef[PersisterActor]
    scatter: Scatter
    selector: PooledRef[SelectorActor]
    supervisor: PooledRef[SupervisorActor]

    def __init__(
        self,
        state_dir: str | os.PathLike[str],
        settings: Settings | None,
        clock: Clock,
        create: bool,
        accept_loss: bool,
        wake: Callable[[], object] | None = None,
        future_inputs: bool = False,
    ) -> None:
        self._future_inputs = future_inputs
        self._settings_given = settings is not None
        self.settings = settings = default_settings() if settings is None else settings
        self.clock = clock
        self.rules = settings.learning_rules()
        self.admission = Admission(settings.limits.in_flight_inputs_max)
        self.state = "accepting"
        self.closing = False
        """Somebody wants it closed: nothing that takes long is to go on."""
        self.opened_by_pid = os.getpid()
        self._stopping = Lock()
        self._changing_settings = Lock()
        self.verifying = Lock()
        """Held during a check, which takes the memory of another learner."""
        self.backing_up = Lock()
        """Held while a backup is made."""
        self.watchers = Watchers()
        self.dead_letters = DeadLetters(settings.limits.dead_letters_max, clock)
        self.directory = StateDirectory(state_dir, create)
        self.driven = wake is not None
        self.pool = Dispatcher(
            "handicapper-pool", 0 if self.driven else 1, dead_letters=self.dead_letters, wake=wake
        )
        # On a thread of its own no caller runs the router: its stack, its decimal context and its Ctrl-C are
        # not the book's. Whoever drives it has chosen to.
        names = ("persister", "supervisor") if self.driven else ("persister", "supervisor", "router")
        self._blocking = [
            Dispatcher(f"handicapper-{name}", helped=False, dead_letters=self.dead_letters) for name in names
        ]
        self.timers = Timers(clock, name="handicapper-timers")
        self._started: list[PooledRef[Any]] = []
        self.roster = Roster(
            self.pool,
            settings.limits.mailbox_messages_max,
            self._model_failed,
            telling_of_drift(self.tell_in_turn),
        )
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
            self._blocking[0],
            limits.batch_inputs_max,
            name="persister",
            messages_max=2 * mailbox + 1024,
            on_failure=self._persister_failed,
        )
        self._started.append(self.persister)
        table = self.directory.table_of(self.settings.persistence.db_table, self._settings_given)
        request = Open(self.directory, self.settings, table, create and not self.directory.used, accept_loss)
        restored, self.store, self.journal = self.persister.ask(request)
        self.journal.became_full = self._retry_later
        for state in restored.states.values():
            self.roster.add(state)
        self._start_others(restored)
        self._follow_rules(restored)
        self._snapshot_timer = self._every_save_interval()
        self._watch_over_actors()
        self.replayed = restored.replayed
        self.quarantined = tuple(self.store.quarantined())
        for model_id in dict(restored.poison):
            texts = [text for model, text in restored.poison if model == model_id]
            set_aside(self.dead_letters, model_id, texts, 1)
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
                self.pool if self.driven else self._blocking[2],
                restored,
                _without_future_bound(settings) if self._future_inputs else settings,
                self.roster,
                self.persister,
                self.journal,
                self.pool,
                self.clock,
                self.watchers,
                name="router",
                messages_max=mailbox,
            )
            return self.router

        def start_selector() -> PooledRef[SelectorActor]:
            self.scatter = Scatter(self.roster, self.pool, self.timers)
            self.selector = SelectorActor.start_on(
                self.pool, self.scatter, name="selector", messages_max=mailbox
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
                self.watchers,
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
            self.settings = settings_following(self.settings, self.rules)
        elif not history or history[-1][1] != self.rules:
            self.submit([RulesInForce(self.rules)], single=True, timeout=60.0).get(60.0)

    def _model_failed(self, failure: Failure) -> None:
        self.supervisor.post(failure)

    def _persister_failed(self, failure: Failure) -> None:
        """Something else than a write failed, which the journal settles itself: what was handed over is half done."""
        error = StoreFailedError(
            f"the persister failed: {reason_of(failure.exception)}; nothing more is acknowledged. What was is safe: "
            "open the state directory again"
        )
        _log.critical("the persister failed", error=reason_of(failure.exception))
        persister: Any = self.persister.cell.actor
        if persister.journal.failure is None:
            persister.journal.failure = error
        for message in failure.messages:
            if isinstance(message, JournalBatch):
                for reply, _ in message.replies:
                    reply.set_exception((StoreFailedError, error, None))
        self.router.post(StoreBroken(error))
        failure.resume(retry=False)

    def _every_save_interval(self) -> TimerHandle:
        return self.timers.call_every(self.settings.persistence.save_interval_secs, self._snapshot_due)

    def _retry_later(self) -> None:
        self.timers.call_after(RETRY_SECONDS, lambda: self.persister.post(Retry()))

    def _watch_over_actors(self) -> None:
        after = self.settings.supervision.stuck_after_secs
        self.vigil = Vigil(self.clock, after, self._started, self.roster, self.pool, self.watchers)
        if after > 0:
            self.timers.call_every(after / LOOKS_PER_PERIOD, self.vigil.look)

    def _snapshot_due(self) -> None:
        self.router.post(TakeSnapshot())

    def apply_settings(self, wanted: Settings, timeout: float) -> SettingsChange:
        """Let everything in (checked) settings hold that can while the learner runs."""
        self.check_open()
        with self._changing_settings:
            after, change = change_settings(self.settings, wanted)
            rules = after.learning_rules()
            if rules != self.rules:
                self.call(RulesInForce(rules), timeout)
                self.rules = rules
            self.settings = after
            if "persistence.save_interval_secs" in change.applied:
                self._snapshot_timer.cancel()
                self._snapshot_timer = self._every_save_interval()
        _log.info("settings applied", applied=change.applied, needs_restart=change.needs_restart)
        return change

    # ------------------------------------------------------------------- stop

    def stop(self) -> None:
        """Drain, snapshot, stop everything in reverse order, let go of the directory.

        Raises:
            HandicapperError: the last snapshot could not be written. What was acknowledged is durable all
                the same; the next opening replays the journal.

        """
        if os.getpid() != self.opened_by_pid:
            self.state = "closed"
            return
        self.closing = True
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
        persister: Any = self.persister.cell.actor
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


def _without_future_bound(settings: Settings) -> Settings:
    return replace(settings, limits=replace(settings.limits, future_seconds_max=0.0))
