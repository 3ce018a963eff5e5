"""What the forked processes do. Imported by the fork server only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fork_server import emit
from workload import Call, make_call

from handicapper.actors import Learner
from handicapper.config import Settings, settings_from_dict
from handicapper.protocol.messages import Prediction


def _settings(tables: dict[str, Any]) -> Settings:
    return settings_from_dict({"online_learning": tables})


def crash_load(
    path: str,
    settings: dict[str, Any],
    seed: int,
    round_number: int,
    threads: int,
    again: list[list[int]],
    calls_max: int,
) -> None:
    """Open, send ``again`` once more, then send from several threads until killed, saying what was acknowledged.

    ``again`` lists (round, thread, number, acknowledged) of calls of earlier rounds.
    """
    learner = Learner(path, _settings(settings))
    emit(opened=learner.statistics().seq)
    for earlier_round, thread, number, acknowledged in again:
        call = make_call(seed, earlier_round, thread, number)
        if call.inputs:
            result = learner.record(call.inputs)
            if acknowledged and result.duplicates != result.total:
                emit(lost=[earlier_round, thread, number, result.duplicates, result.total])
    emit(reconciled=len(again))

    def work(thread: int) -> None:
        for number in range(calls_max):
            decision = _perform(learner, make_call(seed, round_number, thread, number))
            emit(acknowledged=[thread, number], decision=decision)

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    emit(finished=learner.statistics().snapshot_seq)
    learner.close()


def _perform(learner: Learner, call: Call) -> list[Any] | None:
    if call.kind == "pause":
        learner.pause(call.model_id, reason="by test")
    elif call.kind == "resume":
        learner.resume(call.model_id)
    elif call.kind == "signal":
        (decision,) = learner.process_signals(call.inputs)
        return [decision.accepted, decision.confidence_threshold, decision.weight, decision.seq]
    elif call.kind == "one" and isinstance(call.inputs[0], Prediction):
        learner.record_prediction(call.inputs[0])
    elif call.kind == "one":
        learner.resolve_market(call.inputs[0])
    else:
        learner.record(call.inputs)
    return None


JOBS: dict[str, Callable[..., None]] = {"crash_load": crash_load}
