"""What the router tells a model, and the pool: the only things that change their states.

Each is derived from one journaled input. ``row_id`` is the sequence number of the prediction's own
input (of the outcome's, where no prediction was recorded): one row of a model's history each.
"""

from __future__ import annotations

from decimal import Decimal
from math import nan
from typing import Final

from msgspec import Struct

from ...config.rules import Posterior
from ...config.settings import LearningRules

__all__ = [
    "UNKNOWN",
    "ChangeShared",
    "Counted",
    "Forecast",
    "ModelEvent",
    "Paused",
    "PoolRescored",
    "PoolScored",
    "PosteriorSet",
    "Rescored",
    "Reset",
    "Resumed",
    "RulesChanged",
    "Scored",
]

UNKNOWN: Final = nan
"""In a row: no value. NaN, because a row is packed as doubles; never compared, only tested by x == x."""


class Scored(Struct, frozen=True, gc=False, array_like=True):
    """One settled prediction of the model, in the order in which it was settled."""

    row_id: int
    at_ns: int
    """When its market resolved (event time)."""
    x: float
    """1 right, 0 wrong, between for a split; UNKNOWN teaches nothing (void, late, expired)."""
    confidence: float = UNKNOWN
    price: float = UNKNOWN
    shadow: bool = False
    """The gate had refused it: scored, not traded."""
    stake: Decimal | None = None
    """size × price where both are known."""
    pnl: Decimal | None = None


class Rescored(Struct, frozen=True, gc=False, array_like=True):
    """A row is replaced: a resolution was revised, or a trade outcome added its P&L."""

    position_seq: int
    """Sequence number at which the row was first scored: its place in the order."""
    old: Scored
    new: Scored


class Counted(Struct, frozen=True, gc=False, array_like=True):
    """Predictions recorded by one batch, by what the gate said."""

    accepted: int
    rejected: int
    ungated: int
    rejected_last: int
    """How many refusals in a row ended the batch's gated predictions."""


class Paused(Struct, frozen=True, gc=False, array_like=True):
    """Take the model out of selection and trading, until a time or until resumed."""

    until_ns: int | None
    reason: str


class Resumed(Struct, frozen=True, gc=False, array_like=True):
    """End a pause."""


class Reset(Struct, frozen=True, gc=False, array_like=True):
    """Forget everything learned; rows scored up to here no longer count, whatever is revised."""

    seq: int


class PosteriorSet(Struct, frozen=True, gc=False, array_like=True):
    """How evidence is to age from here on; None: as the rules say."""

    posterior: Posterior | None


class ChangeShared(Struct, frozen=True, gc=False, array_like=True):
    """Another model told of a change of the world that all live in: what was counted before has no weight any more."""

    at_ns: int
    """When it was (event time)."""
    by: str
    """Id of that model."""
    anew: bool = False
    """The filter begins anew with the next outcome, whatever it knows: earlier ones then need no record."""


class RulesChanged(Struct, frozen=True, gc=False):
    """The settings in force changed."""

    rules: LearningRules


Forecast = tuple[str, str, float]
"""(model id, outcome label, its probability)."""


class PoolScored(Struct, frozen=True, gc=False, array_like=True):
    """One resolved market, in the order in which they came to be resolved."""

    row_id: int
    """Ordinal of the market."""
    at_ns: int
    """When it resolved (event time)."""
    forecasts: tuple[Forecast, ...]
    """In the order in which they were recorded."""
    payouts: tuple[tuple[str, float], ...]
    """What a claim on each outcome pays, by label; empty: it teaches nothing (void, or no longer in force)."""


class PoolRescored(Struct, frozen=True, gc=False, array_like=True):
    """The row of a market is replaced: its resolution was revised."""

    position_seq: int
    """Sequence number at which the row was first told: its place in the order."""
    new: PoolScored


ModelEvent = (
    Scored
    | Rescored
    | PoolScored
    | PoolRescored
    | Counted
    | Paused
    | Resumed
    | Reset
    | PosteriorSet
    | ChangeShared
    | RulesChanged
)
