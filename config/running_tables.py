"""The tables of settings about running: persistence, limits, supervision."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

__all__ = ["RESERVED_DATABASES", "Limits", "Persistence", "Supervision"]

RESERVED_DATABASES = (
    "meta",
    "journal",
    "open_markets",
    "settled_markets",
    "loose_outcomes",
    "index",
    "control",
    "quarantine",
)
"""Names of the LMDB databases the store uses itself."""


class Persistence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state directory: a journal of every accepted input, and snapshots of the state."""

    save_interval_secs: Annotated[
        float,
        Meta(
            ge=0.001,
            le=86_400,
            description="Seconds between snapshots. Nothing acknowledged is lost between them (the journal "
            "is durable first): a longer interval makes the next start replay more.",
        ),
    ] = 60.0
    db_table: Annotated[
        str,
        Meta(
            pattern=rf"\A(?!(?:{'|'.join(RESERVED_DATABASES)})\Z)[A-Za-z0-9_]{{1,64}}\Z",
            description="Name of the LMDB database that holds the model states. Choose it before the first "
            "start: a state directory made under another name is refused.",
            extra={
                "expected": "1 to 64 letters, digits and underscores, not one of the reserved names "
                + ", ".join(RESERVED_DATABASES)
            },
        ),
    ] = "model_learning_stats"
    snapshot_inputs_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000_000,
            description="Take a snapshot also after this many inputs. It bounds the replay at the next "
            "start, and the settled predictions held in memory.",
        ),
    ] = 200_000
    initial_map_mib: Annotated[
        int,
        Meta(
            ge=1,
            le=1_048_576,
            description="Size of the LMDB map at first, in MiB of address space (disk is used only as "
            "needed). It doubles before it is full.",
        ),
    ] = 64
    map_mib_max: Annotated[
        int,
        Meta(
            ge=1,
            le=16_777_216,
            description="The map never grows beyond this many MiB. When it is reached, inputs are refused "
            "and nothing acknowledged is lost. Must not be below initial_map_mib.",
        ),
    ] = 1_048_576
    idempotency_filter_mib: Annotated[
        int,
        Meta(
            ge=1,
            le=65_536,
            description="Memory, in MiB, of the filter that spares a disk look-up for ids never seen "
            "before. Too small costs look-ups, never correctness.",
        ),
    ] = 8

    ascending: ClassVar[tuple[str, ...]] = ("initial_map_mib", "map_mib_max")


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bound on everything that could grow. Reaching one is a named error with the numbers in it."""

    models_max: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Models known at a time. Each one takes a few kilobytes of memory.",
        ),
    ] = 100_000
    pending_predictions_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000_000,
            description="Predictions waiting for their market to resolve. They are held in memory.",
        ),
    ] = 5_000_000
    in_flight_inputs_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000_000,
            description="Inputs accepted and not yet durable; beyond, callers are told BUSY. The daemon needs "
            "256: it hands on so many inputs of a connection together.",
        ),
    ] = 200_000
    mailbox_messages_max: Annotated[
        int,
        Meta(ge=1, le=100_000_000, description="Messages waiting in the mailbox of one actor."),
    ] = 100_000
    batch_inputs_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Inputs handed to the journal in one piece. Larger batches commit more inputs per "
            "fsync and hold up others longer. Keep it well below in_flight_inputs_max.",
        ),
    ] = 4096
    future_seconds_max: Annotated[
        float,
        Meta(
            ge=0,
            le=10_000_000_000,
            description="Seconds by which an input (its predicted_at or resolved_at) may be dated after now, by "
            "the clock of the learner; beyond, it is refused: one wrong clock would age all other "
            "evidence at once. 0: no bound. handicapper replay has none.",
        ),
    ] = 86_400.0
    dead_letters_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Dead letters kept to look at; the oldest go first. All of them are counted. 0 "
            "keeps none.",
        ),
    ] = 1000


class Supervision(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens when an actor fails."""

    attempts_max: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Tries of one message before it becomes a dead letter.",
        ),
    ] = 3
    restarts_max: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Restarts of one actor within restart_period_secs; one more and it has failed, "
            "visibly, while the others go on. 0 never restarts.",
        ),
    ] = 5
    restart_period_secs: Annotated[
        float,
        Meta(ge=0.001, le=86_400, description="Seconds over which restarts are counted."),
    ] = 60.0
    stuck_after_secs: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Seconds after which an actor that is still handling the same message counts as stuck: "
            "that is logged, told to subscribers and shown by models and statistics, and it ends nothing. "
            "Looked at four times as often. 0 watches nothing.",
        ),
    ] = 10.0
    stop_timeout_secs: Annotated[
        float,
        Meta(
            ge=0.001,
            le=86_400,
            description="Seconds a graceful stop may take to drain, snapshot and close before it becomes a "
            "hard one. What was acknowledged is durable either way; the next start replays more.",
        ),
    ] = 30.0
