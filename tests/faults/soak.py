"""A daemon for a while at half of its top speed with everything on: does it stay as it is?

``bin/test --soak [MINUTES]`` (default 15). Prints a row of a table every 30 s, oftener if it is shorter; exit code 1
says what was not flat.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from time import monotonic
from typing import NamedTuple

from handicapper.actors import verify_state

from .lifecycle import Daemon, Daemons
from .soak_load import Load

SETTINGS = "[online_learning.persistence]\nsave_interval_secs = 3.0\ninitial_map_mib = 16\n"
ROW_SECONDS = 30.0
ROWS_MIN = 10
"""However short it is."""


class Row(NamedTuple):
    """How the daemon is at one moment."""

    seconds: float
    inputs: int
    per_second: float
    rss_mib: float
    """With the pages of LMDB's map that were read, which the kernel takes back when it wants them."""
    own_mib: float
    """Without those."""
    fds: int
    threads: int
    segments: int
    log_mib: float
    data_mib: float
    pages_per_1000: float
    """Pages of 4 KiB that LMDB's file has for 1,000 inputs."""
    events: int
    connections: int


class Rule(NamedTuple):
    """What has to stay as it was: the last quarter against the second one."""

    name: str
    value: Callable[[Row], float]
    factor: float
    slack: float


RULES = [
    Rule("memory of its own (MiB)", lambda row: row.own_mib, 1.10, 16.0),
    Rule("file descriptors", lambda row: row.fds, 1.0, 2.0),
    Rule("threads", lambda row: row.threads, 1.0, 0.0),
    Rule("segments of the log", lambda row: row.segments, 1.0, 1.0),
    Rule("LMDB pages for 1,000 inputs", lambda row: row.pages_per_1000, 1.05, 5.0),
]


def look(daemon: Daemon, state: Path, load: Load, began: float, before: Row | None) -> Row:
    """How it is now."""
    status = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
        if ":" in line
    )
    segments = [path.stat().st_size for path in state.glob("journal-*.log")]
    data_bytes = (state / "data.mdb").stat().st_size
    seconds, inputs = monotonic() - began, load.total
    since, earlier = (0.0, 0) if before is None else (before.seconds, before.inputs)
    return Row(
        seconds,
        inputs,
        (inputs - earlier) / (seconds - since),
        int(status["VmRSS"].split()[0]) / 1024,
        int(status["RssAnon"].split()[0]) / 1024,
        len(os.listdir(f"/proc/{daemon.pid}/fd")),
        int(status["Threads"]),
        len(segments),
        sum(segments) / 2**20,
        data_bytes / 2**20,
        data_bytes / 4096 / max(inputs, 1) * 1000,
        load.events,
        load.connections,
    )


def show(row: Row) -> None:
    """One row of the table."""
    cells = (f"{value:.1f}" if isinstance(value, float) else f"{value:,}" for value in row)
    print(
        "  ".join(f"{cell:>{max(len(name), 7)}}" for cell, name in zip(cells, Row._fields, strict=True)),
        flush=True,
    )


def judge(rows: list[Row]) -> list[str]:
    """What was not flat; the first quarter is its warm-up."""
    quarter = len(rows) // 4
    second, last = rows[quarter : 2 * quarter], rows[-quarter:]
    problems: list[str] = []
    for rule in RULES:
        before, after = mean(map(rule.value, second)), mean(map(rule.value, last))
        if after > before * rule.factor + rule.slack:
            problems.append(f"{rule.name}: {before:.1f} in the second quarter, {after:.1f} in the last")
    return problems


def soak(daemon: Daemon, state: Path, minutes: float) -> list[str]:
    """Find its top speed, keep it at half of that, and say what is wrong."""
    load = Load(f"unix:{daemon.ready['unix']}")
    pause = threading.Event()
    rows: list[Row] = []
    try:
        began, warm_seconds = monotonic(), min(10.0, minutes * 60 / 5)
        pause.wait(warm_seconds)
        top = look(daemon, state, load, began, None)
        load.pace(top.per_second / 2)
        print(f"top speed of these clients: {top.per_second:,.0f} inputs/s; from here on half of it")
        print("  ".join(f"{name:>7}" for name in Row._fields))
        row_seconds = min(ROW_SECONDS, minutes * 60 / ROWS_MIN)
        row = top
        while monotonic() - began < warm_seconds + minutes * 60 and not load.errors:
            pause.wait(row_seconds)
            row = look(daemon, state, load, began, row)
            rows.append(row)
            show(row)
    finally:
        load.stop()
    problems = [f"a client was refused: {error!r}" for error in load.errors]
    return problems or judge(rows)


def main() -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=15.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="soak-") as name, Daemons(Path(name)) as daemons:
        config = Path(name, "settings.toml")
        config.write_text(SETTINGS)
        daemon = daemons.start("--config", config)
        problems = soak(daemon, daemons.state, minutes)
        if (status := daemon.stop()) != 0:
            problems.append(f"it left with exit code {status}")
        if not (report := verify_state(daemons.state)).ok:
            problems.append(f"verify: {report}")
    for problem in problems:
        print(f"NOT FLAT: {problem}" if ":" in problem else problem)
    print("soak: " + ("; ".join(problems) if problems else "everything stayed as it was"))
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
