"""What the threads of a crashing process send: a pure function of (seed, round, thread, number of the call).

Each thread keeps to markets and ids of its own, so the order of what it sends is known whatever the
scheduler does; the models are shared. The process acknowledges a call by its numbers alone, and whoever
checks makes the same inputs again from them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal, NamedTuple

from msgspec import structs

from handicapper.protocol.messages import Input, MarketResolved, Prediction, TradeOutcome

START_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000_000
MODELS = ("elo", "poisson", "market", "coin")
KINDS = ("bulk", "resolve", "one", "signal", "settle_one", "trades", "revise", "control")


class Call(NamedTuple):
    """One call of the learner."""

    kind: Literal["many", "one", "signal", "pause", "resume"]
    inputs: tuple[Input, ...] = ()
    model_id: str = ""


def own_model(thread: int) -> str:
    """The model that only this thread pauses."""
    return f"thread-{thread}"


def make_call(seed: int, round_number: int, thread: int, number: int) -> Call:
    """The call with this number. Number 0 makes the thread's own model known."""
    name = f"{seed}.{round_number}.{thread}"
    at = START_NS + (round_number * 10_000 + number) * STEP_NS
    cycle, step = divmod(number, len(KINDS))
    kind = KINDS[step]
    if kind == "bulk":
        return Call("many", tuple(_bulk(name, own_model(thread), cycle, at)))
    if kind == "resolve":
        # Every third market stays open: its predictions are pending in all later rounds.
        return Call("many", tuple(_resolution(name, cycle, m, at) for m in range(6) if m % 3))
    if kind in ("one", "signal"):
        prediction = _prediction(name, f"{kind}-{cycle}", MODELS[cycle % 4], f"{kind}-{cycle}", at)
        return Call("one" if kind == "one" else "signal", (prediction,))
    if kind == "settle_one":
        resolution = MarketResolved(market_id=f"{name}/one-{cycle}", winner="YES", resolved_at=at)
        return Call("one", (resolution,))
    if kind == "trades":
        return Call("many", tuple(_trade(name, cycle, n, at) for n in range(5)))
    if kind == "revise":
        return Call("many", tuple(_revisions(name, cycle, at)))
    return Call("resume" if cycle % 2 else "pause", model_id=own_model(thread))


def bulky_inputs(seed: int, number: int) -> list[Input]:
    """Inputs of a call, the predictions among them with notes: some hundred calls are a MiB or two, not thousands."""
    notes = {"notes": "x" * 1000}
    inputs = make_call(seed, 0, 0, number).inputs
    return [
        structs.replace(each, metadata=notes) if isinstance(each, Prediction) else each for each in inputs
    ]


def _prediction(name: str, key: str, model_id: str, market: str, at: int) -> Prediction:
    draw = random.Random(f"{name}/{key}")
    return Prediction(
        prediction_id=f"{name}/{key}",
        model_id=model_id,
        market_id=f"{name}/{market}",
        outcome=draw.choice(("YES", "NO")),
        confidence=draw.uniform(0.3, 0.95),
        predicted_at=at,
        price=Decimal("0.55") if draw.random() < 0.5 else None,
        size=Decimal(10) if draw.random() < 0.5 else None,
    )


def _bulk(name: str, own: str, cycle: int, at: int) -> Iterable[Prediction]:
    for market in range(6):
        for model_id in (*MODELS, own):
            yield _prediction(name, f"{cycle}.{market}.{model_id}", model_id, f"{cycle}.{market}", at)


def _resolution(name: str, cycle: int, market: int, at: int, revision: int = 0) -> MarketResolved:
    winner = random.Random(f"{name}/{cycle}.{market}.{revision}").choice(("YES", "NO"))
    return MarketResolved(
        market_id=f"{name}/{cycle}.{market}", winner=winner, resolved_at=at, revision=revision
    )


def _trade(name: str, cycle: int, number: int, at: int) -> TradeOutcome:
    right = random.Random(f"{name}/trade/{cycle}.{number}").random() < 0.6
    return TradeOutcome(
        prediction_id=f"{name}/trade-{cycle}.{number}",
        model_id=MODELS[number % 4],
        predicted_outcome="YES",
        actual_outcome="YES" if right else "NO",
        resolved_at=at,
        pnl=Decimal("1.25") if right else Decimal(-1),
    )


def _revisions(name: str, cycle: int, at: int) -> Iterable[MarketResolved]:
    yield _resolution(name, cycle, 1, at, revision=1)
    yield MarketResolved(market_id=f"{name}/{cycle}.2", void=True, resolved_at=at, revision=1)
    if cycle:
        yield _resolution(name, cycle - 1, 1, at, revision=2)


class Tally(NamedTuple):
    """What must be known once all these inputs were recorded."""

    scored: dict[str, int]
    """Outcomes each model has learned from."""
    right: dict[str, float]
    """Sum of those outcomes, 0 or 1 each."""
    pending: int


def tally(inputs: Iterable[Input]) -> Tally:
    """Count by the plain rules, from scratch: the newest revision of a market is what happened."""
    predictions: dict[str, Prediction] = {}
    trades: dict[str, TradeOutcome] = {}
    newest: dict[str, MarketResolved] = {}
    for item in inputs:
        if isinstance(item, Prediction):
            predictions[item.prediction_id] = item
        elif isinstance(item, TradeOutcome):
            trades[item.prediction_id] = item
        elif item.market_id not in newest or newest[item.market_id].revision < item.revision:
            newest[item.market_id] = item
    scored: dict[str, int] = {}
    right: dict[str, float] = {}
    pending = 0
    for prediction in predictions.values():
        resolution = newest.get(prediction.market_id)
        if resolution is None:
            pending += 1
        elif not resolution.void:
            _count(scored, right, prediction.model_id, prediction.outcome == resolution.winner)
    for trade in trades.values():
        _count(scored, right, trade.model_id, trade.predicted_outcome == trade.actual_outcome)
    return Tally(scored, right, pending)


def _count(scored: dict[str, int], right: dict[str, float], model_id: str, hit: bool) -> None:
    scored[model_id] = scored.get(model_id, 0) + 1
    right[model_id] = right.get(model_id, 0.0) + hit
