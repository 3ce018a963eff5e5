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
from typing import Any, Literal

from msgspec import Struct

from .limits import WireLimits

__all__ = [
    "AdaptiveParams",
    "BackupReceipt",
    "BatchResult",
    "CalibrationBin",
    "CalibrationReport",
    "ConfigReply",
    "DaemonStatistics",
    "DeadLetter",
    "DeadLetterReplay",
    "HelloReply",
    "Input",
    "MarketResolved",
    "ModelReport",
    "ModelSample",
    "ModelSummary",
    "Prediction",
    "Receipt",
    "ResolutionStatus",
    "RestartReceipt",
    "Selection",
    "ServerStatistics",
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
    """Sequence number of the journaled input; of the original where this was a duplicate."""
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


class ModelSample(Struct, frozen=True, kw_only=True, gc=False):
    """One model's place in a selection. ``sample`` is the first of ``samples``."""

    model_id: str
    sample: float
    """The draw from Beta(alpha, beta) that ranks the model."""
    alpha: float
    beta: float
    samples: tuple[float, ...] = ()
    """All n draws where n > 1 was asked for; empty for n = 1."""


class Selection(Struct, frozen=True, kw_only=True):
    """A ranked Thompson sample, with all that is needed to compute it again."""

    selection_id: str
    seed: int
    as_of: int
    """Event time (ns) to which every posterior was decayed."""
    ranked: tuple[ModelSample, ...]
    """Highest sample first; ties by model id."""
    missing: tuple[str, ...] = ()
    """Models that did not answer before the deadline, or have failed."""
    ineligible: tuple[str, ...] = ()
    """Models that are paused or have too few outcomes."""


class SignalDecision(Struct, frozen=True, kw_only=True):
    """Whether to trade on a prediction, how large, and why."""

    prediction_id: str
    model_id: str
    accepted: bool
    reason: str
    """``accepted``; or why not: ``below_threshold``, ``paused``, ``restarting`` (the model is being rebuilt),
    ``not_answering`` (it has not got to its last signals), ``failed`` (it was given up), ``recorded_before`` (as a
    plain prediction, which was never decided)."""
    confidence: float
    confidence_threshold: float
    weight: float
    size_multiplier: float
    """confidence × weight if accepted, else 0."""
    ema_accuracy: float
    adapted: bool
    seq: int = 0
    """Sequence number of the recorded prediction."""
    duplicate: bool = False
    """This prediction was decided before; these are the numbers of that decision."""


class CalibrationBin(Struct, frozen=True, kw_only=True):
    """One bin of a reliability diagram: predictions with lower <= confidence < upper."""

    lower: float
    upper: float
    count: int
    mean_confidence: float
    mean_outcome: float


class CalibrationReport(Struct, frozen=True, kw_only=True):
    """Calibration of ``count`` predictions. Every figure is None where there is no data."""

    count: int
    signed_error: float | None
    """Mean confidence − mean outcome: positive is overconfident."""
    expected_calibration_error: float | None
    maximum_calibration_error: float | None
    brier: float | None
    brier_reliability: float | None
    brier_resolution: float | None
    brier_uncertainty: float | None
    log_loss: float | None
    bins: tuple[CalibrationBin, ...] = ()


class ModelReport(Struct, frozen=True, kw_only=True):
    """Everything believed about one model, and what it is based on."""

    model_id: str
    as_of: int
    applied_seq: int
    n: int
    """Outcomes learned from."""
    accuracy: float | None
    """Mean outcome over all n, undecayed."""
    ema_accuracy: float
    posterior_alpha: float
    posterior_beta: float
    posterior_mean: float
    posterior_low: float
    """5 % quantile of the posterior."""
    posterior_high: float
    """95 % quantile of the posterior."""
    effective_sample_size: float
    probability_best: float | None
    """Chance that this model has the highest hit rate of all eligible models."""
    confidence_threshold: float
    at_wall: Literal["min", "max"] | None
    """The threshold rests on one of its bounds."""
    starved: bool
    """None of the recent predictions passed the gate, although some were offered."""
    weight: float
    adapted: bool
    enabled: bool
    eligible: bool
    paused: bool
    paused_until: int | None
    pause_reason: str | None
    status: Literal["running", "restarting", "failed"]
    calibration: CalibrationReport
    """Over all outcomes with a confidence."""
    recent_calibration: CalibrationReport
    """Over the window that moves the threshold."""
    accepted: int
    """Predictions that passed the gate."""
    rejected: int
    """Predictions the gate refused."""
    shadow: int
    """Refused predictions that were scored all the same."""
    ungated: int
    """Predictions recorded without asking the gate."""
    n_priced: int
    stake: Decimal
    """Sum of size × price over scored predictions that have both."""
    pnl: Decimal
    """P&L of every scored prediction, traded or not."""
    pnl_traded: Decimal
    """P&L without that of predictions the gate refused."""
    roi: float | None
    """pnl of the priced, sized predictions / stake."""
    price_brier: float | None
    """Brier score of the price on the priced predictions."""
    price_skill: float | None
    """1 − Brier(model) / Brier(price) on the priced predictions: positive beats the market."""
    last_outcome_at: int | None


class ModelSummary(Struct, frozen=True, kw_only=True):
    """One line about a model, cheap enough for thousands of them."""

    model_id: str
    n: int
    ema_accuracy: float
    posterior_mean: float
    effective_sample_size: float
    confidence_threshold: float
    weight: float
    adapted: bool
    eligible: bool
    paused: bool
    status: Literal["running", "restarting", "stuck", "failed"]


class SnapshotReceipt(Struct, frozen=True, kw_only=True):
    """A durable snapshot: the state as of ``seq``."""

    seq: int
    models: int
    """Models whose state it wrote: those that changed since the one before."""
    markets: int
    """Markets it wrote, likewise."""
    bytes: int
    seconds: float


class BackupReceipt(Struct, frozen=True, kw_only=True):
    """A durable copy of a state directory, as of input ``seq``."""

    seq: int
    bytes: int
    """Size of its files."""
    seconds: float


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A message nobody could handle, kept with the reason."""

    recipient: str
    """Actor it was meant for, such as ``model/fte_elo``."""
    reason: str
    message: str
    """What it was, shortened."""
    attempts: int
    """How often it was tried."""
    at: int
    id: int = 0
    """Its number, by which it can be replayed; in the order of arrival."""
    replayable: bool = False
    """It holds an input that can be tried again (``replay_dead_letters``)."""


class DeadLetterReplay(Struct, frozen=True, kw_only=True):
    """What became of dead letters that were tried again, by id."""

    replayed: tuple[int, ...]
    """Done, or found to have been done before: these letters are gone."""
    failed: tuple[tuple[int, Exception], ...]
    """(id, error) of those that were refused again; they are kept, with one attempt more."""
    not_replayable: tuple[int, ...]
    """Those that hold no input: kept as they were."""
    unknown: tuple[int, ...]
    """Ids asked for of which no letter is kept (any more)."""


class RestartReceipt(Struct, frozen=True, kw_only=True):
    """What became of a request to bring a model back."""

    model_id: str
    restarted: bool
    """Whether it was rebuilt; false for one that was not given up."""
    applied_seq: int
    """The last input that is in its state, where it was rebuilt; else 0."""


class StuckActor(Struct, frozen=True, kw_only=True):
    """An actor whose handler does not return, or an event loop that gives no sign of life."""

    actor: str
    """Such as ``model/fte_elo``, ``router`` or ``event loop``."""
    message: str
    """Type of the message it was given; empty where it is none."""
    seconds: float
    """How long, at least."""


class Statistics(Struct, frozen=True, kw_only=True):
    """What the learner is doing, and how it is. Counters start at zero when it opens."""

    state: Literal["accepting", "degraded", "failed", "closed"]
    failure: str | None
    """Why nothing is accepted any more (``failed``), or for now (``degraded``: the disk is full)."""
    seq: int
    """Last sequence number given out."""
    durable_seq: int
    """High-watermark of the journal: everything up to here survives a crash."""
    snapshot_seq: int
    """Anchor of the newest durable snapshot; restart replays what comes after it."""
    snapshot_failures: int
    models: int
    models_failed: tuple[str, ...]
    markets_open: int
    predictions_pending: int
    settled_in_memory: int
    """Settled predictions not yet moved to disk by a snapshot; bounded."""
    predictions: int
    resolutions: int
    outcomes: int
    duplicates: int
    refused: int
    scored: int
    revised: int
    commits: int
    journal_bytes: int
    """Bytes appended to the journal since opening."""
    in_flight: int
    """Inputs submitted and not yet durable."""
    restarts: int
    dead_letters: int
    quarantined: tuple[str, ...]
    """Damaged records found and set aside, each with its reason."""
    opened_in_seconds: float
    replayed: int
    """Journaled inputs folded again when opening."""
    stuck: tuple[StuckActor, ...] = ()
    """Actors whose handlers did not return for ``supervision.stuck_after_secs``."""


class VerifyReport(Struct, frozen=True, kw_only=True):
    """What ``verify`` found. ``ok`` means: every record reads back whole, and the state re-derived
    from the journal equals the stored one bit for bit; of a learner that runs also the one in memory."""

    ok: bool
    first_seq: int
    last_seq: int
    records: int
    models: int
    damaged: tuple[str, ...]
    differences: tuple[str, ...]
    """Models, markets and others whose re-derived state differs from the stored one, or from the one in memory."""


class ServerStatistics(Struct, frozen=True, kw_only=True):
    """What the server did since it started."""

    connections: int
    """Open now."""
    connections_total: int
    requests: int
    notifications: int
    """Fire-and-forget messages taken in."""
    notifications_refused: int
    """Those that were wrong; each is logged and a dead letter."""
    bad_messages: int
    bytes_in: int
    bytes_out: int


class DaemonStatistics(Statistics, frozen=True, kw_only=True):
    """The learner's statistics, and those of the server in front of it."""

    server: ServerStatistics


class HelloReply(Struct, frozen=True, kw_only=True):
    """Who answers, and within which bounds."""

    server: str
    """Name and release, such as ``handicapper 0.1.0``."""
    protocol: tuple[int, int]
    pid: int
    state_dir: str
    limits: WireLimits
    methods: tuple[str, ...]
    topics: tuple[str, ...]


class SignalBatch(Struct, frozen=True, kw_only=True):
    """Decisions of many signals, in order; None where the item was refused."""

    decisions: tuple[SignalDecision | None, ...]
    errors: tuple[tuple[int, Exception], ...]
    """(index in the batch, error) of every refused item, in order."""


class ConfigReply(Struct, frozen=True, kw_only=True):
    """The settings in force."""

    settings: dict[str, Any]
    """By table and key; an infinite half-life is the string ``inf``."""
    source: str | None
    """The file they come from, if any."""
    needs_restart: tuple[str, ...] = ()
    """Keys that a reload found changed and that hold from the next start on."""


class Subscription(Struct, frozen=True, kw_only=True):
    """What a connection will be notified of."""

    topics: tuple[str, ...]
    interval_ms: int
