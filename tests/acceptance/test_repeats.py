"""The known change point of the NFL stream: a published model that was one model, and from 2019 on another."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.bin.cli import main

DATA = Path(__file__).parents[3] / "shared" / "data"


def replayed(name: str, state: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The pool after a real stream."""
    stream = DATA / f"{name}.csv.gz"
    if not stream.exists():
        pytest.skip(f"{stream} is not there: the real streams are not part of the project")
    assert main(["replay", str(stream), "--state", str(state), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["pool"]


def day(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).date().isoformat()


def test_change_of_the_published_model_is_found_on_the_second_game_of_2019(tmp_path, capsys):
    """By hit rates it cannot be: 0.646 before, 0.642 after."""
    pool = replayed("nfl_2012_2021", tmp_path / "state", capsys)
    (ended,) = pool["repeats_ended"]
    assert (ended["model_id"], ended["peer"]) == ("fte_published", "fte_elo")
    assert day(ended["changed_at"]) == "2019-09-06"
    assert day(ended["detected_at"]) == "2019-09-09"
    assert ended["probability"] >= 0.99
    # What it was exchanged for.
    assert {share["model_id"]: share["repeats"] for share in pool["shares"]} == {
        "fte_elo": None,
        "fte_published": None,
        "fte_qbelo": "fte_published",
    }
    with Learner(tmp_path / "state") as learner:
        assert len(learner.pool().repeats_ended) == 1
        assert learner.verify().ok


def test_nothing_ends_where_nothing_changed(tmp_path, capsys):
    """Ten seasons of six models that now and then say the same."""
    pool = replayed("mlb_2010_2019", tmp_path / "state", capsys)
    assert pool["repeats_ended"] == []
    assert all(share["repeats"] is None for share in pool["shares"])
