"""The book of markets: decides what an input means, and what each model learns from it.

Two steps, so that a replay can never decide differently: :mod:`.decisions` looks and says *duplicate* (a
receipt), *no* (an error) or *yes* (None) and changes nothing; ``apply`` is the only door that changes
the book, takes only accepted entries, and is all that a replay calls.

In memory are the markets with something pending and those settled since the last snapshot; older ones
are on disk, and whoever decides brings those an input mentions back with :meth:`Book.admit`.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from heapq import heapify, heappop, heappush
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ...config.settings import LearningRules
from ...protocol.messages import MarketResolved, Prediction, Receipt, TradeOutcome
from .delivery import Deliveries
from .entries import (
    Entry,
    ExpirePredictions,
    Gate,
    GatedPrediction,
    PauseModel,
    ResetModel,
    ResumeModel,
    RulesInForce,
)
from .events import UNKNOWN, ModelEvent, Paused, Rescored, Reset, Resumed, RulesChanged, Scored
from .market import (
    Market,
    Ruling,
    Ticket,
    counts,
    effective_resolution,
    loose_market_id,
    loose_row,
    revision_key,
    row_of,
)

__all__ = ["Book", "Control", "Cut"]

Control = Paused | Resumed | Reset


class Cut(Struct):
    """What a snapshot has to save of the book."""

    markets: dict[int, Market]
    merged: list[int]
    kept: dict[int, Market] = {}
    """As they were at the cut: markets that changed before they were sealed."""
    sealed_through: int = -1
    """Markets up to this ordinal are sealed."""
    durable: bool = False
    """What is still in ``markets`` may leave memory."""

    def keep(self, market: Market) -> None:
        """The market is about to change: what is to be saved is how it was at the cut."""
        ordinal = market.ordinal
        if ordinal <= self.sealed_through or ordinal in self.kept or ordinal not in self.markets:
            return
        tickets = {prediction_id: copy(ticket) for prediction_id, ticket in market.tickets.items()}
        self.kept[ordinal] = replace(market, tickets=tickets)


class Book:
    """Markets, their predictions and resolutions, and every model's pauses and resets.

    ``unsaved`` holds the markets that changed since the last :meth:`cut`.
    """

    def __init__(self, pending_max: int = 2**62, models_max: int = 2**62) -> None:
        self.seq = 0
        self.learn_on: Literal["final", "proposed"] = "final"
        """From the rules in force: which resolutions teach."""
        self.pending_max = pending_max
        self.models_max = models_max
        self.pending = 0
        self.open_markets = 0
        """Markets with something pending."""
        self.markets: dict[str, Market] = {}
        self.by_prediction: dict[str, Market] = {}
        self.unsaved: dict[int, Market] = {}
        self.merged: list[int] = []
        """Ordinals of loose markets that went into another since the last save."""
        self.controls: dict[str, list[tuple[int, Control]]] = {}
        """Every known model, with its pauses, ends of pauses and resets in order."""
        self.rules_history: list[tuple[int, LearningRules]] = []
        self.saving: Cut | None = None
        """The cut that is being saved."""
        self.visiting: dict[int, Market] = {}
        self._expiries: list[tuple[int, str]] = []
        """Heap of (expires_at, prediction id) of pending predictions; may hold some that are settled."""

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
        assert isinstance(entry, PauseModel | ResumeModel | ResetModel), entry
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
        loose = self.by_prediction.get(prediction_id)
        if loose is None:
            ticket = Ticket(seq, prediction, gate)
            self._pend(market)
        else:
            ticket = self._merge(loose, prediction_id)
            ticket.prediction, ticket.gate, ticket.joined_seq = prediction, gate, seq
        market.tickets[prediction_id] = ticket
        self.by_prediction[prediction_id] = market
        if loose is None:
            self._note_expiry(prediction)
        self.unsaved[market.ordinal] = market
        out.count(model_id, gate, seq)
        if not market.rulings and ticket.outcome is None:
            return Receipt(seq=seq)
        return self._settle(market, (ticket,), self._in_force(market), seq, out)

    def _in_force(self, market: Market) -> Ruling | None:
        return effective_resolution(market.rulings, self.learn_on) if market.rulings else None

    def _pend(self, market: Market) -> None:
        self.open_markets += market.pending == 0
        market.pending += 1
        self.pending += 1

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
        return receipt if market.tickets and in_force is not None else replace(receipt, waiting=True)

    def _settle_trade(self, outcome: TradeOutcome, seq: int, out: Deliveries) -> Receipt:
        model_id, prediction_id = outcome.model_id, outcome.prediction_id
        if model_id not in self.controls:
            self.controls[model_id] = []
        market = self.by_prediction.get(prediction_id)
        if market is None:
            # Nothing else is known of it: it is settled by itself, and for good until its prediction comes.
            row = loose_row(outcome, seq)
            ticket = Ticket(seq, None, None, outcome, seq, row, seq)
            market_id = loose_market_id(prediction_id)
            market = Market(market_id, seq, (), {prediction_id: ticket})
            self.markets[market_id] = self.by_prediction[prediction_id] = self.unsaved[seq] = market
            out.tell(model_id, row, seq)
            return Receipt(seq=seq, scored=1)
        if self.saving is not None:
            self.saving.keep(market)
        ticket = market.tickets[prediction_id]
        # A second trade outcome only adds the P&L that was missing.
        ticket.outcome = replace(ticket.outcome, pnl=outcome.pnl) if ticket.outcome else outcome
        ticket.outcome_seq = ticket.outcome_seq or seq
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
                self._unpend(market)
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

    def expiry_due(self, now_ns: int) -> bool:
        """Whether a pending prediction has expired; then an ExpirePredictions is to be journaled."""
        heap = self._expiries
        while heap and heap[0][0] < now_ns:
            market = self.by_prediction.get(heap[0][1])
            if market is not None and market.tickets[heap[0][1]].row is None:
                return True
            heappop(heap)
        return False

    def _expire(self, at_ns: int, seq: int, out: Deliveries) -> Receipt:
        """Settle what has expired: it teaches nothing, unless a resolution from before its expiry comes yet."""
        expired: dict[int, tuple[str, Market]] = {}
        while self._expiries and self._expiries[0][0] < at_ns:
            prediction_id = heappop(self._expiries)[1]
            market = self.by_prediction.get(prediction_id)
            ticket = None if market is None else market.tickets[prediction_id]
            if market is not None and ticket is not None and ticket.row is None:
                expired[ticket.row_id] = prediction_id, market
        # In the order of their numbers, not of their expiry: that is the order a rebuild folds them in.
        for row_id, (prediction_id, market) in sorted(expired.items()):
            if self.saving is not None:
                self.saving.keep(market)
            ticket = market.tickets[prediction_id]
            ticket.row, ticket.position_seq = Scored(row_id, at_ns, UNKNOWN), seq
            self._unpend(market)
            self.unsaved[market.ordinal] = market
            out.tell(ticket.model_id, ticket.row, seq)
        return Receipt(seq=seq, unscored=tuple(expired[row_id][0] for row_id in sorted(expired)))

    def _note_expiry(self, prediction: Prediction | None) -> None:
        if prediction is not None and prediction.expires_at is not None:
            heappush(self._expiries, (prediction.expires_at, prediction.prediction_id))
            if len(self._expiries) > 2 * self.pending + 1024:
                self._drop_settled_expiries()

    def _drop_settled_expiries(self) -> None:
        """The heap holds what is pending, and not every id that was ever to expire."""
        known = self.by_prediction
        self._expiries = [
            item
            for item in self._expiries
            if (market := known.get(item[1])) is not None and market.tickets[item[1]].row is None
        ]
        heapify(self._expiries)

    def _unpend(self, market: Market) -> None:
        market.pending -= 1
        self.pending -= 1
        self.open_markets -= market.pending == 0

    def _new_rules(self, entry: RulesInForce, seq: int, out: Deliveries) -> Receipt:
        self.rules_history.append((seq, entry.rules))
        self.learn_on = entry.rules.learn_on
        for model_id in self.controls:
            out.tell(model_id, RulesChanged(entry.rules), seq)
        return Receipt(seq=seq)

    def _control(self, entry: PauseModel | ResumeModel | ResetModel, seq: int, out: Deliveries) -> Receipt:
        event: Control
        if isinstance(entry, PauseModel):
            event = Paused(entry.until_ns, entry.reason)
        elif isinstance(entry, ResumeModel):
            event = Resumed()
        else:
            event = Reset(seq)
        # setdefault: after an accepted loss the input that introduced the model may be among the lost.
        controls = self.controls.setdefault(entry.model_id, [])
        # Only the last of a kind counts, whatever came between: what is kept does not grow with use.
        kind = Reset if isinstance(event, Reset) else (Paused, Resumed)
        controls[:] = [control for control in controls if not isinstance(control[1], kind)]
        controls.append((seq, event))
        told: ModelEvent = event
        out.tell(entry.model_id, told, seq)
        return Receipt(seq=seq)

    # ------------------------------------------------------------ in and out

    def admit(self, market: Market) -> None:
        """Bring a market back from disk; it leaves again with :meth:`leave` unless an input changes it."""
        self.markets[market.market_id] = market
        for prediction_id, ticket in market.tickets.items():
            self.by_prediction[prediction_id] = market
            if ticket.row is None:
                self._note_expiry(ticket.prediction)
        self.pending += market.pending
        self.open_markets += market.pending > 0
        if market.settled:
            self.visiting[market.ordinal] = market

    def leave(self) -> None:
        """Drop the settled markets that were brought back and did not change."""
        for ordinal, market in self.visiting.items():
            cut = self.saving
            saving = cut is not None and not cut.durable and ordinal in cut.markets
            if market.settled and ordinal not in self.unsaved and not saving:
                self._evict(market)
        self.visiting.clear()

    def cut(self) -> Cut:
        """Everything that changed since the last cut, to be saved; one cut at a time."""
        assert self.saving is None
        self.saving = Cut(self.unsaved, self.merged)
        self.unsaved, self.merged = {}, []
        return self.saving

    def saved(self) -> int:
        """The cut is durable: its settled markets leave memory. Returns how many did."""
        left = 0
        while (some := self.leave_some(10_000)) is not None:
            left += some
        return left

    def leave_some(self, count_max: int) -> int | None:
        """The cut is durable: look at so many of its markets, and drop those that are settled and unchanged.

        Returns how many were dropped; None once there is none left to look at: then the next cut may be made.
        """
        cut = self.saving
        assert cut is not None
        if not cut.durable:
            cut.sealed_through, cut.kept, cut.durable = 2**63, {}, True
        if not cut.markets:
            self.saving = None
            return None
        left = 0
        for _ in range(min(count_max, len(cut.markets))):
            # Taken out one by one: to let go of 200,000 at the end would take as long as all the rest.
            ordinal, market = cut.markets.popitem()
            if market.settled and ordinal not in self.unsaved:
                self._evict(market)
                left += 1
        return left

    def not_saved(self) -> None:
        """The cut could not be saved: all of it is to be saved next time."""
        cut, self.saving = self.saving, None
        assert cut is not None
        self.unsaved = cut.markets | self.unsaved
        self.merged = cut.merged + self.merged
        for ordinal in self.merged:
            self.unsaved.pop(ordinal, None)

    def _evict(self, market: Market) -> None:
        if self.markets.get(market.market_id) is market:
            del self.markets[market.market_id]
            for prediction_id in market.tickets:
                self.by_prediction.pop(prediction_id, None)

    def superseded(self) -> frozenset[int]:
        """Ordinals of the markets whose records on disk, if any, no longer count."""
        saving = [] if self.saving is None else self.saving.merged
        return frozenset((*(market.ordinal for market in self.markets.values()), *self.merged, *saving))

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
        assert len(self.by_prediction) == sum(len(market.tickets) for market in self.markets.values())
