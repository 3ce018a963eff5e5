"""bin/foreign.sh in a checkout of stubs: nothing is downloaded and nothing is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ["bash", "sh", "basename", "dirname", "readlink", "mkdir", "cp", "rm", "touch", "find"]
STUB = """#!/bin/sh
echo "$(basename "$0") $*" >> "$STUB_LOG"
{body}
"""
NO_PYNVIM = 'case "$*" in *pynvim*) exit 1 ;; esac'

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")

Run = Callable[[], tuple[list[str], list[str]]]


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """All of PATH: hardly anything is on it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in NEEDED:
        program = shutil.which(name)
        assert program is not None
        (programs / name).symlink_to(program)
    return programs


@pytest.fixture
def run(tmp_path: Path, programs: Path) -> Run:
    """Run the script in a checkout whose Python imports nothing foreign: what it said, and what it called."""
    root = tmp_path / "a checkout"
    for name in ("bin/foreign.sh", "bin/setup.sh", "protocol/examples/node/package.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "pyproject.toml").write_text("")
    (root / ".venv" / "bin").mkdir(parents=True)
    stub(root / ".venv" / "bin" / "python", NO_PYNVIM)
    log = tmp_path / "log"

    def run() -> tuple[list[str], list[str]]:
        log.write_text("")
        done = subprocess.run(
            [str(root / "bin" / "foreign.sh")],
            env={"PATH": str(programs), "STUB_LOG": str(log)},
            cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines(), log.read_text().splitlines()

    return run


def stub(path: Path, body: str = "") -> None:
    path.write_text(STUB.format(body=body))
    path.chmod(0o755)


def test_what_cannot_be_had_is_said_and_nothing_fails(run: Run) -> None:
    said, called = run()
    assert said == [
        f"foreign programs: {tool} cannot be had; the tests that need it are skipped"
        for tool in ("rust", "node", "npm", "neovim", "pynvim", "systemd", "strace", "fiu")
    ]
    assert not [line for line in called if line.startswith(("apt-get", "npm"))]


def test_missing_programs_are_asked_of_debian_one_by_one_after_an_update(run: Run, programs: Path) -> None:
    stub(programs / "apt-get", "exit 100")
    stub(programs / "id", "echo 0")
    _, called = run()
    update, *installs = [line for line in called if line.startswith("apt-get")]
    assert update.startswith("apt-get update")
    assert sorted(line.rsplit(" ", 2)[-1] for line in installs) == [
        "fiu-utils",
        "librust-serde-derive-dev",
        "neovim",
        "npm",
        "strace",
        "systemd",
    ]


def test_nothing_is_asked_of_debian_by_others_than_root(run: Run, programs: Path) -> None:
    stub(programs / "apt-get")
    stub(programs / "id", "echo 1000")
    _, called = run()
    assert not [line for line in called if line.startswith("apt-get")]


def test_packages_that_npm_cannot_install_leave_nothing_half_done(run: Run, programs: Path) -> None:
    stub(programs / "node")
    stub(programs / "npm", "mkdir -p node_modules/neovim; exit 1")
    said, called = run()
    assert "foreign programs: node is there" in said
    assert "foreign programs: npm cannot be had; the tests that need it are skipped" in said
    assert [line for line in called if line.startswith("npm install")]


def test_packages_that_are_there_are_not_installed_again(run: Run, programs: Path) -> None:
    stub(programs / "node")
    stub(programs / "npm", "mkdir -p node_modules/neovim")
    first, _ = run()
    again, called = run()
    assert "foreign programs: npm is there" in first
    assert again == first
    assert not [line for line in called if line.startswith("npm install")]
