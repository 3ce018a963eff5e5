"""Snapshots: under load, on the timer, by count, failing; and the ids of what they moved out of memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, verify_state
from handicapper.actors.records import decode_snapshot_meta
from handicapper.actors.runtime.clock import ManualClock
from handicapper.actors.state.id_index import RUNS_PER_LEVEL
from handicapper.actors.store import Store
from handicapper.protocol.errors import ConflictError, StaleRevisionError, StoreFailedError

from .helpers import (
    DEADLINE_SECONDS,
    T0,
    copy_while_open,
    eventually,
    held,
    lesson_bytes,
    model_record,
    model_ref,
    outcome,
    pattern,
    prediction,
    resolution,
    small_settings,
    teach,
)

Open = Callable[..., Learner]


def test_snapshot_says_what_it_saved_and_reopening_replays_nothing(open_learner: Open) -> None:
    learner = open_learner()
    teach(learner, "m", range(50))
    learner.record_prediction(prediction(99, "other"))
    receipt = learner.snapshot()
    assert (receipt.models, receipt.markets, receipt.seq) == (2, 51, learner.statistics().seq)
    assert receipt.bytes > 0
    assert learner.statistics().snapshot_seq == receipt.seq
    before = model_record(learner)
    learner.close()
    again = open_learner()
    assert again.statistics().replayed == 0
    assert model_record(again) == before


def test_snapshot_with_nothing_new_writes_nothing(learner: Learner) -> None:
    teach(learner, "m", range(5))
    first = learner.snapshot()
    second = learner.snapshot()
    assert (second.seq, second.models, second.bytes) == (first.seq, 0, 0)


def test_snapshot_saves_only_the_models_that_changed(learner: Learner) -> None:
    learner.record_outcomes(outcome(n, f"m{n}") for n in range(100))
    assert learner.snapshot().models == 100
    learner.record_outcome(outcome(1000, "m7"))
    assert learner.snapshot().models == 1


def test_snapshot_moves_settled_predictions_out_of_memory_and_keeps_pending_ones(learner: Learner) -> None:
    learner.record_predictions(prediction(n) for n in range(100))
    learner.resolve_markets(resolution(n) for n in range(60))
    assert learner.statistics().settled_in_memory == 60
    learner.snapshot()
    now = learner.statistics()
    assert (now.settled_in_memory, now.predictions_pending, now.markets_open) == (0, 40, 40)
    learner.resolve_markets(resolution(n) for n in range(60, 100))
    learner.snapshot()
    assert (learner.statistics().settled_in_memory, learner.report("m").n) == (0, 100)


def test_snapshot_comes_by_itself_after_so_many_inputs(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings({"snapshot_inputs_max": 100}))
    teach(learner, "m", range(200))
    eventually(lambda: learner.statistics().snapshot_seq >= 100)
    eventually(lambda: learner.statistics().settled_in_memory <= 200)


def test_snapshot_comes_by_itself_on_the_timer(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings({"save_interval_secs": 0.01}))
    teach(learner, "m", range(10))
    seq = learner.statistics().seq
    eventually(lambda: learner.statistics().snapshot_seq >= seq)


def test_snapshot_while_models_are_busy_is_a_cut_as_of_its_seq(open_learner: Open, tmp_path: Path) -> None:
    """What follows the request is recorded at once, and is not in the snapshot."""
    learner, reference = open_learner(), open_learner("reference")
    for it in (learner, reference):
        teach(it, "m", range(30))
    cut = lesson_bytes(learner)
    receipts: list[Any] = []
    with held(model_ref(learner)):
        taking = threading.Thread(target=lambda: receipts.append(learner.snapshot(timeout=DEADLINE_SECONDS)))
        taking.start()
        eventually(lambda: len(model_ref(learner).cell) > 0)
        seq = learner.statistics().seq
        learner.record_outcomes(outcome(n) for n in range(500, 520))
    taking.join(DEADLINE_SECONDS)
    assert receipts[0].seq == seq
    copy = copy_while_open(tmp_path / "state", tmp_path / "copy")
    store = Store(copy, "model_learning_stats", create=False)
    try:
        from msgspec.structs import replace

        from handicapper.actors.records import decode_model, encode

        saved = decode_model(b"m", store.model(b"m") or b"")
    finally:
        store.close()
    assert encode(replace(saved, applied_seq=0)) == cut
    reference.record_outcomes(outcome(n) for n in range(500, 520))
    assert lesson_bytes(open_learner("copy")) == lesson_bytes(reference)


def test_snapshots_under_load_lose_and_double_nothing(open_learner: Open, tmp_path: Path) -> None:
    """Four writers and a snapshot after the other; then a crash, and the journal is folded against it."""
    learner = open_learner(settings=small_settings(limits={"batch_inputs_max": 32}))
    per_thread, threads = 1_000, 4

    def write(offset: int) -> None:
        first = offset * per_thread
        for start in range(first, first + per_thread, 50):
            numbers = range(start, start + 50)
            learner.record_predictions(
                prediction(n, f"m{n % 5}", market_id=f"k{n // 3}", predicted_at=T0) for n in numbers
            )
            learner.record_outcomes(outcome(n, f"m{n % 5}", right=pattern(n)) for n in numbers if n % 2)

    writers = [threading.Thread(target=write, args=(offset,)) for offset in range(threads)]
    for writer in writers:
        writer.start()
    taken = 0
    while any(writer.is_alive() for writer in writers):
        taken += learner.snapshot(timeout=DEADLINE_SECONDS).bytes > 0
    assert taken > 2
    total = per_thread * threads
    assert sum(summary.n for summary in learner.models()) == total // 2
    copy = copy_while_open(tmp_path / "state", tmp_path / "copy")
    crashed = open_learner("copy")
    for model in range(5):
        assert lesson_bytes(crashed, f"m{model}") == lesson_bytes(learner, f"m{model}")
    again = crashed.record_outcomes(outcome(n, f"m{n % 5}", right=pattern(n)) for n in range(total) if n % 2)
    assert (again.duplicates, again.accepted) == (total // 2, 0)
    crashed.close()
    assert verify_state(copy).ok


def test_snapshot_that_fails_is_reported_and_the_next_one_saves_all(
    open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = open_learner()
    teach(learner, "m", range(20))
    with monkeypatch.context() as patched:
        patched.setattr(Store, "write_snapshot", _no_space)
        with pytest.raises(StoreFailedError, match="no space"):
            learner.snapshot()
        assert learner.statistics().snapshot_failures == 1
        assert learner.statistics().snapshot_seq == 0
        assert learner.record_outcome(outcome(100)).scored == 1
    receipt = learner.snapshot()
    assert (receipt.models, receipt.markets) == (1, 21)
    before = model_record(learner)
    learner.close()
    assert model_record(open_learner()) == before


def test_last_snapshot_that_fails_makes_close_raise_and_nothing_is_lost(
    open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = open_learner()
    teach(learner, "m", range(20))
    before = model_record(learner)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "write_snapshot", _no_space)
        with pytest.raises(StoreFailedError, match="no space"):
            learner.close()
    again = open_learner()
    assert again.statistics().replayed > 0
    assert model_record(again) == before


def test_journal_that_fails_refuses_everything_and_keeps_what_was_acknowledged(
    open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = open_learner()
    teach(learner, "m", range(20))
    before = lesson_bytes(learner)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "append", _no_space)
        with pytest.raises(StoreFailedError, match="no space"):
            learner.record_outcome(outcome(100))
    with pytest.raises(StoreFailedError, match="no space"):
        learner.record_outcome(outcome(101))
    assert learner.statistics().state == "failed"
    learner.close()
    again = open_learner()
    assert lesson_bytes(again) == before
    assert again.record_outcome(outcome(100)).scored == 1


def _no_space(*_: object) -> None:
    raise StoreFailedError("no space left on this device")


# ------------------------------------------------------------------ ids that left memory

SNAPSHOTS = RUNS_PER_LEVEL**2 // 4 + 3
"""More than two full levels of the index, with some runs left in the lowest."""
PER_SNAPSHOT = 5


@pytest.fixture
def long_settled(open_learner: Open) -> Learner:
    """Predictions settled, and moved to disk by many snapshots, so that the id index has several levels."""
    learner = open_learner()
    for turn in range(SNAPSHOTS):
        numbers = range(turn * PER_SNAPSHOT, (turn + 1) * PER_SNAPSHOT)
        learner.process_signals(prediction(n) for n in numbers)
        learner.resolve_markets(resolution(n, "YES" if pattern(n) else "NO") for n in numbers)
        learner.record_outcome(outcome(10_000 + turn))
        learner.snapshot()
    return learner


def _levels(learner: Learner) -> list[int]:
    return sorted({key[0] for key, _ in learner._engine.store.runs()})


def _check_long_settled(learner: Learner) -> None:
    total = SNAPSHOTS * PER_SNAPSHOT
    before = model_record(learner)
    assert learner.statistics().settled_in_memory == 0
    again = learner.record_predictions(prediction(n) for n in range(total))
    assert (again.duplicates, again.accepted) == (total, 0)
    resolved = learner.resolve_markets(resolution(n, "YES" if pattern(n) else "NO") for n in range(total))
    assert (resolved.duplicates, resolved.accepted) == (total, 0)
    outcomes = learner.record_outcomes(outcome(10_000 + turn) for turn in range(SNAPSHOTS))
    assert (outcomes.duplicates, outcomes.accepted) == (SNAPSHOTS, 0)
    for number in (0, total // 2, total - 1):
        assert learner.process_signal(prediction(number)).duplicate
        with pytest.raises(ConflictError):
            learner.record_prediction(prediction(number, confidence=0.71))
        with pytest.raises(ConflictError):
            learner.resolve_market(resolution(number, "NO" if pattern(number) else "YES"))
    assert model_record(learner) == before
    assert learner.statistics().settled_in_memory == 0


def test_ids_of_settled_predictions_are_known_after_they_left_memory(long_settled: Learner) -> None:
    assert len(_levels(long_settled)) >= 2
    _check_long_settled(long_settled)


def test_ids_of_settled_predictions_are_known_after_reopening(
    long_settled: Learner, open_learner: Open, tmp_path: Path
) -> None:
    copy_while_open(tmp_path / "state", tmp_path / "crashed")
    long_settled.close()
    _check_long_settled(open_learner())
    _check_long_settled(open_learner("crashed"))


def test_revision_of_a_market_that_left_memory_is_found_and_counts(
    long_settled: Learner, open_learner: Open
) -> None:
    total = SNAPSHOTS * PER_SNAPSHOT
    right = long_settled.report("m").accuracy or 0.0
    n = long_settled.report("m").n
    receipt = long_settled.resolve_market(resolution(0, "NO" if pattern(0) else "YES", revision=1))
    assert receipt.revised == 1
    changed = long_settled.report("m")
    assert changed.n == n == total + SNAPSHOTS
    assert changed.accuracy == pytest.approx(right + (-1 if pattern(0) else 1) / n)
    long_settled.snapshot()
    with pytest.raises(StaleRevisionError):
        long_settled.resolve_market(
            resolution(0, "YES" if not pattern(0) else "NO", revision=0, status="proposed")
        )
    long_settled.close()
    assert open_learner().resolve_market(resolution(0, "NO" if pattern(0) else "YES", revision=1)).duplicate


def test_late_prediction_of_a_market_that_left_memory_is_scored(long_settled: Learner) -> None:
    receipt = long_settled.record_prediction(
        prediction(77_777, market_id="k0", predicted_at=prediction(0).predicted_at)
    )
    assert receipt.scored == 1


def test_memory_holds_no_settled_prediction_however_many_there_were(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings({"snapshot_inputs_max": 500}), clock=None)
    for start in range(0, 5_000, 250):
        teach(learner, "m", range(start, start + 250))
    learner.snapshot()
    book = learner._engine.router.cell.actor.book  # type: ignore[union-attr]
    assert (len(book.markets), len(book.by_prediction), len(book.unsaved)) == (0, 0, 0)
    assert learner.report("m").n == 5_000


def test_snapshot_records_when_it_was_taken_by_the_learners_clock(open_learner: Open) -> None:
    learner = open_learner(clock=ManualClock(now_ns=T0 + 123))
    learner.record_outcome(outcome(1))
    learner.snapshot()
    meta = decode_snapshot_meta(b"snapshot", learner._engine.store.meta(b"snapshot") or b"")
    assert (meta.taken_at_ns, meta.seq) == (T0 + 123, learner.statistics().seq)
