"""What the forked processes do. Imported by the fork server only."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from fork_server import emit
from workload import Call, make_call

from handicapper.actors import Learner
from handicapper.actors.records import encode
from handicapper.actors.runtime.cell import Ping
from handicapper.bin.cli import main
from handicapper.bin.daemon import running as _running  # noqa: F401  # not imported again by every daemon
from handicapper.config import Settings, settings_from_dict
from handicapper.protocol.errors import HandicapperError
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


def inspect(
    path: str, settings: dict[str, Any], seed: int, calls: list[list[int]], accept_loss: bool = False
) -> None:
    """Open a directory and say what is there: its state, and what becomes of every input sent again."""
    try:
        learner = Learner(path, _settings(settings), accept_loss=accept_loss)
    except HandicapperError as error:
        emit(refused=error.code, text=str(error))
        return
    statistics = learner.statistics()
    emit(opened=statistics.seq, state=state_of(learner), quarantined=statistics.quarantined)
    outcome: Counter[str] = Counter()
    for key in calls:
        inputs = make_call(seed, *key).inputs
        try:
            result = learner.record(inputs, on_error="return")
        except HandicapperError as error:
            outcome[error.code] += len(inputs)
            continue
        outcome["duplicate"] += result.duplicates
        outcome["accepted"] += result.accepted
        outcome.update(getattr(error, "code", "INTERNAL") for _, error in result.errors)
    emit(resent=outcome)
    try:
        learner.close()
        emit(closed="")
    except HandicapperError as error:
        emit(closed=error.code)


def state_of(learner: Learner) -> str:
    """A digest of what is believed of every model and of what is pending, the same however it was restored."""
    engine = learner._engine
    # An input is answered before its turn is over and its models have learned from it.
    for ref in (engine.router, *engine.roster.refs.values()):
        ref.ask(Ping(), timeout=60.0)
    book = engine.router.cell.actor.book
    records = [ref.cell.actor.state.to_record() for _, ref in sorted(engine.roster.refs.items())]
    pending = sorted(
        (ticket.row_id, prediction_id)
        for market in book.markets.values()
        for prediction_id, ticket in market.tickets.items()
        if ticket.row is None
    )
    controls = sorted((model, repr(events)) for model, events in book.controls.items())
    return hashlib.sha256(encode((records, pending, controls, book.seq))).hexdigest()


def serve(options: list[str], log: str) -> None:
    """``handicapper serve``; its log is a file."""
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(fd, 2)
    os.close(fd)
    try:
        status = main(["serve", *options])
    except SystemExit as end:
        status = end.code
    os._exit(status if isinstance(status, int) else 0)


JOBS: dict[str, Callable[..., None]] = {"crash_load": crash_load, "inspect": inspect, "serve": serve}
