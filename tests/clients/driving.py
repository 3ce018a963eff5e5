"""Runs a foreign client: calls go in as a file of MessagePack, what came of them comes out as another.

The calls are a list of ``[kind, method, args]``: ``request``, ``notify``, or ``await``, which waits until a
notification ``method`` tells what the last request was answered. A driver answers with a map: ``answers`` is
a list of ``[error, result]`` for the requests, the error being the text that its library gave it;
``notifications`` is a list of ``[method, params]``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import pytest

from .story import Call

DRIVERS = Path(__file__).with_name("drivers")
NODE_MODULES = Path(sys.prefix) / "foreign" / "node" / "node_modules"
DEADLINE_SECONDS = 180.0
"""Far beyond anything expected: reached only when something hangs."""


@dataclass(frozen=True)
class Driven:
    """What a client has seen."""

    answers: list[tuple[str | None, Any]]
    notifications: list[tuple[str, Any]]

    @property
    def errors(self) -> list[str]:
        return [error for error, _ in self.answers if error is not None]

    @property
    def results(self) -> list[Any]:
        return [result for error, result in self.answers if error is None]


def run_driver(
    client: str, address: str | tuple[str, int], told: list[Call], directory: Path, *options: str
) -> Driven:
    """Let a client make calls to the daemon at ``address``; skips where it is not installed."""
    skip_unless_there(client)
    place = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
    calls, answers = directory / "calls", directory / "answers"
    calls.write_bytes(json.dumps(told).encode() if client == "neovim" else msgpack.Packer().pack(told))
    answers.unlink(missing_ok=True)
    arguments = [place, str(calls), str(answers), *options]
    command = {
        "npm neovim": ["node", str(DRIVERS / "npm_neovim.cjs"), *arguments],
        "pynvim": [sys.executable, str(DRIVERS / "pynvim_client.py"), *arguments],
        "neovim": ["nvim", "--headless", "-u", "NONE", "-i", "NONE", "-n", "-S", str(DRIVERS / "neovim.vim")],
    }[client]
    environment = os.environ | {
        "NODE_PATH": str(NODE_MODULES),
        "ADDRESS": place,
        "CALLS": str(calls),
        "ANSWERS": str(answers),
    }
    run(command, env=environment)
    seen = plain(msgpack.unpackb(answers.read_bytes(), raw=True, strict_map_key=False))
    return Driven([tuple(answer) for answer in seen["answers"]], [tuple(n) for n in seen["notifications"]])


def skip_unless_there(client: str) -> None:
    there = {
        "npm neovim": shutil.which("node") is not None and (NODE_MODULES / "neovim").is_dir(),
        "pynvim": importlib.util.find_spec("pynvim") is not None,
        "neovim": shutil.which("nvim") is not None,
    }[client]
    if not there:
        pytest.skip(f"{client} is not installed; bin/foreign.sh installs it where it can")


def run(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a program to its end, with nothing on its standard input; its output."""
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=DEADLINE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def plain(value: Any) -> Any:
    """Texts as str: a client may have written them as text or as binary."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return value
