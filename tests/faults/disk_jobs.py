"""Jobs on disks that are full or may not be written. Each mounts in a name space of its own, which goes with it."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fork_server import emit
from jobs import inspect
from workload import bulky_inputs, make_call

from handicapper.actors import Learner, verify_state
from handicapper.config import settings_from_dict
from handicapper.protocol.errors import HandicapperError

CLONE_NEWNS = 0x20000
CALLS_MAX = 100_000
MEND_SECONDS = 20.0


def mount_tmpfs(path: str, size: str) -> bool:
    """Mount a tmpfs that only this process sees; says why where that is not allowed."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        emit(skip=f"cannot unshare the mount name space: {os.strerror(ctypes.get_errno())}")
        return False
    os.makedirs(path, exist_ok=True)
    for command in (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", path]):
        done = subprocess.run(["mount", *command], capture_output=True, text=True, check=False)
        if done.returncode:
            emit(skip=f"cannot mount: {done.stderr.strip()}")
            return False
    return True


def fill_limited(path: str, settings: dict[str, Any], seed: int, limit_bytes: int) -> None:
    """Files may not grow beyond ``limit_bytes``; then they may again, while the learner is open."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    fill(path, settings, seed, mend=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, unlimited))


def fill_tmpfs(path: str, settings: dict[str, Any], seed: int, size: str) -> None:
    """The file system is full; then it is made larger while the learner is open, and the directory opened again."""
    if not mount_tmpfs(path, size):
        return
    larger = ["mount", "-o", "remount,size=256m", path]
    acknowledged = fill(path, settings, seed, mend=lambda: subprocess.run(larger, check=True))
    inspect(path, settings, seed, [[0, 0, number] for number in range(acknowledged)])


def backup_full(path: str, settings: dict[str, Any], seed: int, size: str) -> None:
    """The file system that a backup goes to is full; the learner's own is not. Then it is made larger."""
    if not mount_tmpfs(f"{path}/disk", size):
        return
    with Learner(f"{path}/state", settings_from_dict({"online_learning": settings})) as learner:
        number = 0
        while learner.statistics().journal_bytes < 2**20:
            learner.record(bulky_inputs(seed, number))
            number += 1
        try:
            learner.backup(f"{path}/disk/copy")
        except HandicapperError as error:
            emit(refused=error.code, text=str(error), left=os.listdir(f"{path}/disk"))
        learner.record_outcome(
            prediction_id="later", model_id="m", predicted_outcome="YES", actual_outcome="YES", resolved_at=1
        )
        emit(goes_on=learner.snapshot().seq == learner.statistics().seq, failure=learner.statistics().failure)
        subprocess.run(["mount", "-o", "remount,size=64m", f"{path}/disk"], check=True)
        receipt = learner.backup(f"{path}/disk/copy")
        emit(seq=receipt.seq, verified=verify_state(f"{path}/disk/copy").last_seq)


def fill(path: str, settings: dict[str, Any], seed: int, mend: Callable[[], object] = lambda: None) -> int:
    """Record until it fails; say how it fails, and what still works. Returns how many calls were acknowledged.

    ``mend`` makes room again: then the learner must go on by itself.
    """
    learner = Learner(path, settings_from_dict({"online_learning": settings}))
    number = 0
    while number < CALLS_MAX:
        call = make_call(seed, 0, 0, number)
        try:
            if call.inputs:
                learner.record(call.inputs)
        except HandicapperError as error:
            emit(failed=error.code, text=str(error))
            break
        number += 1
    emit(acknowledged=number)
    later: list[str] = []
    for attempt in (
        lambda: learner.record(make_call(seed, 0, 0, number).inputs or make_call(seed, 0, 0, 0).inputs),
        lambda: learner.resolve_market(market_id="new", winner="YES", resolved_at=1),
        lambda: learner.pause("elo"),
        lambda: learner.process_signals(make_call(seed, 9, 9, 3).inputs),
        learner.snapshot,
    ):
        try:
            attempt()
            later.append("")
        except HandicapperError as error:
            later.append(error.code)
    statistics = learner.statistics()
    emit(later=later, state=statistics.state, failure=statistics.failure, durable_seq=statistics.durable_seq)
    read = [learner.report("elo").n, len(learner.models()), len(learner.thompson_sample().ranked)]
    emit(read=read, params=learner.get_adaptive_params("elo") is not None)
    mend()
    emit(mended=_goes_on(learner, make_call(seed, 0, 0, number).inputs))
    began = time.monotonic()
    try:
        learner.close()
        emit(closed="", seconds=time.monotonic() - began)
    except HandicapperError as error:
        emit(closed=error.code, seconds=time.monotonic() - began)
    return number


def _goes_on(learner: Learner, inputs: list[Any]) -> list[Any]:
    """[state, accepted, refused] once it accepts again; or as it is after a while, if it does not."""
    deadline = time.monotonic() + MEND_SECONDS
    while learner.statistics().state != "accepting" and time.monotonic() < deadline:
        time.sleep(0.01)
    state = learner.statistics().state
    if state != "accepting":
        return [state]
    result = learner.record(inputs, on_error="return")
    return [state, result.accepted + result.duplicates, len(result.errors), learner.verify().ok]


def read_only(path: str, image: str, settings: dict[str, Any]) -> None:
    """A directory with a state on a file system that may only be read, and one without."""
    if not mount_tmpfs(path, "64m"):
        return
    for file in Path(image).iterdir():
        shutil.copy(file, path)
    os.makedirs(os.path.join(path, "empty"))
    subprocess.run(["mount", "-o", "remount,ro", path], check=True)
    for place in (path, os.path.join(path, "empty"), os.path.join(path, "new")):
        refuse(place, settings)


def as_nobody(path: str, settings: dict[str, Any]) -> None:
    """A directory that belongs to somebody else."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    refuse(path, settings)


def refuse(path: str, settings: dict[str, Any]) -> None:
    """Say how opening is refused."""
    try:
        Learner(path, settings_from_dict({"online_learning": settings})).close()
        emit(opened=path)
    except HandicapperError as error:
        emit(refused=error.code, text=str(error))


DISK_JOBS: dict[str, Callable[..., Any]] = {
    "fill_limited": fill_limited,
    "fill_tmpfs": fill_tmpfs,
    "backup_full": backup_full,
    "read_only": read_only,
    "as_nobody": as_nobody,
}
