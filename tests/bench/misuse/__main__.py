"""``python -m tests.bench.misuse``: what one connection's misuse costs the others, as a table."""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ...protocol.daemon import Daemon, serving
from ...protocol.wire import eventually
from .attacks import ATTACKS, Attack, prepare

HERE = Path(__file__).parent
KINDS = ("ping", "record")
MIB = 2**20
ROUNDS = 3
SECONDS = 1.0
SETTLE_SECONDS = 0.3
SETTINGS = """
[online_learning.server]
partial_message_timeout_secs = 2.0
read_timeout_secs = 4.0

[online_learning.persistence]
save_interval_secs = 86400
snapshot_inputs_max = 1000000000
"""
"""No snapshot comes in between: what it takes is not the attack's."""


class Waits(NamedTuple):
    """Of one client in one window, ms."""

    p50: float
    p99: float
    longest: float


def waits(seconds: Sequence[float]) -> Waits:
    ordered = sorted(seconds) or [math.nan]
    last = len(ordered) - 1
    return Waits(ordered[last // 2] * 1e3, ordered[math.ceil(last * 0.99)] * 1e3, ordered[last] * 1e3)


class OtherClients:
    """Clients that did nothing wrong, each a process."""

    def __init__(self, path: str) -> None:
        self._processes = {
            kind: subprocess.Popen(
                [sys.executable, str(HERE / "other_client.py"), path, kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for kind in KINDS
        }

    def take(self) -> dict[str, Waits]:
        """What they had to wait since the last time."""
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        found = {}
        for kind, process in self._processes.items():
            assert process.stdout is not None
            found[kind] = waits(json.loads(process.stdout.readline()))
        return found

    def end(self) -> None:
        for process in self._processes.values():
            process.communicate(timeout=60)


class Turns:
    """The longest turns of a daemon's loop."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def take(self, daemon: Daemon) -> dict[str, float]:
        self.path.unlink(missing_ok=True)
        daemon.process.send_signal(signal.SIGUSR1)
        eventually(self.path.exists, "the turns written")
        return {name: seconds * 1e3 for name, seconds in json.loads(self.path.read_text()).items()}


class Round(NamedTuple):
    calm: dict[str, Waits]
    attacked: dict[str, Waits]
    turns: dict[str, float]
    peak_mib: float


@contextmanager
def measuring(directory: Path) -> Iterator[tuple[Daemon, OtherClients, Turns]]:
    turns = Turns(directory / "turns.json")
    module, environment = "tests.bench.misuse.measured_daemon", {"MISUSE_TURNS": str(turns.path)}
    with serving(directory, SETTINGS, module=module, environment=environment) as daemon:
        prepare(daemon)
        others = OtherClients(str(daemon.unix))
        try:
            yield daemon, others, turns
        finally:
            others.end()


def one_round(daemon: Daemon, others: OtherClients, turns: Turns, attack: Attack, seconds: float) -> Round:
    # What the attack before left behind is not this one's.
    eventually(
        lambda: daemon.statistics()["server"]["connections"] <= len(KINDS) + 1, "the attack before gone"
    )
    time.sleep(SETTLE_SECONDS)
    others.take()
    time.sleep(seconds)
    calm = others.take()
    turns.take(daemon)
    daemon.forget_peak()
    deadline = time.monotonic() + seconds
    while True:
        attack(daemon)
        if time.monotonic() >= deadline:
            break
    return Round(calm, others.take(), turns.take(daemon), daemon.peak_memory_bytes() / MIB)


HEADER = (
    "| attack | ping ms: p50 / p99 / longest | recording ms: p50 / p99 / longest "
    "| longest turn, collection ms | RSS MiB |\n|---|---|---|---|---|"
)


def row(name: str, rounds: Sequence[dict[str, Waits]], turns: str = "", peak: str = "") -> str:
    cells = []
    for kind in KINDS:
        medians = (median(each) for each in zip(*(found[kind] for found in rounds), strict=True))
        cells.append(" / ".join(f"{value:.2f}" for value in medians))
    return f"| {name} | {' | '.join(cells)} | {turns} | {peak} |"


def attacked_row(name: str, rounds: Sequence[Round]) -> str:
    kinds = {kind for found in rounds for kind in found.turns}
    turns = {kind: median(found.turns.get(kind, 0.0) for found in rounds) for kind in kinds}
    collected = max((turns.pop(kind) for kind in kinds if kind.startswith("gc")), default=0.0)
    kind = max(turns, key=turns.__getitem__)
    peak = max(found.peak_mib for found in rounds)
    return row(
        name,
        [found.attacked for found in rounds],
        f"{turns[kind]:.1f} ({kind}), {collected:.1f}",
        f"{peak:.0f}",
    )


def measure(names: Sequence[str], rounds: int, seconds: float, directory: Path) -> dict[str, list[Round]]:
    """Every attack once a round, so that what else the machine does falls on all alike."""
    found: dict[str, list[Round]] = {name: [] for name in names}
    with measuring(directory) as (daemon, others, turns):
        for _ in range(rounds):
            for name in names:
                found[name].append(one_round(daemon, others, turns, ATTACKS[name], seconds))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.misuse", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="of each attack at least, in each round"
    )
    parser.add_argument("--only", default="", help="attacks with this in their names")
    given: Any = parser.parse_args(arguments)
    names = [name for name in ATTACKS if given.only in name]
    with tempfile.TemporaryDirectory(prefix="misuse-") as directory:
        found = measure(names, given.rounds, given.seconds, Path(directory) / "daemon")
    print(HEADER)
    print(row("*none*", [each.calm for rounds in found.values() for each in rounds]))
    for name, rounds in found.items():
        print(attacked_row(name, rounds))


if __name__ == "__main__":
    main()
