"""A backup is killed, or fails, at the N-th call that writes: the source is unharmed, the copy complete or told apart.

What is left is either the destination with everything that was acknowledged before the backup, passing ``verify``, or a
directory that whoever opens it is told not to use. Everyday a few of each kind; every single one with
``bin/test --syscalls``.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from . import strace
from .conftest import ForkServer, Job
from .places import ALL, SEED, choose_of, log_of
from .reconciling import SETTINGS, acknowledged, doubtful, reconcile

CALLS = ("mkdir", "pwrite64", "writev", "write", "fdatasync", "fsync", "ftruncate", "rename", "unlink")
FAULTS = (
    ("mkdir", "ENOSPC"),
    ("pwrite64", "ENOSPC"),
    ("pwrite64", "EIO"),
    ("writev", "EIO"),
    ("write", "ENOSPC"),
    ("fdatasync", "EIO"),
    ("fsync", "EIO"),
    ("ftruncate", "ENOSPC"),
    ("rename", "EIO"),
    ("unlink", "EIO"),
)

pytestmark = pytest.mark.skipif(strace.missing() is not None, reason=str(strace.missing()))


class Source(NamedTuple):
    """Of what the backup is made, and who commits its inputs."""

    of_open: bool
    turn: str = "persister"


OPEN, CLOSED, DRIVEN = Source(of_open=True), Source(of_open=False), Source(of_open=True, turn="router")


@pytest.fixture(scope="module")
def ends() -> Iterator[Counter[str]]:
    """What became of them; printed in the end (``-s`` shows it)."""
    counted: Counter[str] = Counter()
    yield counted
    print(f"\nbackups killed or failed at a call: {dict(sorted(counted.items()))}, {counted.total()} in all")


def back_up(server: ForkServer, path: Path, source: Source, options: list[str]) -> Job:
    return server.run(
        "backed_up", path=str(path), settings=SETTINGS, seed=SEED, strace=options, **source._asdict()
    )


def places(server: ForkServer, path: Path, source: Source) -> dict[str, list[int]]:
    """The calls that are made on the copy, by their numbers in the thread that makes it."""
    options = ["-y", "-o", str(log_of(path)), "-e", "trace=" + ",".join(CALLS)]
    job = back_up(server, path, source, options)
    assert job.status == 0 and any("copied" in message for message in job.messages), job.messages
    return strace.places_by_thread(log_of(path), CALLS, str(path / "to"))


def inject(name: str, what: str, path: Path) -> list[str]:
    """Options of strace that do something to one of them."""
    return ["-y", "-o", str(log_of(path)), "-e", f"trace={name}", "-e", f"inject={name}:{what}"]


def before_backup(job: Job) -> list[list[int]]:
    """What had been acknowledged when the backup began."""
    (began,) = [place for place, message in enumerate(job.messages) if message == {"step": "backup"}]
    return [message["acknowledged"] for message in job.messages[:began] if "acknowledged" in message]


def check(server: ForkServer, path: Path, job: Job, ends: Counter[str], what: Any) -> None:
    """Source unharmed; copy complete, or not there, and then nothing else can be taken for it."""
    assert reconcile(server, path / "state", SEED, acknowledged(job), doubtful(job)) == (), what
    looked = server.run("looked_at", path=str(path), settings=SETTINGS, seed=SEED, calls=before_backup(job))
    assert looked.status == 0, (what, looked.messages)
    found = {message["found"]: message for message in looked.messages if "found" in message}
    assert len(found) <= 1, (what, found)
    for name, said in found.items():
        if said["refused"]:
            assert name.startswith(".copy.") and name.endswith(".partial"), (what, name)
            assert [code for code, _ in said["refused"]] == ["STATE_DAMAGED"] * 3, (what, said)
            assert all("backup that was not finished" in text for _, text in said["refused"]), (what, said)
            ends["unfinished, refused by name"] += 1
        else:
            assert said["verified"] and not said["lost"], (what, said)
            ends["complete" if name == "copy" else "complete, not renamed yet"] += 1
    if not found:
        ends["not there"] += 1
    again = [message["made_again"] for message in looked.messages if "made_again" in message]
    assert again == ([] if "copy" in found else [True]), what


@pytest.mark.parametrize("source", [OPEN, CLOSED, DRIVEN] if ALL else [OPEN], ids=str)
def test_killed_at_any_call_the_copy_is_complete_or_refused_by_name(
    source: Source, tmp_path: Path, fork_server: ForkServer, ends: Counter[str]
) -> None:
    made = places(fork_server, tmp_path / "counted", source)
    assert all(made.values()), made
    chance = random.Random(SEED)
    for name in CALLS:
        for number in choose_of(made[name], name, chance):
            path = tmp_path / f"{name}-{number}"
            job = back_up(fork_server, path, source, inject(name, f"signal=KILL:when={number}", path))
            assert job.signal == 9, (name, number, job.messages)
            check(fork_server, path, job, ends, (name, number))


@pytest.mark.parametrize("source", [OPEN, CLOSED, DRIVEN] if ALL else [CLOSED, DRIVEN], ids=str)
def test_call_that_fails_ends_the_backup_by_name_and_nothing_of_it_is_left(
    source: Source, tmp_path: Path, fork_server: ForkServer, ends: Counter[str]
) -> None:
    made = places(fork_server, tmp_path / "counted", source)
    chance = random.Random(SEED + 1)
    for name, error in FAULTS if ALL else FAULTS[source.of_open :: 2]:
        for number in choose_of(made[name], name, chance):
            path = tmp_path / f"{name}-{error}-{number}"
            job = back_up(fork_server, path, source, inject(name, f"error={error}:when={number}", path))
            assert job.status == 0, (name, error, number, job.messages)
            said = {key: value for message in job.messages for key, value in message.items()}
            if "copied" not in said:
                assert said["failed"] == "BACKUP_FAILED", (name, error, number, said)
                assert said["left"] == [], (name, error, number, said)
                if source.of_open:
                    assert said["step"] == "closed", "the learner goes on"
            check(fork_server, path, job, ends, (name, error, number))
