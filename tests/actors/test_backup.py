"""A backup: a directory that opens and passes verify, of a learner that goes on meanwhile; or nothing at all."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, backup_state, copying, verify_state
from handicapper.actors.records import SCHEMA_VERSION, encode, seal
from handicapper.actors.store import Store
from handicapper.protocol.errors import (
    BackupFailedError,
    BusyError,
    ClosedError,
    HandicapperError,
    InvalidValueError,
    StateDamagedError,
    StateLockedError,
    StoreFailedError,
)

from .helpers import (
    DEADLINE_SECONDS,
    copy_while_open,
    disk_held,
    eventually,
    model_record,
    outcome,
    pattern,
    prediction,
    resolution,
    small_settings,
    take_over,
    teach,
)

Open = Callable[..., Learner]
MODELS = small_settings().persistence.db_table


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def busy_life(learner: Learner) -> None:
    """Open and settled markets, revisions, loose and joined outcomes, operators: some in a snapshot, some after it."""
    for place, model in enumerate("abc"):
        teach(learner, model, range(place * 100, place * 100 + 60))
    learner.record_outcomes(outcome(n, "c") for n in range(400, 450))
    learner.pause("a", reason="why not")
    learner.snapshot()
    learner.record_prediction(prediction(410, "c"))
    learner.resolve_market(resolution(210, "NO" if pattern(210) else "YES", revision=1))
    learner.reset("b")
    learner.record_predictions(prediction(n, "c") for n in range(500, 520))
    learner.record_outcomes(outcome(n, "d") for n in range(600, 650))


@pytest.fixture(params=["log", "taken over", "snapshot"])
def lived(request: pytest.FixtureRequest, learner: Learner) -> Learner:
    """With the newest part of the journal in the log only, in the environment, and in a snapshot."""
    busy_life(learner)
    if request.param == "taken over":
        take_over(learner)
    elif request.param == "snapshot":
        learner.snapshot()
    return learner


def test_copy_opens_to_the_same_state_and_passes_verify(
    lived: Learner, open_learner: Open, tmp_path: Path
) -> None:
    receipt = lived.backup(tmp_path / "copy")
    assert receipt.seq == lived.statistics().seq
    assert names(tmp_path / "copy") == ["data.mdb", "handicapper.json"]
    assert receipt.bytes == sum(file.stat().st_size for file in (tmp_path / "copy").iterdir())
    assert verify_state(tmp_path / "copy", small_settings()).ok
    copy = open_learner("copy")
    assert copy.statistics().seq == receipt.seq
    for model in "abcd":
        assert encode(model_record(copy, model)) == encode(model_record(lived, model))
    assert copy.record_outcomes(outcome(n, "c") for n in range(400, 450)).duplicates == 50
    assert copy.resolve_market(resolution(505)).scored == 1
    assert copy.verify().ok


def test_copy_is_for_its_owner_only(learner: Learner, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        learner.backup(tmp_path / "copy")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "copy").iterdir()}
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}, modes


def test_copy_of_a_closed_directory_equals_that_of_the_open_one(lived: Learner, tmp_path: Path) -> None:
    """Also as a crash leaves it, with a log that nobody has taken over."""
    crashed = copy_while_open(tmp_path / "state", tmp_path / "crashed")
    of_open = lived.backup(tmp_path / "of open")
    of_crashed = backup_state(crashed, tmp_path / "of crashed", small_settings())
    assert of_open.seq == of_crashed.seq
    lived.close()
    assert backup_state(tmp_path / "state", tmp_path / "of closed").seq == of_open.seq
    found = [verify_state(tmp_path / name) for name in ("of open", "of crashed", "of closed")]
    assert [report.ok for report in found] == [True] * 3
    assert len({(report.last_seq, report.models) for report in found}) == 1


def test_what_the_caller_sent_before_is_in_the_copy(learner: Learner, tmp_path: Path) -> None:
    """Though the disk had not taken it yet."""
    learner.record_outcome(outcome(0))
    done: list[Any] = []
    with disk_held(learner):
        sent = learner.record_each_nowait([outcome(n) for n in range(1, 50)])
        thread = threading.Thread(target=lambda: done.append(learner.backup(tmp_path / "copy")))
        thread.start()
        eventually(learner._engine.backing_up.locked)
    thread.join(DEADLINE_SECONDS)
    assert done[0].seq >= sent.get(DEADLINE_SECONDS)[-1].seq


def test_inputs_and_snapshots_go_on_while_copies_are_made(open_learner: Open, tmp_path: Path) -> None:
    """Whatever input a copy ends with, it is consistent, and every input before it is there."""
    learner = open_learner()
    stopped, failed = threading.Event(), []
    recorded = [0]

    def record() -> None:
        try:
            while not stopped.is_set():
                numbers = range(recorded[0], recorded[0] + 20)
                learner.record_predictions(prediction(n, f"m{n % 5}") for n in numbers)
                learner.resolve_markets(resolution(n, "YES" if pattern(n) else "NO") for n in numbers[::2])
                learner.snapshot_nowait()
                recorded[0] += 20
        except HandicapperError as error:
            failed.append(error)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        for turn in range(5):
            eventually(lambda turn=turn: recorded[0] > 100 * turn or failed)
            known, durable = recorded[0], learner.statistics().durable_seq
            receipt = learner.backup(tmp_path / f"copy{turn}")
            assert receipt.seq >= durable
            report = verify_state(tmp_path / f"copy{turn}", small_settings())
            assert (report.ok, report.last_seq) == (True, receipt.seq)
            with Learner(tmp_path / f"copy{turn}", small_settings()) as copy:
                assert copy.record_predictions(prediction(n, f"m{n % 5}") for n in range(known)).accepted == 0
    finally:
        stopped.set()
        thread.join(DEADLINE_SECONDS)
    assert failed == []


def test_copy_goes_into_an_empty_directory(learner: Learner, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o755)
    learner.backup(tmp_path / "empty")
    assert names(tmp_path / "empty") == ["data.mdb", "handicapper.json"]
    learner.backup(tmp_path / ("ü" * 127))
    (tmp_path / "name").symlink_to("far", target_is_directory=True)
    learner.backup(str(tmp_path / "name"))
    assert (tmp_path / "far" / "data.mdb").exists()


@pytest.mark.parametrize(
    "dest", ["full", "file", "none/deeper", "file/deeper", "", "x\0y", "state", "/proc", 5]
)
def test_unsuitable_destination_is_refused_by_name_and_left_alone(
    dest: Any, learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_bytes(b"mine")
    (tmp_path / "file").write_bytes(b"mine")
    before = sorted(map(str, tmp_path.rglob("*")))
    with pytest.raises(InvalidValueError, match="dest was "):
        learner.backup(dest)
    assert sorted(map(str, tmp_path.rglob("*"))) == before
    assert learner.record_outcome(outcome(1)).scored == 1


def fails(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def broken_put(store: Store, *_: Any) -> None:
    raise StoreFailedError(f"writing {store.path} failed: No space left on device")


@pytest.fixture(params=["mkdtemp", "write", "marker", "sync", "rename"])
def disk_full(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """At each of the steps."""
    where = {
        "mkdtemp": ("handicapper.actors.destination.tempfile.mkdtemp", fails),
        "write": ("handicapper.actors.store.Store.add", broken_put),
        "marker": ("handicapper.actors.copying.write_marker", fails),
        "sync": ("handicapper.actors.destination.sync_directory", fails),
        "rename": ("handicapper.actors.destination.Path.rename", fails),
    }
    with monkeypatch.context() as patched:
        patched.setattr(*where[request.param])
        yield


@pytest.mark.usefixtures("disk_full")
@pytest.mark.parametrize("exists", [False, True])
def test_disk_that_is_full_at_any_step_leaves_nothing_and_harms_nothing(
    exists: bool, learner: Learner, tmp_path: Path
) -> None:
    busy_life(learner)
    (tmp_path / "disk").mkdir()
    if exists:
        (tmp_path / "disk" / "copy").mkdir()
    with pytest.raises(BackupFailedError, match=r"No space left on device.*; nothing of it was left there"):
        learner.backup(tmp_path / "disk" / "copy")
    assert names(tmp_path / "disk") == (["copy"] if exists else [])
    assert not exists or names(tmp_path / "disk" / "copy") == []
    assert learner.record_outcome(outcome(900)).scored == 1
    assert learner.statistics().failure is None
    assert learner.snapshot().seq == learner.statistics().seq


def test_last_step_that_fails_takes_the_copy_away_again(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name could be gone after a power failure: nobody is to rely on it."""
    real, calls = os.fsync, []

    def fsync(fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}") == str(tmp_path / "disk"):
            calls.append(fd)
            raise OSError(5, "Input/output error")
        real(fd)

    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BackupFailedError, match="Input/output error"):
        learner.backup(tmp_path / "disk" / "copy")
    assert (len(calls), names(tmp_path / "disk")) == (1, [])


