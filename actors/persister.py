"""The actor that owns the LMDB environment: takes the journal over, writes snapshots, restores.

It blocks on fsync, so it has a thread to itself. Inputs that the router does not commit itself come here; those that
wait when it looks are one commit: under load the batches grow and an input costs less.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct
from pykka._envelope import Envelope

from ..config import Settings
from ..protocol.errors import StateDamagedError, StateError, StoreFailedError, StoreFullError, reason_of
from ..protocol.wording import shown
from .journal import Journal, JournalBatch
from .log import get_logger
from .loose_records import loose_records_without
from .records import DamagedRecordError, key_number, number_key, seal, unseal
from .restore import Restored, drop_unfinished_snapshot, restore
from .runtime.actor import PooledActor
from .schema import check_schema
from .state.id_index import RUNS_PER_LEVEL, merge_runs
from .state_directory import DATA_FILE, StateDirectory
from .store import Settled, SnapshotWrite, Store
from .structure import never_committed

__all__ = ["Checkpoint", "Open", "PersisterActor", "Retry", "WriteAhead", "WriteSnapshot", "run_key"]

MERGED_BYTES_MAX = 16 * 2**20
"""A merge takes a few times the memory of its runs, so runs beyond a million ids stay as they are: one more
look-up per million ids for an id the filter knows, and memory that does not grow with what is settled."""

_log = get_logger("persister")


class Open(Struct, frozen=True):
    """Open the environment and restore; answers with :class:`Restored` and the store for reading."""

    directory: StateDirectory
    settings: Settings
    models_table: str
    create: bool
    accept_loss: bool


class Checkpoint(Struct, frozen=True):
    """The store is to take over what the log holds; answers when it has."""


class Retry(Struct, frozen=True):
    """The disk was full: perhaps it is not any more."""


class WriteAhead(Struct, frozen=True):
    """Part of the archive of a snapshot that is being taken: written with the next checkpoint, or with the snapshot.

    ``done()`` is called once it is there: the next piece is not made before, so that a snapshot takes its pace
    from the disk, and no transaction has more than a piece or two to take along.
    """

    settled: Settled
    done: Callable[[], object]


class WriteSnapshot(Struct, frozen=True):
    """A consistent cut as of ``seq``; ``done(error or None, bytes written)`` is called when it is durable."""

    seq: int
    write: SnapshotWrite
    finish: Callable[[], object]
    """Completes ``write``: what takes long and can be done beside the router is left to this thread."""
    done: Callable[[StoreFailedError | None, int], object]


class PersisterActor(PooledActor):
    """Owns the store, and hands batches to the journal that the router left to it."""

    def __init__(self, batch_inputs_max: int) -> None:
        super().__init__()
        self._batch_inputs_max = batch_inputs_max
        self.store: Store | None = None
        self.journal: Journal | None = None
        self._ahead = Settled()
        self._snapshot_seq = 0
        self._left_ahead = False
        """What was written ahead for a snapshot that failed is to be dropped before anything is for the next."""

    @property
    def failure(self) -> StoreFailedError | None:
        """Why nothing more is acknowledged, if so. From any thread, as the next one."""
        return None if self.journal is None else self.journal.failure

    @property
    def durable_seq(self) -> int:
        """The last input that is durable."""
        return 0 if self.journal is None else self.journal.durable_seq

    def on_batch(self, envelopes: list[Envelope[Any]]) -> None:
        """Commit runs of journal batches together; everything in the order in which it came."""
        waiting: list[JournalBatch] = []
        paced: list[WriteAhead] = []
        asked: list[Any] = []
        for envelope in envelopes:
            message = envelope.message
            if type(message) is JournalBatch:
                waiting.append(message)
                continue
            if type(message) is WriteAhead:
                self._ahead += message.settled
                paced.append(message)
                continue
            self._commit(waiting)
            waiting = []
            if isinstance(message, WriteSnapshot):
                self._write_snapshot(message)
            elif isinstance(message, Open):
                self._open(message, envelope.reply_to)
            elif isinstance(message, Checkpoint):
                asked.append(envelope.reply_to)
            elif isinstance(message, Retry):
                self._retry()
            else:
                raise TypeError(f"the persister cannot handle {shown(message)}")
        self._commit(waiting)
        self._checkpoint(bool(paced or asked))
        for message in paced:
            message.done()
        for reply in filter(None, asked):
            reply.set()

    def _commit(self, batches: list[JournalBatch]) -> None:
        if batches:
            assert self.journal is not None
            self.journal.commit(batches)

    def _retry(self) -> None:
        journal = self.journal
        assert journal is not None
        if journal.full is None:
            return
        # Both must have room before the next input is accepted.
        if journal.retry() and self._checkpoint(True):
            journal.full = None
            _log.info("accepting again")
        elif journal.failure is None:
            journal.became_full()

    def _checkpoint(self, wanted: bool) -> bool:
        """Have the store take over what the log holds, if that is ``wanted`` or has become much; whether it did."""
        store, journal = self.store, self.journal
        if (
            store is None
            or journal is None
            or store.failed is not None
            or not (wanted or store.checkpoint_due)
        ):
            return False
        journal.checkpoint_asked = False
        ahead, self._ahead = self._ahead, Settled()
        try:
            self._drop_left_ahead()
            store.checkpoint(ahead)
        except StoreFullError as error:
            journal.refuse_for_now(error)
            ahead += self._ahead
            self._ahead = ahead
        except StoreFailedError as error:
            # What is in the log is durable; but nothing more may be, with a store that cannot be written.
            journal.failure = journal.failure or error
        else:
            return True
        return False

    def _open(self, message: Open, reply_to: Any) -> None:
        try:
            reply_to.set(self._restore(message))
        except BaseException as error:  # noqa: BLE001  # whoever opens gets it, whatever it is
            self._close()
            reply_to.set_exception((type(error), error, error.__traceback__))

    def _restore(self, message: Open) -> tuple[Restored, Store, Journal]:
        persistence = message.settings.persistence
        if not message.directory.used:
            _set_aside_unbegun(message.directory.path / DATA_FILE)
        store = self.store = Store(
            message.directory.path,
            message.models_table,
            persistence.initial_map_mib,
            persistence.map_mib_max,
            create=message.create,
        )
        check_schema(store)
        drop_unfinished_snapshot(store)
        restored = restore(
            store,
            persistence.idempotency_filter_mib,
            message.settings.limits,
            message.accept_loss,
        )
        for table, key, reason in restored.quarantined:
            # A journal record whose loss was accepted makes room for the inputs that get its numbers now.
            store.quarantine(table, key, reason, move=table == "journal" and "missing" not in reason)
        if message.directory.used and not restored.book.seq and not message.accept_loss:
            raise StateDamagedError(
                f"{message.directory.path} was in use, and its data file holds nothing of ours; restore it from a "
                "backup, or open with accept_loss=True to begin again"
            )
        message.directory.mark_upgraded()
        store.begin()
        # Derived from the journal, the next snapshot holds everything, and nothing of it is written ahead.
        self._snapshot_seq = 2**62 if restored.from_journal else restored.snapshot_seq
        directory, table = message.directory, message.models_table
        self.journal = Journal(
            store, restored.book.seq, self._batch_inputs_max, lambda: directory.mark_used(table)
        )
        return restored, store, self.journal

    def _write_snapshot(self, message: WriteSnapshot) -> None:
        write = message.write
        try:
            if self.failure is not None:
                raise self.failure
            if message.seq > self.durable_seq:
                raise StoreFullError(f"input {message.seq} is not durable yet: no snapshot may hold it")
            self._drop_left_ahead()
            message.finish()
            write.settled += self._ahead
            if not write.replaces_all:
                write.settled.loose += loose_records_without(self._store(), write.no_longer_loose)
            self._store().write_snapshot(write)
            self._ahead = Settled()
        except Exception as error:  # noqa: BLE001  # reported, and tried again with the next snapshot
            failed = (
                error
                if isinstance(error, StoreFailedError)
                else StoreFailedError(f"snapshot failed: {reason_of(error)}")
            )
            self._ahead, self._left_ahead = Settled(), True
            assert self.journal is not None
            self.journal.failure = self.journal.failure or self._store().failed
            if isinstance(error, StoreFullError):
                self.journal.refuse_for_now(error)
            message.done(failed, 0)
            return
        self._snapshot_seq = message.seq
        tables = (write.meta, write.models, write.open_markets)
        message.done(None, sum(len(value) for table in tables for _, value in table))
        self._merge_index()

    def _drop_left_ahead(self) -> None:
        """What was written ahead belongs to a snapshot that will not be: the next one puts it together otherwise."""
        if self._left_ahead:
            self._store().drop_settled_after(self._snapshot_seq)
            self._left_ahead = False

    def _merge_index(self) -> None:
        """Merge the runs of a level once there are enough: ids stay findable in a few look-ups."""
        store = self._store()
        levels: dict[int, list[bytes]] = {}
        for key in store.run_keys():
            levels.setdefault(key[0], []).append(key)
        for level, runs in sorted(levels.items()):
            if len(runs) < RUNS_PER_LEVEL:
                continue
            try:
                self._merge_level(store, level, runs[:RUNS_PER_LEVEL])
            except (DamagedRecordError, StoreFailedError) as error:
                # The snapshot is durable all the same; look-ups read some runs more.
                _log.error("runs of the id index not merged", level=level, error=str(error))

    def _merge_level(self, store: Store, level: int, runs: list[bytes]) -> None:
        bodies = [unseal(run, store.run(run) or b"") for run in runs]
        if sum(map(len, bodies)) <= MERGED_BYTES_MAX:
            key = run_key(level + 1, key_number(runs[-1][1:]))
            store.replace_runs(runs, (key, seal(key, merge_runs(bodies))))

    def _store(self) -> Store:
        assert self.store is not None
        return self.store

    def on_stop(self) -> None:
        """Let the store take over what the log holds, and close both."""
        self._checkpoint(True)
        self._close()

    def _close(self) -> None:
        if self.store is not None:
            self.store.close()


def _set_aside_unbegun(file: Path) -> None:
    """A first opening that the power ended leaves a file that LMDB cannot read; nothing is in it.

    Raises:
        StateError: it cannot be moved.

    """
    try:
        if file.exists() and never_committed(file):
            aside = file.with_name(file.name + ".unbegun")
            file.replace(aside)
            _log.warning(
                "the first opening was not finished: its empty data file is set aside", file=str(aside)
            )
    except OSError as error:
        raise StateError(f"{file} cannot be used: {error.strerror or error}") from error


def run_key(level: int, seq: int) -> bytes:
    """Key of an index run: its level, then the snapshot that ended it."""
    return bytes([level]) + number_key(seq)
