"""What the learner says of its models, and of itself: reports, statistics, and what became of an operator's calls.

Like :mod:`.messages`, which offers these names too: frozen structs, event times in nanoseconds, money as ``Decimal``.
Fields are only ever added, with a default.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from .limits import WireLimits

__all__ = [
    "BackupReceipt",
    "CalibrationBin",
    "CalibrationReport",
    "ChangeReport",
    "ConfigReply",
    "DaemonStatistics",
    "DeadLetter",
    "DeadLetterReplay",
    "HelloReply",
    "ModelReport",
    "ModelSummary",
    "PosteriorKind",
    "RestartReceipt",
    "ServerStatistics",
    "SharedChangeReport",
    "SnapshotReceipt",
    "Statistics",
    "StuckActor",
    "Subscription",
    "VerifyReport",
]


PosteriorKind = Literal["half_life", "changepoint"]
"""How evidence ages."""


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


class ChangeReport(Struct, frozen=True, kw_only=True):
    """A change point of a model's hit rate."""

    changed_at: int
    """Event time in ns: half of the probability lies before."""
    detected_at: int
    """Event time of the outcome that settled it."""
    before: float
    """Hit rate before the change, and as of the detection after it."""
    after: float
    probability: float


class SharedChangeReport(Struct, frozen=True, kw_only=True):
    """A change that another model's outcomes told of, and that restarted this one too."""

    changed_at: int
    """Event time in ns."""
    model_id: str
    """The model that told of it."""


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
    calibration_map: tuple[float, float, float] | None = None
    """As in ``AdaptiveParams``; None: recalibration is off."""
    recalibrated: CalibrationReport | None = None
    """Over all outcomes with a confidence since recalibration is on: of the recalibrated confidence, each taken
    right before its outcome was learned, which may be later than when it was stated. None: recalibration is off."""
    log_wealth: float | None = None
    """Decayed log-wealth of the bettor of the ``edge`` policy; None under another policy."""
    last_change: ChangeReport | None = None
    """The newest change that was detected; None: none was, or the posterior is not of change points."""
    posterior: PosteriorKind = "half_life"
    """How its evidence ages."""
    posterior_set: PosteriorKind | None = None
    """What ``set_posterior`` has it be; None: what the settings say."""
    last_shared_change: SharedChangeReport | None = None
    """The newest change of another model that had this one restart; None: none had."""


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
