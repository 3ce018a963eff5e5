"""Small valid inputs. Attacks send the same few again and again, so that 200,000 of them teach a learner once."""

from __future__ import annotations

from typing import Any

T0 = 1_700_000_000_000_000_000
SECOND = 10**9


def prediction(number: int = 0, model: str = "attack", **fields: Any) -> dict[str, Any]:
    """Prediction ``<model>-<number>`` of the market of that name, made ``number`` seconds after T0."""
    known = {
        "prediction_id": f"{model}-{number}",
        "model_id": model,
        "market_id": f"{model}-{number}",
        "outcome": "YES",
        "confidence": 0.7,
        "predicted_at": T0 + number * SECOND,
    }
    return known | fields


def resolution(number: int = 0, model: str = "attack", **fields: Any) -> dict[str, Any]:
    """The end of the market of that prediction, a moment after it."""
    known = {"market_id": f"{model}-{number}", "resolved_at": T0 + number * SECOND + 1, "winner": "YES"}
    return known | fields


def outcome(number: int = 0, model: str = "attack", **fields: Any) -> dict[str, Any]:
    """The outcome of a trade that needs no prediction."""
    known = {
        "prediction_id": f"{model}-trade-{number}",
        "model_id": model,
        "predicted_outcome": "YES",
        "actual_outcome": "YES",
        "resolved_at": T0 + number * SECOND,
    }
    return known | fields
