"""What the pool answers: the models' forecasts of one market combined, and what it thinks of the models."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Forecast", "PoolMember", "PoolReport", "PoolShare", "PooledForecast", "RepeatsEnded"]


class Forecast(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one model says of a market, to be combined with what others say; nothing is recorded."""

    model_id: str
    outcome: str
    """Its most probable outcome."""
    confidence: float
    """The probability it gives it."""


class PoolMember(Struct, frozen=True, kw_only=True, gc=False):
    """One model's part in a pooled forecast."""

    model_id: str
    outcome: str
    confidence: float
    share: float
    """Its share of the pool, among the models that forecast this market: together 1, each model once. One that names
    several outcomes has its share beside each."""


class PooledForecast(Struct, frozen=True, kw_only=True):
    """The models' forecasts of a market as one."""

    market_id: str | None
    """None: the forecasts were given."""
    as_of: int
    applied_seq: int
    """Last input the pool had learned from."""
    n: int
    """Markets it had learned from."""
    outcome: str
    """The most probable one of those that somebody named; of equals the first by label."""
    confidence: float
    """Its probability; that none of those named comes true is ``remainder``, which may be larger."""
    probabilities: dict[str, float]
    """Of each outcome that is known, by label; with ``remainder`` together 1."""
    remainder: float
    """Probability of outcomes nobody named: above 0 only where a single one was."""
    disagreement: float
    """How far the models are apart, from 0 (all say the same) to 1 (each is certain of another outcome): the
    Jensen-Shannon divergence of their forecasts by share, over the greatest there is."""
    members: tuple[PoolMember, ...]
    """By share, the largest first."""
    forms: dict[str, float]
    """Weights of the ways to combine, by evidence, by name; together 1."""


class PoolShare(Struct, frozen=True, kw_only=True, gc=False):
    """What the pool thinks of one model."""

    model_id: str
    share: float
    """Of the whole pool, if every model forecast."""
    weight: float
    """The same against an equal share, which is 1: what weight_policy = "score" sizes trades with, unclipped."""
    n: int
    """Markets it was compared on."""
    last_at: int
    """Event time of the last of them."""
    repeats: str | None
    """A model it says the same as, on every market for a while: two that are one."""
    retired: bool
    """It forecast none of the markets of the last ``pool.retire_after_days``: the others are not compared with it."""


class RepeatsEnded(Struct, frozen=True, kw_only=True, gc=False):
    """A model that said what another said no longer does: either of them was exchanged for another."""

    model_id: str
    peer: str
    changed_at: int
    """Event time of the first market on which they differed, most likely."""
    detected_at: int
    probability: float


class PoolReport(Struct, frozen=True, kw_only=True):
    """What the pool has learned, and whether combining paid."""

    as_of: int
    applied_seq: int
    n: int
    """Markets learned from."""
    accuracy: float | None
    brier: float | None
    """Of the pool's most probable outcome, as forecast when each market resolved, before it learned from it."""
    log_loss: float | None
    equal_brier: float | None
    """The same of the models' equally weighted mean."""
    equal_log_loss: float | None
    forms: dict[str, float]
    shares: tuple[PoolShare, ...]
    """By share, the largest first."""
    repeats_ended: tuple[RepeatsEnded, ...]
    """The newest hundred, oldest first."""
