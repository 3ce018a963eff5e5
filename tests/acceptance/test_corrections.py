"""Corrections through the whole learner: far back, after a restart, and where an outcome came first."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from handicapper.actors import Learner
from handicapper.protocol.messages import MarketResolved, ModelReport, Prediction, TradeOutcome

T0 = 1_700_000_000_000_000_000
HOUR = 3_600 * 10**9
OpenLearner = Callable[..., Learner]


def feed(learner: Learner, start: int, stop: int, wrong: int | None = None) -> None:
    """Predict and resolve markets; number ``wrong`` is resolved the other way round."""
    learner.record_predictions(
        Prediction(
            prediction_id=f"p{n}", model_id="m", market_id=f"k{n}", outcome="YES",
            confidence=n % 11 / 10, predicted_at=T0 + n * HOUR,
        )
        for n in range(start, stop)
    )  # fmt: skip
    learner.resolve_markets(resolution(n, (n % 3 > 0) != (n == wrong)) for n in range(start, stop))


def resolution(n: int, right: bool, revision: int = 0) -> MarketResolved:
    winner = "YES" if right else "NO"
    return MarketResolved(
        market_id=f"k{n}", winner=winner, revision=revision, resolved_at=T0 + n * HOUR + HOUR // 2
    )


def report(learner: Learner) -> ModelReport:
    """Without the number of the last input, which a correction moves on."""
    return replace(learner.report("m", as_of=T0 + 1_000 * HOUR), applied_seq=0)


def test_correction_of_the_distant_past_gives_the_report_of_the_corrected_history(
    open_learner: OpenLearner,
) -> None:
    corrected, right = open_learner("corrected"), open_learner("right")
    feed(corrected, 0, 400, wrong=7)
    feed(right, 0, 400)
    assert report(corrected) != report(right)
    corrected.snapshot()
    assert corrected.resolve_market(resolution(7, True, revision=1)).revised == 1
    assert report(corrected) == report(right)
    corrected.close()
    assert report(open_learner("corrected")) == report(right)


def test_trade_outcome_that_was_saved_before_its_prediction_came_is_counted_once(
    open_learner: OpenLearner, tmp_path: Path
) -> None:
    """Its market of one has left memory; the prediction takes it into another; then the model is rebuilt
    from what is in memory and on disk, where the old record still lies until the next snapshot."""
    learner = open_learner()
    learner.record_outcome(
        TradeOutcome(
            prediction_id="p1000", model_id="m", predicted_outcome="YES", actual_outcome="YES",
            resolved_at=T0 + 1_000 * HOUR,
        )
    )  # fmt: skip
    feed(learner, 0, 300, wrong=3)
    learner.snapshot()
    learner.record_prediction(
        prediction_id="p1000", model_id="m", market_id="k1000", outcome="YES", confidence=0.7,
        predicted_at=T0 + 999 * HOUR,
    )  # fmt: skip
    assert report(learner).n == 301
    learner.resolve_market(resolution(3, False, revision=1))
    assert report(learner).n == 301
    learner.resolve_market(resolution(4, False, revision=1))
    crashed = tmp_path / "crashed"
    shutil.copytree(tmp_path / "state", crashed, ignore=shutil.ignore_patterns("LOCK", "lock.mdb"))
    assert report(open_learner("crashed")).n == 301, "rebuilt when opening, before the next snapshot"
    learner.close()
    assert report(open_learner()).n == 301
