"""``statistics``, ``restart``, ``dead-letters`` and ``replay-dead-letters``, of a directory and of a running daemon."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handicapper.actors import Learner
from handicapper.bin import exit_codes
from handicapper.bin.cli import main
from handicapper.protocol import Client
from handicapper.protocol.errors import BusyError

from ..actors.helpers import outcome, prediction
from ..protocol.client_support import Serving, eventually, serving

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(arguments))
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def server() -> Iterator[Serving]:
    """A server with four dead letters: a good input, a contradiction, garbage, and a signal."""
    with serving() as server:
        with Client(server.unix) as client:
            client.record_prediction(prediction(1))
        for message in (outcome(2), prediction(1, confidence=0.1), b"garbage"):
            server.learner.add_dead_letter("server/record", BusyError("full"), message)
        server.learner.add_dead_letter("server/process_signal", BusyError("full"), prediction(3))
        yield server


def test_dead_letters_are_listed_and_replayed(server: Serving, run: Run) -> None:
    code, shown, _ = run("dead-letters", "--connect", server.unix)
    assert code == 0
    assert shown.split()[:4] == ["id", "at", "for", "tries"]
    assert "server/process_signal" in shown and b"garbage".hex() in shown
    code, shown, _ = run("replay-dead-letters", "1", "99", "--connect", server.unix, "--json")
    expected = {"replayed": [1], "failed": [], "not_replayable": [], "unknown": [99]}
    assert (code, json.loads(shown)) == (0, expected)
    code, shown, _ = run("replay-dead-letters", "--connect", server.unix)
    assert code == exit_codes.DIFFERENCES
    assert "failed: 2" in shown and "CONFLICT" in shown
    letters = json.loads(run("dead-letters", "--connect", server.unix, "--json")[1])["dead_letters"]
    assert [(letter["id"], letter["attempts"]) for letter in letters] == [(2, 2), (3, 1)]


def test_statistics_of_a_daemon_show_what_was_refused(server: Serving, run: Run) -> None:
    with Client(server.unix) as client:
        client.notify.record_prediction(prediction(1, confidence=0.2))
        client.ping()
        eventually(lambda: client.statistics().server.notifications_refused == 1)
    code, shown, _ = run("statistics", "--connect", server.unix)
    cells = dict(re.split(r"  +", line, maxsplit=1) for line in shown.splitlines())
    assert code == 0
    assert (cells["state"], cells["failure"], cells["predictions"]) == ("accepting", "none", "1")
    assert (cells["server: notifications"], cells["server: notifications refused"]) == ("1", "1")
    told = json.loads(run("statistics", "--connect", server.unix, "--json")[1])
    assert told["server"]["notifications_refused"] == 1
    assert told["dead_letters"] == 5


def test_statistics_of_a_directory_have_no_server(tmp_path: Path, run: Run) -> None:
    with Learner(tmp_path / "state") as learner:
        learner.record_outcome(outcome(1))
    code, shown, _ = run("statistics", "--state", str(tmp_path / "state"))
    cells = dict(re.split(r"  +", line, maxsplit=1) for line in shown.splitlines())
    assert (code, cells["models"], cells["durable seq"]) == (0, "1", "2")
    assert not any(name.startswith("server") for name in cells)


def test_restart_of_a_daemons_model_says_what_became_of_it(server: Serving, run: Run) -> None:
    code, shown, _ = run("restart", "m", "--connect", server.unix)
    assert (code, "no: it was not given up" in shown) == (0, True)
    code, _, complaint = run("restart", "nobody", "--connect", server.unix)
    assert code == exit_codes.CANNOT_OPEN_INPUT
    assert "UNKNOWN_MODEL" in complaint


def test_a_directory_has_no_model_to_restart_and_no_letters_yet(tmp_path: Path, run: Run) -> None:
    with Learner(tmp_path / "state") as learner:
        learner.record_outcome(outcome(1))
    state = str(tmp_path / "state")
    code, shown, _ = run("restart", "m", "--state", state, "--json")
    assert (code, json.loads(shown)) == (0, {"model_id": "m", "restarted": False, "applied_seq": 0})
    assert json.loads(run("dead-letters", "--state", state, "--json")[1]) == {"dead_letters": []}
    code, shown, _ = run("replay-dead-letters", "--state", state)
    assert (code, shown.split()[2:]) == (0, ["replayed", "none", "not", "replayable", "none"])


def test_a_replay_takes_rows_dated_in_the_future(tmp_path: Path, run: Run) -> None:
    """Whatever the clock of this machine says; and what was kept can be looked at afterwards."""
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "event_id,predicted_at,resolved_at,model_id,outcome_label,confidence,price,actual\n"
        "e1,2150-01-01T00:00:00Z,2150-01-01T05:00:00Z,elo,YES,0.7,0.5,YES\n"
    )
    code, shown, complaint = run("replay", str(rows), "--state", str(tmp_path / "state"), "--json")
    assert code == 0, complaint
    assert [model["n"] for model in json.loads(shown)["models"]] == [1]
    assert json.loads(run("models", "--state", str(tmp_path / "state"), "--json")[1])["models"][0]["n"] == 1


def test_a_replay_into_a_daemon_keeps_to_the_daemons_bound(server: Serving, tmp_path: Path, run: Run) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "event_id,predicted_at,resolved_at,model_id,outcome_label,confidence,price,actual\n"
        "e1,2150-01-01T00:00:00Z,2150-01-01T05:00:00Z,elo,YES,0.7,0.5,YES\n"
    )
    code, _, complaint = run("replay", str(rows), "--connect", server.unix)
    assert code == exit_codes.BAD_DATA
    assert "limits.future_seconds_max" in complaint and "line 2" in complaint
