"""The book of markets: decides what an input means, and what each model learns from it.

Two steps, so that a replay can never decide differently: :mod:`.decisions` looks and says *duplicate* (a
receipt), *no* (an error) or *yes* (None) and changes nothing; ``apply`` is the only door that changes
the book, takes only accepted entries, and is all that a replay calls.

What is in memory, and how it comes and goes, is :mod:`.memory`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from msgspec.structs import replace

from ...config.settings import LearningRules
from ...protocol.messages import MarketResolved, Prediction, Receipt, TradeOutcome
from .delivery import Deliveries
from .entries import (
    ControlEntry,
    Entry,
    ExpirePredictions,
    Gate,
    GatedPrediction,
    PauseModel,
    ResetModel,
    ResumeModel,
    RulesInForce,
    ShareChange,
)
from .events import (
    UNKNOWN,
    ChangeShared,
    ModelEvent,
    Paused,
    PoolRescored,
    PosteriorSet,
    Rescored,
    Reset,
    Resumed,
    RulesChanged,
    Scored,
)
from .market import Market, Ruling, Ticket, counts, effective_resolution, loose_row, revision_key, row_of
from .memory import BookMemory
from .pool_row import POOL_ID, POOL_MODELS_MIN, pool_row, row_in_force

__all__ = ["NEVER_NS", "SHARED_MAX", "Book", "Control"]

Control = Paused | Resumed | Reset | PosteriorSet | ChangeShared

NEVER_NS: Final = -(2**63)
"""Before every event time."""

SHARED_MAX: Final = 16
"""Shared changes in a row of which each restarts what the others left; the next one has the filter begin anew."""

_OVERRULED: Final = {
    Paused: (Paused, Resumed),
    Resumed: (Paused, Resumed),
    Reset: (Reset, ChangeShared),
    PosteriorSet: (PosteriorSet, ChangeShared),
}
"""Which earlier controls no longer count after one of these: what is kept does not grow with use."""


class Book(BookMemory):
    """Markets, their predictions and resolutions, and what was said of every model."""

    def __init__(self, pending_max: int = 2**62, models_max: int = 2**62) -> None:
        super().__init__()
        self.seq = 0
        self.learn_on: Literal["final", "proposed"] = "final"
        """From the rules in force: which resolutions teach."""
        self.pooling = False
        """Likewise: whether they teach the pool."""
        self.sharing = False
        """Likewise: whether a change that one model tells of restarts the others."""
        self.shared_until_ns = NEVER_NS
        """Event time that had passed when the newest shared change was settled: one from before is the same."""
        self.pending_max = pending_max
        self.models_max = models_max
        self.controls: dict[str, list[tuple[int, Control]]] = {}
        """Every known model, and the pool once it learns, with what an operator said of it, in order."""
        self.rules_history: list[tuple[int, LearningRules]] = []

    # ----------------------------------------------------------------- apply

    def apply(self, entry: Entry, seq: int, out: Deliveries) -> Receipt:
        """Take an accepted entry in; what its models learn goes into ``out``."""
        assert seq > self.seq, (seq, self.seq)
        self.seq = seq
        kind = type(entry)
        if kind is TradeOutcome:
            return self._settle_trade(entry, seq, out)  # pyright: ignore[reportArgumentType]  # tested above
        if kind is Prediction:
            return self._predict(entry, None, seq, out)  # pyright: ignore[reportArgumentType]
        if isinstance(entry, MarketResolved):
            return self._resolve(entry, seq, out)
        if isinstance(entry, GatedPrediction):
            return self._predict(entry.prediction, entry.gate, seq, out)
        if isinstance(entry, RulesInForce):
            return self._new_rules(entry, seq, out)
        if isinstance(entry, ExpirePredictions):
            return self._expire(entry.at_ns, seq, out)
        if isinstance(entry, ShareChange):
            return self._share(entry, seq, out)
        assert isinstance(entry, ControlEntry), entry
        return self._control(entry, seq, out)

    def _predict(self, prediction: Prediction, gate: Gate | None, seq: int, out: Deliveries) -> Receipt:
        prediction_id, model_id = prediction.prediction_id, prediction.model_id
        if model_id not in self.controls:
            self.controls[model_id] = []
        market = self.markets.get(prediction.market_id)
        if market is None:
            market = self.markets[prediction.market_id] = Market(prediction.market_id, seq, (), {})
        elif self.saving is not None:
            self.saving.keep(market)
        loose = self.market_of(prediction_id)
        if loose is None:
            ticket = Ticket(seq, prediction, gate)
            self.pend(market)
        else:
            ticket = self._merge(loose, prediction_id)
            ticket.prediction, ticket.gate, ticket.joined_seq = prediction, gate, seq
        market.tickets[prediction_id] = ticket
        self.by_prediction[prediction_id] = market
        if loose is None:
            self.note_expiry(prediction)
        self.unsaved[market.ordinal] = market
        out.count(model_id, gate, seq)
        if not market.rulings and ticket.outcome is None:
            return Receipt(seq=seq)
        return self._settle(market, (ticket,), self._in_force(market), seq, out)

    def _in_force(self, market: Market) -> Ruling | None:
        return effective_resolution(market.rulings, self.learn_on) if market.rulings else None

    def _merge(self, loose: Market, prediction_id: str) -> Ticket:
        """Take the ticket of a trade outcome out of its loose market: its prediction came after all."""
        if self.saving is not None:
            self.saving.keep(loose)
        del self.markets[loose.market_id]
        self.unsaved.pop(loose.ordinal, None)
        self.merged.append(loose.ordinal)
        return loose.tickets[prediction_id]

    def _resolve(self, resolution: MarketResolved, seq: int, out: Deliveries) -> Receipt:
        market = self.markets.get(resolution.market_id)
        if market is None:
            market = self.markets[resolution.market_id] = Market(resolution.market_id, seq, (), {})
        elif self.saving is not None:
            self.saving.keep(market)
        market.rulings = (*market.rulings, Ruling(seq, resolution))
        self.unsaved[market.ordinal] = market
        in_force = self._in_force(market)
        receipt = self._settle(market, market.tickets.values(), in_force, seq, out)
        if self.pooling or market.pool_seq:
            self._tell_pool(market, in_force, seq, out)
        return receipt if market.tickets and in_force is not None else replace(receipt, waiting=True)

    def _tell_pool(self, market: Market, ruling: Ruling | None, seq: int, out: Deliveries) -> None:
        """Tell the pool of a market when a resolution first comes into force, and of what changes it later."""
        if not market.pool_seq:
            if ruling is None:
                return
            market.pool_seq, market.pool_ruling_seq = seq, ruling.seq
            row = pool_row(market, ruling) if len(market.tickets) >= POOL_MODELS_MIN else None
            if row is not None:
                self.controls.setdefault(POOL_ID, [])
                out.tell(POOL_ID, row, seq)
            return
        told = row_in_force(market)
        market.pool_ruling_seq = 0 if ruling is None else ruling.seq
        row = pool_row(market, ruling)
        if row is not None and row != told:
            out.tell(POOL_ID, PoolRescored(market.pool_seq, row), seq)

    def _settle_trade(self, outcome: TradeOutcome, seq: int, out: Deliveries) -> Receipt:
        model_id, prediction_id = outcome.model_id, outcome.prediction_id
        if model_id not in self.controls:
            self.controls[model_id] = []
        market = self.market_of(prediction_id)
        if market is None:
            # Nothing else is known of it: it is settled by itself, and for good until its prediction comes.
            self.loose.add(prediction_id, seq)
            out.tell(model_id, loose_row(outcome, seq), seq)
            return Receipt(seq=seq, scored=1)
        if self.saving is not None:
            self.saving.keep(market)
        ticket = market.tickets[prediction_id]
        if ticket.outcome is None:
            ticket.outcome, ticket.outcome_seq = outcome, seq
        else:
            # A second trade outcome only adds the P&L that was missing.
            ticket.outcome, ticket.pnl_seq = replace(ticket.outcome, pnl=outcome.pnl), seq
        self.unsaved[market.ordinal] = market
        return self._settle(market, (ticket,), self._in_force(market), seq, out)

    def _settle(
        self, market: Market, tickets: Iterable[Ticket], ruling: Ruling | None, seq: int, out: Deliveries
    ) -> Receipt:
        """Give each ticket the row it has under a ruling, and tell its model the difference."""
        scored = revised = 0
        unscored: list[str] = []
        for ticket in tickets:
            old, new = ticket.row, row_of(ticket, ruling)
            if new is None:
                if old is None:
                    continue
                new = Scored(old.row_id, old.at_ns, UNKNOWN)
            if old is None:
                ticket.position_seq = seq
                self.unpend(market)
                out.tell(ticket.model_id, new, seq)
                scored += new.x == new.x
            elif repr(old) != repr(new):
                out.tell(ticket.model_id, Rescored(ticket.position_seq, old, new), seq)
                # From "teaches nothing" (void, expired, late) to a lesson is a first score.
                scored += old.x != old.x and new.x == new.x
                revised += old.x == old.x
            ticket.row = new
            prediction = ticket.prediction
            if ruling is None or prediction is None or new.x == new.x:
                continue
            if not counts(prediction, ruling.resolution):
                unscored.append(prediction.prediction_id)
        return Receipt(seq=seq, scored=scored, revised=revised, unscored=tuple(unscored))

    def _expire(self, at_ns: int, seq: int, out: Deliveries) -> Receipt:
        """Settle what has expired: it teaches nothing, unless a resolution from before its expiry comes yet."""
        expired = self.take_expired(at_ns)
        for prediction_id, market in expired:
            if self.saving is not None:
                self.saving.keep(market)
            ticket = market.tickets[prediction_id]
            ticket.row, ticket.position_seq = Scored(ticket.row_id, at_ns, UNKNOWN), seq
            self.unpend(market)
            self.unsaved[market.ordinal] = market
            out.tell(ticket.model_id, ticket.row, seq)
        return Receipt(seq=seq, unscored=tuple(prediction_id for prediction_id, _ in expired))

    def _new_rules(self, entry: RulesInForce, seq: int, out: Deliveries) -> Receipt:
        self.rules_history.append((seq, entry.rules))
        self.follow_rules()
        for model_id in self.controls:
            out.tell(model_id, RulesChanged(entry.rules), seq)
        return Receipt(seq=seq)

    def _control(self, entry: ControlEntry, seq: int, out: Deliveries) -> Receipt:
        event: Control
        if isinstance(entry, PauseModel):
            event = Paused(entry.until_ns, entry.reason)
        elif isinstance(entry, ResumeModel):
            event = Resumed()
        elif isinstance(entry, ResetModel):
            event = Reset(seq)
        else:
            event = PosteriorSet(entry.posterior)
        # setdefault: after an accepted loss the input that introduced the model may be among the lost.
        controls = self.controls.setdefault(entry.model_id, [])
        overruled = _OVERRULED[type(event)]
        controls[:] = [control for control in controls if not isinstance(control[1], overruled)]
        controls.append((seq, event))
        told: ModelEvent = event
        out.tell(entry.model_id, told, seq)
        return Receipt(seq=seq)

    def _share(self, entry: ShareChange, seq: int, out: Deliveries) -> Receipt:
        """Tell every other model. What each makes of it depends on those before it, so that all of them are kept; but
        after ``SHARED_MAX`` of them one is as good as none was."""
        self.shared_until_ns = max(self.shared_until_ns, entry.detected_ns)
        for model_id, controls in self.controls.items():
            if model_id in (entry.model_id, POOL_ID):
                continue
            anew = sum(isinstance(event, ChangeShared) for _, event in controls) >= SHARED_MAX
            if anew:
                controls[:] = [control for control in controls if not isinstance(control[1], ChangeShared)]
            event = ChangeShared(entry.at_ns, entry.model_id, anew)
            controls.append((seq, event))
            out.tell(model_id, event, seq)
        return Receipt(seq=seq)

    def follow_rules(self) -> None:
        """Have the newest rules decide what resolutions teach, and whether changes are shared."""
        rules = self.rules_history[-1][1]
        self.sharing = rules.shared_changes
        self.learn_on, self.pooling = rules.learn_on, rules.pool is not None

    def rules_at(self, seq: int) -> LearningRules:
        """The rules in force when input ``seq`` was applied."""
        in_force = self.rules_history[0][1]
        for since, rules in self.rules_history:
            if since <= seq:
                in_force = rules
        return in_force

    def check_invariants(self) -> None:
        """Raise AssertionError if the book contradicts itself; for tests and ``verify``."""
        assert self.pending == sum(market.pending for market in self.markets.values())
        assert self.open_markets == sum(not market.settled for market in self.markets.values())
        for market in self.markets.values():
            assert market.pending == sum(ticket.row is None for ticket in market.tickets.values())
            keys = [revision_key(ruling.resolution) for ruling in market.rulings]
            assert keys == sorted(set(keys)), keys
            for prediction_id, ticket in market.tickets.items():
                assert self.by_prediction[prediction_id] is market
                assert ticket.model_id in self.controls
        assert not self.loose.fresh.keys() & (self.by_prediction.keys() | self.loose.saving.keys())
        assert len(self.by_prediction) == sum(len(market.tickets) for market in self.markets.values())
