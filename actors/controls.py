"""What an operator says and wants to know: pauses, resets, posteriors, snapshots, settings, checks, and who is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime

from ..config import Settings, check_settings
from ..protocol.errors import reason_of
from ..protocol.messages import (
    BackupReceipt,
    DeadLetter,
    DeadLetterReplay,
    PosteriorKind,
    Receipt,
    RestartReceipt,
    SnapshotReceipt,
    Statistics,
    VerifyReport,
)
from ..protocol.validation import check_id, check_posterior, check_text, check_time
from .backup import backup_learner
from .calls import TIMEOUT_SECONDS, Reply
from .engine import Engine
from .letters import held_input
from .monitoring import letters_of, statistics_of
from .replaying import replay_letters, restart_model
from .requests import TakeSnapshot
from .runtime.watchdog import Pulse
from .settings_change import SettingsChange
from .state.entries import PauseModel, ResetModel, ResumeModel, SetPosterior
from .state.intake import Submission
from .verify import verify_learner
from .watching import LearnerEvent

__all__ = ["Controls"]


class Controls:
    """The part of a :class:`.learner.Learner` that is for who runs it."""

    _engine: Engine

    # ---------------------------------------------------------------- models

    def pause(
        self,
        model_id: str,
        until: int | datetime | None = None,
        reason: str = "",
        *,
        timeout: float = TIMEOUT_SECONDS,
    ) -> Receipt:
        """Take a model out of selection and trading, until an event time or until resumed; it still learns.

        Raises:
            UnknownModelError: it was never seen.

        """
        return self._engine.call(_pause(model_id, until, reason), timeout)

    def pause_nowait(
        self, model_id: str, until: int | datetime | None = None, reason: str = ""
    ) -> Reply[Receipt]:
        """The same without waiting."""
        return self._control(_pause(model_id, until, reason))

    def resume(self, model_id: str, *, timeout: float = TIMEOUT_SECONDS) -> Receipt:
        """End a pause.

        Raises:
            UnknownModelError: it was never seen.

        """
        return self._engine.call(ResumeModel(check_id("model_id", model_id)), timeout)

    def resume_nowait(self, model_id: str) -> Reply[Receipt]:
        """The same without waiting."""
        return self._control(ResumeModel(check_id("model_id", model_id)))

    def reset(self, model_id: str, reason: str = "", *, timeout: float = TIMEOUT_SECONDS) -> Receipt:
        """Forget what a model has learned; its pending predictions still count when they resolve.

        Raises:
            UnknownModelError: it was never seen.

        """
        return self._engine.call(_reset(model_id, reason), timeout)

    def reset_nowait(self, model_id: str, reason: str = "") -> Reply[Receipt]:
        """The same without waiting."""
        return self._control(_reset(model_id, reason))

    def set_posterior(
        self, model_id: str, posterior: PosteriorKind | None, *, timeout: float = TIMEOUT_SECONDS
    ) -> Receipt:
        """Have the evidence of a model age as ``posterior`` says, whatever the settings say; None: as they say.

        Change points are looked for anew from here on, also if they were before; the half-life's evidence goes on.

        Raises:
            UnknownModelError: it was never seen.

        """
        return self._engine.call(_set_posterior(model_id, posterior), timeout)

    def set_posterior_nowait(self, model_id: str, posterior: PosteriorKind | None) -> Reply[Receipt]:
        """The same without waiting."""
        return self._control(_set_posterior(model_id, posterior))

    def restart(self, model_id: str, *, timeout: float = TIMEOUT_SECONDS) -> RestartReceipt:
        """Bring back a model that was given up: rebuilt from its whole history, its restarts forgotten.

        For one that was not given up nothing is done, and ``restarted`` is false.

        Raises:
            UnknownModelError: it was never seen.
            ModelFailedError: it cannot be rebuilt; it stays given up.

        """
        return self.restart_nowait(model_id).get(timeout)

    def restart_nowait(self, model_id: str) -> Reply[RestartReceipt]:
        """The same without waiting."""
        self._engine.check_open()
        self._engine.settle(TIMEOUT_SECONDS)
        return restart_model(self._engine, model_id)

    def snapshot(self, *, timeout: float = TIMEOUT_SECONDS) -> SnapshotReceipt:
        """Write a snapshot of everything up to now; restart replays only what comes after it.

        Raises:
            StoreFailedError: it could not be written.

        """
        return self.snapshot_nowait().get(timeout)

    def snapshot_nowait(self) -> Reply[SnapshotReceipt]:
        """The same without waiting."""
        reply: Reply[SnapshotReceipt] = Reply(self._engine.router.cell)
        self._engine.ask(self._engine.router, TakeSnapshot(reply), reply)
        return reply

    def backup(self, dest: str | os.PathLike[str]) -> BackupReceipt:
        """Copy the state directory into a new one, as of one input, while inputs go on.

        ``dest`` is a path where nothing is, or an empty directory. The copy holds everything that was sent before,
        opens like any state directory, and is durable when this returns; it is there as a whole or not at all. Takes
        as long as reading and writing it.

        Raises:
            InvalidValueError: there is something at ``dest``, or nothing to make it in.
            BackupFailedError: it could not be written; nothing of it is left.
            BusyError: another backup is being made.
            StateDamagedError: a record is damaged, and so would be the copy.
            ClosedError: the learner is closed, or was meanwhile; nothing of it is left.

        """
        return backup_learner(self._engine, dest)

    # -------------------------------------------------------------- settings

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._engine.settings

    def apply_settings(self, settings: Settings, *, timeout: float = TIMEOUT_SECONDS) -> SettingsChange:
        """Let other settings hold from now on, as far as they can while the learner runs.

        The rules of learning are journaled, and hold for every input that comes after them. ``persistence``
        (but for ``save_interval_secs``), ``limits`` and ``supervision`` need another opening; ``server`` is
        for whoever serves the learner. What holds afterwards is :attr:`settings`.

        Raises:
            SettingsError: they are wrong; nothing changed.
            StoreFailedError: the rules could not be journaled; nothing changed.

        """
        return self._engine.apply_settings(check_settings(settings), timeout)

    # ------------------------------------------------------- what is going on

    def statistics(self) -> Statistics:
        """What the learner is doing, and how it is."""
        self._engine.check_open()
        self._engine.settle(TIMEOUT_SECONDS)
        return statistics_of(self._engine)

    def model_count(self) -> int:
        """How many models there are, working or not."""
        return self._engine.roster.model_count

    def dead_letters(self) -> list[DeadLetter]:
        """The newest messages nobody could handle, oldest first."""
        return letters_of(self._engine)

    def add_dead_letter(self, recipient: str, reason: BaseException, message: object) -> None:
        """Keep a message that could not be taken in and whose sender cannot be told, with the reason."""
        self._engine.dead_letters.add(
            recipient, reason_of(reason), message, 1, held_input(recipient, message)
        )

    def replay_dead_letters(
        self, ids: Iterable[int] | None = None, *, timeout: float = TIMEOUT_SECONDS
    ) -> DeadLetterReplay:
        """Try dead letters again (None: all that are kept), oldest first.

        An input goes through the ordinary door, where repeating it is safe. Of an event that could not be folded the
        model is rebuilt, with the event if it can be folded now. What succeeds is no dead letter any more.

        Raises:
            InvalidValueError: ``ids`` are no ids.

        """
        return replay_letters(self._engine, ids, timeout)

    def expect_pulse(self, name: str) -> Pulse:
        """Report ``name``, such as an event loop, as stuck unless the result's ``beat`` is called more often than
        every ``supervision.stuck_after_secs``; until its ``end`` is. From any thread."""
        return self._engine.vigil.watchdog.expect_pulse(name)

    def verify(self) -> VerifyReport:
        """Check everything stored, as :func:`.verify.verify_state` does, while inputs go on.

        Compared with what the journal gives are, bit for bit: what is in memory (the book, and every model's state)
        as of inputs that come while this runs; and, after a snapshot, what is stored. If memory differs no
        snapshot is taken, and what is stored stays as it is. Takes as long as folding the whole journal, and its
        memory.

        Raises:
            ClosedError: the learner is closed, or was meanwhile.

        """
        return verify_learner(self._engine)

    def watch(self, listener: Callable[[LearnerEvent], object]) -> Callable[[], None]:
        """Call ``listener`` with each :data:`.watching.LearnerEvent` from now on; the result ends that.

        It is called by the actor that takes inputs in, and should only pass the news on: what it does delays
        everybody. A model is told before its listeners are, so whoever asks on hearing (``report``,
        ``thompson_sample``, ...) has the news in the answer; the input may not be durable by then. What changes
        something takes effect after the listener has returned, so that it cannot wait for it: use the ``*_nowait``
        forms, the others raise DeadlineExceededError at once. What it raises is logged.
        """
        return self._engine.watchers.add(listener)

    def _control(self, entry: Submission) -> Reply[Receipt]:
        return self._engine.submit([entry], single=True)


def _pause(model_id: str, until: int | datetime | None, reason: str) -> PauseModel:
    until_ns = None if until is None else check_time("until", until)
    return PauseModel(check_id("model_id", model_id), until_ns, check_text("reason", reason))


def _reset(model_id: str, reason: str) -> ResetModel:
    return ResetModel(check_id("model_id", model_id), check_text("reason", reason))


def _set_posterior(model_id: str, posterior: PosteriorKind | None) -> SetPosterior:
    return SetPosterior(check_id("model_id", model_id), check_posterior("posterior", posterior))
