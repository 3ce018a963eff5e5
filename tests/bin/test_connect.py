"""Every state command asks a running daemon as it asks a directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handicapper.actors import Learner
from handicapper.bin.cli import main
from handicapper.bin.simulate import simulate
from handicapper.protocol import Client
from handicapper.protocol.addresses import UnixAddress

AS_OF = "2024-01-20T00:00:00Z"


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stream") / "stream.csv"
    path.write_text("".join(simulate(models=3, markets=100)))
    return path


@pytest.fixture(scope="module")
def replayed(stream: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("replayed") / "state"
    assert main(["replay", str(stream), "--state", str(state)]) == 0
    return state


@pytest.fixture(scope="module")
def daemon(replayed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A daemon on a copy of the replayed state."""
    state = tmp_path_factory.mktemp("daemon") / "state"
    shutil.copytree(replayed, state)
    with Client.spawn(state) as client:
        yield client


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict]:
    def tell(*arguments: str) -> dict:
        capsys.readouterr()
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return tell


@pytest.mark.parametrize(
    "command",
    [
        ["models", "--as-of", AS_OF],
        ["report", "steady", "--as-of", AS_OF],
        ["params", "steady", "--as-of", AS_OF],
        ["sample", "-n", "3", "--selection-id", "s", "--as-of", AS_OF],
        ["pool", "--as-of", AS_OF],
        ["combine", "sim-000007", "--as-of", AS_OF],
        ["combine", "--forecast", "steady=YES:0.7", "--outcome", "MAYBE", "--as-of", AS_OF],
    ],
)
def test_a_question_has_the_same_answer_from_daemon_and_directory(command, daemon, replayed, told):
    from_daemon = told(*command, "--connect", str(daemon.address))
    assert from_daemon == told(*command, "--state", str(replayed))


def test_an_operator_reaches_the_daemon(daemon, told, monkeypatch):
    monkeypatch.setenv("HANDICAPPER_CONNECT", str(daemon.address))
    paused = told("pause", "noisy", "--reason", "broken feed")
    assert daemon.report("noisy").pause_reason == "broken feed"
    assert told("resume", "noisy")["seq"] == paused["seq"] + 1
    assert not daemon.report("noisy").paused
    told("set-posterior", "noisy", "changepoint")
    assert (daemon.report("noisy").posterior, daemon.report("noisy").posterior_set) == ("changepoint",) * 2
    told("set-posterior", "noisy", "settings")
    assert (daemon.report("noisy").posterior, daemon.report("noisy").posterior_set) == ("half_life", None)
    told("reset", "noisy", "--reason", "retrained")
    assert daemon.report("noisy").n == 0
    assert told("snapshot")["seq"] == daemon.statistics().snapshot_seq
    assert told("verify")["ok"]


def test_a_daemon_backs_up_as_a_directory_does(daemon, replayed, tmp_path, told):
    of_daemon = told("backup", str(tmp_path / "daemon"), "--connect", str(daemon.address))
    of_directory = told("backup", str(tmp_path / "directory"), "--state", str(replayed))
    assert of_daemon.keys() == of_directory.keys() == {"seq", "bytes", "seconds"}
    assert of_daemon["seq"] == daemon.statistics().durable_seq
    for made in ("daemon", "directory"):
        assert told("verify", "--state", str(tmp_path / made))["ok"]


def test_the_path_of_a_backup_is_that_of_whoever_asks(daemon, tmp_path, told, monkeypatch):
    """A daemon's own working directory is nobody's business."""
    monkeypatch.chdir(tmp_path)
    told("backup", "here", "--connect", str(daemon.address))
    assert told("verify", "--state", str(tmp_path / "here"))["ok"]


