"""A market with its predictions, and what each of them teaches under its resolution."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from msgspec import Struct
from msgspec.structs import astuple

from ...protocol.messages import MarketResolved, Prediction, TradeOutcome
from ..learning.payout import outcome_value
from ..learning.pnl import multiply_money, trade_pnl
from .entries import Gate
from .events import UNKNOWN, Scored

__all__ = [
    "Market",
    "Ruling",
    "Ticket",
    "effective_resolution",
    "loose_market_id",
    "loose_row",
    "loose_score",
    "revision_key",
    "row_of",
]

STATUS_RANK = {"proposed": 0, "disputed": 1, "final": 2}


class Ticket(Struct, array_like=True, gc=False):
    """One prediction in a market (or one trade outcome that came without a prediction)."""

    row_id: int
    prediction: Prediction | None = None
    gate: Gate | None = None
    outcome: TradeOutcome | None = None
    outcome_seq: int = 0
    row: Scored | None = None
    """What it teaches now; None while pending."""
    position_seq: int = 0
    """Sequence number at which it was first settled: its place in the model's history."""
    joined_seq: int = 0
    """Sequence number of the prediction, where its trade outcome had come first; else 0."""
    pnl_seq: int = 0
    """Sequence number of the trade outcome that added the P&L which the first one lacked; else 0."""

    @property
    def prediction_seq(self) -> int:
        """Sequence number at which the prediction was recorded."""
        return self.joined_seq or self.row_id

    @property
    def model_id(self) -> str:
        """The model it belongs to."""
        known = self.prediction or self.outcome
        assert known is not None
        return known.model_id


class Ruling(Struct, array_like=True, frozen=True, gc=False):
    """A recorded resolution and its sequence number."""

    seq: int
    resolution: MarketResolved


class Market(Struct, array_like=True, gc=False):
    """A market from its first mention on."""

    market_id: str
    ordinal: int
    """Sequence number of its first input: its key on disk, in order of arrival."""
    rulings: tuple[Ruling, ...]
    """Every resolution recorded, by ascending (revision, status)."""
    tickets: dict[str, Ticket]
    """By prediction id."""
    pending: int = 0
    """Tickets without a row."""
    pool_seq: int = 0
    """Sequence number at which a resolution first came into force, which is when the pool learns from the market: its
    place in the pool's history; 0: it never did, or the pool did not learn then."""
    pool_ruling_seq: int = 0
    """Sequence number of the resolution the pool has learned from; 0: it is not in force any more."""

    @property
    def settled(self) -> bool:
        """Nothing is pending: the market can leave memory."""
        return self.pending == 0


def loose_market_id(prediction_id: str) -> str:
    """The market that holds a trade outcome whose prediction is unknown; no real id has a NUL in it."""
    return "\0" + prediction_id


def revision_key(resolution: MarketResolved) -> tuple[int, int]:
    """Order of resolutions: a higher revision first, then the status."""
    return resolution.revision, STATUS_RANK[resolution.status]


def effective_resolution(rulings: Sequence[Ruling], learn_on: Literal["final", "proposed"]) -> Ruling | None:
    """The ruling that teaches: the newest final one; with ``learn_on="proposed"`` the newest at all,
    and none while it is disputed."""
    if learn_on == "final":
        for ruling in reversed(rulings):
            if ruling.resolution.status == "final":
                return ruling
        return None
    if not rulings or rulings[-1].resolution.status == "disputed":
        return None
    return rulings[-1]


def outcome_x(outcome: TradeOutcome) -> float:
    """1 if the trade outcome says that the prediction was right, else 0."""
    return 1.0 if outcome.predicted_outcome == outcome.actual_outcome else 0.0


def row_of(ticket: Ticket, ruling: Ruling | None) -> Scored | None:
    """What a ticket teaches under a ruling (None: no resolution in force); None while it is pending.

    A trade outcome speaks for its prediction as revision 0 would: a later revision overrules it. Where
    both agree the earlier one dates the row and the trade's own P&L is taken.
    """
    outcome = ticket.outcome
    if outcome is None:
        return None if ruling is None else _ruled(ticket, ruling.resolution, None)
    if ruling is None or (ruling.resolution.revision == 0 and ticket.outcome_seq < ruling.seq):
        return _row(ticket, outcome.resolved_at, outcome_x(outcome), outcome.pnl)
    row = _ruled(ticket, ruling.resolution, outcome)
    if row.x != row.x and not ruling.resolution.void:
        return _row(ticket, outcome.resolved_at, outcome_x(outcome), outcome.pnl)
    return row


def loose_row(outcome: TradeOutcome, row_id: int) -> Scored:
    """What a trade outcome teaches as long as nothing else is known of its prediction."""
    _, _, predicted, actual, resolved_at, pnl, confidence = astuple(outcome)
    return loose_score(row_id, predicted, actual, resolved_at, pnl, confidence)


def loose_score(
    row_id: int, predicted: str, actual: str, resolved_at: int, pnl: Decimal | None, confidence: float | None
) -> Scored:
    """The same of its fields."""
    x = 1.0 if predicted == actual else 0.0
    if confidence is None:
        confidence = UNKNOWN
    return Scored(row_id, resolved_at, x, confidence, UNKNOWN, False, None, pnl)


def _ruled(ticket: Ticket, resolution: MarketResolved, outcome: TradeOutcome | None) -> Scored:
    prediction = ticket.prediction
    if prediction is None or resolution.void or not counts(prediction, resolution):
        return Scored(ticket.row_id, resolution.resolved_at, UNKNOWN)
    x = outcome_value(resolution.payouts or {}, prediction.outcome)
    own = outcome.pnl if outcome is not None and outcome_x(outcome) == x else None
    return _row(ticket, resolution.resolved_at, x, own)


def counts(prediction: Prediction, resolution: MarketResolved) -> bool:
    """Whether a resolution scores a prediction: made before it, and not expired by then."""
    if prediction.predicted_at > resolution.resolved_at:
        return False
    return prediction.expires_at is None or resolution.resolved_at <= prediction.expires_at


def _row(ticket: Ticket, at_ns: int, x: float, own_pnl: Decimal | None) -> Scored:
    prediction = ticket.prediction
    if prediction is None:
        assert ticket.outcome is not None
        return loose_row(ticket.outcome, ticket.row_id)
    price, size, gate = prediction.price, prediction.size, ticket.gate
    shadow = gate is not None and not gate.accepted
    if price is None:
        return Scored(ticket.row_id, at_ns, x, prediction.confidence, UNKNOWN, shadow, None, own_pnl)
    stake = pnl = None
    if size is not None:
        stake = multiply_money(size, price)
        pnl = trade_pnl(size, price, x, prediction.fee)
    if own_pnl is not None:
        pnl = own_pnl
    return Scored(ticket.row_id, at_ns, x, prediction.confidence, float(price), shadow, stake, pnl)
