"""The params of every method as they travel: what a decoder is given, and what the domain gets of it.

Each struct is the map form; the order of its fields is the order of the array form (:func:`array_form`),
so fields are only ever added at the end, with a default. The description of a type is what an error says was
expected of its field. They differ from the domain's messages where the
wire is stricter: money is text or an integer, never a float, which is not exact.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from .limits import PROTOCOL_VERSION
from .messages import (
    Forecast,
    MarketResolved,
    MetadataValue,
    PosteriorKind,
    Prediction,
    ResolutionStatus,
    SelectionMode,
    TradeOutcome,
)
from .values import (
    FORECASTS_MAX,
    ID_EXPECTED,
    LABEL_EXPECTED,
    METADATA_BYTES_MAX,
    METADATA_EXPECTED,
    METADATA_VALUE_EXPECTED,
    MODE_EXPECTED,
    MONEY_EXPECTED,
    PAIR_BYTES_MIN,
    PATH_EXPECTED,
    PAYOUT_LABELS_MAX,
    PAYOUTS_EXPECTED,
    POSTERIOR_EXPECTED,
    PROBABILITY_EXPECTED,
    REVISION_EXPECTED,
    STATUS_EXPECTED,
    TEXT_EXPECTED,
    TIME_EXPECTED,
)

__all__ = [
    "TOPICS",
    "AsOf",
    "Backup",
    "Combine",
    "ForecastParams",
    "Hello",
    "LetterIds",
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
    "SetPosterior",
    "Subscribe",
    "array_form",
    "strict_form",
]

TOPICS: Final = ("parameters", "models", "drift")
"""What a connection may subscribe to."""

Id: TypeAlias = Annotated[str, Meta(description=ID_EXPECTED)]
Label: TypeAlias = Annotated[str, Meta(description=LABEL_EXPECTED)]
Text: TypeAlias = Annotated[str, Meta(description=TEXT_EXPECTED)]
Time: TypeAlias = Annotated[int, Meta(description=TIME_EXPECTED)]
Probability: TypeAlias = Annotated[float, Meta(description=PROBABILITY_EXPECTED)]
Money: TypeAlias = Annotated[str | int, Meta(description=MONEY_EXPECTED)] | None
Ids: TypeAlias = Annotated[list[Id], Meta(description="an array of model ids")]
Labels: TypeAlias = Annotated[list[Label], Meta(description="an array of outcome labels")]
Letters: TypeAlias = Annotated[list[int], Meta(description="an array of ids of dead letters")]
Topics: TypeAlias = Annotated[list[str], Meta(description=f"an array of some of: {', '.join(TOPICS)}")]
_ITEMS_EXPECTED: Final = "an array of items, each a map or an array of params"
Items: TypeAlias = Annotated[list[msgspec.Raw], Meta(description=_ITEMS_EXPECTED)]
Forecasts: TypeAlias = Annotated[
    list[msgspec.Raw],
    Meta(
        description=_ITEMS_EXPECTED,
        max_length=FORECASTS_MAX,
        extra={"too many": f"at most {FORECASTS_MAX} forecasts"},
    ),
]
Payouts: TypeAlias = Annotated[
    dict[str, Probability], Meta(description=PAYOUTS_EXPECTED, max_length=PAYOUT_LABELS_MAX)
]
MetadataItem: TypeAlias = Annotated[MetadataValue, Meta(description=METADATA_VALUE_EXPECTED)]
Metadata: TypeAlias = Annotated[
    dict[str, MetadataItem],
    Meta(
        description=METADATA_EXPECTED,
        max_length=METADATA_BYTES_MAX // PAIR_BYTES_MIN,
        extra={"too many": f"at most {METADATA_BYTES_MAX} bytes when encoded"},
    ),
]
"""How many entries there are is told before any is made: a message has room for 100,000."""


class NoParams(Struct, frozen=True, kw_only=True):
    """Nothing."""


class Hello(Struct, frozen=True, kw_only=True):
    """Who calls, and how errors are to look."""

    client: str = ""
    protocol: Annotated[tuple[int, int], Meta(description="two integers, such as [1, 0]")] = PROTOCOL_VERSION
    errors: Literal["pair", "text"] = "pair"
    token: Annotated[str, Meta(description="the token as a string")] | None = None


class PredictionParams(Struct, kw_only=True, gc=False):
    """A :class:`Prediction` on the wire."""

    prediction_id: Id
    model_id: Id
    market_id: Id
    outcome: Label
    confidence: Probability
    predicted_at: Time
    price: Money = None
    size: Money = None
    fee: Money = None
    expires_at: Time | None = None
    metadata: Metadata | None = None

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

    market_id: Id
    resolved_at: Time
    payouts: Payouts | None = None
    winner: Label | None = None
    void: bool = False
    status: Annotated[ResolutionStatus, Meta(description=STATUS_EXPECTED)] = "final"
    revision: Annotated[int, Meta(description=REVISION_EXPECTED)] = 0
    source: Text | None = None

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

    prediction_id: Id
    model_id: Id
    predicted_outcome: Label
    actual_outcome: Label
    resolved_at: Time
    pnl: Money = None
    confidence: Probability | None = None

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

    model_id: Id


class ModelAsOf(Struct, frozen=True, kw_only=True):
    """One model, at an event time (default: now)."""

    model_id: Id
    as_of: Time | None = None


class ModelIds(Struct, frozen=True, kw_only=True):
    """Several models, at an event time (default: now)."""

    model_ids: Ids
    as_of: Time | None = None


class AsOf(Struct, frozen=True, kw_only=True):
    """An event time; default: now."""

    as_of: Time | None = None


class ForecastParams(Struct, frozen=True, kw_only=True, gc=False):
    """A :class:`Forecast` on the wire."""

    model_id: Id
    outcome: Label
    confidence: Probability

    def message(self) -> Forecast:
        """The forecast, unchecked."""
        return Forecast(
            model_id=self.model_id,
            outcome=self.outcome,
            confidence=self.confidence,
        )


class Combine(Struct, frozen=True, kw_only=True):
    """The market whose predictions are to be combined, or forecasts that are, each a map or an array."""

    market_id: Id | None = None
    predictions: Forecasts | None = None
    as_of: Time | None = None
    outcomes: Labels | None = None


class Sample(Struct, frozen=True, kw_only=True):
    """A selection: draws per model, and what makes it repeatable."""

    n: Annotated[int, Meta(description="a whole number of draws from 1 to 100000")] = 1
    as_of: Time | None = None
    models: Ids | None = None
    selection_id: Id | None = None
    seed: Annotated[int, Meta(description="a whole number from 0 to 18446744073709551615")] | None = None
    mode: Annotated[SelectionMode, Meta(description=MODE_EXPECTED)] | None = None


class Pause(Struct, frozen=True, kw_only=True):
    """A model to be paused."""

    model_id: Id
    until: Time | None = None
    reason: Text = ""


class Reset(Struct, frozen=True, kw_only=True):
    """A model to be reset."""

    model_id: Id
    reason: Text = ""


class SetPosterior(Struct, frozen=True, kw_only=True):
    """How the evidence of a model is to age; nil: as the settings say."""

    model_id: Id
    posterior: Annotated[PosteriorKind, Meta(description=POSTERIOR_EXPECTED)] | None = None


class Backup(Struct, frozen=True, kw_only=True):
    """Where a backup is to be made."""

    dest: Annotated[str, Meta(description=PATH_EXPECTED)]


class LetterIds(Struct, frozen=True, kw_only=True):
    """Dead letters to be tried again; None is all of them."""

    ids: Letters | None = None


class Subscribe(Struct, frozen=True, kw_only=True):
    """Topics to be notified of; None is all of them."""

    topics: Topics | None = None
    interval_ms: Annotated[
        int, Meta(ge=1, le=3_600_000, description="a whole number of milliseconds from 1 to 3600000")
    ] = 100


class Predictions(Struct, frozen=True, kw_only=True):
    """Many predictions; each a map or an array."""

    predictions: Items


class Resolutions(Struct, frozen=True, kw_only=True):
    """Many resolutions; each a map or an array."""

    resolutions: Items


class Outcomes(Struct, frozen=True, kw_only=True):
    """Many trade outcomes; each a map or an array."""

    outcomes: Items


class Samples(Struct, frozen=True, kw_only=True):
    """Many selections; each a map or an array."""

    samples: Items


def array_form(kind: type[Struct]) -> type[Struct]:
    """The same fields as an array, in order.

    >>> msgspec.msgpack.decode(b"\\x91\\xa3elo", type=array_form(ModelAsOf)).model_id
    'elo'
    """
    return msgspec.defstruct(f"{kind.__name__}Array", [], bases=(kind,), array_like=True)


def strict_form(kind: type[Struct]) -> type[Struct]:
    """The same, refusing fields it does not know: the fast path, behind which the tolerant one waits."""
    return msgspec.defstruct(f"{kind.__name__}Strict", [], bases=(kind,), forbid_unknown_fields=True)
