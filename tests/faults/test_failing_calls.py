"""A write or a sync fails, once or from then on, at any place: a named state, and nothing acknowledged is lost.

strace has the N-th call fail with ENOSPC or EIO; opened again with a disk that is well, all is there. Everyday a few
of each kind; every single one with ``bin/test --syscalls``. A sync that fails once only shows that nothing is
accepted afterwards although the disk would take it: what it was for may be gone. A write that found no room is
made again, and the learner goes on by itself.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import strace
from .conftest import ForkServer, Job
from .places import ALL, LIVES, SEED, Lives, choose, count, inject, log_of
from .reconciling import SETTINGS, acknowledged, doubtful, last_step, reconcile

FAULTS = (
    ("pwrite64", "ENOSPC"),
    ("pwrite64", "EIO"),
    ("writev", "ENOSPC"),
    ("writev", "EIO"),
    ("write", "ENOSPC"),
    ("fdatasync", "EIO"),
    ("fdatasync", "ENOSPC"),
    ("fsync", "EIO"),
    ("ftruncate", "EIO"),
    ("rename", "EIO"),
    ("unlink", "EIO"),
)

pytestmark = pytest.mark.skipif(strace.missing() is not None, reason=str(strace.missing()))


@pytest.fixture(scope="module")
def faults() -> Iterator[Counter[str]]:
    """How many fell on which path; printed in the end (``-s`` shows it)."""
    counted: Counter[str] = Counter()
    yield counted
    print(f"\ncalls that failed, of which path: {dict(sorted(counted.items()))}, {counted.total()} in all")


CASES = [(LIVES[0], False), (LIVES[3], True), *([(LIVES[1], True), (LIVES[2], False)] if ALL else [])]


@pytest.mark.parametrize(("lives", "lasting"), CASES, ids=str)
def test_failed_call_ends_the_acknowledging_by_name_and_loses_nothing(
    lives: Lives, lasting: bool, tmp_path: Path, fork_server: ForkServer, faults: Counter[str]
) -> None:
    counts = count(fork_server, lives, tuple({name for name, _ in FAULTS}), tmp_path / "counted")
    chance = random.Random(SEED + lasting)
    for name, error in FAULTS if ALL else FAULTS[lasting::2]:
        for number in choose(counts, name, chance):
            path = tmp_path / f"{name}-{error}-{number}"
            job = fork_server.run(
                "troubled",
                path=str(path),
                settings=SETTINGS,
                seed=SEED,
                turn=lives.turn,
                strace=inject(name, f"error={error}:when={number}{'+' if lasting else ''}", path),
                from_life=lives.from_life,
                passes=not lasting,
            )
            may_finish = name == "unlink" or error == "ENOSPC" or not _failed_on_the_way(log_of(path))
            _check_named(job, may_finish, (name, error, number, job.messages[-3:]))
            faults[f"{error} of {name}"] += any("failed" in message for message in job.messages)
            set_aside = reconcile(fork_server, path, SEED, acknowledged(job), doubtful(job))
            assert set_aside == (), (name, error, number)


def _failed_on_the_way(log: Path) -> bool:
    """Whether a call failed that somebody waited for.

    The last thing of all, at close or with index runs that are merged, concerns nobody: what the store has not
    taken over is in the log, which stays.
    """
    failed = [line for line in log.read_text().splitlines() if "INJECTED" in line]
    return any("data.mdb" not in line for line in failed)


def _check_named(job: Job, may_finish: bool, what: Any) -> None:
    """Failed by a name, and accepting nothing since, or everything again after a full disk."""
    assert job.status == 0, what
    said = {key: value for message in job.messages for key, value in message.items()}
    if "recovered" in said or (may_finish and "finished" in said):
        return
    assert said["failed"] in ("STORE_FAILED", "STORE_FULL", "STATE_ERROR"), what
    if not said["opening"] and last_step(job) != "close":
        assert set(said["later"]) == {said["failed"]}, what
        assert said["state"] == {"STORE_FAILED": "failed", "STORE_FULL": "degraded"}[said["failed"]], what
        assert said["failed"] in said["failure"], what
