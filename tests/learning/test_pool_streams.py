"""The pool on parts of the real streams; the whole of them is ``python -m tests.bench.quality.streams``."""

from __future__ import annotations

import pytest

from ..bench.quality.real_streams import DATA
from ..bench.quality.streams import run

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real forecast streams are not beside this checkout"
)


def brier(name: str, events: int) -> dict[str, float]:
    figures = run([name], events_max=events)["figures"]
    return {row["forecaster"].split(" (")[0].split(",")[0]: row["brier_all"] for row in figures}


def test_precipitation_the_pool_beats_equal_weights_and_following_the_leader() -> None:
    scores = brier("precipitation", 2_500)
    assert scores["pool"] < scores["follow the leader"] - 0.001
    assert scores["pool"] < scores["equal weights"] - 0.02


def test_baseball_the_pool_finds_the_best_model() -> None:
    scores = brier("mlb", 2_500)
    assert scores["pool"] < scores["equal weights"] - 0.002
    assert scores["pool"] < scores["best fixed model in hindsight"] + 0.0005


def test_football_the_pool_is_not_behind_equal_weights() -> None:
    """Models that are nearly a tie: three nats of the prior are 0.0012 of log loss, and 0.0004 of Brier score,
    over this many."""
    scores = brier("football", 2_500)
    assert scores["pool"] < scores["equal weights"] + 0.0002


def test_american_football_the_pool_leaves_equal_weights_behind() -> None:
    scores = brier("nfl", 2_000)
    assert scores["pool"] < scores["equal weights"] - 0.001
