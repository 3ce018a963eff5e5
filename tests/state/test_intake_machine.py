"""Intake and book against the slow ledger, with a disk that markets leave for and come back from."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from handicapper.actors.records import decode_market, encode, seal
from handicapper.actors.state.book import Book
from handicapper.actors.state.entries import (
    ExpirePredictions,
    GatedPrediction,
    PauseModel,
    ResetModel,
    ResumeModel,
    RulesInForce,
    SetPosterior,
    ShareChange,
)
from handicapper.actors.state.intake import Intake
from handicapper.actors.state.learners import LearnerState, new_state
from handicapper.actors.state.loose import loose_market
from handicapper.actors.state.market import Market
from handicapper.actors.state.memory import Cut
from handicapper.actors.state.pool_row import POOL_ID
from handicapper.actors.state.pool_state import PoolState
from handicapper.actors.state.rebuild import model_history, rebuild_model
from handicapper.protocol.errors import HandicapperError
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

from .ledger import Answer, Ledger, RefusedError, lesson_of
from .samples import HOUR, T0, gate, outcome, prediction, resolved, rules, state_bytes

pids = st.sampled_from([f"p{n}" for n in range(8)])
markets = st.sampled_from(["k0", "k1", "k2"])
models = st.sampled_from(["a", "b"])
labels = st.sampled_from(["YES", "YES", "NO"])
hours = st.integers(0, 4).map(lambda n: T0 + n * HOUR)
KEY = b"12345678"


class IntakeMachine(RuleBasedStateMachine):
    """Few ids and few times, so that everything collides with everything."""

    @initialize(learn_on=st.sampled_from(["final", "proposed"]))
    def open(self, learn_on: str) -> None:
        self.book = Book()
        self.intake = Intake(self.book)
        self.ledger = Ledger(learn_on)
        self.disk: dict[int, bytes] = {}
        """Every market of the last snapshot that is settled, by ordinal."""
        self.open_on_disk: dict[int, bytes] = {}
        self.written: tuple[Cut, dict[int, tuple[bool, bytes]], tuple[Any, ...]] | None = None
        """A cut with its markets as they were then, and the rest of the snapshot."""
        self.snapshot: tuple[Any, ...] = (0, [], {})
        self.journal: list[tuple[int, Any]] = []
        self.states: dict[str, LearnerState] = {}
        self.told: dict[str, int] = {}
        self.accept(RulesInForce(rules(learn_on=learn_on)), lambda: self.ledger.rules(learn_on))

    # -------------------------------------------------------------------- inputs

    @rule(
        pid=pids, market=markets, model=models, label=labels, made=hours,
        confidence=st.sampled_from([0.75, 0.75, 0.9]),
        life=st.none() | st.integers(0, 3),
        trade=st.none() | st.sampled_from([("0.5", None, None), ("0.25", "10", None), ("0.5", "4", "0.1")]),
        gated=st.none() | st.booleans(),
    )  # fmt: skip
    def predict(
        self, pid: str, market: str, model: str, label: str, made: int, confidence: float,
        life: int | None, trade: tuple[str, str | None, str | None] | None, gated: bool | None,
    ) -> None:  # fmt: skip
        price, size, fee = trade or (None, None, None)
        message = prediction(
            pid, market, model, outcome=label, predicted_at=made, confidence=confidence,
            expires_at=None if life is None else made + life * HOUR,
            price=None if price is None else Decimal(price),
            size=None if size is None else Decimal(size),
            fee=None if fee is None else Decimal(fee),
        )  # fmt: skip
        self.send(message, gated)

    @precondition(lambda self: self.ledger.predictions)
    @rule(data=st.data(), gated=st.none() | st.booleans())
    def predict_again(self, data: st.DataObject, gated: bool | None) -> None:
        known = data.draw(st.sampled_from(sorted(self.ledger.predictions)))
        self.send(self.ledger.predictions[known][1], gated)

    def send(self, message: Prediction, gated: bool | None) -> None:
        if gated is None:
            self.accept(message, lambda: self.ledger.predict(message))
            return
        new = message.prediction_id not in self.ledger.predictions
        self.bring_back(message)
        try:
            expected: Answer | str = self.ledger.predict(message, refused=not gated)
        except RefusedError as refusal:
            expected = str(refusal)
        try:
            decision = self.intake.accept_gated(message, gate(gated))
        except HandicapperError as error:
            assert error.code == expected
            return
        assert isinstance(expected, Answer), f"accepted, expected {expected}"
        assert (decision.seq, decision.duplicate) == (expected.seq, expected.duplicate)
        if new:
            assert decision.accepted is gated
        self.deliver()

    @rule(
        market=markets, at_ns=hours, revision=st.integers(0, 3),
        status=st.sampled_from(["final", "final", "proposed", "disputed"]),
        ended=st.sampled_from(
            [{"winner": "YES"}, {"winner": "NO"}, {"payouts": {"YES": 0.5, "NO": 0.5}}, {"void": True}]
        ),
    )  # fmt: skip
    def resolve(self, market: str, at_ns: int, revision: int, status: Any, ended: dict[str, Any]) -> None:
        message = resolved(market, **ended, resolved_at=at_ns, revision=revision, status=status)
        self.accept(message, lambda: self.ledger.resolve(message))

    @rule(
        pid=pids, model=models, label=labels, right=st.booleans(), at_ns=hours,
        confidence=st.sampled_from([None, None, 0.75, 0.9]),
        pnl=st.sampled_from([None, Decimal("1.25"), Decimal("-3")]),
    )  # fmt: skip
    def trade(
        self, pid: str, model: str, label: str, right: bool, at_ns: int,
        confidence: float | None, pnl: Decimal | None,
    ) -> None:  # fmt: skip
        other = "NO" if label == "YES" else "YES"
        message = outcome(
            pid, right, model, predicted_outcome=label, actual_outcome=label if right else other,
            resolved_at=at_ns, confidence=confidence, pnl=pnl,
        )  # fmt: skip
        self.accept(message, lambda: self.ledger.trade(message))

    @rule(now_ns=hours)
    def expire(self, now_ns: int) -> None:
        due = self.book.expiry_due(now_ns)
        answer: list[Answer] = []
        self.accept(ExpirePredictions(now_ns), lambda: answer.append(self.ledger.expire(now_ns)) or answer[0])
        assert due == bool(answer[0].unscored)
        assert not self.book.expiry_due(now_ns)

    @rule(
        model=st.sampled_from(["a", "b", "c"]),
        kind=st.sampled_from([PauseModel, ResumeModel, ResetModel, SetPosterior]),
    )
    def control(self, model: str, kind: Any) -> None:
        entry = {
            PauseModel: PauseModel(model, None, "r"),
            ResumeModel: ResumeModel(model),
            ResetModel: ResetModel(model, "r"),
            SetPosterior: SetPosterior(model, "changepoint"),
        }[kind]
        self.accept(entry, lambda: self.ledger.control(model))

    @rule(model=models, at_ns=hours)
    def share(self, model: str, at_ns: int) -> None:
        entry = ShareChange(model, at_ns, at_ns + HOUR, 0.99)
        self.accept(entry, self.ledger.share)

    @rule(learn_on=st.sampled_from(["final", "proposed"]))
    def change_rules(self, learn_on: Any) -> None:
        self.accept(RulesInForce(rules(learn_on=learn_on)), lambda: self.ledger.rules(learn_on))

    # ---------------------------------------------------------------------- disk

    @precondition(lambda self: self.written is None and self.book.saving is None)
    @rule()
    def cut(self) -> None:
        cut = self.book.cut()
        stored = {o: (m.settled, encode(m)) for o, m in cut.markets.items()}
        stored |= {seq: (True, self.loose_body(seq)) for seq in cut.loose.values()}
        rest = (
            self.book.seq,
            list(self.book.rules_history),
            {model: list(controls) for model, controls in self.book.controls.items()},
        )
        self.written = cut, stored, rest

    @precondition(lambda self: self.written is not None)
    @rule()
    def saved(self) -> None:
        assert self.written is not None
        cut, stored, rest = self.written
        # Whatever was accepted meanwhile: what is saved is what was there at the cut.
        as_cut = {o: encode(cut.kept.get(o) or m) for o, m in cut.markets.items()}
        as_cut |= {seq: self.loose_body(seq) for seq in cut.loose.values()}
        assert as_cut == {ordinal: body for ordinal, (_, body) in stored.items()}
        for ordinal in cut.merged:
            self.disk.pop(ordinal, None)
            self.open_on_disk.pop(ordinal, None)
        for ordinal, (settled, body) in stored.items():
            self.disk.pop(ordinal, None)
            self.open_on_disk.pop(ordinal, None)
            (self.disk if settled else self.open_on_disk)[ordinal] = body
        self.snapshot, self.written = rest, None
        self.book.leave_some(1)

    @precondition(lambda self: self.written is None and self.book.saving is not None)
    @rule(count_max=st.integers(1, 4))
    def leave_some(self, count_max: int) -> None:
        left = self.book.leave_some(count_max)
        assert left is None or left <= 8 * count_max

    @precondition(lambda self: self.written is not None)
    @rule()
    def not_saved(self) -> None:
        self.written = None
        self.book.not_saved()

    @rule()
    def leave(self) -> None:
        self.book.leave()

    @rule()
    def durable(self) -> None:
        """The journal has all there is: memory need not."""
        self.book.loose.recent.forget_through(self.book.seq)

    @rule()
    def restart(self) -> None:
        """The process is gone: a book from the last snapshot and the journal after it decides as before."""
        seq, rules_history, controls = self.snapshot
        before = self.rows_in_memory()
        self.book = Book()
        self.book.seq, self.book.rules_history = seq, list(rules_history)
        if rules_history:
            self.book.follow_rules()
        self.book.controls = {model: list(each) for model, each in controls.items()}
        for body in self.open_on_disk.values():
            self.book.admit(decode(body))
        self.intake = Intake(self.book)
        self.written = None
        for number, entry in self.journal:
            if number > seq:
                self.book.loose.recent.begin(number, [entry])
                self.bring_back(entry)
                self.book.apply(entry, number, self.intake.out)
        self.intake.take()
        for pid, row in self.rows_in_memory().items():
            assert repr(before.get(pid, row)) == repr(row)

    # ------------------------------------------------------------------- helpers

    def accept(self, item: Any, expect: Any) -> None:
        self.bring_back(item)
        before = self.book.seq
        try:
            expected: Answer | str = expect()
        except RefusedError as refusal:
            expected = str(refusal)
        try:
            receipt = self.intake.accept(item)
        except HandicapperError as error:
            assert error.code == expected, (error, expected)
            assert self.book.seq == before
            assert str(error)
            return
        assert isinstance(expected, Answer), f"accepted, expected {expected}"
        found = Answer(
            receipt.seq, receipt.duplicate, receipt.scored, receipt.revised, receipt.waiting, receipt.unscored
        )
        assert found == expected
        self.deliver()

    def deliver(self) -> None:
        first, entries, out = self.intake.take()
        self.journal.extend(enumerate(entries, first))
        for model_id, delivery in out.finished():
            known = self.states.get(model_id)
            state = known or new_state(model_id, self.book.rules_at(delivery.first_seq))
            self.told[model_id] = delivery.seq
            if state.apply(delivery.events, delivery.seq):
                state = self.rebuilt(model_id)
            self.states[model_id] = state

    def rebuilt(self, model_id: str) -> LearnerState:
        return rebuild_model(
            model_id,
            model_history(model_id, self.all_markets()),
            self.book.controls[model_id],
            self.book.rules_history,
            self.told[model_id],
        )

    def bring_back(self, entry: Any) -> None:
        """What the archive does, by looking at everything."""
        if isinstance(entry, GatedPrediction):
            entry = entry.prediction
        pid = entry.prediction_id if isinstance(entry, Prediction | TradeOutcome) else None
        market_id = entry.market_id if isinstance(entry, Prediction | MarketResolved) else None
        loose = self.book.loose
        if pid is not None and pid not in self.book.by_prediction and (seq := loose.away(pid)):
            loose.found[seq] = dict(self.journal)[seq]
        gone = self.merged()
        for ordinal, body in self.disk.items():
            market = decode(body)
            if market.market_id in self.book.markets or ordinal in gone:
                continue
            wanted = pid in market.tickets and pid is not None and not self.book.knows(pid)
            if wanted or market.market_id == market_id:
                self.book.admit(market)

    def merged(self) -> set[int]:
        """Loose markets that the next save removes from disk."""
        saving = [] if self.book.saving is None else self.book.saving.merged
        return {*self.book.merged, *saving}

    def all_markets(self) -> list[Market]:
        """In memory, and on disk where memory has none that is newer."""
        superseded = self.book.superseded()
        on_disk = [decode(body) for ordinal, body in self.disk.items() if ordinal not in superseded]
        return [*self.markets_in_memory(), *on_disk]

    def markets_in_memory(self) -> list[Market]:
        book, entries = self.book, dict(self.journal)
        loose = [loose_market((seq, entries[seq])) for seq in book.loose.seqs(book.by_prediction)]
        return [*book.markets.values(), *loose]

    def loose_body(self, seq: int) -> bytes:
        return encode(loose_market((seq, dict(self.journal)[seq])))

    def rows_in_memory(self) -> dict[str, Any]:
        return {
            pid: ticket.row for market in self.markets_in_memory() for pid, ticket in market.tickets.items()
        }

    # ---------------------------------------------------------------- invariants

    @invariant()
    def book_agrees_with_the_ledger(self) -> None:
        if not hasattr(self, "book"):
            return
        self.book.check_invariants()
        assert self.book.seq == self.ledger.seq
        assert self.book.controls.keys() - {POOL_ID} == self.ledger.models
        found: dict[str, Any] = {}
        for market in self.all_markets():
            for pid, ticket in market.tickets.items():
                assert pid not in found, f"{pid} is in two markets"
                found[pid] = lesson_of(ticket.row)
        known = self.ledger.predictions.keys() | self.ledger.outcomes.keys()
        assert found == {pid: self.ledger.lessons.get(pid) for pid in known}
        assert self.book.pending == len(known - self.ledger.lessons.keys())

    @invariant()
    def models_agree_with_the_ledger(self) -> None:
        if not hasattr(self, "book"):
            return
        for model_id, state in self.states.items():
            state.check_invariants()
            if isinstance(state, PoolState) or state.reset_seq:
                continue
            lessons = self.ledger.model_lessons(model_id)
            assert state.now.n == len(lessons)
            assert state.now.x_sum == sum(each.x or 0.0 for each in lessons)
            assert state.tally.pnl == sum(each.pnl for each in lessons if each.pnl is not None)
            assert state.tally.stake == sum(each.stake for each in lessons if each.stake is not None)
            assert state.tally.shadow == sum(each.shadow for each in lessons)

    def teardown(self) -> None:
        for model_id, state in getattr(self, "states", {}).items():
            assert state_bytes(self.rebuilt(model_id)) == state_bytes(state), model_id


def decode(body: bytes) -> Market:
    return decode_market(KEY, seal(KEY, body))


TestIntake = IntakeMachine.TestCase
TestIntake.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
