"""verify of an open learner: the same answer as of its closed directory, while inputs go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, consistency, verify_state
from handicapper.actors.records import encode, number_key, seal
from handicapper.actors.store import Store
from handicapper.protocol.errors import ClosedError, HandicapperError, StoreFailedError
from handicapper.protocol.messages import VerifyReport

from .helpers import (
    DEADLINE_SECONDS,
    POISON,
    eventually,
    model_ref,
    outcome,
    pattern,
    prediction,
    raising_fold,
    resolution,
    small_settings,
    take_over,
    teach,
)

Open = Callable[..., Learner]


def put(learner: Learner, table: bytes, key: bytes, value: bytes) -> None:
    """Write a record behind the learner's back."""
    store = learner._engine.store
    with store._env.begin(write=True) as txn:
        txn.put(key, value, db=store._tables[table])


@contextmanager
def before_the_comparison(call: Callable[[], Any]) -> Iterator[None]:
    """Do something at the moment when everything is folded and snapshots are held up."""
    real = consistency.ConsistencyCheck.report

    def report(self: Any, seq: int | None) -> VerifyReport:
        call()
        return real(self, seq)

    consistency.ConsistencyCheck.report = report
    try:
        yield
    finally:
        consistency.ConsistencyCheck.report = real


def test_report_equals_that_of_the_closed_directory(open_learner: Open, tmp_path: Path) -> None:
    learner = open_learner()
    for place, model in enumerate("abc"):
        teach(learner, model, range(place * 100, place * 100 + 60))
    learner.pause("a", reason="why not")
    learner.snapshot()
    learner.reset("b")
    learner.record_outcomes(outcome(n, "c") for n in range(400, 450))
    learner.resolve_market(resolution(210, "NO" if pattern(210) else "YES", revision=1))
    learner.record_predictions(prediction(n, "c") for n in range(500, 520))
    found = learner.verify()
    assert found.ok
    assert (found.first_seq, found.last_seq, found.models) == (1, learner.statistics().durable_seq, 3)
    learner.close()
    closed = verify_state(tmp_path / "state", small_settings())
    assert closed.ok
    assert (closed.last_seq, closed.models) == (found.last_seq, found.models)


def test_new_learner_is_in_order(learner: Learner) -> None:
    found = learner.verify()
    assert (found.ok, found.first_seq, found.last_seq, found.models) == (True, 1, 1, 0)


def test_inputs_go_on_while_snapshots_are_held_up(learner: Learner) -> None:
    """Between the last fold and the comparison the journal grows, markets settle and models change."""
    teach(learner, "m", range(50))
    seen: list[int] = []
    snapshots: list[Any] = []

    def go_on() -> None:
        seen.append(learner.statistics().durable_seq)
        teach(learner, "m", range(100, 150))
        teach(learner, "new", range(200, 220))
        learner.resolve_market(resolution(10, "NO" if pattern(10) else "YES", revision=1))
        snapshots.append(learner.snapshot_nowait())
        assert learner.report("m").n == 100
        assert not snapshots[0].is_set()

    with before_the_comparison(go_on):
        found = learner.verify()
    assert (found.ok, found.damaged, found.differences) == (True, (), ())
    assert (found.last_seq, found.models) == (seen[0], 1)
    assert snapshots[0].get(DEADLINE_SECONDS).models == 2
    assert learner.verify().last_seq == learner.statistics().durable_seq


def test_inputs_of_other_threads_never_spoil_the_comparison(learner: Learner) -> None:
    """Snapshots are taken all the while, by whoever records; every verify finds everything in order."""
    stopped = threading.Event()
    recorded = [0]

    def record() -> None:
        while not stopped.is_set():
            first = recorded[0]
            learner.record_each_nowait(
                [outcome(n, f"m{n % 7}", right=pattern(n)) for n in range(first, first + 40)]
            ).get(DEADLINE_SECONDS)
            learner.snapshot_nowait()
            recorded[0] += 40

    thread = threading.Thread(target=record)
    thread.start()
    try:
        for turn in range(5):
            eventually(lambda turn=turn: recorded[0] > 200 * turn)
            found = learner.verify()
            assert (found.ok, found.damaged, found.differences) == (True, (), ())
    finally:
        stopped.set()
        thread.join(DEADLINE_SECONDS)
    assert learner.verify().last_seq == recorded[0] + 1


def test_model_that_holds_something_else_than_the_journal_says_is_named(learner: Learner) -> None:
    teach(learner, "good", range(20))
    teach(learner, "odd", range(100, 120))
    assert learner.verify().ok
    learner.record_outcome(outcome(200, "odd"))
    assert learner.report("odd").n == 21
    model_ref(learner, "odd").cell.actor.state.now.ema_accuracy += 1e-9
    found = learner.verify()
    assert (found.ok, found.differences) == (False, ("model odd: state differs",))


