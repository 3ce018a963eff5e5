"""State directories to damage: made once, copied for each case."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from handicapper.actors import Learner
from handicapper.actors.persister import Checkpoint
from handicapper.config import Settings, settings_from_dict

from .workload import make_call

SEED = 4711
DEADLINE_SECONDS = 60.0
TABLES: dict[str, Any] = {"persistence": {"initial_map_mib": 1, "save_interval_secs": 3600}}


def small_settings() -> Settings:
    return settings_from_dict({"online_learning": TABLES})


class Image(NamedTuple):
    """A directory as a crash would leave it, and what was sent to make it."""

    path: Path
    calls: list[list[int]]

    def copy(self, to: Path) -> Path:
        """A copy of its own to damage."""
        to.mkdir(parents=True)
        for name in ("data.mdb", "handicapper.json"):
            shutil.copy(self.path / name, to / name)
        return to


def make_image(directory: Path, calls_number: int = 48, snapshot_every: int = 20) -> Image:
    """Some hundred inputs of two threads, several snapshots, and a tail after the last one.

    Copied while the learner is open: nothing was closed or rounded off.
    """
    calls: list[list[int]] = []
    with Learner(directory / "live", small_settings()) as learner:
        for number in range(calls_number):
            for thread in range(2):
                call = make_call(SEED, 0, thread, number)
                if call.kind == "pause":
                    learner.pause(call.model_id, reason="by test")
                elif call.kind == "resume":
                    learner.resume(call.model_id)
                elif call.kind == "signal":
                    learner.process_signals(call.inputs)
                else:
                    learner.record(call.inputs)
                calls.append([0, thread, number])
            if number % snapshot_every == snapshot_every - 1:
                learner.snapshot()
        # All of the journal where this suite damages it; the log it came from has a suite of its own.
        learner._engine.persister.ask(Checkpoint(), timeout=DEADLINE_SECONDS)
        image = Image(directory / "image", calls)
        image.path.mkdir()
        for name in ("data.mdb", "handicapper.json"):
            shutil.copy(directory / "live" / name, image.path / name)
    return image
