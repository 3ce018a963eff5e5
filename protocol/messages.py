"""Every domain message, as frozen msgspec structs.

Times are integer nanoseconds since the Unix epoch, UTC. Money (price, size, fee, P&L) is ``Decimal``
and travels as a decimal string. Statistics are floats. Outcome labels are short strings and match
exactly: ``"YES"`` and ``"Yes"`` are different outcomes.

A constructor checks nothing (that is msgspec's way): :mod:`handicapper.protocol.validation` checks what
enters, whether it came from a caller or from a socket. A message is never changed once made.

Evolution: fields are only ever added, with a default; a tag is never reused.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from .pooled import Forecast, PooledForecast, PoolMember, PoolReport, PoolShare, RepeatsEnded
from .reports import (
    BackupReceipt,
    CalibrationBin,
    CalibrationReport,
    ChangeReport,
    ConfigReply,
    DaemonStatistics,
    DeadLetter,
    DeadLetterReplay,
    HelloReply,
    ModelReport,
    ModelSummary,
    PosteriorKind,
    RestartReceipt,
    ServerStatistics,
    SharedChangeReport,
    SnapshotReceipt,
    Statistics,
    StuckActor,
    Subscription,
    VerifyReport,
)

__all__ = [
    "AdaptiveParams",
    "BackupReceipt",
    "BatchResult",
    "CalibrationBin",
    "CalibrationReport",
    "ChangeReport",
    "ConfigReply",
    "DaemonStatistics",
    "DeadLetter",
    "DeadLetterReplay",
    "Forecast",
    "HelloReply",
    "Input",
    "MarketResolved",
    "ModelReport",
    "ModelSample",
    "ModelSummary",
    "PoolMember",
    "PoolReport",
    "PoolShare",
    "PooledForecast",
    "PosteriorKind",
    "Prediction",
    "Receipt",
    "RepeatsEnded",
    "ResolutionStatus",
    "RestartReceipt",
    "Selection",
    "SelectionMode",
    "ServerStatistics",
    "SharedChangeReport",
    "SignalBatch",
    "SignalDecision",
    "SnapshotReceipt",
    "Statistics",
    "StuckActor",
    "Subscription",
    "TradeOutcome",
    "VerifyReport",
]

ResolutionStatus = Literal["proposed", "disputed", "final"]
SelectionMode = Literal["thompson", "mean", "top_two"]
MetadataValue = str | int | float | bool | None


class Prediction(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag="prediction"):
    """One model's forecast that ``outcome`` will happen in a market.

    ``prediction_id`` is the idempotency key: the same prediction sent twice is counted once.
    """

    prediction_id: str
    model_id: str
    market_id: str
    outcome: str
    """The label the model predicts; scored by the payout of exactly this label."""
    confidence: float
    """The model's probability for ``outcome``, 0..1."""
    predicted_at: int
    """Event time, ns."""
    price: Decimal | None = None
    """Price of one claim that pays 1 if ``outcome`` happens, 0..1."""
    size: Decimal | None = None
    """How many such claims were, or would be, bought; not negative."""
    fee: Decimal | None = None
    """Fee of the trade, in the unit of the payout; not negative."""
    expires_at: int | None = None
    """A resolution dated after this no longer scores the prediction. None: pending until resolved."""
    metadata: dict[str, MetadataValue] | None = None
    """Anything the caller wants to find again; never interpreted."""


class MarketResolved(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag="market_resolved"):
    """How a market ended. Exactly one of ``payouts``, ``winner`` and ``void`` is given.

    ``(market_id, revision)`` is the idempotency key. At one revision the status may go on from
    proposed to disputed to final; what is final changes only with a higher revision.
    """

    market_id: str
    resolved_at: int
    """Event time, ns: when the market resolved, also in a later revision."""
    payouts: dict[str, float] | None = None
    """Payout of each label, 0..1; a label not listed pays 0."""
    winner: str | None = None
    """Shorthand for ``payouts={winner: 1.0}``."""
    void: bool = False
    """The market was annulled: it settles the predictions and teaches nothing."""
    status: ResolutionStatus = "final"
    revision: int = 0
    source: str | None = None


class TradeOutcome(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, tag="trade_outcome"):
    """How one prediction ended, as told by the trade itself; needs no recorded prediction.

    ``prediction_id`` is the idempotency key. Without a recorded prediction and without ``confidence``
    the outcome teaches accuracy and the posterior, and leaves calibration untouched.
    """

    prediction_id: str
    model_id: str
    predicted_outcome: str
    actual_outcome: str
    resolved_at: int
    pnl: Decimal | None = None
    """The trade's own profit or loss; it wins over what size and price would give."""
    confidence: float | None = None


