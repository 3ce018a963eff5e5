"""Rules, rows and inputs as the tests of the decisions need them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from msgspec.structs import replace

from handicapper.actors.records import encode
from handicapper.actors.state.entries import Gate
from handicapper.actors.state.events import UNKNOWN, Scored
from handicapper.actors.state.learners import LearnerState, state_of_record
from handicapper.actors.state.model_state import ModelRecord, ModelState
from handicapper.actors.state.pool_state import PoolRecord
from handicapper.config import LearningRules, default_settings
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome
from handicapper.protocol.validation import check_market_resolved, check_prediction, check_trade_outcome

T0 = 1_700_000_000_000_000_000
SECOND = 10**9
HOUR = 3_600 * SECOND


def rules(**changes: Any) -> LearningRules:
    """The default rules of learning, with changes."""
    return replace(default_settings().learning_rules(), **changes)


def scored(row_id: int, x: float, confidence: float = UNKNOWN, at_ns: int = T0, **fields: Any) -> Scored:
    """A settled row."""
    return Scored(row_id, at_ns, x, confidence, **fields)


def taught(in_force: LearningRules, rows: list[tuple[float, float]], at_ns: int = T0) -> ModelState:
    """A model that learned from (x, confidence) pairs, one an hour from ``at_ns`` on."""
    state = ModelState("m", in_force)
    for number, (x, confidence) in enumerate(rows, 1):
        state.apply([scored(number, x, confidence, at_ns + (number - 1) * HOUR)], number)
    return state


def state_bytes(state: LearnerState) -> bytes:
    """The stored form: equal states give equal bytes."""
    return encode(state.to_record())


def through_disk(state: LearnerState) -> Any:
    """The state as it comes back from its record."""
    kind = ModelRecord if isinstance(state, ModelState) else PoolRecord
    return state_of_record(msgspec.msgpack.decode(state_bytes(state), type=kind), state.rules)


def gate(accepted: bool, threshold: float = 0.6) -> Gate:
    """What a gate may have said."""
    reason = "accepted" if accepted else "below_threshold"
    return Gate(accepted, reason, threshold, 1.0, 0.5 if accepted else 0.0, 0.5, False, 0)


def prediction(prediction_id: str, market_id: str = "k", model_id: str = "m", **fields: Any) -> Prediction:
    """A checked prediction of YES at 0.75, made at T0."""
    known: dict[str, Any] = {"outcome": "YES", "confidence": 0.75, "predicted_at": T0} | fields
    message = Prediction(prediction_id=prediction_id, model_id=model_id, market_id=market_id, **known)
    return check_prediction(message)


def priced(prediction_id: str, price: str, size: str, **fields: Any) -> Prediction:
    """A checked prediction with a trade."""
    return prediction(prediction_id, price=Decimal(price), size=Decimal(size), **fields)


def resolved(market_id: str = "k", winner: str | None = "YES", **fields: Any) -> MarketResolved:
    """A checked resolution an hour after T0; with ``void`` or ``payouts`` there is no winner."""
    if winner is not None and not fields.keys() & {"void", "payouts"}:
        fields["winner"] = winner
    known: dict[str, Any] = {"resolved_at": T0 + HOUR} | fields
    return check_market_resolved(MarketResolved(market_id=market_id, **known))


def outcome(prediction_id: str, right: bool = True, model_id: str = "m", **fields: Any) -> TradeOutcome:
    """A checked trade outcome of a prediction of YES, an hour after T0."""
    known: dict[str, Any] = {
        "predicted_outcome": "YES",
        "actual_outcome": "YES" if right else "NO",
        "resolved_at": T0 + HOUR,
    }
    return check_trade_outcome(
        TradeOutcome(prediction_id=prediction_id, model_id=model_id, **(known | fields))
    )
