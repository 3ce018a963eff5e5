from __future__ import annotations

import gzip
import io
import json
import os
import pty
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from handicapper.bin.cli import main
from handicapper.bin.rows import read_rows
from handicapper.bin.simulate import simulate

from .streams import hour, line, text

COMMAND = [sys.executable, "-m", "handicapper.bin"]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "stream.csv"
    path.write_text("".join(simulate(models=3, markets=300)))
    return path


def replay(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert main(["replay", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def without_times(told: dict) -> dict:
    return {key: value for key, value in told.items() if key not in ("seconds", "rows_per_second", "state")}


def test_replay_figures_equal_a_plain_calculation_from_the_rows(simulated, capsys):
    told = replay(capsys, simulated)
    rows = list(read_rows(io.StringIO(simulated.read_text()), "s"))
    assert (told["rows"], told["events"], told["resolutions"]) == (900, 300, 300)
    assert told["as_of"] == max(row.resolved_at or 0 for row in rows)
    for figures in told["models"]:
        mine = [row for row in rows if row.prediction.model_id == figures["model_id"]]
        hits = [float(row.prediction.outcome == row.actual) for row in mine]
        assert figures["n"] == figures["n_priced"] == len(mine)
        assert figures["accuracy"] == pytest.approx(sum(hits) / len(mine), abs=1e-12)
        squares = [(row.prediction.confidence - hit) ** 2 for row, hit in zip(mine, hits, strict=True)]
        assert figures["brier"] == pytest.approx(sum(squares) / len(mine), abs=1e-12)
        pnl = sum(hit / float(row.prediction.price or 0) - 1 for row, hit in zip(mine, hits, strict=True))
        assert float(figures["pnl"]) == pytest.approx(pnl, abs=1e-8)
        assert figures["roi_flat"] == pytest.approx(pnl / len(mine), abs=1e-10)
        assert figures["accepted"] + figures["rejected"] == len(mine)
        assert figures["shadow"] == figures["rejected"]
    assert sum(model["probability_best"] for model in told["models"]) == pytest.approx(1, abs=1e-9)
    assert [m["brier"] for m in told["models"]] == sorted(m["brier"] for m in told["models"])


def test_replay_tells_how_the_pool_did_beside_equal_weights(simulated, capsys):
    told = replay(capsys, simulated)
    rows = list(read_rows(io.StringIO(simulated.read_text()), "s"))
    events: dict[str, list[float]] = {}
    for row in rows:
        confidence = row.prediction.confidence
        yes = confidence if row.prediction.outcome == "YES" else 1.0 - confidence
        events.setdefault(row.prediction.market_id, []).append(yes)
    losses = []
    for row in {row.prediction.market_id: row for row in rows}.values():
        mean = sum(events[row.prediction.market_id]) / 3
        label = "YES" if mean > 0.5 else "NO"
        losses.append((max(mean, 1.0 - mean) - (row.actual == label)) ** 2)
    pool = told["pool"]
    assert pool["n"] == told["events"]
    assert pool["equal_brier"] == pytest.approx(sum(losses) / len(losses), abs=1e-12)
    assert pool["brier"] < pool["equal_brier"]
    assert main(["replay", str(simulated)]) == 0
    last = capsys.readouterr().out.split("\n\n")[0].splitlines()[-1].split()
    assert last[:4] == ["(pool)", "300", f"{pool['accuracy']:.4f}", f"{pool['brier']:.4f}"]


def test_replay_twice_gives_the_same_document(simulated, capsys):
    assert without_times(replay(capsys, simulated)) == without_times(replay(capsys, simulated))


def test_replay_of_gzip_and_of_two_halves_by_model_equals_the_whole(simulated, tmp_path, capsys):
    lines = simulated.read_text().splitlines(keepends=True)
    packed = tmp_path / "whole.csv.gz"
    packed.write_bytes(gzip.compress(simulated.read_bytes()))
    halves = []
    for name, wanted in (("steady", True), ("rest", False)):
        half = tmp_path / f"{name}.csv"
        half.write_text("".join([lines[0], *(each for each in lines[1:] if (",steady," in each) == wanted)]))
        halves.append(half)
    whole = without_times(replay(capsys, simulated))
    assert without_times(replay(capsys, packed)) == whole
    assert without_times(replay(capsys, *halves)) == whole


def test_replay_into_a_kept_state_again_counts_nothing_twice(simulated, tmp_path, capsys):
    state = tmp_path / "state"
    first = replay(capsys, simulated, "--state", state)
    again = replay(capsys, simulated, "--state", state)
    assert first["duplicates"] == 0
    assert again["duplicates"] == 1200
    assert again["models"] == first["models"]


def test_replay_without_state_leaves_nothing_behind(simulated, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    replay(capsys, simulated)
    assert list(tmp_path.iterdir()) == []


def test_replay_stakes_the_amount_asked_for(simulated, capsys):
    one, fifty = replay(capsys, simulated), replay(capsys, simulated, "--stake", "50")
    for single, larger in zip(one["models"], fifty["models"], strict=True):
        assert float(larger["pnl"]) == pytest.approx(50 * float(single["pnl"]), abs=1e-6)
        assert abs(Decimal(larger["stake"]) - 50 * larger["n_priced"]) < Decimal("1e-6")
        assert larger["roi_flat"] == pytest.approx(single["roi_flat"], abs=1e-9)


def test_replay_takes_settings_from_a_file(simulated, tmp_path, capsys):
    settings = tmp_path / "s.toml"
    settings.write_text("[online_learning.thresholds]\ninitial_threshold = 0.4\nadjustment_rate = 0.0\n")
    told = replay(capsys, simulated, "--config", settings, "--seed", "3")
    assert [model["rejected"] for model in told["models"]] == [0, 0, 0]


def test_replay_shows_what_recalibration_and_the_edge_came_to(simulated, tmp_path, capsys):
    """Only where they are on; the model that says too much is mended, at the expense of none of the others."""
    settings = tmp_path / "s.toml"
    settings.write_text(
        "[online_learning.recalibration]\nenabled = true\n"
        '[online_learning.weights]\npolicy = "edge"\n[online_learning.sizing]\nrule = "kelly"\n'
    )
    plain = replay(capsys, simulated)
    assert all("recalibrated_brier" not in figures for figures in plain["models"])
    state = tmp_path / "kept"
    told = replay(capsys, simulated, "--config", settings, "--state", state)
    for before, figures in zip(plain["models"], told["models"], strict=True):
        assert (figures["model_id"], figures["brier"]) == (before["model_id"], before["brier"])
        assert figures["recalibrated_brier"] < figures["brier"] + 0.01
        assert len(figures["calibration_map"]) == 3
        assert (before["log_wealth"], type(figures["log_wealth"])) == (None, float)
    main(["replay", str(simulated), "--config", str(settings)])
    heading = capsys.readouterr().out.splitlines()[0]
    assert "Brier recal." in heading
    assert "ECE recal." in heading
    model = told["models"][0]["model_id"]
    for command, names in (
        (
            "report",
            ("recalibration", "recalibrated Brier score", "log-wealth against the price", "skill against"),
        ),
        ("params", ("recalibration",)),
    ):
        main([command, model, "--state", str(state)])
        shown = capsys.readouterr().out
        assert all(name in shown for name in names)
        assert "(log-odds)" in shown


def test_replay_without_prices_shows_no_money(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text(text([line(price="")]))
    (figures,) = replay(capsys, path)["models"]
    assert (figures["n_priced"], figures["roi_flat"], figures["price_skill"]) == (0, None, None)
    assert main(["replay", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "ROI" not in shown
    assert "Brier" in shown


def test_replay_counts_what_is_unresolved(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text(text([line(), line(model="k29"), line("e2", hour(1), resolved="", actual="")]))
    told = replay(capsys, path)
    assert (told["unresolved_events"], told["unresolved_predictions"]) == (1, 1)
    assert {model["model_id"]: model["n"] for model in told["models"]} == {"elo": 1, "k29": 1}


def test_replay_of_a_header_alone_has_no_models(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text(text([]))
    told = replay(capsys, path)
    assert (told["rows"], told["models"], told["as_of"]) == (0, [], None)


def test_replay_in_a_pipe_prints_plain_text_whatever_the_terminal(simulated):
    shown = set()
    for columns in ("20", "300"):
        ran = subprocess.run(
            [*COMMAND, "replay", "-"],
            input=simulated.read_text(),
            env=os.environ | {"COLUMNS": columns, "FORCE_COLOR": "1", "TERM": "xterm"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stderr == ""
        table, footer = ran.stdout.split("\n\n")
        assert table.isascii()
        assert footer.startswith("900 rows, 300 events, 0 unresolved (0 predictions), ")
        shown.add(table)
    assert len(shown) == 1
    assert len(shown.pop().splitlines()) == 5


def test_replay_on_a_terminal_draws_tables(simulated):
    leading, following = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "replay", str(simulated)],
        stdout=following,
        stderr=following,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"},
    ) as ran:
        os.close(following)
        seen = b""
        while True:
            try:
                part = os.read(leading, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not part:
                break
            seen += part
        assert ran.wait(60) == 0
    os.close(leading)
    shown = seen.decode()
    assert "╭" in shown
    for heading in ("accuracy", "posterior", "threshold", "skill"):
        assert heading in shown


def test_an_event_that_resolved_before_is_refused_with_its_line(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text(text([line(), line("e1", hour(6), hour(9), model="k29")]))
    assert main(["replay", str(path)]) == 65
    said = capsys.readouterr().err
    assert said.startswith(f"handicapper: INPUT_INVALID {path}, line 3: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_waiting_replay_without_a_trace(number, code, tmp_path):
    """Once a megabyte went through the pipe (its capacity is far less), rows are being read."""
    content = "".join(simulate(models=2, markets=7000)).encode()
    assert len(content) > 1_000_000
    with subprocess.Popen(
        [*COMMAND, "replay", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    ) as ran:
        assert ran.stdin is not None
        ran.stdin.write(content)
        ran.stdin.flush()
        ran.send_signal(number)
        assert ran.wait(60) == code
        assert ran.stdout is not None
        assert ran.stderr is not None
        assert (ran.stdout.read(), ran.stderr.read()) == (b"", b"")
    assert list(tmp_path.iterdir()) == []


DATA = Path(__file__).parents[2].parent / "shared" / "data"
REFERENCE = DATA / "reference.json"
SETS = ("nfl_2012_2021", "football_eng_2005_2021", "mlb_2010_2019", "precip_pop_2012_2017")


@pytest.mark.skipif(not REFERENCE.exists(), reason="the real forecast streams are not beside this checkout")
@pytest.mark.parametrize("name", SETS)
def test_replay_of_real_forecasts_equals_the_reference_figures(name, capsys):
    reference = json.loads(REFERENCE.read_text())["sets"][name]
    told = replay(capsys, DATA / reference["file"])
    assert (told["rows"], told["events"]) == (reference["rows"], reference["events"])
    assert told["unresolved_events"] == 0
    figures = {model["model_id"]: model for model in told["models"]}
    assert figures.keys() == reference["metrics"].keys()
    for model_id, expected in reference["metrics"].items():
        mine = figures[model_id]
        assert mine["n"] == expected["n"]
        for ours, theirs in (
            ("accuracy", "accuracy"),
            ("brier", "brier"),
            ("log_loss", "logloss"),
            ("ece", "ece10"),
        ):
            assert mine[ours] == pytest.approx(expected[theirs], abs=1e-6), (model_id, ours)
        assert mine["n_priced"] == expected.get("n_priced", 0)
        if mine["n_priced"]:
            assert mine["roi_flat"] == pytest.approx(expected["roi_flat"], abs=1e-6), model_id
