"""The actor every input goes through: numbers it, hands it to the journal, tells the models.

What waits when it looks is one batch: one journal batch, one message to each model touched. The decisions
are :class:`.state.intake.Intake`'s; what blocks is the persister's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from copy import copy
from threading import get_ident
from typing import Any

from pykka._envelope import Envelope

from ..config import Settings
from ..protocol.errors import ClosedError, HandicapperError, RuntimeFaultError, StoreFailedError, reason_of
from .gating import decide_signals
from .journal import Journal, JournalBatch
from .log import get_logger
from .persister import Checkpoint
from .requests import (
    AfterInputs,
    AskHistory,
    ChangeFound,
    History,
    HistoryRead,
    HoldSnapshots,
    Signals,
    StoreBroken,
    Submit,
    SubmitEach,
    TakeSnapshot,
)
from .restore import Restored
from .roster import Roster
from .runtime.actor import PooledActor
from .runtime.clock import Clock
from .runtime.dispatcher import Dispatcher
from .runtime.future import LeanFuture
from .runtime.ref import PooledRef
from .snapshotter import Snapshotter
from .state.delivery import Delivery
from .state.entries import ControlEntry, ExpirePredictions, ShareChange
from .state.intake import Intake
from .state.learners import new_state
from .state.loose import loose_market, spans_of
from .state.rebuild import model_history
from .watching import LearnerEvent, ParametersTouched, Watchers, event_of, touched

__all__ = ["RouterActor"]

_log = get_logger("router")


class RouterActor(PooledActor):
    """Owns the book. What it publishes for reading from other threads: ``intake.counters``, ``failure``."""

    def __init__(
        self,
        restored: Restored,
        settings: Settings,
        roster: Roster,
        persister: PooledRef[Any],
        journal: Journal,
        dispatcher: Dispatcher,
        clock: Clock,
        watchers: Watchers,
    ) -> None:
        super().__init__()
        self.intake = Intake(restored.book)
        self.book = restored.book
        self.archive = restored.archive
        self.told_seq = restored.told_seq
        self.failure: RuntimeFaultError | None = None
        self._roster = roster
        self._persister = persister
        self._journal = journal
        self._clock = clock
        self._watchers = watchers
        self.thread_id = 0
        """Of the thread that runs its turn, while one does."""
        self._replies: list[tuple[LeanFuture[Any], Any]] = []
        self._batches: list[JournalBatch] = []
        """Told to the models, and not handed to the journal yet."""
        self._after: list[AfterInputs] = []
        self._news: list[LearnerEvent] = []
        """What an operator said in this batch, to be told once the models know it."""
        self.intake.full = self._full = set[str]()
        """Models whose mailboxes were full when they were told something last."""
        self._messages_max = settings.limits.mailbox_messages_max
        self.intake.future_seconds_max = settings.limits.future_seconds_max
        self._future_ns = round(settings.limits.future_seconds_max * 1e9)
        self._snapshot_inputs_max = settings.persistence.snapshot_inputs_max
        self._since_snapshot = restored.replayed
        self.snapshots = Snapshotter(restored, roster, persister, dispatcher, clock, self._snapshot_done)

    def on_start(self) -> None:
        """Learn the own ref, which an instance knows only once it runs."""
        ref = self.actor_ref
        assert isinstance(ref, PooledRef)
        post = ref.post
        self._store_failed = lambda error: post(StoreBroken(error))
        self.snapshots.tell_router = post

    def on_stop(self) -> None:
        """Answer whoever still waits for a snapshot."""
        self.snapshots.end(ClosedError("the learner was closed before the snapshot was taken"))

    def on_batch(self, envelopes: list[Envelope[Any]]) -> None:
        """Handle all that waits as one batch. Whatever goes wrong inside ends in ``failure``, not in a loss."""
        self.thread_id = get_ident()
        try:
            self._take_in(envelopes)
            self._flush()
            if self._after:
                after, self._after = self._after, []
                for message in after:
                    message.run()
                    self.book.leave()
        finally:
            self.thread_id = 0

    def _take_in(self, envelopes: list[Envelope[Any]]) -> None:
        for envelope in envelopes:
            try:
                answer = self._handle(envelope.message)
            except HandicapperError as error:
                self._refuse(envelope, error)
                continue
            except BaseException as error:  # a half-applied input: nothing may follow it
                self.failure = RuntimeFaultError(
                    f"the router failed: {reason_of(error)}; nothing more is accepted. What was acknowledged is safe: "
                    "open the state directory again"
                )
                self.failure.__cause__ = error
                self._refuse(envelope, self.failure)
                self._abandon(self.failure)
                if not isinstance(error, Exception):
                    raise
                continue
            if answer is not None and envelope.reply_to is not None:
                envelope.reply_to.set(answer)

    def _refuse(self, envelope: Envelope[Any], error: Exception) -> None:
        reply = getattr(envelope.message, "reply", None) or envelope.reply_to
        if reply is not None:
            reply.set_exception((type(error), error, error.__traceback__))

    def _abandon(self, failure: RuntimeFaultError) -> None:
        """What was taken in with the input that failed is neither journaled nor acknowledged."""
        self.intake.take()
        self._news.clear()
        replies, self._replies = self._replies, []
        for reply, _ in replies:
            reply.set_exception((type(failure), failure, None))
        # The book holds what was abandoned: no snapshot of it may be written.
        self.snapshots.end(failure)

    def _handle(self, message: Any) -> Any:
        if isinstance(message, SubmitEach):
            self._submit_each(message)
        elif isinstance(message, Submit):
            self._submit(message)
        elif isinstance(message, Signals):
            self._gate(message)
        elif isinstance(message, AfterInputs):
            # With the end of the batch: in its place, a question between inputs would make a batch of each.
            self._after.append(message)
        elif isinstance(message, TakeSnapshot):
            failure = self.failure or self._journal.failure or self._journal.full
            if failure is not None:
                raise failure.with_traceback(None)
            self._expire()
            self._flush()
            self.snapshots.want(message.reply)
        elif isinstance(message, AskHistory):
            return self._history(message.model_id)
        elif isinstance(message, HoldSnapshots):
            self.snapshots.hold(message.reply)
        elif isinstance(message, HistoryRead):
            # May begin a snapshot: what the book has taken in must have been told to the models before.
            self._flush()
            self.snapshots.release()
        elif isinstance(message, ChangeFound):
            self._share(message)
        elif isinstance(message, StoreBroken):
            self.failure = self.failure or message.error
            self.snapshots.end(message.error)
        else:
            # The end of one snapshot may begin the next: the same.
            self._flush()
            self.snapshots.handle(message)
        return None

    # ---------------------------------------------------------------- inputs

    def _ready(self) -> None:
        """Raise if no input can be taken now."""
        failure = self.failure or self._journal.failure or self._journal.full
        if failure is not None:
            raise failure.with_traceback(None)
        if self._future_ns:
            self.intake.latest_ns = self._clock.now_ns() + self._future_ns
        if self._full:
            bound, refs = self._messages_max, self._roster.refs
            self._full -= {model for model in self._full if len(refs[model].cell) < bound}

    def _submit(self, message: Submit) -> None:
        self._ready()
        numbers = self._bring_back(message.items)
        if message.single:
            item = message.items[0]
            result: Any = self.intake.accept(item)
            if self._watchers.listeners and isinstance(item, ControlEntry):
                self._news.append(event_of(item))
        else:
            result = self.intake.accept_all(message.items, numbers)
        self._replies.append((message.reply, result))

    def _submit_each(self, message: SubmitEach) -> None:
        self._ready()
        numbers = self._bring_back(message.items)
        self._replies.append((message.reply, self.intake.accept_each(message.items, numbers)))

    def _bring_back(self, items: Sequence[object]) -> list[int] | None:
        """Have in memory what inputs are about. Returns the fingerprints of their ids, if that took any."""
        self.intake.unreadable, numbers = self.archive.bring_back(self.book, items)
        return numbers

    def _gate(self, message: Signals) -> None:
        self._ready()
        self._bring_back(message.predictions)
        # The gate answers from the state as of everything numbered so far.
        self._deliver()
        rules = self.book.rules_at(self.book.seq)
        results = decide_signals(message.predictions, self.intake, self._roster, rules)
        self._replies.append((message.reply, results))

    def _expire(self) -> None:
        now_ns = self._clock.now_ns()
        if self.failure is None and self.book.expiry_due(now_ns):
            self.intake.accept(ExpirePredictions(now_ns))

    def _share(self, found: ChangeFound) -> None:
        """Have the other models restart at a change, unless a shared one was settled after it: it is the same then."""
        model_id, change = found.model_id, found.change
        if not self.book.sharing or change.at_ns <= self.book.shared_until_ns:
            return
        try:
            self._ready()
        except HandicapperError as error:
            _log.error("change not shared", model=model_id, changed_at=change.at_ns, error=str(error))
            return
        self.intake.accept(ShareChange(model_id, change.at_ns, change.detected_ns, change.probability))
        _log.info("change shared", model=model_id, changed_at=change.at_ns, seq=self.book.seq)

    # --------------------------------------------------------------- outputs

    def _flush(self) -> None:
        """Hand what was taken in to the journal and to the models."""
        self._deliver()
        replies, self._replies = self._replies, []
        if replies:
            self._to_journal([], replies)
        if self._batches:
            batches, self._batches = self._batches, []
            self._make_durable(batches)
            # What the journal can give again need not be kept; to free it is cheapest while it is in the cache.
            self.book.loose.recent.forget_through(self._journal.durable_seq)
        self.book.leave()
        if self._since_snapshot >= self._snapshot_inputs_max and self.failure is None:
            self._since_snapshot = 0
            self.snapshots.want(None)

    def _deliver(self) -> None:
        first_seq, entries, out = self.intake.take()
        if not entries:
            return
        self._since_snapshot += len(entries)
        replies, self._replies = self._replies, []
        # The models first: whoever is acknowledged may ask at once, and must find his input in the answer.
        deliveries = out.finished()
        for model_id, delivery in deliveries:
            self.told_seq[model_id] = delivery.seq
            self.snapshots.unsaved_models.add(model_id)
            self._tell(model_id, delivery)
        if self._watchers.listeners or self._news:
            self._announce(deliveries)
        self._to_journal(entries, replies, first_seq)

    def _announce(self, deliveries: list[tuple[str, Delivery]]) -> None:
        news, self._news = self._news, []
        for event in news:
            self._watchers.tell(event)
        model_ids = touched(deliveries)
        if model_ids:
            self._watchers.tell(ParametersTouched(model_ids))

    def _to_journal(self, entries: list[Any], replies: list[Any], first_seq: int = 0) -> None:
        """Leave entries, and what to answer once they are durable, for the end of what waits: one sync for all."""
        first_seq = first_seq or self.book.seq + 1
        self._batches.append(
            JournalBatch(first_seq, self._clock.now_ns(), entries, replies, self._store_failed)
        )

    def _make_durable(self, batches: list[JournalBatch]) -> None:
        """Journal, and answer; in this turn if that can be done at once."""
        journal = self._journal
        if journal.commit_here(batches):
            if journal.store.checkpoint_due and not journal.checkpoint_asked:
                journal.checkpoint_asked = True
                self._persister.post(Checkpoint())
            return
        for batch in batches:
            journal.hand_over()
            self._persister.post(batch)

    def _tell(self, model_id: str, delivery: Delivery) -> None:
        ref = self._roster.refs.get(model_id)
        if ref is None:
            ref = self._roster.add(new_state(model_id, self.book.rules_at(delivery.first_seq)))
        elif model_id in self._roster.failed:
            return
        # Never refused: what is numbered must reach its models before any snapshot's question does.
        ref.post(delivery)
        if len(ref.cell) >= self._messages_max:
            self._full.add(model_id)

    def _snapshot_done(self, error: StoreFailedError | None) -> None:
        if error is not None and self.failure is None and self.snapshots.store_failed():
            self.failure = error

    def _history(self, model_id: str) -> History:
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        self._flush()
        self.snapshots.hold()
        book, durable_seq = self.book, self._journal.durable_seq
        seqs = book.loose.seqs(book.by_prediction)
        markets = itertools.chain(
            book.markets.values(),
            (loose_market((seq, book.loose.outcome(seq))) for seq in seqs if seq > durable_seq),
        )
        return History(
            ordinals=book.superseded(),
            # Copies: the book goes on changing its own while the supervisor folds these.
            tickets=[copy(ticket) for ticket in model_history(model_id, markets)],
            loose=spans_of(seq for seq in seqs if seq <= durable_seq),
            archived=not self.snapshots.replaces_all,
            controls=list(book.controls.get(model_id, ())),
            rules_history=list(book.rules_history),
            told_seq=self.told_seq.get(model_id, 0),
        )
