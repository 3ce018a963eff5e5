"""A learner's life under strace, which kills it, fails its calls or writes down what it does to its files.

Every path on which it writes is gone: first opening, journal, growth of a log segment and of the map,
segments written over, checkpoints, snapshots, merged index runs, close, opening again. Sizes are made small, so
that a few dozen calls get to all of them. Imported by the fork server only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from fork_server import emit
from jobs import _perform, _settings
from workload import Call, make_call, tally

from handicapper.actors import Learner, engine, journal, log_file, persister, store, verify_state
from handicapper.actors.persister import Checkpoint
from handicapper.protocol.errors import HandicapperError, StoreFullError

PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)
DEADLINE_SECONDS = 60.0
CALLS_PER_LIFE = 10_000
"""Numbers of calls set apart for one life of a learner."""


def attach(options: list[str]) -> subprocess.Popen[str]:
    """Have strace trace this process; it follows every thread, until it is terminated."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)
    command = ["strace", "-f", *options, "-p", str(os.getpid())]
    tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        raise RuntimeError(f"strace did not attach: {said}")
    return tracer


def make_small() -> None:
    """Sizes with which a few dozen calls get to every path."""
    store._MIB = 2**16
    store.CHECKPOINT_BYTES = 12_000
    log_file.SEGMENT_BYTES = 16_000
    log_file.GROWTH_BYTES = 4_096
    persister.RUNS_PER_LEVEL = 2
    engine.RETRY_SECONDS = 0.01


def commit_in(turn: str) -> dict[str, Any]:
    """Options of a learner that commits in the persister's turn only, or in the router's, which the caller takes."""
    if turn == "persister":
        journal.HERE_INPUTS_MAX = -1
        return {}
    journal.QUICK_SECONDS = DEADLINE_SECONDS
    return {"wake": lambda: None}


class Life:
    """One opening of the directory and what is done with it; says each step before it and each answer after it."""

    def __init__(self, path: str, settings: dict[str, Any], seed: int, number: int, turn: str) -> None:
        self.seed, self.number = seed, number
        self._next = 0
        self.closing = False
        self._at("open" if number == 0 else "reopen")
        self.learner = Learner(path, _settings(settings), **commit_in(turn))

    def _at(self, step: str) -> None:
        emit(step=step)

    def calls(self, count: int, step: str = "journal") -> None:
        self._at(step)
        for number in range(self._next, self._next + count):
            emit(begun=[self.number, 0, number])
            _perform(self.learner, make_call(self.seed, self.number, 0, number))
            self._next = number + 1
            emit(acknowledged=[self.number, 0, number])

    def checkpoint(self) -> None:
        self._at("checkpoint")
        self.learner._engine.persister.ask(Checkpoint(), timeout=DEADLINE_SECONDS)

    def snapshot(self) -> None:
        self._at("snapshot")
        self.learner.snapshot(timeout=DEADLINE_SECONDS)

    def close(self) -> None:
        self._at("close")
        self.closing = True
        self.learner.close()
        self._at("closed")


def _live_once(life: Life) -> None:
    life.calls(10)
    life.checkpoint()
    life.calls(24, "journal, segments, map")
    life.snapshot()
    for _ in range(2):
        life.calls(8)
        life.snapshot()
    life.calls(3)
    life.close()


def traced(
    path: str, settings: dict[str, Any], seed: int, turn: str, strace: list[str], from_life: int = 0
) -> None:
    """Go through every path, then again in the directory that has a past now; under strace from one life on."""
    make_small()
    for number in range(2):
        if number == from_life:
            attach(strace)
        _live_once(Life(path, settings, seed, number, turn))
    emit(finished=True)


def resumed(path: str, settings: dict[str, Any], seed: int, turn: str, strace: list[str]) -> None:
    """Live until a call fails, and close."""
    make_small()
    attach(strace)
    life: Life | None = None
    try:
        life = Life(path, settings, seed, 0, turn)
        _live_once(life)
    except HandicapperError as error:
        emit(failed=error.code, text=str(error))
        if life is not None:
            with contextlib.suppress(HandicapperError):
                life.learner.close()


