"""SIGKILL at the N-th write, sync, rename, … of everything a learner does to its files; opened again, all is there.

strace kills the process as the call begins: what was done before it is there, it and what would follow is not.
Everyday a few of each kind; every single one with ``bin/test --syscalls``.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import strace
from .conftest import ForkServer
from .places import ALL, LIVES, SEED, Lives, choose, count, inject, log_of
from .reconciling import SETTINGS, acknowledged, doubtful, last_step, reconcile

CALLS = ("pwrite64", "writev", "write", "fdatasync", "fsync", "ftruncate", "rename", "unlink", "mkdir")

pytestmark = pytest.mark.skipif(strace.missing() is not None, reason=str(strace.missing()))


@pytest.fixture(scope="module")
def kills() -> Iterator[Counter[str]]:
    """How many fell on which path; printed in the end (``-s`` shows it)."""
    counted: Counter[str] = Counter()
    yield counted
    print(f"\nSIGKILL at a call, of which path: {dict(sorted(counted.items()))}, {counted.total()} in all")


@pytest.mark.parametrize("lives", LIVES if ALL else [LIVES[0], LIVES[3]], ids=str)
def test_killed_at_any_call_that_writes_it_has_everything_it_had_acknowledged(
    lives: Lives, tmp_path: Path, fork_server: ForkServer, kills: Counter[str]
) -> None:
    counts = count(fork_server, lives, CALLS, tmp_path / "counted")
    chance = random.Random(SEED)
    for name in CALLS:
        never_made = 0
        for number in choose(counts, name, chance):
            path = tmp_path / f"{name}-{number}"
            job = fork_server.run(
                "traced",
                path=str(path),
                settings=SETTINGS,
                seed=SEED,
                turn=lives.turn,
                strace=inject(name, f"signal=KILL:when={number}", path),
                from_life=lives.from_life,
            )
            kills[f"{name} in {last_step(job)}"] += job.signal == 9
            if not job.signal:
                # The threads take turns otherwise now and then: none of them made so many calls this time.
                never_made += 1
                made = strace.counts_by_thread(log_of(path), [name], "")[name]
                assert job.status == 0 and made < number, (name, number, made, job.messages)
                assert never_made <= 1 + counts[name] // 8, (name, number)
            set_aside = reconcile(fork_server, path, SEED, acknowledged(job), doubtful(job))
            assert set_aside == (), (name, number)
