"""The power goes at any moment: what the disk may hold then opens, with everything that had been acknowledged.

A learner's life is recorded with strace, call by call; for a moment of it a directory is made as the disk may have
it (see :mod:`.power`). ``HANDICAPPER_POWER_IMAGES`` says how many images there are (default 40).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from . import strace
from .conftest import ForkServer
from .power import STYLES, Disk
from .reconciling import SETTINGS, acknowledged, doubtful, reconcile
from .strace import Event

IMAGES = int(os.environ.get("HANDICAPPER_POWER_IMAGES", "40"))
WHERE = "new/state"
"""The directory, and the one above it, are made by the learner."""
FAULTS = (
    *(f"fdatasync:error=EIO:when={n}" for n in (9, 21, 30, 43, 58)),
    *(f"fsync:error=EIO:when={n}" for n in (2, 3, 5)),
    *(f"pwrite64:error=EIO:when={n}" for n in (31, 44, 60)),
    "writev:error=ENOSPC:when=14",
)
"""Calls that fail once. The learner is opened again in the same minute, by a process with the same page cache."""

FIRST_OPENING = 30
"""Events until LMDB has its first transaction."""

pytestmark = pytest.mark.skipif(strace.missing() is not None, reason=str(strace.missing()))


class Recorded:
    """A life, call by call."""

    def __init__(self, base: Path, server: ForkServer, turn: str, seed: int, fault: str = "") -> None:
        self.base, self.seed, self.turn, self.server = base, seed, turn, server
        self.sent: list[list[int]] = []
        """What was acknowledged in the end, in order."""
        self.doubtful: list[list[int]] = []
        """What may be there, because the call failed."""
        self.events: list[Event] = []
        base.mkdir()
        messages = self._record("resumed" if fault else "traced", fault)
        assert not fault or any("failed" in message for message in messages), f"{fault} was not noticed"
        self.resumed_at = len(self.events)
        if fault:
            self._record("continued", "")
        self.moments = [
            moment + 1 for moment, event in enumerate(self.events) if str(base) in event.operation.path
        ]
        """After each event that has to do with the files."""

    def _record(self, job: str, fault: str) -> list[dict[str, Any]]:
        log = self.base.with_suffix(".strace")
        options = [*strace.RECORD, str(log), *(["-e", f"inject={fault}"] if fault else [])]
        path = str(self.base / WHERE)
        done = self.server.run(
            job, path=path, settings=SETTINGS, seed=self.seed, turn=self.turn, strace=options
        )
        self.sent += acknowledged(done)
        self.doubtful += doubtful(done)
        assert done.status == 0, done.messages
        self.events += strace.read_events(log, len(self.events))
        log.unlink()
        return done.messages

    def check(self, server: ForkServer, to: Path, cut: int, style: str, chance: random.Random) -> None:
        """Have the power go, and open what is left."""
        disk = Disk(str(self.base), self.events, cut)
        to.mkdir()
        disk.write_image(to, style, chance)
        said = [json.loads(line) for line in b"".join(disk.said).splitlines()]
        known = [message["acknowledged"] for message in said if "acknowledged" in message]
        quarantined = reconcile(
            server, to / WHERE, self.seed, known, [*self.sent[len(known) :], *self.doubtful]
        )
        # A frame that was being written may have its end and not its middle: set aside, and named.
        assert not quarantined or disk.unsynced_log, (quarantined, cut, style)
        assert all(text.startswith("log journal-") for text in quarantined), (quarantined, cut, style)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer) -> Callable[..., Recorded]:
    @cache
    def record(turn: str, seed: int, fault: str = "") -> Recorded:
        return Recorded(tmp_path_factory.mktemp("recorded") / "disk", fork_server, turn, seed, fault)

    return record


@pytest.mark.parametrize("number", range(IMAGES))
def test_disk_after_power_loss_opens_with_everything_that_was_acknowledged(
    number: int, recorded: Callable[..., Recorded], tmp_path: Path, fork_server: ForkServer
) -> None:
    life = recorded(("persister", "router")[number % 2], number // 100)
    chance = random.Random(number)
    # A first opening is short, and a place of its own: nothing was acknowledged, and nothing may be in the way.
    moments = life.moments[:FIRST_OPENING] if number % 8 == 0 else life.moments
    life.check(fork_server, tmp_path / "disk", chance.choice(moments), chance.choice(STYLES), chance)


@pytest.mark.parametrize("number", range(max(IMAGES // 4, len(FAULTS))))
def test_what_a_failed_sync_was_for_is_not_taken_to_be_on_disk_by_the_next_opening(
    number: int, recorded: Callable[..., Recorded], tmp_path: Path, fork_server: ForkServer
) -> None:
    """The kernel calls a page clean once it could not be written, and shows it to whoever reads: so everything that
    the next opening finds and builds upon has to be written again."""
    life = recorded("persister", 1, FAULTS[number % len(FAULTS)])
    chance = random.Random(number)
    moments = [moment for moment in life.moments if moment > life.resumed_at]
    life.check(fork_server, tmp_path / "disk", chance.choice(moments), chance.choice(STYLES), chance)
