from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import click
import pytest

from handicapper.bin import exit_codes
from handicapper.bin.cli import cli, main
from handicapper.protocol import errors

from .streams import line, text

COMMAND = [sys.executable, "-m", "handicapper.bin"]


def every_command(group: click.Group, prefix: tuple[str, ...] = ()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, (*prefix, name))
        else:
            yield (*prefix, name)


def test_help_states_every_exit_code(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for code, said in exit_codes.DESCRIPTIONS.items():
        assert f"{code}  {said}" in shown


@pytest.mark.parametrize("path", list(every_command(cli)), ids=" ".join)
def test_help_of_every_command_exits_0(path, capsys):
    assert main([*path, "--help"]) == 0
    assert f"handicapper {' '.join(path)}" in capsys.readouterr().out


def test_version_is_that_of_the_installed_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("handicapper ")


def test_help_and_wrong_arguments_import_nothing_heavy():
    code = (
        "import sys; from handicapper.bin.cli import main; main(['--help']); main(['models']); "
        "print([m for m in ('numpy', 'scipy', 'lmdb', 'pykka', 'rich', 'structlog') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["replay"],
        ["replay", "--nonsense", "a.csv"],
        ["replay", "-", "-"],
        ["replay", "a.csv", "--stake", "0"],
        ["replay", "a.csv", "--stake", "nan"],
        ["replay", "a.csv", "--stake", "0.0000001"],
        ["replay", "a.csv", "--seed", "-1"],
        ["simulate", "--models", "0"],
        ["simulate", "--turn-bad-at", "2"],
        ["models"],
        ["report", "--state", "x"],
        ["pause", "m", "--state", "x", "--until", "tomorrow"],
        ["sample", "--state", "x", "-n", "0"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_exit_64(arguments, capsys, monkeypatch):
    monkeypatch.delenv("HANDICAPPER_STATE", raising=False)
    assert main(arguments) == exit_codes.BAD_USAGE == 64
    said = capsys.readouterr()
    assert said.out == ""
    assert "Usage: handicapper" in said.err


@pytest.mark.parametrize(
    "command",
    [
        ["models"],
        ["report", "m"],
        ["params", "m"],
        ["sample"],
        ["pause", "m"],
        ["resume", "m"],
        ["reset", "m"],
        ["snapshot"],
        ["verify"],
    ],
    ids=" ".join,
)
def test_a_state_that_is_not_there_exits_66_and_is_not_made(command, tmp_path, capsys, monkeypatch):
    missing = tmp_path / "state"
    monkeypatch.setenv("HANDICAPPER_STATE", str(missing))
    assert main(command) == exit_codes.CANNOT_OPEN_INPUT == 66
    assert f"STATE_MISSING state directory {missing} does not exist" in capsys.readouterr().err
    assert not missing.exists()
    missing.mkdir()
    assert main(command) == 66
    assert "holds no state" in capsys.readouterr().err
    assert list(missing.iterdir()) == []
    missing.rmdir()
    missing.write_text("a file")
    assert main(command) == 66
    assert "is not a directory" in capsys.readouterr().err


def test_an_input_that_is_not_there_exits_66(tmp_path, capsys):
    assert main(["replay", str(tmp_path / "none.csv")]) == 66
    assert capsys.readouterr().err.startswith("handicapper: INPUT_UNREADABLE cannot open ")


def test_settings_that_are_wrong_exit_78_before_any_input_is_read(tmp_path, capsys):
    settings = tmp_path / "bad.toml"
    settings.write_text("[online_learning]\nema_alpha = 2\nnonsense = 1\n")
    assert main(["replay", str(tmp_path / "none.csv"), "--config", str(settings)]) == 78
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "ema_alpha" in said
    assert "nonsense" in said


EXPECTED_CODES = {
    "INVALID_VALUE": 65,
    "CONFLICT": 65,
    "STALE_REVISION": 65,
    "PREDICTED_AFTER_RESOLUTION": 65,
    "BATCH_PARTIAL": 65,
    "BAD_CALL": 65,
    "UNKNOWN_MODEL": 66,
    "UNKNOWN_MARKET": 66,
    "SETTINGS_INVALID": 78,
    "BUSY": 75,
    "DEADLINE_EXCEEDED": 75,
    "STATE_LOCKED": 75,
    "CLOSED": 70,
    "MODEL_FAILED": 70,
    "UNAVAILABLE": 70,
    "INTERNAL": 70,
    "STATE_ERROR": 73,
    "STORE_FAILED": 73,
    "STORE_FULL": 73,
    "STATE_DAMAGED": 65,
    "STATE_SCHEMA": 65,
    "CONNECTION_LOST": 69,
    "BACKUP_FAILED": 73,
    "PROTOCOL_ERROR": 65,
    "BAD_MESSAGE": 76,
    "UNFRAMEABLE": 76,
    "PROTOCOL_UNSUPPORTED": 76,
    "UNKNOWN_METHOD": 65,
    "TOO_DEEP": 65,
    "TOO_LARGE": 65,
    "TIMED_OUT": 65,
    "UNAUTHENTICATED": 77,
}


def test_every_error_has_a_stated_exit_code():
    found = {}
    kinds = [kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)]
    for kind in kinds:
        if kind is errors.RemoteError:  # its code is whatever the sender says
            continue
        found[kind.code] = exit_codes.exit_code_of(kind.__new__(kind))
    assert found == EXPECTED_CODES
    assert set(found.values()) <= set(exit_codes.DESCRIPTIONS)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.BusyError("full\n\x1b[31m"), 75, "handicapper: BUSY full \\x1b[31m; retry after 50 ms\n"),
        (OSError(28, "No space left"), 73, "handicapper: OS_ERROR [Errno 28] No space left\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
        (
            ZeroDivisionError("x"),
            70,
            "handicapper: INTERNAL ZeroDivisionError: x (set HANDICAPPER_TRACEBACK=1 to see where)\n",
        ),
    ],
)
def test_whatever_goes_wrong_ends_in_one_line_and_its_code(error, code, said, monkeypatch, capsys):
    def fail(*_args: object, **_kwargs: object):
        raise error

    monkeypatch.delenv("HANDICAPPER_TRACEBACK", raising=False)
    monkeypatch.setattr("handicapper.bin.simulate.simulate", fail)
    assert main(["simulate"]) == code
    assert capsys.readouterr().err == said


