"""The params of every method as they travel: what a decoder is given, and what the domain gets of it.

Each struct is the map form; the order of its fields is the order of the array form (:func:`array_form`),
so fields are only ever added at the end, with a default. They differ from the domain's messages where the
wire is stricter: money is text or an integer, never a float, which is not exact.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from .limits import PROTOCOL_VERSION
from .messages import MarketResolved, Prediction, TradeOutcome

__all__ = [
    "AsOf",
    "Hello",
    "MarketResolvedParams",
    "ModelAsOf",
    "ModelIds",
    "ModelName",
    "NoParams",
    "OutcomeParams",
    "Outcomes",
    "Pause",
    "PredictionParams",
    "Predictions",
    "Reset",
    "Resolutions",
    "Sample",
    "Samples",
    "Subscribe",
    "array_form",
    "strict_form",
]

Money: TypeAlias = str | int | None


class NoParams(Struct, frozen=True, kw_only=True):
    """Nothing."""


class Hello(Struct, frozen=True, kw_only=True):
    """Who calls, and how errors are to look."""

    client: str = ""
    protocol: tuple[int, int] = PROTOCOL_VERSION
    errors: Literal["pair", "text"] = "pair"
    token: str | None = None


class PredictionParams(Struct, kw_only=True, gc=False):
    """A :class:`Prediction` on the wire."""

    prediction_id: str
    model_id: str
    market_id: str
    outcome: str
    confidence: float
    predicted_at: int
    price: Money = None
    size: Money = None
    fee: Money = None
    expires_at: int | None = None
    metadata: dict[str, str | int | float | bool | None] | None = None

    def message(self) -> Prediction:
        """The prediction, unchecked."""
        return Prediction(
            prediction_id=self.prediction_id,
            model_id=self.model_id,
            market_id=self.market_id,
            outcome=self.outcome,
            confidence=self.confidence,
            predicted_at=self.predicted_at,
            price=None if self.price is None else _decimal(self.price),
            size=None if self.size is None else _decimal(self.size),
            fee=None if self.fee is None else _decimal(self.fee),
            expires_at=self.expires_at,
            metadata=self.metadata,
        )


class MarketResolvedParams(Struct, kw_only=True, gc=False):
    """A :class:`MarketResolved` on the wire."""

    market_id: str
    resolved_at: int
    payouts: dict[str, float] | None = None
    winner: str | None = None
    void: bool = False
    status: Literal["proposed", "disputed", "final"] = "final"
    revision: int = 0
    source: str | None = None

    def message(self) -> MarketResolved:
        """The resolution, unchecked."""
        return MarketResolved(
            market_id=self.market_id,
            resolved_at=self.resolved_at,
            payouts=self.payouts,
            winner=self.winner,
            void=self.void,
            status=self.status,
            revision=self.revision,
            source=self.source,
        )


class OutcomeParams(Struct, kw_only=True, gc=False):
    """A :class:`TradeOutcome` on the wire."""

    prediction_id: str
    model_id: str
    predicted_outcome: str
    actual_outcome: str
    resolved_at: int
    pnl: Money = None
    confidence: float | None = None

    def message(self) -> TradeOutcome:
        """The outcome, unchecked."""
        return TradeOutcome(
            prediction_id=self.prediction_id,
            model_id=self.model_id,
            predicted_outcome=self.predicted_outcome,
            actual_outcome=self.actual_outcome,
            resolved_at=self.resolved_at,
            pnl=None if self.pnl is None else _decimal(self.pnl),
            confidence=self.confidence,
        )


def _decimal(value: str | int) -> Any:
    """The exact amount; what is no amount goes on as it is, to be refused with its field's name."""
    try:
        return Decimal(value)
    except InvalidOperation:
        return value


class ModelName(Struct, frozen=True, kw_only=True):
    """One model."""

    model_id: str


class ModelAsOf(Struct, frozen=True, kw_only=True):
    """One model, at an event time (default: now)."""

    model_id: str
    as_of: int | None = None


class ModelIds(Struct, frozen=True, kw_only=True):
    """Several models, at an event time (default: now)."""

    model_ids: list[str]
    as_of: int | None = None


class AsOf(Struct, frozen=True, kw_only=True):
    """An event time; default: now."""

    as_of: int | None = None


class Sample(Struct, frozen=True, kw_only=True):
    """A selection: draws per model, and what makes it repeatable."""

    n: int = 1
    as_of: int | None = None
    models: list[str] | None = None
    selection_id: str | None = None
    seed: int | None = None


class Pause(Struct, frozen=True, kw_only=True):
    """A model to be paused."""

    model_id: str
    until: int | None = None
    reason: str = ""


class Reset(Struct, frozen=True, kw_only=True):
    """A model to be reset."""

    model_id: str
    reason: str = ""


class Subscribe(Struct, frozen=True, kw_only=True):
    """Topics to be notified of; None is all of them."""

    topics: list[str] | None = None
    interval_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = 100


class Predictions(Struct, frozen=True, kw_only=True):
    """Many predictions; each a map or an array."""

    predictions: list[msgspec.Raw]


class Resolutions(Struct, frozen=True, kw_only=True):
    """Many resolutions; each a map or an array."""

    resolutions: list[msgspec.Raw]


class Outcomes(Struct, frozen=True, kw_only=True):
    """Many trade outcomes; each a map or an array."""

    outcomes: list[msgspec.Raw]


class Samples(Struct, frozen=True, kw_only=True):
    """Many selections; each a map or an array."""

    samples: list[msgspec.Raw]


def array_form(kind: type[Struct]) -> type[Struct]:
    """The same fields as an array, in order.

    >>> msgspec.msgpack.decode(b"\\x91\\xa3elo", type=array_form(ModelAsOf)).model_id
    'elo'
    """
    return msgspec.defstruct(f"{kind.__name__}Array", [], bases=(kind,), array_like=True)


def strict_form(kind: type[Struct]) -> type[Struct]:
    """The same, refusing fields it does not know: the fast path, behind which the tolerant one waits."""
    return msgspec.defstruct(f"{kind.__name__}Strict", [], bases=(kind,), forbid_unknown_fields=True)
