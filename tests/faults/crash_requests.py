"""What clients of a crashing daemon send: a pure function of (seed, round, client, number), as in :mod:`.workload`."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from msgspec.structs import asdict

from handicapper.protocol.messages import Input, MarketResolved, Prediction, TradeOutcome

from .workload import Call, make_call

METHODS: dict[type[Any], tuple[str, str]] = {
    Prediction: ("record_prediction", "predictions"),
    MarketResolved: ("market_resolved", "resolutions"),
    TradeOutcome: ("record_outcome", "outcomes"),
}


class Request(NamedTuple):
    """One request, and the inputs that count by it."""

    method: str
    params: dict[str, Any]
    inputs: tuple[Input, ...] = ()

    @property
    def repeatable(self) -> bool:
        """Whether its answer to a repeat says that it was known."""
        return self.method not in ("pause", "resume", "snapshot", "thompson_sample")


def make_requests(seed: int, round_number: int, client: int, number: int) -> list[Request]:
    """The requests of one step of a client; each may be answered or not."""
    call = make_call(seed, round_number, client, number)
    cycle = number // 8
    if call.kind == "signal":
        return [
            Request("process_signal", _params(call.inputs[0]), call.inputs),
            Request("thompson_sample", {}),
        ]
    if call.kind in ("pause", "resume"):
        requests = [Request(call.kind, {"model_id": call.model_id})]
        return [*requests, Request("snapshot", {})] if client == 0 and cycle % 3 == 2 else requests
    first = call.inputs[0]
    if cycle % 2 and len(call.inputs) > 1:
        method, field = METHODS[type(first)]
        return [Request(f"{method}_batch", {field: [_params(item) for item in call.inputs]}, call.inputs)]
    requests = [_single(item) for item in call.inputs]
    if call.kind == "one" and isinstance(first, MarketResolved):
        requests.append(_outcome_of(make_call(seed, round_number, client, number - 2), first))
    return requests


def _single(item: Input) -> Request:
    return Request(METHODS[type(item)][0], _params(item), (item,))


def _outcome_of(recorded: Call, resolution: MarketResolved) -> Request:
    """The trade on a prediction that is recorded and resolved: adds its P&L, and counts no second time."""
    prediction = recorded.inputs[0]
    assert isinstance(prediction, Prediction)
    outcome = TradeOutcome(
        prediction_id=prediction.prediction_id,
        model_id=prediction.model_id,
        predicted_outcome=prediction.outcome,
        actual_outcome=resolution.winner or "",
        resolved_at=resolution.resolved_at,
        pnl=Decimal("0.25"),
    )
    return Request("record_outcome", _params(outcome))


def _params(item: Input) -> dict[str, Any]:
    return {
        field: str(value) if isinstance(value, Decimal) else value
        for field, value in asdict(item).items()
        if value is not None
    }


def inputs_of(requests: Iterable[Request]) -> list[Input]:
    """Everything that counts by these."""
    return [item for request in requests for item in request.inputs]