def continued(path: str, settings: dict[str, Any], seed: int, turn: str, strace: list[str]) -> None:
    """Open again what was left, and go on for a little."""
    make_small()
    attach(strace)
    life = Life(path, settings, seed, 1, turn)
    life.calls(4)
    life.snapshot()
    life.calls(2)
    emit(finished=True)


def troubled(
    path: str, settings: dict[str, Any], seed: int, turn: str, strace: list[str], from_life: int, passes: bool
) -> None:
    """The same with calls that fail: say how it is noticed, and what becomes of what is sent afterwards.

    ``passes``: the disk is well again soon.
    """
    make_small()
    for number in range(2):
        if number == from_life:
            attach(strace)
        life: Life | None = None
        try:
            life = Life(path, settings, seed, number, turn)
            _live_once(life)
        except HandicapperError as error:
            emit(failed=error.code, text=str(error), opening=life is None)
            if life is not None and not life.closing:
                _after_failure(life, passes and isinstance(error, StoreFullError))
            return
    emit(finished=True)


def _goes_on(life: Life) -> bool:
    """Go on once the disk has room again; false if that fails by another name. The other thread may meet it too."""
    while True:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while life.learner.statistics().state == "degraded" and time.monotonic() < deadline:
            if life.learner._engine.driven:
                life.learner.run_ready(100)
            threading.Event().wait(0.002)
        try:
            life.calls(3, "recovered")
            life.snapshot()
            life.close()
        except StoreFullError:
            if life.closing:
                return True
        except HandicapperError as error:
            emit(failed=error.code, text=str(error))
            return life.closing
        else:
            return True


def _after_failure(life: Life, recovers: bool) -> None:
    """What a learner answers whose disk has failed, and is well again."""
    if recovers and _goes_on(life):
        emit(recovered=True)
        return
    learner = life.learner
    codes: list[str] = []
    for attempt in (
        lambda: learner.record(make_call(life.seed, 7, 7, 0).inputs),
        lambda: learner.resolve_market(market_id="afterwards", winner="YES", resolved_at=1),
        lambda: learner.pause("elo"),
        learner.snapshot,
    ):
        try:
            attempt()
            codes.append("")
        except HandicapperError as error:
            codes.append(error.code)
    statistics = learner.statistics()
    emit(later=codes, state=statistics.state, failure=statistics.failure)
    with contextlib.suppress(HandicapperError):
        learner.close()


def reconcile(
    path: str, settings: dict[str, Any], seed: int, calls: list[list[int]], acknowledged: int
) -> None:
    """Check a directory, open it, and send everything again: the first ``acknowledged`` calls have to be known.

    What was sent and not acknowledged is there as a whole or not at all, and in the end everything counts once.
    """
    try:
        learner = Learner(path, _settings(settings))
    except HandicapperError as error:
        emit(refused=error.code, text=str(error))
        return
    emit(quarantined=learner.statistics().quarantined)
    everything = [make_call(seed, *key) for key in calls]
    for place, call in enumerate(everything):
        _send_again(learner, call, place < acknowledged, calls[place])
    problems = _miscounted(learner, everything)
    learner.close()
    report = verify_state(path, _settings(settings))
    emit(reconciled=len(calls), problems=problems, verified=report.ok, report=str(report))


def _send_again(learner: Learner, call: Call, known: bool, key: list[int]) -> None:
    if not call.inputs:
        return
    result = learner.record(call.inputs, on_error="return")
    duplicates = result.duplicates
    if known and duplicates != result.total:
        emit(lost=key, duplicates=duplicates, total=result.total, errors=str(result.errors))
    elif result.errors or duplicates not in (0, result.total):
        emit(partly=key, duplicates=duplicates, total=result.total, errors=str(result.errors))


def _miscounted(learner: Learner, calls: list[Call]) -> list[str]:
    expected = tally(item for call in calls for item in call.inputs)
    found = {report.model_id: report.n for report in learner.reports() if report.n}
    problems = [] if found == expected.scored else [f"counted {found}, not {expected.scored}"]
    pending = learner.statistics().predictions_pending
    return (
        problems if pending == expected.pending else [*problems, f"pending {pending}, not {expected.pending}"]
    )


TRACED_JOBS: dict[str, Callable[..., None]] = {
    "traced": traced,
    "resumed": resumed,
    "continued": continued,
    "troubled": troubled,
    "reconcile": reconcile,
}
