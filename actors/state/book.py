"""The book of markets: decides what an input means, and what each model learns from it.

Two steps, so that a replay can never decide differently: ``decide_*`` looks and says *duplicate* (a
receipt), *no* (an error) or *yes* (None) and changes nothing; ``apply`` is the only door that changes
the book, takes only accepted entries, and is all that a replay calls.

In memory are the markets with something pending and those settled since the last snapshot; older ones
are on disk, and whoever calls ``decide`` brings those an input mentions back with :meth:`Book.admit`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from ...config.settings import LearningRules
from ...protocol.errors import (
    BusyError,
    ConflictError,
    PredictedAfterResolutionError,
    StaleRevisionError,
    UnknownModelError,
)
from ...protocol.messages import MarketResolved, Prediction, Receipt, TradeOutcome
from .delivery import Deliveries
from .entries import Entry, Gate, GatedPrediction, PauseModel, ResetModel, ResumeModel, RulesInForce
from .events import ModelEvent, Paused, Rescored, Reset, Resumed, RulesChanged
from .market import (
    Market,
    Ruling,
    Ticket,
    counts,
    effective_resolution,
    loose_market_id,
    outcome_x,
    revision_key,
    row_of,
)

__all__ = ["Book", "Control", "Cut"]

Control = Paused | Resumed | Reset


class Cut(Struct):
    """What a snapshot has to save of the book."""

    markets: dict[int, Market]
    merged: list[int]


class Book:
    """Markets, their predictions and resolutions, and every model's pauses and resets.

    ``unsaved`` holds the markets that changed since the last :meth:`cut`.
    """

    def __init__(
        self,
        learn_on: Literal["final", "proposed"] = "final",
        pending_max: int = 2**62,
        models_max: int = 2**62,
    ) -> None:
        self.seq = 0
        self.learn_on: Literal["final", "proposed"] = learn_on
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

    # ---------------------------------------------------------------- decide

    def decide_prediction(self, prediction: Prediction) -> Receipt | None:
        """Receipt of the original if this prediction is a duplicate, None if it is to be recorded.

        Raises:
            ConflictError: its id stands for another prediction, or it contradicts its trade outcome.
            PredictedAfterResolutionError: it was made after its market resolved.
            BusyError: too many predictions are pending.

        """
        known = self.by_prediction.get(prediction.prediction_id)
        ticket = None if known is None else known.tickets[prediction.prediction_id]
        if ticket is not None and ticket.prediction is not None:
            return _same_prediction(ticket, prediction)
        if ticket is not None:
            _agree(ticket, prediction)
        if prediction.model_id not in self.controls:
            self._room_for_model(prediction.model_id)
        market = self.markets.get(prediction.market_id)
        if market is not None and market.rulings:
            self._not_after_resolution(market, prediction, ticket)
        if self.pending >= self.pending_max:
            raise BusyError(
                f"{self.pending} predictions are pending, the most allowed (limits.pending_predictions_max); "
                "resolve or expire some, or raise the limit",
                60_000,
            )
        return None

    def _room_for_model(self, model_id: str) -> None:
        if len(self.controls) >= self.models_max:
            raise BusyError(
                f"model {model_id!r} would be one more than the {self.models_max} allowed (limits.models_max)",
                60_000,
            )

    def _not_after_resolution(self, market: Market, prediction: Prediction, ticket: Ticket | None) -> None:
        ruling = effective_resolution(market.rulings, self.learn_on)
        if ruling is None:
            return
        resolved_at = ruling.resolution.resolved_at
        if prediction.predicted_at > resolved_at:
            raise PredictedAfterResolutionError(
                f"prediction {prediction.prediction_id!r} of market {market.market_id!r} was made at "
                f"{prediction.predicted_at}, {(prediction.predicted_at - resolved_at) / 1e9:g} s after the market "
                f"resolved ({resolved_at}); nothing was recorded"
            )
        if ticket is not None and ticket.outcome is not None:
            _agree_on_x(ticket.outcome, prediction, ruling)

    def decide_resolution(self, resolution: MarketResolved) -> Receipt | None:
        """Receipt of the original if this resolution is a duplicate, None if it is to be recorded.

        Raises:
            StaleRevisionError: a higher revision, or a later status, is already recorded.
            ConflictError: it contradicts what is recorded, without a higher revision.

        """
        market = self.markets.get(resolution.market_id)
        if market is None:
            return None
        key = revision_key(resolution)
        for ruling in market.rulings:
            if revision_key(ruling.resolution) == key:
                return _same_ruling(ruling, resolution)
        if market.rulings and key < revision_key(market.rulings[-1].resolution):
            last = market.rulings[-1].resolution
            raise StaleRevisionError(
                f"market {resolution.market_id!r}: revision {resolution.revision} ({resolution.status}) came after "
                f"revision {last.revision} ({last.status}) was recorded; to correct it, send revision "
                f"{last.revision + 1}"
            )
        if resolution.revision == 0:
            self._no_outcome_contradicts(market, resolution)
        return None

    def _no_outcome_contradicts(self, market: Market, resolution: MarketResolved) -> None:
        ruling = Ruling(0, resolution)
        if effective_resolution([*market.rulings, ruling], self.learn_on) is not ruling:
            return
        for ticket in market.tickets.values():
            if ticket.outcome is not None and ticket.prediction is not None:
                _agree_on_x(ticket.outcome, ticket.prediction, ruling)

    def decide_outcome(self, outcome: TradeOutcome) -> Receipt | None:
        """Receipt of the original if this outcome is a duplicate, None if it is to be recorded.

        Raises:
            ConflictError: it contradicts its prediction, an earlier outcome or the market's resolution.
            PredictedAfterResolutionError: it is dated before its prediction was made.

        """
        market = self.by_prediction.get(outcome.prediction_id)
        if market is None:
            if outcome.model_id not in self.controls:
                self._room_for_model(outcome.model_id)
            return None
        ticket = market.tickets[outcome.prediction_id]
        if ticket.outcome is not None:
            return _same_outcome(ticket, ticket.outcome, outcome)
        prediction = ticket.prediction
        assert prediction is not None
        _agree(Ticket(ticket.row_id, outcome=outcome), prediction)
        ruling = effective_resolution(market.rulings, self.learn_on)
        if ruling is not None:
            _agree_on_x(outcome, prediction, ruling)
        return None

    def decide_control(self, entry: PauseModel | ResumeModel | ResetModel) -> None:
        """Raise UnknownModelError unless the model was ever seen."""
        if entry.model_id not in self.controls:
            raise UnknownModelError(entry.model_id)

    # ----------------------------------------------------------------- apply

    def apply(self, entry: Entry, seq: int, out: Deliveries) -> Receipt:
        """Take an accepted entry in; what its models learn goes into ``out``."""
        assert seq > self.seq, (seq, self.seq)
        self.seq = seq
        kind = type(entry)
        if kind is Prediction:
            return self._predict(entry, None, seq, out)  # pyright: ignore[reportArgumentType]  # tested above
        if isinstance(entry, GatedPrediction):
            return self._predict(entry.prediction, entry.gate, seq, out)
        if isinstance(entry, MarketResolved):
            return self._resolve(entry, seq, out)
        if isinstance(entry, TradeOutcome):
            return self._settle_trade(entry, seq, out)
        if isinstance(entry, RulesInForce):
            return self._new_rules(entry, seq, out)
        assert isinstance(entry, PauseModel | ResumeModel | ResetModel), entry
        return self._control(entry, seq, out)

    def _predict(self, prediction: Prediction, gate: Gate | None, seq: int, out: Deliveries) -> Receipt:
        prediction_id, model_id = prediction.prediction_id, prediction.model_id
        if model_id not in self.controls:
            self.controls[model_id] = []
        market = self.markets.get(prediction.market_id)
        if market is None:
            market = self.markets[prediction.market_id] = Market(prediction.market_id, seq, [], {})
        loose = self.by_prediction.get(prediction_id)
        if loose is None:
            ticket = Ticket(seq, prediction, gate)
            self._pend(market)
        else:
            ticket = self._merge(loose, prediction_id)
            ticket.prediction, ticket.gate = prediction, gate
        market.tickets[prediction_id] = ticket
        self.by_prediction[prediction_id] = market
        self.unsaved[market.ordinal] = market
        out.count(model_id, gate, seq)
        if not market.rulings and ticket.outcome is None:
            return Receipt(seq=seq)
        return self._settle(market, [ticket], seq, out)

    def _pend(self, market: Market) -> None:
        self.open_markets += market.pending == 0
        market.pending += 1
        self.pending += 1

    def _merge(self, loose: Market, prediction_id: str) -> Ticket:
        """Take the ticket of a trade outcome out of its loose market: its prediction came after all."""
        del self.markets[loose.market_id]
        self.unsaved.pop(loose.ordinal, None)
        self.merged.append(loose.ordinal)
        return loose.tickets[prediction_id]

    def _resolve(self, resolution: MarketResolved, seq: int, out: Deliveries) -> Receipt:
        market = self.markets.get(resolution.market_id)
        if market is None:
            market = self.markets[resolution.market_id] = Market(resolution.market_id, seq, [], {})
        market.rulings.append(Ruling(seq, resolution))
        self.unsaved[market.ordinal] = market
        return self._settle(market, market.tickets.values(), seq, out)

    def _settle_trade(self, outcome: TradeOutcome, seq: int, out: Deliveries) -> Receipt:
        model_id, prediction_id = outcome.model_id, outcome.prediction_id
        if model_id not in self.controls:
            self.controls[model_id] = []
        market = self.by_prediction.get(prediction_id)
        if market is None:
            market = Market(loose_market_id(prediction_id), seq, [], {prediction_id: Ticket(seq)})
            self.markets[market.market_id] = market
            self.by_prediction[prediction_id] = market
            self._pend(market)
        ticket = market.tickets[prediction_id]
        ticket.outcome = outcome
        ticket.outcome_seq = ticket.outcome_seq or seq
        self.unsaved[market.ordinal] = market
        return self._settle(market, [ticket], seq, out)

    def _settle(self, market: Market, tickets: Iterable[Ticket], seq: int, out: Deliveries) -> Receipt:
        """Give each ticket the row it now has, and tell its model the difference."""
        ruling = effective_resolution(market.rulings, self.learn_on)
        scored = revised = 0
        unscored: list[str] = []
        for ticket in tickets:
            old, new = ticket.row, row_of(ticket, ruling)
            if new is None:
                if old is None:
                    continue
                new = type(old)(old.row_id, old.at_ns, float("nan"))
            if old is None:
                ticket.position_seq = seq
                market.pending -= 1
                self.pending -= 1
                self.open_markets -= market.pending == 0
                out.tell(ticket.model_id, new, seq)
                scored += new.x == new.x
            elif repr(old) != repr(new):
                out.tell(ticket.model_id, Rescored(ticket.position_seq, old, new), seq)
                revised += 1
            ticket.row = new
            prediction = ticket.prediction
            if ruling is None or prediction is None or new.x == new.x:
                continue
            if not counts(prediction, ruling.resolution):
                unscored.append(prediction.prediction_id)
        waiting = ruling is None or not market.tickets
        return Receipt(seq=seq, scored=scored, revised=revised, waiting=waiting, unscored=tuple(unscored))

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
        self.controls[entry.model_id].append((seq, event))
        told: ModelEvent = event
        out.tell(entry.model_id, told, seq)
        return Receipt(seq=seq)

    # ------------------------------------------------------------ in and out

    def admit(self, market: Market) -> None:
        """Bring a market back from disk; it leaves again with :meth:`leave` unless an input changes it."""
        self.markets[market.market_id] = market
        for prediction_id in market.tickets:
            self.by_prediction[prediction_id] = market
        self.pending += market.pending
        self.open_markets += market.pending > 0
        if market.settled:
            self.visiting[market.ordinal] = market

    def leave(self) -> None:
        """Drop the settled markets that were brought back and did not change."""
        for ordinal, market in self.visiting.items():
            if ordinal not in self.unsaved and (self.saving is None or ordinal not in self.saving.markets):
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
        cut, self.saving = self.saving, None
        assert cut is not None
        leaving = [
            market
            for ordinal, market in cut.markets.items()
            if market.settled and ordinal not in self.unsaved
        ]
        for market in leaving:
            self._evict(market)
        return len(leaving)

    def not_saved(self) -> None:
        """The cut could not be saved: all of it is to be saved next time."""
        cut, self.saving = self.saving, None
        assert cut is not None
        self.unsaved = cut.markets | self.unsaved
        self.merged = cut.merged + self.merged

    def _evict(self, market: Market) -> None:
        if self.markets.get(market.market_id) is market:
            del self.markets[market.market_id]
            for prediction_id in market.tickets:
                self.by_prediction.pop(prediction_id, None)

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


def _same_prediction(ticket: Ticket, prediction: Prediction) -> Receipt:
    recorded = ticket.prediction
    assert recorded is not None
    if recorded == prediction:
        return Receipt(seq=ticket.row_id, duplicate=True)
    was, now = asdict(recorded), asdict(prediction)
    fields = ", ".join(f"{name} {was[name]!r} != {now[name]!r}" for name in was if was[name] != now[name])
    raise ConflictError(
        f"prediction {prediction.prediction_id!r} was recorded with other content ({fields}); "
        "a new prediction needs a new prediction_id"
    )


def _same_ruling(ruling: Ruling, resolution: MarketResolved) -> Receipt:
    recorded = ruling.resolution
    if recorded.void == resolution.void and recorded.payouts == resolution.payouts:
        return Receipt(seq=ruling.seq, duplicate=True)
    raise ConflictError(
        f"market {resolution.market_id!r} revision {resolution.revision} ({resolution.status}) was recorded as "
        f"{_shown(recorded)}, now {_shown(resolution)}; send revision {resolution.revision + 1} to correct it"
    )


def _same_outcome(ticket: Ticket, recorded: TradeOutcome, outcome: TradeOutcome) -> Receipt | None:
    same = (
        recorded.model_id == outcome.model_id
        and recorded.predicted_outcome == outcome.predicted_outcome
        and recorded.actual_outcome == outcome.actual_outcome
    )
    if same and recorded.pnl is None and outcome.pnl is not None:
        return None
    if same and (outcome.pnl is None or recorded.pnl == outcome.pnl):
        return Receipt(seq=ticket.outcome_seq, duplicate=True)
    raise ConflictError(
        f"the outcome of prediction {outcome.prediction_id!r} was recorded as "
        f"{recorded.actual_outcome!r} for {recorded.predicted_outcome!r} of {recorded.model_id!r}, P&L {recorded.pnl}; "
        f"now {outcome.actual_outcome!r} for {outcome.predicted_outcome!r} of {outcome.model_id!r}, P&L {outcome.pnl}"
    )


def _agree(ticket: Ticket, prediction: Prediction) -> None:
    """Raise unless a trade outcome and its prediction speak of the same thing."""
    outcome = ticket.outcome
    assert outcome is not None
    what = f"prediction {prediction.prediction_id!r} and its trade outcome contradict each other: "
    if outcome.model_id != prediction.model_id:
        raise ConflictError(f"{what}model_id {prediction.model_id!r} against {outcome.model_id!r}")
    if outcome.predicted_outcome != prediction.outcome:
        raise ConflictError(f"{what}outcome {prediction.outcome!r} against {outcome.predicted_outcome!r}")
    if outcome.confidence is not None and outcome.confidence != prediction.confidence:
        raise ConflictError(f"{what}confidence {prediction.confidence!r} against {outcome.confidence!r}")
    if prediction.predicted_at > outcome.resolved_at:
        raise PredictedAfterResolutionError(
            f"{what}made at {prediction.predicted_at}, ended before that, at {outcome.resolved_at}"
        )


def _agree_on_x(outcome: TradeOutcome, prediction: Prediction, ruling: Ruling) -> None:
    """Raise unless a resolution says of a prediction what its trade outcome said."""
    resolution = ruling.resolution
    if not resolution.void and not counts(prediction, resolution):
        return
    payouts = resolution.payouts or {}
    if resolution.void or payouts.get(prediction.outcome, 0.0) != outcome_x(outcome):
        raise ConflictError(
            f"market {prediction.market_id!r} revision {resolution.revision} is {_shown(resolution)}, but the trade "
            f"outcome of prediction {prediction.prediction_id!r} says {outcome.actual_outcome!r}; "
            f"a resolution with revision {resolution.revision + 1} overrules trade outcomes"
        )


def _shown(resolution: MarketResolved) -> str:
    return "void" if resolution.void else f"payouts {resolution.payouts}"