Input = Prediction | MarketResolved | TradeOutcome


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What became of one input. You hold it only once the input is durable."""

    seq: int
    """Sequence number of the journaled input; where this was a duplicate, of the one that was recorded for it: of a
    trade outcome that only added the P&L its own, not that of the outcome it was added to."""
    duplicate: bool = False
    """The input was recorded before: nothing was counted again."""
    scored: int = 0
    """Predictions this input taught a model from."""
    revised: int = 0
    """Predictions whose earlier score it replaced or withdrew; a first score counts as ``scored``."""
    waiting: bool = False
    """A resolution of a market with no prediction yet, or not final: kept until it is needed."""
    unscored: tuple[str, ...] = ()
    """Ids of predictions it settled without scoring: made after ``resolved_at``, or expired before it."""


class BatchResult(Struct, frozen=True, kw_only=True):
    """What became of a batch of ``total`` inputs; everything accepted is durable."""

    total: int
    accepted: int
    duplicates: int
    scored: int
    revised: int
    errors: tuple[tuple[int, Exception], ...]
    """(index in the batch, error) of every refused item, in order."""
    seq: int
    """Highest sequence number the batch was given, or 0."""


class AdaptiveParams(Struct, frozen=True, kw_only=True):
    """The parameters in force for a model (the mission's three, and whether they were learned)."""

    confidence_threshold: float
    weight: float
    ema_accuracy: float
    adapted: bool = False
    """False: too few outcomes, or adaptation disabled; these are the initial parameters."""
    calibration_map: tuple[float, float, float] | None = None
    """(a, b, m): a stated confidence c, clipped to 0.001..0.999, is worth 1/(1 + exp(−(a·ln c − b·ln(1 − c) + m)));
    that is what the threshold is for. (1, 1, 0) leaves it as it is. None: recalibration is off."""


class ModelSample(Struct, frozen=True, kw_only=True, gc=False):
    """One model's place in a selection. ``sample`` is the first of ``samples``."""

    model_id: str
    sample: float
    """What ranks the model: a draw from its posterior, or in mode ``mean`` the mean of it."""
    alpha: float
    beta: float
    samples: tuple[float, ...] = ()
    """All n draws where n > 1 was asked for; empty for n = 1."""


class Selection(Struct, frozen=True, kw_only=True):
    """The models ranked, by a Thompson sample unless another mode was asked for; with all that is needed to compute
    it again."""

    selection_id: str
    seed: int
    as_of: int
    """Event time (ns) to which every posterior was decayed."""
    ranked: tuple[ModelSample, ...]
    """Highest sample first; ties by model id. In mode ``top_two`` the first one's may be lower: see the mode."""
    missing: tuple[str, ...] = ()
    """Models that did not answer before the deadline, or have failed."""
    ineligible: tuple[str, ...] = ()
    """Models that are paused or have too few outcomes."""
    mode: SelectionMode = "thompson"
    """How they were ranked. ``thompson``: by a draw from each posterior; ``mean``: by the means of the posteriors, and
    nothing was drawn, as asked for or because ``thompson_sampling.enabled`` is false; ``top_two``: in one half of the
    selections as ``thompson``, in the other by draws that another model than that leads."""


class SignalDecision(Struct, frozen=True, kw_only=True):
    """Whether to trade on a prediction, how large, and why."""

    prediction_id: str
    model_id: str
    accepted: bool
    reason: str
    """``accepted``; or why not: ``below_threshold``, ``paused``, ``restarting`` (the model is being rebuilt),
    ``not_answering`` (it has not got to its last signals), ``failed`` (it was given up), ``recorded_before`` (as a
    plain prediction, which was never decided); under the size rule ``kelly`` also ``no_price`` and ``no_edge`` (the
    price is what it is worth, or more)."""
    confidence: float
    """As stated."""
    confidence_threshold: float
    weight: float
    size_multiplier: float
    """0 if not accepted. Else confidence × weight, to multiply the usual size by; under the size rule ``kelly`` the
    share of the bankroll to stake. The confidence is the calibrated one, where there is one."""
    ema_accuracy: float
    adapted: bool
    seq: int = 0
    """Sequence number of the recorded prediction."""
    duplicate: bool = False
    """This prediction was decided before; these are the numbers of that decision."""
    calibrated_confidence: float | None = None
    """What the stated confidence is worth by the model's record: that met the threshold. None: recalibration is off,
    or the model could not be asked."""


class SignalBatch(Struct, frozen=True, kw_only=True):
    """Decisions of many signals, in order; None where the item was refused."""

    decisions: tuple[SignalDecision | None, ...]
    errors: tuple[tuple[int, Exception], ...]
    """(index in the batch, error) of every refused item, in order."""
