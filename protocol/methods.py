"""The one table of methods: name → params → result. Server, clients and tests are made from it.

``kind`` says how a method is served: an *input* and a *control* are journaled and answered once durable, a
*signal* is gated and then the same, a *question* changes nothing, a *session* method is about the
connection itself. A batch names the method of its items.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

from . import params as p
from .messages import (
    AdaptiveParams,
    BackupReceipt,
    BatchResult,
    ConfigReply,
    DaemonStatistics,
    DeadLetter,
    DeadLetterReplay,
    HelloReply,
    ModelReport,
    ModelSummary,
    PooledForecast,
    PoolReport,
    Receipt,
    RestartReceipt,
    Selection,
    SignalBatch,
    SignalDecision,
    SnapshotReceipt,
    Subscription,
    VerifyReport,
)

__all__ = ["METHODS", "TOPICS", "Method"]

Kind = Literal["input", "signal", "control", "question", "session"]

TOPICS: Final = p.TOPICS
"""What a connection may subscribe to."""


class Method(Struct, frozen=True, kw_only=True):
    """One row of the table."""

    name: str
    params: type[Struct]
    """Map form; the order of its fields is that of the array form."""
    result: Any
    """Type of the result, for decoding it."""
    kind: Kind
    doc: str
    item_of: str | None = None
    """Of a batch: the method that its items are params of."""
    notifiable: bool = False
    """Whether it may be sent as a notification."""
    idempotent: bool = True
    """Whether sending it again after a lost connection changes nothing more."""


def _inputs() -> list[Method]:
    return [
        Method(
            name="record_prediction",
            params=p.PredictionParams,
            result=Receipt,
            kind="input",
            doc="Record a forecast.",
            notifiable=True,
        ),
        Method(
            name="market_resolved",
            params=p.MarketResolvedParams,
            result=Receipt,
            kind="input",
            doc="Say how a market ended.",
            notifiable=True,
        ),
        Method(
            name="record_outcome",
            params=p.OutcomeParams,
            result=Receipt,
            kind="input",
            doc="Record how one trade ended.",
            notifiable=True,
        ),
        Method(
            name="process_signal",
            params=p.PredictionParams,
            result=SignalDecision,
            kind="signal",
            doc="Decide whether to trade on a prediction, how large, and record it.",
            notifiable=True,
        ),
    ]


def _batches() -> list[Method]:
    rows: list[tuple[str, type[Struct], Any, Kind]] = [
        ("record_prediction", p.Predictions, BatchResult, "input"),
        ("market_resolved", p.Resolutions, BatchResult, "input"),
        ("record_outcome", p.Outcomes, BatchResult, "input"),
        ("process_signal", p.Predictions, SignalBatch, "signal"),
    ]
    return [
        Method(
            name=f"{name}_batch",
            params=params,
            result=result,
            kind=kind,
            doc=f"{name} for many, in order; a refused item stops none of the others.",
            item_of=name,
            notifiable=True,
        )
        for name, params, result, kind in rows
    ]


def _questions() -> list[Method]:
    rows: list[tuple[str, type[Struct], Any, str]] = [
        ("get_adaptive_params", p.ModelAsOf, AdaptiveParams | None, "The parameters in force for a model."),
        (
            "get_adaptive_params_batch",
            p.ModelIds,
            list[AdaptiveParams | None],
            "The parameters in force for many models, in order.",
        ),
        ("thompson_sample", p.Sample, Selection, "Draw from every eligible model's posterior and rank."),
        ("combine", p.Combine, PooledForecast, "The models' forecasts of a market as one."),
        ("pool", p.AsOf, PoolReport, "What the pool thinks of the models, and whether combining paid."),
        ("models", p.AsOf, list[ModelSummary], "One line about every model."),
        ("report", p.ModelAsOf, ModelReport, "Everything believed about one model."),
        ("reports", p.AsOf, list[ModelReport], "Everything believed about every working model."),
        ("verify", p.NoParams, VerifyReport, "Derive the state again from the journal and compare."),
        ("statistics", p.NoParams, DaemonStatistics, "What learner and server are doing, and how they are."),
        ("dead_letters", p.NoParams, list[DeadLetter], "The newest messages nobody could handle."),
        ("config", p.NoParams, ConfigReply, "The settings in force."),
    ]
    questions = [
        Method(name=name, params=params, result=result, kind="question", doc=doc)
        for name, params, result, doc in rows
    ]
    batch = Method(
        name="thompson_sample_batch",
        params=p.Samples,
        result=list[Selection],
        kind="question",
        doc="Several selections, in order.",
        item_of="thompson_sample",
    )
    return [*questions, batch]


def _controls() -> list[Method]:
    rows: list[tuple[str, type[Struct], Any, str, bool]] = [
        ("pause", p.Pause, Receipt, "Take a model out of selection and trading; it still learns.", True),
        ("resume", p.ModelName, Receipt, "End a pause.", True),
        ("reset", p.Reset, Receipt, "Forget what a model has learned.", False),
        (
            "set_posterior",
            p.SetPosterior,
            Receipt,
            "Have the evidence of a model age otherwise than the settings say.",
            False,
        ),
        ("restart", p.ModelName, RestartReceipt, "Bring back a model that was given up.", True),
        ("snapshot", p.NoParams, SnapshotReceipt, "Write a snapshot of everything up to now.", True),
        (
            "backup",
            p.Backup,
            BackupReceipt,
            "Copy the state directory, as of one input, into a new one.",
            False,
        ),
        ("replay_dead_letters", p.LetterIds, DeadLetterReplay, "Try dead letters again.", True),
    ]
    return [
        Method(name=name, params=params, result=result, kind="control", doc=doc, idempotent=idempotent)
        for name, params, result, doc, idempotent in rows
    ]


def _session() -> list[Method]:
    rows: list[tuple[str, type[Struct], Any, str]] = [
        ("hello", p.Hello, HelloReply, "Versions, limits, methods; the token; the form of errors."),
        ("ping", p.NoParams, str, "Answers pong."),
        ("subscribe", p.Subscribe, Subscription, "Be notified of changes."),
    ]
    return [
        Method(name=name, params=params, result=result, kind="session", doc=doc)
        for name, params, result, doc in rows
    ]


METHODS: Final[dict[str, Method]] = {
    method.name: method for method in (*_session(), *_inputs(), *_batches(), *_questions(), *_controls())
}
"""Every method by name."""
