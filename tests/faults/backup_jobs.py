"""A backup under strace, which kills its process or fails its calls: of a learner that is open, and of a directory.

Imported by the fork server only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fork_server import emit
from jobs import _settings
from traced_jobs import Life, attach, make_small
from workload import make_call

from handicapper.actors import Learner, backup_state, copying, verify_state
from handicapper.protocol.errors import HandicapperError
from handicapper.protocol.messages import BackupReceipt


def _say(make: Callable[[], BackupReceipt], dest: Path) -> None:
    """Make a backup and say what came of it, and what it left."""
    emit(step="backup")
    try:
        receipt = make()
    except HandicapperError as error:
        emit(failed=error.code, text=str(error), left=sorted(path.name for path in dest.parent.iterdir()))
    else:
        emit(copied=receipt.seq)


def backed_up(
    path: str, settings: dict[str, Any], seed: int, of_open: bool, turn: str, strace: list[str]
) -> None:
    """Live for a little, and be copied to ``path/to/copy``: while open, or afterwards with a log that holds inputs.

    Every call below ``path/to`` is made by the calling thread.
    """
    make_small()
    copying.COMMIT_BYTES = 4_000
    dest = Path(path, "to", "copy")
    dest.parent.mkdir(parents=True)
    life = Life(f"{path}/state", settings, seed, 0, turn)
    life.calls(20)
    life.snapshot()
    life.calls(6)
    if of_open:
        tracer = attach(strace)
        _say(lambda: life.learner.backup(dest), dest)
        tracer.terminate()
        tracer.wait()
        life.calls(8, "afterwards")
        life.close()
        return
    life.close()
    attach(strace)
    _say(lambda: backup_state(f"{path}/state", dest), dest)


def looked_at(path: str, settings: dict[str, Any], seed: int, calls: list[list[int]]) -> None:
    """Say of each directory that a backup left what it is: refused by name, or all there that was acknowledged before.

    Then make the backup again if it is not there.
    """
    for found in sorted(Path(path, "to").iterdir()):
        emit(found=found.name, **_what_is(found, settings, seed, calls))
    dest = Path(path, "to", "copy")
    if not dest.exists():
        backup_state(f"{path}/state", dest)
        emit(made_again=verify_state(dest, _settings(settings)).ok)


def _what_is(directory: Path, settings: dict[str, Any], seed: int, calls: list[list[int]]) -> dict[str, Any]:
    said: dict[str, Any] = {"refused": []}
    for look in (
        lambda: verify_state(directory, _settings(settings)),
        lambda: backup_state(directory, directory.with_name(f"of {directory.name}")),
        lambda: Learner(directory, _settings(settings), accept_loss=True).close(),
    ):
        try:
            look()
        except HandicapperError as error:
            said["refused"].append([error.code, str(error)])
    if said["refused"]:
        return said
    said["verified"] = verify_state(directory, _settings(settings)).ok
    said["lost"] = []
    with Learner(directory, _settings(settings)) as learner:
        for key in calls:
            inputs = make_call(seed, *key).inputs
            if not inputs:
                continue
            result = learner.record(inputs, on_error="return")
            if result.duplicates != result.total:
                said["lost"].append(key)
    return said


BACKUP_JOBS: dict[str, Callable[..., None]] = {"backed_up": backed_up, "looked_at": looked_at}
