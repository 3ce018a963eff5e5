from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from handicapper.actors import Learner
from handicapper.actors.state_directory import DATA_FILE
from handicapper.bin.cli import main
from handicapper.bin.simulate import simulate
from handicapper.config import Settings, ThompsonSampling
from handicapper.protocol.messages import AdaptiveParams, BackupReceipt, ModelReport, Selection, VerifyReport

AS_OF = "2024-01-20T00:00:00Z"


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replayed")
    (folder / "stream.csv").write_text("".join(simulate(models=3, markets=200)))
    assert main(["replay", str(folder / "stream.csv"), "--state", str(folder / "state")]) == 0
    return folder / "state"


@pytest.fixture
def state(replayed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy for each test, named by the environment."""
    copy = tmp_path / "state"
    shutil.copytree(replayed, copy)
    monkeypatch.setenv("HANDICAPPER_STATE", str(copy))
    return copy


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("state")
def test_models_lists_every_model(capsys):
    assert [model["model_id"] for model in told(capsys, "models")["models"]] == [
        "noisy",
        "steady",
        "turncoat",
    ]
    lines = shown(capsys, "models").splitlines()
    assert lines[0].split()[:2] == ["model", "n"]
    assert [each.split()[0] for each in lines[1:]] == ["noisy", "steady", "turncoat"]


@pytest.mark.usefixtures("state")
def test_models_as_of_the_last_event_have_more_evidence_than_now(capsys):
    then = told(capsys, "models", "--as-of", AS_OF)["models"]
    now = told(capsys, "models")["models"]
    for before, after in zip(then, now, strict=True):
        assert before["effective_sample_size"] > 10 * after["effective_sample_size"]


def test_state_named_by_option_wins_over_the_environment(state, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HANDICAPPER_STATE", str(tmp_path / "none"))
    assert len(told(capsys, "models", "--state", str(state))["models"]) == 3


@pytest.mark.usefixtures("state")
def test_report_as_json_is_the_whole_report(capsys):
    report = told(capsys, "report", "steady", "--as-of", AS_OF)
    assert set(report) == set(ModelReport.__struct_fields__)
    assert report["n"] == 200
    assert report["as_of"] == 1705708800 * 10**9
    assert isinstance(report["pnl"], str)


@pytest.mark.usefixtures("state")
def test_report_shows_figures_and_reliability(capsys):
    text = shown(capsys, "report", "steady", "--as-of", AS_OF)
    assert "Reliability" in text
    assert "Beta(" in text
    assert "2024-01-20T00:00:00Z" in text


def test_report_shows_the_last_change_of_a_model_and_the_last_shared_one(tmp_path, monkeypatch, capsys):
    sampling = ThompsonSampling(posterior="changepoint", shared_changes=True)
    with Learner(tmp_path / "state", Settings(thompson_sampling=sampling)) as learner:
        for hour in range(130):
            for model, right in (("steady", hour % 3 > 0), ("turncoat", hour < 100)):
                learner.record_outcome(
                    prediction_id=f"{model}-{hour}",
                    model_id=model,
                    predicted_outcome="YES",
                    actual_outcome="YES" if right else "NO",
                    resolved_at=1_700_000_000 * 10**9 + hour * 3_600 * 10**9,
                )
    monkeypatch.setenv("HANDICAPPER_STATE", str(tmp_path / "state"))
    own, shared = (re.sub(" +", " ", shown(capsys, "report", model)) for model in ("turncoat", "steady"))
    assert re.search(
        r"last change 2023-11-19T02:13:20Z, from 0\.99\d* to 0\.\d+ \(probability 0\.99\d+\)", own
    )
    assert "last shared change 2023-11-19T02:13:20Z, of turncoat" in shared
    assert ("last shared change" in own, "last change" in shared) == (False, False)


@pytest.mark.usefixtures("state")
def test_params_are_the_three_of_the_model(capsys):
    assert set(told(capsys, "params", "steady")) == set(AdaptiveParams.__struct_fields__)
    assert "confidence threshold" in shown(capsys, "params", "steady")


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("command", ["report", "params", "pause", "resume", "reset"])
def test_a_model_never_seen_exits_66(command, capsys):
    assert main([command, "nobody"]) == 66
    said = capsys.readouterr().err
    assert said.startswith("handicapper: UNKNOWN_MODEL ")
    assert said.count("\n") == 1


@pytest.mark.usefixtures("state")
def test_sample_of_the_same_selection_is_the_same(capsys):
    arguments = ("sample", "-n", "4", "--selection-id", "one", "--as-of", AS_OF)
    first = told(capsys, *arguments)
    assert set(first) == set(Selection.__struct_fields__)
    assert told(capsys, *arguments) == first
    assert all(len(model["samples"]) == 4 for model in first["ranked"])
    samples = [model["sample"] for model in first["ranked"]]
    assert samples == sorted(samples, reverse=True)
    assert first["mode"] == "thompson"
    followed = told(capsys, *arguments, "--mode", "mean")
    assert followed["mode"] == "mean"
    assert all(len(set(model["samples"])) == 1 for model in followed["ranked"])
    assert "rank" in shown(capsys, *arguments)


@pytest.mark.usefixtures("state")
def test_a_paused_model_is_ineligible_until_resumed(capsys):
    shown(capsys, "pause", "steady", "--reason", "on holiday")
    assert told(capsys, "sample")["ineligible"] == ["steady"]
    assert "paused (on holiday)" in shown(capsys, "report", "steady")
    shown(capsys, "resume", "steady")
    assert told(capsys, "sample")["ineligible"] == []


@pytest.mark.usefixtures("state")
def test_a_pause_shows_when_it_ends(capsys):
    shown(capsys, "pause", "steady", "--until", "2199-01-01T00:00:00Z")
    assert "paused until 2199-01-01T00:00:00Z" in shown(capsys, "report", "steady")


@pytest.mark.usefixtures("state")
def test_a_reset_model_has_forgotten(capsys):
    assert told(capsys, "reset", "steady")["seq"] > 0
    counts = {model["model_id"]: model["n"] for model in told(capsys, "models")["models"]}
    assert counts == {"noisy": 200, "steady": 0, "turncoat": 200}


def test_the_journal_keeps_why_a_model_was_reset(state, capsys):
    assert b"retrained" not in (state / DATA_FILE).read_bytes()
    told(capsys, "reset", "steady", "--reason", "retrained")
    assert b"retrained" in (state / DATA_FILE).read_bytes()


@pytest.mark.usefixtures("state")
def test_snapshot_says_what_it_holds(capsys):
    assert told(capsys, "snapshot")["seq"] > 800
    assert "sequence number" in shown(capsys, "snapshot")


def test_backup_makes_a_directory_that_holds_the_same(state, tmp_path, capsys):
    receipt = told(capsys, "backup", str(tmp_path / "copy"))
    assert set(receipt) == set(BackupReceipt.__struct_fields__)
    assert told(capsys, "verify", "--state", str(tmp_path / "copy"))["last_seq"] == receipt["seq"]
    models = ("models", "--as-of", AS_OF)
    assert told(capsys, *models, "--state", str(tmp_path / "copy")) == told(capsys, *models)
    assert "sequence number" in shown(capsys, "backup", str(tmp_path / "again"))


@pytest.mark.usefixtures("state")
def test_backup_that_cannot_be_written_exits_73(tmp_path, capsys, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    assert main(["backup", str(tmp_path / "copy")]) == 73
    assert capsys.readouterr().err.startswith("handicapper: BACKUP_FAILED ")
    assert not (tmp_path / "copy").exists()


@pytest.mark.usefixtures("state")
def test_verify_of_a_sound_state_is_ok(capsys):
    report = told(capsys, "verify")
    assert set(report) == set(VerifyReport.__struct_fields__)
    assert report["ok"] is True
    assert "result" in shown(capsys, "verify")


@pytest.mark.parametrize("level", ["info", "warning"])
@pytest.mark.usefixtures("state")
def test_the_log_goes_to_standard_error_from_the_level_asked_for(level, capsys, monkeypatch):
    monkeypatch.setenv("HANDICAPPER_LOG_LEVEL", level)
    assert main(["models", "--json"]) == 0
    written = capsys.readouterr()
    json.loads(written.out)
    events = re.findall(
        r"^time=\S+Z level=INFO logger=handicapper\.\S+ event=(\S+) ", written.err, re.MULTILINE
    )
    assert events == (["opened", "closed"] if level == "info" else [])
    assert len(events) == written.err.count("\n")


@pytest.mark.usefixtures("state")
def test_an_unknown_log_level_exits_64(capsys, monkeypatch):
    monkeypatch.setenv("HANDICAPPER_LOG_LEVEL", "loud")
    assert main(["models"]) == 64
    assert "HANDICAPPER_LOG_LEVEL is 'loud'" in capsys.readouterr().err


@pytest.mark.usefixtures("state")
def test_state_commands_take_settings_from_a_file(tmp_path, capsys, monkeypatch):
    settings = tmp_path / "s.toml"
    settings.write_text("[online_learning.thresholds]\ninitial_threshold = 0.7\nmax_threshold = 0.7\n")
    monkeypatch.setenv("HANDICAPPER_CONFIG", str(settings))
    assert told(capsys, "params", "turncoat")["confidence_threshold"] <= 0.7
    settings.write_text("nonsense = 1\n")
    for command in ("models", "verify"):
        assert main([command]) == 78


def test_verify_that_finds_damage_exits_1(state, capsys, monkeypatch):
    found = VerifyReport(
        ok=False,
        first_seq=1,
        last_seq=9,
        records=9,
        models=2,
        damaged=("journal 7: crc",),
        differences=("elo",),
    )
    monkeypatch.setattr("handicapper.actors.verify_state", lambda _directory, _settings: found)
    assert main(["verify"]) == 1
    assert "journal 7: crc" in capsys.readouterr().out
    assert main(["verify", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["differences"] == ["elo"]


def test_a_state_another_learner_holds_exits_75(state, capsys):
    with Learner(state, create=False):
        assert main(["models"]) == 75
        said = capsys.readouterr().err
        assert said.startswith("handicapper: STATE_LOCKED ")
    assert main(["models"]) == 0


def test_a_state_directory_that_cannot_be_made_exits_73(replayed, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    stream = replayed.parent / "stream.csv"
    assert main(["replay", str(stream), "--state", str(tmp_path / "file")]) == 73
    assert capsys.readouterr().err.startswith("handicapper: STATE_ERROR ")
