"""What a learner is doing, read without stopping anybody."""

from __future__ import annotations

from typing import Any

from ..protocol.errors import ClosedError
from ..protocol.messages import DeadLetter, Statistics, StuckActor
from .engine import Engine
from .journal import Journal
from .state.learners import public_name

__all__ = ["letters_of", "statistics_of"]


def statistics_of(engine: Engine) -> Statistics:
    """Counters and states as they are now.

    Raises:
        ClosedError: the learner is closed.

    """
    engine.check_open()
    persister: Any = engine.persister.cell.actor
    router: Any = engine.router.cell.actor
    if persister is None or router is None:
        raise ClosedError(f"the learner on {engine.directory.path} is closed")
    supervisor: Any = engine.supervisor.cell.actor
    journal: Journal = persister.journal
    failure = journal.failure or router.failure
    problem = failure or journal.full
    counters, book, snapshots = router.intake.counters, router.book, router.snapshots
    return Statistics(
        state="failed" if failure is not None else "accepting" if problem is None else "degraded",
        failure=None if problem is None else str(problem),
        seq=book.seq,
        durable_seq=journal.durable_seq,
        snapshot_seq=snapshots.seq,
        snapshot_failures=snapshots.failures,
        models=engine.roster.model_count,
        models_failed=tuple(sorted(map(public_name, list(engine.roster.failed)))),
        markets_open=book.open_markets,
        predictions_pending=book.pending,
        settled_in_memory=book.settled_predictions,
        predictions=counters.predictions,
        resolutions=counters.resolutions,
        outcomes=counters.outcomes,
        duplicates=counters.duplicates,
        refused=counters.refused,
        scored=counters.scored,
        revised=counters.revised,
        commits=journal.commits,
        journal_bytes=journal.journal_bytes,
        in_flight=engine.admission.in_flight,
        restarts=0 if supervisor is None else supervisor.restarts,
        dead_letters=engine.dead_letters.total,
        quarantined=engine.quarantined,
        opened_in_seconds=engine.opened_in_seconds,
        replayed=engine.replayed,
        stuck=tuple(
            StuckActor(actor=stuck.name, message=stuck.message, seconds=stuck.seconds)
            for stuck in engine.vigil.watchdog.stuck
        ),
    )


def letters_of(engine: Engine) -> list[DeadLetter]:
    """The newest dead letters."""
    return [
        DeadLetter(
            recipient=letter.recipient,
            reason=letter.reason,
            message=letter.message,
            attempts=letter.attempts,
            at=letter.at_ns,
            id=letter.id,
            replayable=letter.content is not None,
        )
        for letter in engine.dead_letters.latest()
    ]