def test_a_backup_refused_by_the_daemon_is_told_like_one_refused_here(daemon, replayed, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_bytes(b"mine")
    said = []
    for whom in (["--connect", str(daemon.address)], ["--state", str(replayed)]):
        assert main(["backup", str(tmp_path / "full"), *whom]) == 65
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert said[0].startswith("handicapper: INVALID_VALUE dest was ")


def test_config_show_prints_the_settings_of_the_daemon(tmp_path, capsys):
    settings = tmp_path / "settings.toml"
    settings.write_text("[online_learning]\nema_alpha = 0.25\ndecay_half_life_hours = inf\n")
    with Client.spawn(tmp_path / "state", config=settings) as client:
        assert main(["config", "show", "--connect", str(client.address)]) == 0
    shown = capsys.readouterr().out
    assert "\nema_alpha = 0.25\n" in shown
    assert "\ndecay_half_life_hours = inf\n" in shown


def test_a_replay_into_a_daemon_learns_what_a_replay_into_a_directory_does(stream, replayed, tmp_path, told):
    with Client.spawn(tmp_path / "state") as client:
        document = told("replay", str(stream), "--connect", str(client.address))
        reports = client.reports(as_of=document["as_of"])
    with Learner(replayed) as learner:
        directly = learner.reports(as_of=document["as_of"])
    assert [(r.model_id, r.n, r.posterior_alpha, r.calibration, r.pnl) for r in reports] == [
        (r.model_id, r.n, r.posterior_alpha, r.calibration, r.pnl) for r in directly
    ]
    assert document["state"] == str(client.address)


def test_a_state_directory_in_use_says_which_daemon_holds_it(daemon, capsys):
    hello = daemon.server
    assert hello is not None
    assert main(["models", "--state", hello.state_dir]) == 75
    said = capsys.readouterr().err
    assert f"pid {hello.pid}" in said
    assert f"--connect {daemon.address}" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["models"], "--state DIR is missing, or --connect"),
        (["models", "--state", "x", "--connect", "unix:/y"], "give one"),
        (["models", "--connect", "unix:/y", "--config", "z.toml"], "its own settings"),
        (["replay", "-", "--connect", "unix:/y", "--seed", "1"], "the daemon's business"),
        (["config", "show", "a.toml", "--connect", "unix:/y"], "one of them"),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments, said, capsys, monkeypatch):
    for variable in ("HANDICAPPER_STATE", "HANDICAPPER_CONNECT", "HANDICAPPER_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    assert main(arguments) == 64
    assert said in " ".join(capsys.readouterr().err.split())


def test_an_address_where_nobody_answers_exits_69(tmp_path, capsys):
    address = UnixAddress(str(tmp_path / "none")) if len(str(tmp_path)) < 90 else UnixAddress("/nonexistent")
    assert main(["models", "--connect", str(address)]) == 69
    assert "CONNECTION_LOST" in capsys.readouterr().err


@pytest.mark.parametrize(
    "address", ["http://example", "", "unix:", "tcp:host", "tcp:host:0", "unix:/" + "x" * 200]
)
@pytest.mark.parametrize("command", [["models"], ["replay", "none.csv"], ["config", "show"]], ids=" ".join)
def test_a_wrong_address_exits_78_before_anything_is_read(command, address, capsys):
    assert main([*command, "--connect", address]) == 78
    said = capsys.readouterr().err
    assert said.startswith("handicapper: SETTINGS_INVALID --connect: address was ")
    assert said.count("\n") == 1


def test_a_wrong_address_in_the_environment_is_told_by_its_name(capsys, monkeypatch):
    monkeypatch.delenv("HANDICAPPER_STATE", raising=False)
    monkeypatch.setenv("HANDICAPPER_CONNECT", "localhost:4242")
    assert main(["models"]) == 78
    said = capsys.readouterr().err
    assert 'SETTINGS_INVALID HANDICAPPER_CONNECT: address was "localhost:4242"; expected unix:/path' in said


@pytest.mark.parametrize(
    ("command", "listens"),
    [
        (["models"], True),
        (["reset"], True),
        (["verify"], True),
        (["backup"], True),
        (["replay"], False),
        (["config", "show"], False),
    ],
)
def test_help_names_the_variable_only_where_it_is_listened_to(command, listens, capsys):
    assert main([*command, "--help"]) == 0
    assert ("HANDICAPPER_CONNECT" in capsys.readouterr().out) == listens


def test_a_replay_and_config_show_ask_no_daemon_of_the_environment(stream, tmp_path, told, monkeypatch):
    """Past inputs must not end up in a live daemon by accident."""
    monkeypatch.setenv("HANDICAPPER_CONNECT", f"unix:{tmp_path}/none")
    assert told("replay", str(stream))["state"] is None
    assert told("config", "show")["online_learning"]