def test_an_internal_error_leaves_its_traceback_where_asked_for(monkeypatch):
    def fail(**_kwargs: object):
        raise ZeroDivisionError("x")

    monkeypatch.setenv("HANDICAPPER_TRACEBACK", "1")
    monkeypatch.setattr("handicapper.bin.simulate.simulate", fail)
    with pytest.raises(ZeroDivisionError):
        main(["simulate"])


def test_a_reader_that_leaves_early_ends_the_run_without_a_word():
    with subprocess.Popen(
        [*COMMAND, "simulate", "--markets", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as ran:
        assert ran.stdout is not None
        ran.stdout.readline()
        ran.stdout.close()
        assert ran.stderr is not None
        assert ran.stderr.read() == b""
        assert ran.wait(30) == exit_codes.BROKEN_PIPE == 141


def test_a_closed_standard_output_is_no_error():
    ran = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *COMMAND, "simulate", "--markets", "2"],
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_full_device_exits_73_in_one_line():
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            [*COMMAND, "simulate", "--markets", "2"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ran.returncode == 73
    assert ran.stderr.count(b"\n") == 1


def test_sigint_ends_a_long_run_with_130():
    with subprocess.Popen(
        [*COMMAND, "simulate", "--markets", "10000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as ran:
        assert ran.stdout is not None
        ran.stdout.readline()
        ran.send_signal(signal.SIGINT)
        out_err = ran.communicate(timeout=30)
        assert ran.returncode == exit_codes.INTERRUPTED == 130
        assert out_err[1] == b""


def test_json_of_config_show_is_the_settings(capsys):
    assert main(["config", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["online_learning"]["ema_alpha"] == 0.1


def test_a_wrong_line_exits_65_with_its_place(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text(text([line(), line(event="e2", confidence="7")]))
    assert main(["replay", str(path)]) == exit_codes.BAD_DATA == 65
    said = capsys.readouterr().err
    assert said == (
        f"handicapper: INPUT_INVALID {path}, line 3, column confidence: "
        "was '7'; expected a number from 0 to 1\n"
    )
