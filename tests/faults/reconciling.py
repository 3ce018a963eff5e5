"""Whether a directory has everything that had been acknowledged, once, after its learner came to grief."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .conftest import ForkServer, Job

SETTINGS: dict[str, Any] = {"persistence": {"initial_map_mib": 1, "save_interval_secs": 3600}}


def acknowledged(job: Job) -> list[list[int]]:
    """The calls that a job said were acknowledged, in order."""
    assert not any("raised" in message for message in job.messages), job.messages
    return [message["acknowledged"] for message in job.messages if "acknowledged" in message]


def doubtful(job: Job) -> list[list[int]]:
    """The call that was begun and not acknowledged, if there is one: it may be there, or not."""
    known = acknowledged(job)
    begun = [message["begun"] for message in job.messages if "begun" in message]
    return [key for key in begun[-1:] if key not in known]


def last_step(job: Job) -> str:
    """What a job was doing last."""
    return next((message["step"] for message in reversed(job.messages) if "step" in message), "open")


def reconcile(
    server: ForkServer, path: Path, seed: int, known: list[list[int]], further: list[list[int]]
) -> tuple[str, ...]:
    """Check, open, send again what was acknowledged and then ``further``. Returns what was quarantined."""
    job = server.run(
        "reconcile",
        path=str(path),
        settings=SETTINGS,
        seed=seed,
        calls=[*known, *further],
        acknowledged=len(known),
    )
    assert job.status == 0, f"ended with {job.status}: {job.messages}"
    problems = [
        message for message in job.messages if message.keys() & {"lost", "partly", "refused", "raised"}
    ]
    assert not problems, problems
    (summary,) = [message for message in job.messages if "reconciled" in message]
    assert summary["problems"] == []
    assert summary["verified"], summary["report"]
    (opened,) = [message for message in job.messages if "quarantined" in message]
    return tuple(opened["quarantined"])