def test_stored_market_that_is_another_one_is_named(learner: Learner) -> None:
    teach(learner, "m", range(20))
    learner.snapshot()
    store = learner._engine.store
    key, value = next(iter(store.settled_markets()))
    _, other = list(store.settled_markets())[1]
    market = consistency.decode_market(*list(store.settled_markets())[1])
    put(learner, b"settled_markets", key, seal(key, encode(market)))
    found = learner.verify()
    assert not found.ok
    assert any("differs" in text or "not stored" in text for text in found.differences)
    put(learner, b"settled_markets", key, value)
    assert learner.verify().ok
    assert other


def test_damaged_record_is_named_and_the_learner_goes_on(learner: Learner) -> None:
    teach(learner, "m", range(20))
    learner.snapshot()
    key, value = next(iter(learner._engine.store.settled_markets()))
    put(learner, b"settled_markets", key, value[:-1] + bytes([value[-1] ^ 1]))
    found = learner.verify()
    assert not found.ok
    assert [text for text in found.damaged if f"settled market {int.from_bytes(key, 'big')}" in text]
    learner.record_outcome(outcome(100))
    put(learner, b"settled_markets", key, value)
    assert learner.verify().ok


def test_damaged_journal_is_named(learner: Learner) -> None:
    learner.record_outcomes(outcome(n) for n in range(20))
    take_over(learner)
    (_, first), (key, value) = list(learner._engine.store.read_journal(0))[:2]
    put(learner, b"journal", key, value[:-1] + bytes([value[-1] ^ 1]))
    found = learner.verify()
    assert (found.ok, found.first_seq) == (False, 1)
    assert found.damaged[0].startswith(f"journal {int.from_bytes(key, 'big')}: ")
    put(learner, b"journal", key, value)
    assert learner.verify().ok
    assert first


def test_missing_part_of_the_journal_is_named(learner: Learner) -> None:
    learner.record_outcome(outcome(1))
    learner.record_outcome(outcome(2))
    take_over(learner)
    store = learner._engine.store
    with store._env.begin(write=True) as txn:
        assert txn.delete(number_key(2), db=store._tables[b"journal"])
    found = learner.verify()
    assert not found.ok
    assert any("inputs 2 to 2 before it are missing" in text for text in found.damaged)


def test_models_with_poison_and_rebuilt_ones_are_in_order(open_learner: Open) -> None:
    learner = open_learner()
    with raising_fold():
        learner.record_outcomes(outcome(n, confidence=POISON if n == 20 else 0.7) for n in range(60))
        assert learner.report("m").n == 59
        assert learner.verify().ok


def test_learner_that_can_write_no_more_is_checked_as_it_is_stored(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(learner, "m", range(20))
    seq = learner.statistics().durable_seq

    def append(*_: Any) -> None:
        raise StoreFailedError("no space left on this device")

    monkeypatch.setattr(Store, "append", append)
    with pytest.raises(StoreFailedError):
        learner.record_outcome(outcome(100))
    found = learner.verify()
    assert (found.ok, found.last_seq, found.models) == (True, seq, 1)


def test_close_ends_a_check_under_way_and_does_not_wait_for_it(learner: Learner) -> None:
    """The check is in the middle of the journal when somebody closes the learner."""
    teach(learner, "m", range(50))
    reached, raised = threading.Event(), []
    real = consistency._read_journal

    def read_journal(*arguments: Any) -> Any:
        reached.set()
        eventually(lambda: learner._engine.closing)
        return real(*arguments)

    def verify() -> None:
        try:
            learner.verify()
        except HandicapperError as error:
            raised.append(error)

    consistency._read_journal = read_journal
    try:
        thread = threading.Thread(target=verify)
        thread.start()
        assert reached.wait(DEADLINE_SECONDS)
        learner.close()
        thread.join(DEADLINE_SECONDS)
    finally:
        consistency._read_journal = real
    assert [type(error) for error in raised] == [ClosedError]


def test_close_during_the_comparison_still_takes_its_snapshot(open_learner: Open, tmp_path: Path) -> None:
    learner = open_learner()
    teach(learner, "m", range(50))
    closer = threading.Thread(target=learner.close)

    def close() -> None:
        learner.record_outcome(outcome(100))
        closer.start()
        eventually(lambda: learner._engine.closing)

    with before_the_comparison(close), pytest.raises(ClosedError):
        learner.verify()
    closer.join(DEADLINE_SECONDS)
    again = open_learner()
    assert again.statistics().replayed == 0
    assert again.report("m").n == 51


def test_check_that_fails_inside_lets_snapshots_go_on(learner: Learner) -> None:
    teach(learner, "m", range(5))

    def fail() -> None:
        raise RuntimeError("the check broke")

    with before_the_comparison(fail), pytest.raises(RuntimeError, match="the check broke"):
        learner.verify()
    learner.record_outcome(outcome(50))
    assert learner.snapshot(timeout=DEADLINE_SECONDS).models == 1


def test_closed_learner_is_not_checked(learner: Learner) -> None:
    learner.close()
    with pytest.raises(ClosedError):
        learner.verify()
