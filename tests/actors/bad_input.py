"""A learner that knows a market of each kind, all that could change in it, and values that no field takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from handicapper.actors import Learner
from handicapper.actors.records import encode
from handicapper.actors.runtime.cell import Ping
from handicapper.protocol.messages import Prediction, TradeOutcome

from .helpers import DEADLINE_SECONDS

PREDICTION: dict[str, Any] = {
    "prediction_id": "new", "model_id": "elo", "market_id": "open", "outcome": "YES", "confidence": 0.6,
    "predicted_at": 20, "price": Decimal("0.5"), "size": Decimal(1),
}  # fmt: skip
RESOLUTION: dict[str, Any] = {"market_id": "open", "winner": "YES", "resolved_at": 30}
OUTCOME: dict[str, Any] = {
    "prediction_id": "trade", "model_id": "elo", "predicted_outcome": "YES", "actual_outcome": "YES",
    "resolved_at": 30, "confidence": 0.6, "pnl": Decimal(1),
}  # fmt: skip
BAD_IDS: list[Any] = ["", "x" * 10_240, "x" * 257, "ü" * 129, "a\0b", "a\nb", "\x7f", "\x85", "\ud800", None, 7,
                      b"bytes", ["x"], math.nan]  # fmt: skip
BAD_TIMES: list[Any] = [
    datetime(2024, 1, 1), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), 1.5, math.nan, "now",
    True, None, -(2**63), 2**63, 2**200, -62_135_596_800_000_000_000, 253_402_214_400_000_000_000,
]  # fmt: skip


@contextmanager
def filled_learner(path: Path) -> Iterator[Learner]:
    """Knows one settled market, revised once, one void, one open, one proposed, and a trade."""
    with Learner(path) as opened:
        for market in ("settled", "void", "open", "proposed"):
            opened.record_prediction(
                Prediction(**{**PREDICTION, "prediction_id": f"p-{market}", "market_id": market})
            )
        opened.resolve_market(market_id="settled", winner="YES", resolved_at=30)
        opened.resolve_market(market_id="settled", winner="NO", resolved_at=30, revision=2)
        opened.resolve_market(market_id="void", void=True, resolved_at=30)
        opened.resolve_market(market_id="proposed", winner="YES", resolved_at=30, status="disputed")
        opened.record_outcome(TradeOutcome(**{**OUTCOME, "prediction_id": "p-trade"}))
        yield opened


def everything(learner: Learner) -> dict[str, Any]:
    """All that could change: models, markets, journal, counters. Not counted: refusals themselves."""
    engine = learner._engine
    # An input is answered before its turn is over and its models have learned from it.
    for ref in (engine.router, *engine.roster.refs.values()):
        ref.ask(Ping(), timeout=DEADLINE_SECONDS)
    last = engine.store.last_journal_record()
    assert last is not None
    router = engine.router.cell.actor
    assert router is not None
    router.book.check_invariants()
    statistics = asdict(learner.statistics())
    for name in ("refused", "in_flight", "snapshot_seq"):
        del statistics[name]
    return {
        "models": {m: encode(ref.cell.actor.state.to_record()) for m, ref in engine.roster.refs.items()},
        "markets": encode(sorted(router.book.markets.values(), key=lambda market: market.ordinal)),
        "loose": {**router.book.loose.saving, **router.book.loose.fresh},
        "journal": last[0],
        "statistics": statistics,
        "dead_letters": learner.dead_letters(),
    }


@contextmanager
def nothing_changes(learner: Learner) -> Iterator[None]:
    before = everything(learner)
    yield
    after = everything(learner)
    assert after == before


def shown(value: Any) -> str:
    return f"{value!r:.60}"