def test_damaged_record_is_named_and_not_copied(learner: Learner, tmp_path: Path) -> None:
    teach(learner, "m", range(20))
    learner.snapshot()
    store = learner._engine.store
    key, value = next(iter(store.settled_markets()))
    with store._env.begin(write=True) as txn:
        txn.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=store._tables[b"settled_markets"])
    with pytest.raises(StateDamagedError, match=f"settled_markets {int.from_bytes(key, 'big')} is damaged"):
        learner.backup(tmp_path / "copy")
    assert names(tmp_path) == ["state"]
    learner.close()
    with pytest.raises(StateDamagedError):
        backup_state(tmp_path / "state", tmp_path / "copy")
    assert names(tmp_path) == ["state"]


def test_learner_that_can_write_no_more_can_still_be_copied(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(learner, "m", range(20))
    seq = learner.statistics().durable_seq

    def append(*_: Any) -> None:
        raise StoreFailedError("no space left on this device")

    monkeypatch.setattr(Store, "append", append)
    with pytest.raises(StoreFailedError):
        learner.record_outcome(outcome(100))
    assert learner.backup(tmp_path / "copy").seq == seq
    assert verify_state(tmp_path / "copy", small_settings()).ok


class Halfway:
    """A backup that was begun and does not go on before it is told to."""

    def __init__(self, learner: Learner, dest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.may_go_on = threading.Event(), threading.Event()
        self.ended: list[Any] = []
        real = copying._copy_journal

        def copy_journal(*arguments: Any) -> int:
            self.reached.set()
            assert self.may_go_on.wait(DEADLINE_SECONDS)
            return real(*arguments)

        monkeypatch.setattr(copying, "_copy_journal", copy_journal)
        self.thread = threading.Thread(target=self._back_up, args=(learner, dest))
        self.thread.start()
        assert self.reached.wait(DEADLINE_SECONDS)

    def _back_up(self, learner: Learner, dest: Path) -> None:
        try:
            self.ended.append(learner.backup(dest))
        except HandicapperError as error:
            self.ended.append(error)

    def go_on(self) -> Any:
        self.may_go_on.set()
        self.thread.join(DEADLINE_SECONDS)
        return self.ended[0]


def test_one_backup_at_a_time_and_the_other_is_told(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halfway = Halfway(learner, tmp_path / "one", monkeypatch)
    with pytest.raises(BusyError, match="another backup"):
        learner.backup(tmp_path / "two")
    assert learner.record_outcome(outcome(1)).scored == 1
    assert learner.snapshot(timeout=DEADLINE_SECONDS).models == 1, "held up for the tables only"
    with pytest.raises(StateLockedError):
        backup_state(tmp_path / "state", tmp_path / "two")
    assert halfway.go_on().seq == 2
    assert learner.backup(tmp_path / "two").seq == 2
    assert names(tmp_path) == ["one", "state", "two"]


def test_close_ends_a_backup_under_way_and_nothing_of_it_is_left(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(learner, "m", range(20))
    halfway = Halfway(learner, tmp_path / "copy", monkeypatch)
    learner.close()
    assert isinstance(halfway.go_on(), ClosedError)
    assert names(tmp_path) == ["state"]
    with pytest.raises(ClosedError):
        learner.backup(tmp_path / "copy")


def test_somebody_elses_files_at_the_destination_are_never_replaced(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They came while the copy was being made."""
    halfway = Halfway(learner, tmp_path / "copy", monkeypatch)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "theirs").write_bytes(b"theirs")
    assert isinstance(halfway.go_on(), BackupFailedError)
    assert names(tmp_path) == ["copy", "state"]
    assert names(tmp_path / "copy") == ["theirs"]


def test_index_and_quarantine_are_copied(learner: Learner, tmp_path: Path) -> None:
    for start in range(0, 200, 20):
        teach(learner, "m", range(start, start + 20))
        learner.snapshot()
    store = learner._engine.store
    store.quarantine("settled_markets", b"\0" * 8, "for a test")
    learner.backup(tmp_path / "copy")
    copy = Store(tmp_path / "copy", MODELS, create=False)
    try:
        assert [(table, list(copy.records(table))) for table in copy.tables()] == [
            (table, list(store.records(table))) for table in store.tables()
        ]
        assert len(copy.runs()) >= 2
        assert copy.quarantined() == ["settled_markets 0: for a test"]
    finally:
        copy.close()


def test_directory_written_by_a_later_release_is_refused(learner: Learner, tmp_path: Path) -> None:
    teach(learner, "m", range(5))
    learner.close()
    store = Store(tmp_path / "state", MODELS, create=False)
    for table, records in [
        (b"journal", list(store.read_journal(0))),
        (b"meta", [(b"snapshot", store.meta(b"snapshot") or b"")]),
    ]:
        with store._env.begin(write=True) as txn:
            for key, value in records:
                txn.put(key, bytes([SCHEMA_VERSION + 1]) + value[1:], db=store._tables[table])
    store.close()
    assert seal(b"k", b"v")[0] == SCHEMA_VERSION
    for attempt in (
        lambda: Learner(tmp_path / "state", small_settings(), accept_loss=True),
        lambda: verify_state(tmp_path / "state"),
        lambda: backup_state(tmp_path / "state", tmp_path / "copy"),
    ):
        with pytest.raises(
            HandicapperError, match=f"holds records of version {SCHEMA_VERSION + 1}"
        ) as refused:
            attempt()
        assert refused.value.code == "STATE_SCHEMA"
    assert names(tmp_path) == ["state"]
