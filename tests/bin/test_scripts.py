"""The shell scripts, in a checkout of stubs: nothing is downloaded and nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BIN = Path(__file__).parents[2] / "bin"
SCRIPTS = ("run", "test", "bench")
# Writes its name and arguments to the log; as "python -m venv DIR" it makes the stubs of a new .venv.
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "$STUB_LOG"
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin"
    for tool in python handicapper pytest ruff basedpyright lint-imports; do cp "$0" "$3/bin/$tool"; done
fi
[ "$(basename "$0")" = "${STUB_FAILS:-none}" ] && exit 3
exit 0
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "a checkout"
    (root / "bin").mkdir(parents=True)
    for name in (*SCRIPTS, "setup.sh"):
        shutil.copy(BIN / name, root / "bin" / name)
    (root / "pyproject.toml").write_text("")
    os.utime(root / "pyproject.toml", (1, 1))
    stub = tmp_path / "stubpython"
    stub.write_text(STUB)
    stub.chmod(0o755)
    return root


def run(checkout: Path, script: str, *arguments: str, fails: str = "none") -> tuple[int, list[str]]:
    """Run a script from another directory; its exit code, and what it called."""
    log = checkout.parent / "log"
    log.write_text("")
    inherited = {name: value for name, value in os.environ.items() if name != "HANDICAPPER_INSTALL"}
    environment = inherited | {
        "STUB_LOG": str(log),
        "STUB_FAILS": fails,
        "PYTHON": str(checkout.parent / "stubpython"),
    }
    ran = subprocess.run(
        [str(checkout / "bin" / script), *arguments],
        cwd="/",
        env=environment,
        capture_output=True,
        check=False,
    )
    return ran.returncode, log.read_text().splitlines()


def installs(calls: list[str]) -> list[str]:
    return [call for call in calls if " pip install " in call]


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_is_executable_and_valid_bash(name):
    assert os.access(BIN / name, os.X_OK)
    subprocess.run(["bash", "-n", BIN / name], check=True)


def test_run_in_a_fresh_checkout_makes_a_venv_and_installs_once(checkout):
    code, calls = run(checkout, "run")
    assert code == 0
    assert f"stubpython -m venv {checkout}/.venv" in calls
    assert installs(calls) == ["python -m pip install --quiet --disable-pip-version-check -e ."]
    assert "handicapper simulate" in calls
    assert "handicapper replay -" in calls
    _, again = run(checkout, "run")
    assert installs(again) == []
    assert not any("venv" in call for call in again)


def test_run_with_arguments_replays_them(checkout):
    _, calls = run(checkout, "run", "a file.csv", "--json")
    assert calls[-1] == "handicapper replay a file.csv --json"


def test_run_installs_again_when_the_project_file_is_newer(checkout):
    run(checkout, "run")
    stamp = checkout / ".venv" / ".handicapper-run"
    later = stamp.stat().st_mtime + 10
    os.utime(checkout / "pyproject.toml", (later, later))
    _, calls = run(checkout, "run")
    assert len(installs(calls)) == 1


def test_run_fails_when_the_simulation_fails(checkout):
    code, _ = run(checkout, "run", fails="handicapper")
    assert code == 3


def test_test_runs_every_check_and_passes_arguments_to_pytest(checkout):
    code, calls = run(checkout, "test", "-x", "tests/bin")
    assert code == 0
    assert installs(calls) == ["python -m pip install --quiet --disable-pip-version-check -e .[dev]"]
    assert calls[-5:] == [
        "ruff check",
        "ruff format --check",
        "basedpyright ",
        "lint-imports ",
        "pytest -m not bench --numprocesses logical --maxprocesses 4 --dist worksteal -x tests/bin",
    ]


def test_test_stops_at_the_first_check_that_fails(checkout):
    code, calls = run(checkout, "test", fails="basedpyright")
    assert code == 3
    assert calls[-1] == "basedpyright "


def test_test_with_mutants_plants_those_that_are_named_and_runs_nothing_else(checkout):
    code, calls = run(checkout, "test", "--mutants", "CRC", "a word")
    assert code == 0
    assert calls[-1] == "python -m tests.mutants CRC a word"
    assert not any(call.startswith(("pytest", "ruff")) for call in calls)


def test_bench_runs_the_benchmarks_only(checkout):
    _, calls = run(checkout, "bench", "-k", "gather")
    assert calls[-1] == "pytest -m bench tests/bench -k gather"


def test_bench_measures_a_wheel_and_builds_it_again_when_a_source_is_newer(checkout):
    for name in ("setup.py", "actors/fold.py", "protocol/many.py", "config/settings.py"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text("")
        os.utime(checkout / name, (1, 1))
    _, calls = run(checkout, "bench")
    assert installs(calls) == ["python -m pip install --quiet --disable-pip-version-check .[dev]"]
    _, again = run(checkout, "bench")
    assert installs(again) == []
    later = (checkout / ".venv" / ".handicapper-dev-wheel").stat().st_mtime + 10
    os.utime(checkout / "actors" / "fold.py", (later, later))
    _, edited = run(checkout, "bench")
    assert len(installs(edited)) == 1


def test_tests_after_a_benchmark_run_the_sources_again(checkout):
    run(checkout, "test")
    run(checkout, "bench")
    _, calls = run(checkout, "test")
    assert installs(calls) == ["python -m pip install --quiet --disable-pip-version-check -e .[dev]"]
    run(checkout, "run")
    assert installs(run(checkout, "test")[1]) == []


def test_an_old_python_is_refused_before_anything_is_made(checkout):
    code, calls = run(checkout, "run", fails="stubpython")
    assert code == 69
    assert not (checkout / ".venv").exists()
    assert len(calls) == 1
