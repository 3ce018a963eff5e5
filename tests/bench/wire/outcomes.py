"""The stream of trade outcomes every contestant gets, and how each of them is told."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.msgpack import encode

__all__ = [
    "MODELS",
    "T0",
    "Outcome",
    "outcome_command",
    "outcomes",
    "request_of_array",
    "request_of_map",
    "resp",
]

T0 = 1_700_000_000_000_000_000
MODELS = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trade outcome before it is encoded for anyone; ``pnl`` in hundredths."""

    prediction_id: str
    model_id: str
    predicted: str
    actual: str
    resolved_at: int
    pnl: str | None
    confidence: float | None


def outcomes(first: int, count: int, models: int = MODELS) -> Iterator[Outcome]:
    """Outcomes numbered from ``first`` on: a millisecond apart, of a prediction each, all with confidence and P&L.

    The same numbers give the same outcomes.
    """
    chance = random.Random(first)
    for number in range(first, first + count):
        right = chance.random() < 0.6
        yield Outcome(
            prediction_id=f"prediction-{number:09d}",
            model_id=f"model-{number % models}",
            predicted="YES",
            actual="YES" if right else "NO",
            resolved_at=T0 + number * 10**6,
            pnl=f"{'' if right else '-'}{chance.randrange(1, 5_000) / 100:.2f}",
            confidence=chance.randrange(50, 100) / 100,
        )


def request_of_array(msgid: int, o: Outcome) -> bytes:
    """The MessagePack-RPC request with its params as an array."""
    params = [o.prediction_id, o.model_id, o.predicted, o.actual, o.resolved_at, o.pnl, o.confidence]
    return encode([0, msgid, "record_outcome", params])


def request_of_map(msgid: int, o: Outcome) -> bytes:
    """The MessagePack-RPC request with its params as a map."""
    params = {
        "prediction_id": o.prediction_id,
        "model_id": o.model_id,
        "predicted_outcome": o.predicted,
        "actual_outcome": o.actual,
        "resolved_at": o.resolved_at,
        "pnl": o.pnl,
        "confidence": o.confidence,
    }
    return encode([0, msgid, "record_outcome", params])


def resp(*words: str | bytes) -> bytes:
    """A Redis command as bytes."""
    import hiredis

    return hiredis.pack_command(words)  # pyright: ignore[reportArgumentType]  # its stub says one word


def outcome_command(sha: str, prefix: str, o: Outcome) -> bytes:
    """The call of either outcome script; ``prefix`` keeps the keys of two scripts apart."""
    confidence = "" if o.confidence is None else repr(o.confidence)
    keys = (f"{prefix}predictions", f"{prefix}m:{o.model_id}")
    said = (o.prediction_id, o.predicted, o.actual, str(o.resolved_at), o.pnl or "", confidence)
    return resp("EVALSHA", sha, "2", *keys, *said)
