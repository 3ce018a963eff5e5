"""The quality bench runs from end to end, with few rounds; its whole run is ``python -m tests.bench.quality``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..bench.quality import bandits, stream_tables
from ..bench.quality.__main__ import main
from ..bench.quality.bandit_tables import ALL, ONE, OURS, PLAIN
from ..bench.quality.documents import with_block
from ..bench.quality.policies import mabwiser_thompson, river_thompson
from ..bench.quality.real_streams import DATA, Event
from ..bench.quality.river_weights import RiverWeights

FEW = ["bandits", "--rounds", "60", "--repetitions", "2"]


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def without_seconds(results: dict[str, Any]) -> dict[str, Any]:
    for table in results["tables"].values():
        for row in table.values():
            for figure in row.values():
                del figure["seconds"]
    return results


def test_bandits_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, again, page = tmp_path / "found.json", tmp_path / "again.json", tmp_path / "page.md"
    page.write_text("before\n<!-- bandits -->\nold\n<!-- /bandits -->\nafter\n", encoding="utf-8")
    main([*FEW, "--problems", "1", "stationary", "--json", str(found), "--markdown", str(page)])
    printed = capsys.readouterr().out
    assert f"| {OURS} |" in printed
    assert printed.count("reached") == 5
    told = page.read_text(encoding="utf-8")
    assert told.startswith("before\n") and told.endswith("\nafter\n") and "old" not in told
    assert printed.strip() in told

    results = read(found)
    assert set(results["tables"][ONE][OURS]) == {"1", "stationary"}
    assert set(results["tables"][ALL][OURS]) == {"1", "stationary", "walk", "sinusoid"}
    main([*FEW, "--problems", "1", "stationary", "--json", str(again)])
    assert without_seconds(read(again)) == without_seconds(results)

    main(["bandits", "--from", str(found)])
    assert f"| {OURS} |" in capsys.readouterr().out


def test_a_library_that_is_not_installed_is_skipped_with_the_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "river", None)
    monkeypatch.setitem(sys.modules, "mabwiser.mab", None)
    main([*FEW[:2], "5", *FEW[3:], "--problems", "1", "--libraries"])
    out, err = capsys.readouterr()
    assert "River Thompson skipped: " in err
    assert "MABWiser Thompson skipped: " in err
    assert "River" not in out
    assert "MABWiser" not in out


@pytest.mark.parametrize(
    ("library", "make"),
    [("river", river_thompson), ("mabwiser", mabwiser_thompson)],
    ids=["river", "mabwiser"],
)
def test_a_library_learns_which_arm_is_better(library: str, make: Any) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed: extra [bench]")
    policy, rounds = make((2, 2), 0), 100
    pulled = []
    for t in range(rounds):
        arms = policy.choose(t)
        pulled += arms.tolist()
        # Arm 1 hits nine times in ten, arm 0 once in ten.
        policy.learn(t, arms, np.where(t % 10 == 5, arms == 0, arms == 1).astype(float))
    assert sum(pulled[rounds:]) >= 0.9 * rounds


def test_seeing_every_arm_a_change_costs_a_few_rounds() -> None:
    """Problem 1 within 2,000 rounds: the best arm gets 0.1, the second best takes over, twice; what is counted in full
    needs as many rounds to notice as it lasted."""
    given = bandits.parsed(["--rounds", "2000", "--repetitions", "2", "--problems", "1"])
    regret = {
        name: bandits.regret(
            bandits.policies(True, given.rounds)[name]((2, 3), 0, "1"), "1", 2, 0, True, given.rounds
        )
        for name in (OURS, PLAIN)
    }
    assert max(regret[OURS]) <= 15.0
    assert min(regret[PLAIN]) >= 200.0


@pytest.mark.skipif(not DATA.is_dir(), reason="the real forecast streams are not beside this checkout")
def test_streams_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, page = tmp_path / "found.json", tmp_path / "page.md"
    page.write_text("<!-- streams --><!-- /streams -->", encoding="utf-8")
    main(["streams", "--stream", "nfl", "--events", "30", "--json", str(found), "--markdown", str(page)])
    printed = capsys.readouterr().out
    assert "| nfl | pool | 30 |" in printed
    assert "| nfl | fte_elo | 30 | 0 |" in printed
    assert printed.strip() in page.read_text(encoding="utf-8")
    assert stream_tables.document(read(found)).strip() == printed.strip()


def test_river_weighs_models_by_their_losses() -> None:
    pytest.importorskip("river", reason="river is not installed: extra [bench]")
    river = RiverWeights(("NO", "YES"), ("bad", "good"))
    forecasts = [("bad", "NO", 0.8), ("good", "YES", 0.8)]
    event = Event(0, 1, forecasts, {}, "YES")
    assert river.forecast(event, {}) == pytest.approx([0.5, 0.5])
    for _ in range(20):
        river.learn(event, {})
    assert river.forecast(event, {}) == pytest.approx([0.2, 0.8], abs=0.01)
    alone = Event(0, 1, [("bad", "NO", 0.8)], {}, "YES")
    assert river.forecast(alone, {}) == pytest.approx([0.8, 0.2])


def test_a_document_without_a_place_for_the_table_is_named() -> None:
    with pytest.raises(ValueError, match="<!-- bandits -->"):
        with_block("nothing here", "bandits", "a table")
