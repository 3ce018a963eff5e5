"""Inputs that contradict what is recorded: refused by name, and nothing else changed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.protocol.errors import (
    ConflictError,
    HandicapperError,
    PredictedAfterResolutionError,
    StaleRevisionError,
)
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

from .bad_input import OUTCOME, PREDICTION, filled_learner, nothing_changes


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Learner]:
    with filled_learner(tmp_path / "state") as opened:
        yield opened


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_id", "other"), ("market_id", "elsewhere"), ("outcome", "NO"), ("confidence", 0.61),
        ("predicted_at", 21), ("price", None), ("size", Decimal(2)), ("fee", Decimal(1)), ("expires_at", 99),
        ("metadata", {"a": 1}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("market", ["open", "settled"])
def test_prediction_id_with_other_content_is_a_conflict(
    field: str, value: Any, market: str, learner: Learner
) -> None:
    original = {**PREDICTION, "prediction_id": f"p-{market}", "market_id": market}
    with nothing_changes(learner):
        with pytest.raises(ConflictError, match="p-"):
            learner.record_prediction(Prediction(**{**original, field: value}))
        with pytest.raises(ConflictError, match="p-"):
            learner.process_signal(Prediction(**{**original, field: value}))


@pytest.mark.parametrize("archived", [False, True], ids=["in memory", "on disk"])
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"market_id": "settled", "winner": "YES", "revision": 2}, ConflictError),
        ({"market_id": "settled", "void": True, "revision": 2}, ConflictError),
        ({"market_id": "settled", "winner": "NO", "revision": 1}, StaleRevisionError),
        ({"market_id": "settled", "winner": "NO", "revision": 0}, ConflictError),
        ({"market_id": "settled", "winner": "NO", "revision": 2, "status": "proposed"}, StaleRevisionError),
        ({"market_id": "settled", "void": True, "revision": 0}, ConflictError),
        ({"market_id": "void", "winner": "YES", "revision": 0}, ConflictError),
        ({"market_id": "proposed", "winner": "NO", "status": "proposed"}, StaleRevisionError),
    ],
)
def test_resolution_that_contradicts_or_goes_backwards_is_refused(
    fields: dict[str, Any], error: type[HandicapperError], archived: bool, learner: Learner
) -> None:
    if archived:
        learner.snapshot()
    with nothing_changes(learner), pytest.raises(error, match="revision"):
        learner.resolve_market(MarketResolved(resolved_at=30, **fields))


def test_void_after_learning_with_a_higher_revision_takes_the_lesson_back(learner: Learner) -> None:
    before = learner.report("elo")
    receipt = learner.resolve_market(market_id="settled", void=True, resolved_at=30, revision=3)
    assert (receipt.scored, receipt.revised) == (0, 1)
    assert learner.report("elo").n == before.n - 1


@pytest.mark.parametrize("archived", [False, True], ids=["in memory", "on disk"])
@pytest.mark.parametrize(
    "change",
    [
        {"actual_outcome": "YES"},  # the market was resolved NO
        {"model_id": "other", "actual_outcome": "NO"},
        {"predicted_outcome": "NO"},
        {"confidence": 0.7, "actual_outcome": "NO"},
    ],
)
def test_trade_outcome_that_contradicts_its_prediction_or_resolution_is_a_conflict(
    change: dict[str, Any], archived: bool, learner: Learner
) -> None:
    if archived:
        learner.snapshot()
    outcome = TradeOutcome(**{**OUTCOME, "prediction_id": "p-settled", **change})
    with nothing_changes(learner), pytest.raises(ConflictError, match="p-settled"):
        learner.record_outcome(outcome)


@pytest.mark.parametrize("change", [{"actual_outcome": "NO"}, {"pnl": Decimal(2)}, {"model_id": "other"}])
def test_trade_outcome_told_otherwise_a_second_time_is_a_conflict(
    change: dict[str, Any], learner: Learner
) -> None:
    with nothing_changes(learner), pytest.raises(ConflictError, match="p-trade"):
        learner.record_outcome(TradeOutcome(**{**OUTCOME, "prediction_id": "p-trade", **change}))


@pytest.mark.parametrize("archived", [False, True], ids=["in memory", "on disk"])
def test_prediction_made_after_the_resolution_is_refused_as_look_ahead(
    archived: bool, learner: Learner
) -> None:
    if archived:
        learner.snapshot()
    late = Prediction(**{**PREDICTION, "market_id": "settled", "predicted_at": 31})
    with nothing_changes(learner):
        with pytest.raises(PredictedAfterResolutionError, match="settled"):
            learner.record_prediction(late)
        with pytest.raises(PredictedAfterResolutionError, match="settled"):
            learner.process_signal(late)


def test_resolution_before_its_prediction_and_of_an_unknown_market_waits(learner: Learner) -> None:
    """No error: the feed may be ahead of the models."""
    receipt = learner.resolve_market(market_id="later", winner="YES", resolved_at=30)
    assert receipt.waiting
    assert receipt.scored == 0
    scored = learner.record_prediction(Prediction(**{**PREDICTION, "market_id": "later"}))
    assert scored.scored == 1
