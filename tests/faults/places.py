"""Every call that a learner's life makes to write: which there are, and which of them a run tries."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import strace
from .conftest import ForkServer
from .reconciling import SETTINGS, acknowledged

ALL = os.environ.get("HANDICAPPER_SYSCALLS") == "all"
FREQUENT = ("pwrite64", "fdatasync")
SEED = 3


class Lives(NamedTuple):
    """Which of the lives, and who commits in them."""

    turn: str
    from_life: int


LIVES = [Lives("persister", 0), Lives("persister", 1), Lives("router", 0), Lives("router", 1)]
"""In the persister's turn every call but that of the lock is made by one thread, so the N-th is the N-th of all."""


def count(server: ForkServer, lives: Lives, names: tuple[str, ...], directory: Path) -> dict[str, int]:
    """How often each call is made, by the thread that makes it most."""
    directory.mkdir()
    log = directory / "strace"
    options = ["-y", "-o", str(log), "-e", "trace=" + ",".join(names)]
    job = server.run(
        "traced",
        path=str(directory / "state"),
        settings=SETTINGS,
        seed=SEED,
        turn=lives.turn,
        strace=options,
        from_life=lives.from_life,
    )
    assert acknowledged(job) and job.status == 0, job.messages
    return strace.counts_by_thread(log, names, str(directory))


def log_of(path: Path) -> Path:
    """Where strace says what it did to the process that works in a directory."""
    return path.with_name(path.name + ".strace")


def inject(name: str, what: str, path: Path) -> list[str]:
    """Options of strace that do something to a call. The job's own writes, which say what it does, are spared."""
    only = ["-P", str(path / "handicapper.json.new")] if name == "write" else []
    return ["-y", "-o", str(log_of(path)), *only, "-e", f"trace={name}", "-e", f"inject={name}:{what}"]


def choose(counts: dict[str, int], name: str, chance: random.Random) -> list[int]:
    """Which of the calls with a name are tried: every one on demand, else the last and some more."""
    return choose_of(range(1, counts[name] + 1), name, chance)


def choose_of(places: Sequence[int], name: str, chance: random.Random) -> list[int]:
    """The same of calls whose places are given."""
    if ALL or len(places) <= 2:
        return list(places)
    between = chance.sample(places[1:-1], min(len(places) - 2, 2 if name in FREQUENT else 1))
    return [*sorted(between), places[-1]]
