"""Who knows what must come of everything, and complains.

Three accounts of the same inputs are held against one another: the learner's, the slow model's, which decides
every input when it is sent, and that of the journal folded by a book and states that were never interrupted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from math import isclose
from random import Random
from typing import Any, NamedTuple

from msgspec.structs import replace

from handicapper.actors.archive import stored_markets
from handicapper.actors.journaled import journaled_outcomes
from handicapper.actors.records import decode_chunk, key_number, number_key
from handicapper.actors.state.book import Book
from handicapper.actors.state.entries import Entry, GatedPrediction
from handicapper.actors.state.learners import LearnerState
from handicapper.actors.state.loose import loose_market, spans_of
from handicapper.actors.state.model_state import ModelState
from handicapper.actors.state.pool_row import POOL_ID
from handicapper.actors.state.views import decide_gate
from handicapper.protocol.errors import HandicapperError, StoreFailedError
from handicapper.protocol.messages import Input, Receipt, SignalDecision

from ..state.ledger import Answer, lesson_of
from ..state.samples import state_bytes
from .accounts import Figures, Uninterrupted
from .memory_lmdb import Disk
from .slow_model import Beliefs, SlowModel

__all__ = ["Oracle"]

_NEVER = (b"", b"")


class Sent(NamedTuple):
    """An input on its way, and what is due for it."""

    item: Any
    due: Answer | str


class Oracle:
    """Sees what is sent, what is answered and what is on disk."""

    def __init__(self, disk: Disk, figures: Figures) -> None:
        self.disk = disk
        self.figures = figures
        self.slow = SlowModel(set(), set())
        self.uninterrupted = Uninterrupted()
        self.epoch = 0
        """Of the process: what an earlier one answers after its end was never heard."""
        self.unanswered = 0
        self.store_failed = False
        """A commit failed: what was not acknowledged may be lost, what is sent is refused."""
        self.acknowledged: list[tuple[Any, int]] = []
        """(input, number in its receipt), of first receipts."""
        self.decisions: dict[str, SignalDecision] = {}
        self._commits = 0
        self._answers: list[tuple[Any, list[Sent] | None, int]] = []
        """(reply, what was sent, number of the last input that was durable then)."""
        self._last: tuple[Any, int] = (None, 0)
        """(journal, number of its last input)."""

    # ------------------------------------------------------------------ sent

    def expect(self, items: list[Any], submit: Callable[[], Any]) -> None:
        """Send inputs that are answered by a list, or one that is answered by itself."""
        sent = [Sent(item, self.slow.take(item)) for item in items]
        self.figures.inputs += len(items)
        self._listen(submit(), sent)

    def expect_an_answer(self, reply: Any) -> None:
        """Of a call that is answered, whatever it is."""
        self._listen(reply, None)

    def _listen(self, reply: Any, sent: list[Sent] | None) -> None:
        self.unanswered += 1
        epoch = self.epoch

        def answered(_: Any) -> None:
            # Called within a turn of the learner, where a complaint would only be logged.
            if epoch == self.epoch and not self.disk.crashed:
                self._answers.append((reply, sent, self._last_durable()))

        reply.add_done_callback(answered)

    def hear(self) -> None:
        """Look at what was answered."""
        answers, self._answers = self._answers, []
        if answers:
            self.read_journal()
        for reply, sent, durable_seq in answers:
            self.unanswered -= 1
            if sent is not None:
                self._heard(sent, reply, durable_seq)

    def _last_durable(self) -> int:
        """Number of the last input on disk at this moment."""
        journal = self.disk.journal
        if self._last[0] != journal:
            key, value = max(((t.keys[-1], t.values[t.keys[-1]]) for t in journal if t.keys), default=_NEVER)
            last = key_number(key) + len(decode_chunk(key, value)[2]) - 1 if value else 0
            self._last = journal, last
        return self._last[1]

    def _heard(self, sent: list[Sent], reply: Any, durable_seq: int) -> None:
        error = reply.exception()
        if error is not None and len(sent) == 1 and not self.store_failed:
            self._compare(sent[0], error, durable_seq)
            return
        if error is not None:
            assert self.store_failed, f"{error!r} instead of {[each.due for each in sent]}"
            assert isinstance(error, HandicapperError), error
            return
        answers = reply.get(0)
        answers = answers if isinstance(answers, list) else [answers]
        for each, answer in zip(sent, answers, strict=True):
            self._compare(each, answer, durable_seq)

    def _compare(self, sent: Sent, answer: Any, durable_seq: int) -> None:
        if isinstance(answer, BaseException):
            if self.store_failed and isinstance(answer, StoreFailedError):
                return
            assert isinstance(answer, HandicapperError), answer
            assert answer.code == sent.due, f"{answer!r} instead of {sent.due} for {sent.item}"
            self.figures.refused += 1
            return
        assert isinstance(sent.due, Answer), f"{answer} instead of {sent.due} for {sent.item}"
        assert answer.seq <= durable_seq, f"acknowledged and not durable: {answer}"
        if isinstance(answer, SignalDecision):
            assert (answer.seq, answer.duplicate) == (sent.due.seq, sent.due.duplicate), sent
            self._decided(answer)
        else:
            assert isinstance(answer, Receipt)
            given = (answer.seq, answer.duplicate, answer.scored, answer.revised, answer.waiting)
            assert Answer(*given, answer.unscored) == sent.due, f"{answer} for {sent.item}"
        if answer.duplicate:
            self.figures.duplicates += 1
        else:
            self.figures.acknowledged += 1
            self.acknowledged.append((sent.item, answer.seq))

    def _decided(self, decision: SignalDecision) -> None:
        """A decision is that of the journal, and the same every time."""
        entry = self.uninterrupted.entries[decision.seq - 1]
        if isinstance(entry, GatedPrediction):
            assert decision == entry.gate.decision(entry.prediction, decision.seq, decision.duplicate)
        else:
            assert decision.reason == "recorded_before", decision
        first = self.decisions.setdefault(decision.prediction_id, decision)
        assert replace(first, duplicate=decision.duplicate) == decision, (first, decision)

    # ------------------------------------------------------------------ disk

    def read_journal(self) -> None:
        """Take in what was journaled since the last look."""
        if self.disk.commits == self._commits:
            return
        self._commits = self.disk.commits
        known = self.uninterrupted.entries
        for journal in self.disk.journal:
            start = bisect_right(journal.keys, number_key(len(known) + 1)) - 1
            for key in journal.keys[max(start, 0) :]:
                first, _, entries = decode_chunk(key, journal.values[key])
                for seq, entry in enumerate(entries, first):
                    if seq > len(known):
                        self._journaled(seq, entry)

    def _journaled(self, seq: int, entry: Entry) -> None:
        assert seq == len(self.uninterrupted.entries) + 1, f"input {seq} was journaled out of turn"
        item: Any = entry
        if isinstance(entry, GatedPrediction):
            item = entry.prediction
            self._gated(entry)
        accepted = self.slow.log[seq - 1] if seq <= len(self.slow.log) else None
        assert item == accepted, f"input {seq} was journaled as {item}, accepted as {accepted}"
        self.uninterrupted.take(entry)

    def _gated(self, entry: GatedPrediction) -> None:
        """The gate decided by what the model had learned up to the input that it names."""
        prediction, gate = entry.prediction, entry.gate
        self.slow.gate_said(prediction.prediction_id, gate.accepted)
        state = self.uninterrupted.states.get(prediction.model_id)
        if state is not None and state.applied_seq == gate.decided_seq and gate.reason != "restarting":
            price = None if prediction.price is None else float(prediction.price)
            due = decide_gate(state, prediction.confidence, prediction.predicted_at, price)
            assert gate == due, f"{prediction.prediction_id} was decided as {gate}, must be {due}"

    @property
    def durable_seq(self) -> int:
        """Number of the last input that is on disk."""
        return len(self.uninterrupted.entries)

    def process_ended(self) -> None:
        """What was not durable never happened; what was acknowledged must be durable."""
        self.hear()
        self.read_journal()
        self.epoch += 1
        self.unanswered = 0
        self.store_failed = False
        lost = [item for item, seq in self.acknowledged if seq > self.durable_seq]
        self.figures.lost += len(lost)
        assert not lost, f"acknowledged and lost: {lost}"
        if self.durable_seq < self.slow.seq:
            self.slow = self.slow.up_to(self.durable_seq)

    # ------------------------------------------------------------------ looks

    def look(self, learner: Any) -> None:
        """Everything, of a learner that has nothing left to do."""
        self.hear()
        self.read_journal()
        assert self.unanswered == 0, f"{self.unanswered} calls hang"
        assert self.durable_seq == self.slow.seq, (self.durable_seq, self.slow.seq)
        engine = learner._engine
        book: Book = engine.router.cell.actor.book
        book.check_invariants()
        assert book.seq == self.slow.seq
        self._look_at_rows(book, engine.store)
        assert not engine.roster.failed, engine.roster.failed
        states = {model: ref.cell.actor.state for model, ref in engine.roster.refs.items()}
        assert states.keys() == self.uninterrupted.states.keys()
        assert states.keys() - {POOL_ID} == self.slow.models
        for model_id, state in states.items():
            self._look_at_model(model_id, state)

    def _look_at_rows(self, book: Book, store: Any) -> None:
        """Every prediction is in one place, in memory or on disk, and teaches what the slow model says."""
        gone = book.superseded()
        loose = journaled_outcomes(store, spans_of(book.loose.seqs(book.by_prediction)))
        on_disk = (each for each in stored_markets(store) if each.ordinal not in gone)
        markets = [*book.markets.values(), *map(loose_market, loose), *on_disk]
        found: dict[str, Any] = {}
        for market in markets:
            for pid, ticket in market.tickets.items():
                self.figures.double += pid in found
                assert pid not in found, f"{pid} is in two markets"
                found[pid] = lesson_of(ticket.row)
        known = self.slow.predictions.keys() | self.slow.outcomes.keys()
        assert found.keys() == known, found.keys() ^ known
        for pid, lesson in found.items():
            assert lesson == self.slow.lessons.get(pid), (pid, lesson, self.slow.lessons.get(pid))
        assert book.pending == len(known - self.slow.lessons.keys())

    def _look_at_model(self, model_id: str, state: LearnerState) -> None:
        state.check_invariants()
        same = self.uninterrupted.states[model_id]
        assert state_bytes(state) == state_bytes(same), f"{model_id} is not what its journal gives"
        if not isinstance(state, ModelState):
            return  # the pool: the slow model knows nothing of it
        tally, now, pause = state.tally, state.now, state.pause
        held = Beliefs(
            now.n, now.x_sum, now.ema_accuracy, now.successes, now.failures, tally.pnl, tally.stake,
            tally.shadow, tally.accepted, tally.rejected, tally.ungated,
            None if pause is None else (pause.until_ns, pause.reason),
        )  # fmt: skip
        due = self.slow.beliefs(model_id)
        for name, mine, theirs in zip(Beliefs._fields, due, held, strict=True):
            close = isinstance(mine, float) and isclose(mine, float(theirs), rel_tol=1e-9, abs_tol=1e-12)
            assert mine == theirs or close, f"{name} of {model_id} is {theirs}, must be {mine}"

    def look_at_memory(self, learner: Any) -> None:
        """After a snapshot of everything nothing that is settled is in memory."""
        book: Book = learner._engine.router.cell.actor.book
        assert book.saving is None
        assert not len(book.loose), f"{len(book.loose)} loose outcomes stay in memory"
        settled = [market.market_id for market in book.markets.values() if market.settled]
        assert not settled, f"settled, saved and still in memory: {settled}"

    def repeats(self, count_max: int, random: Random) -> list[Any]:
        """Acknowledged inputs to be sent again: each is due its number again."""
        known = [each for each in self.acknowledged if isinstance(each[0], Input)]
        chosen = random.sample(known, min(count_max, len(known)))
        for item, seq in chosen:
            due = self.slow.take(item)
            counted = not (isinstance(due, Answer) and due.duplicate)
            self.figures.double += counted
            assert isinstance(due, Answer) and not counted, f"{item} would be counted twice"
            assert due.seq == seq, (item, seq, due)
        return [item for item, _ in chosen]
