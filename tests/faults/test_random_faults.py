"""Calls of a daemon fail at random, or write less than they were asked to: fiu-run, which injects them from within.

strace fails one call at a time and never shortens one (test_failing_calls); here many fail, in any thread and in any
order. Whatever comes of it: what was answered is there after the next start, and a failure has its name. Three plans
everyday, the others with ``bin/test --syscalls``.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import verify_state

from .lifecycle import SERVE, Daemon, Daemons, Peer, outcome
from .places import ALL

OUTCOMES = 200
ENOSPC, EIO = 28, 5
FAILS, CUT = 0.1, 0.5
"""How likely: that none of so many inputs meets one has a probability of 1e-9."""
PLANS = [
    ("pwrite/reduce", CUT, 0),
    ("pwrite", FAILS, EIO),
    ("fdatasync", FAILS, ENOSPC),
    *([("writev/reduce", CUT, 0), ("pwrite", FAILS, ENOSPC), ("fdatasync", FAILS, EIO)] if ALL else []),
]

pytestmark = pytest.mark.skipif(
    shutil.which("fiu-run") is None, reason="fiu-run is not installed (bin/foreign.sh)"
)


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path) as made:
        yield made


def begin_failing(daemon: Daemon, control: Path, point: str, probability: float, errno: int) -> None:
    """From now on calls of the daemon fail at random."""
    folder = "sync" if point == "fdatasync" else "rw"
    command = f"enable_random name=posix/io/{folder}/{point},probability={probability},failinfo={errno}"
    subprocess.run(
        ["fiu-ctrl", "-f", str(control), "-c", command, str(daemon.pid)],
        check=True,
        timeout=60,
        capture_output=True,
    )


@pytest.mark.parametrize(("point", "probability", "errno"), PLANS)
def test_daemon_whose_calls_fail_at_random_loses_nothing_it_has_answered(
    point: str, probability: float, errno: int, daemons: Daemons, tmp_path: Path
) -> None:
    control = tmp_path / "control"
    settings = tmp_path / "settings.toml"
    settings.write_text(
        "[online_learning.persistence]\nsave_interval_secs = 0.05\nsnapshot_inputs_max = 50\n"
    )
    daemon = daemons.begin("--config", settings, command=["fiu-run", "-x", "-f", str(control), *SERVE])
    daemon.wait_ready()
    begin_failing(daemon, control, point, probability, errno)
    answered: dict[int, Any] = {}
    refused: Counter[str] = Counter()
    with daemon.connect() as peer:
        for number in range(OUTCOMES):
            error, result = ask(peer, "record_outcome", outcome(number, f"m{number % 3}"))
            if error is None:
                answered[number] = result["seq"]
            else:
                refused[error.split()[0]] += 1
    assert refused.keys() <= {"STORE_FAILED", "STORE_FULL"}, refused
    assert refused or not errno, "none of so many failed"
    daemon.kill()
    with daemons.start("--config", settings).connect() as peer:
        for number, seq in answered.items():
            receipt = peer.call("record_outcome", outcome(number, f"m{number % 3}"))
            assert (receipt["seq"], receipt.get("duplicate")) == (seq, True), number
        statistics = peer.call("statistics")
        assert (statistics["state"], statistics["quarantined"]) == ("accepting", [])
        for number in range(OUTCOMES):
            peer.call("record_outcome", outcome(number, f"m{number % 3}"))
        assert sum(report["n"] for report in peer.call("reports")) == OUTCOMES
    assert daemons.latest.stop() == 0
    assert verify_state(daemons.state).ok


def ask(peer: Peer, method: str, params: Any) -> tuple[str | None, Any]:
    """(error's text, result) of a request."""
    peer.send(method, params)
    message = peer.next()
    assert message is not None, "the daemon hung up"
    error = message[2]
    return (None if error is None else error[1]), message[3]
