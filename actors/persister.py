"""The actor that owns the LMDB environment: journals with group commit, writes snapshots, restores.

It blocks on fsync, so it has a thread to itself. Everything that waits when it looks is one commit: alone,
an input goes straight through; under load the batches grow and an input costs less.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from pykka._envelope import Envelope

from ..config import Settings
from ..protocol.errors import StateDamagedError, StoreFailedError
from .log import get_logger
from .records import DamagedRecordError, decode_loose, encode, key_number, number_key, seal, unseal
from .restore import Restored, drop_unfinished_snapshot, restore
from .runtime.actor import PooledActor
from .runtime.future import LeanFuture
from .state.entries import Entry
from .state.id_index import RUNS_PER_LEVEL, merge_runs
from .state.loose import Loose
from .state_directory import StateDirectory
from .store import Settled, SnapshotWrite, Store

__all__ = ["JournalBatch", "Open", "PersisterActor", "WriteAhead", "WriteSnapshot", "run_key"]

MERGED_BYTES_MAX = 16 * 2**20
"""A merge takes a few times the memory of its runs, so runs beyond a million ids stay as they are: one more
look-up per million ids for an id the filter knows, and memory that does not grow with what is settled."""

_log = get_logger("persister")

Reply = tuple[LeanFuture[Any], Any]


class Open(Struct, frozen=True):
    """Open the environment and restore; answers with :class:`Restored` and the store for reading."""

    directory: StateDirectory
    settings: Settings
    models_table: str
    create: bool
    accept_loss: bool


class JournalBatch(Struct, frozen=True):
    """Entries to be made durable, and what to answer to whom once they are."""

    first_seq: int
    received_at_ns: int
    entries: list[Entry]
    replies: list[Reply]
    failed: Callable[[StoreFailedError], object]
    """Told when they cannot be made durable."""


class WriteAhead(Struct, frozen=True):
    """Part of the archive of a snapshot that is being taken: written with the next commit, or with the snapshot.

    ``done()`` is called after what waited with it is committed: the next piece is not made before, so that a
    snapshot takes its pace from the disk, and no commit has more than a piece or two to take along.
    """

    settled: Settled
    done: Callable[[], object]


class WriteSnapshot(Struct, frozen=True):
    """A consistent cut as of ``seq``; ``done(error or None, bytes written)`` is called when it is durable."""

    seq: int
    write: SnapshotWrite
    index_run: Callable[[], tuple[bytes, bytes] | None]
    """Makes the run of the id index: sorting it is left to this thread."""
    done: Callable[[StoreFailedError | None, int], object]


class PersisterActor(PooledActor):
    """Owns the store. ``durable_seq``, ``commits`` and ``journal_bytes`` may be read from any thread."""

    def __init__(self, batch_inputs_max: int) -> None:
        super().__init__()
        self._batch_inputs_max = batch_inputs_max
        self._directory: StateDirectory | None = None
        self._models_table = ""
        self.store: Store | None = None
        self._ahead = Settled()
        self._snapshot_seq = 0
        self.durable_seq = 0
        self.commits = 0
        self.journal_bytes = 0
        self.failure: StoreFailedError | None = None

    def on_batch(self, envelopes: list[Envelope[Any]]) -> None:
        """Commit runs of journal batches together; everything in the order in which it came."""
        waiting: list[JournalBatch] = []
        paced: list[WriteAhead] = []
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
            else:
                raise TypeError(f"the persister cannot handle {message!r:.200}")
        self._commit(waiting)
        for message in paced:
            message.done()

    def _open(self, message: Open, reply_to: Any) -> None:
        try:
            reply_to.set(self._restore(message))
        except BaseException as error:  # noqa: BLE001  # whoever opens gets it, whatever it is
            self._close()
            reply_to.set_exception((type(error), error, error.__traceback__))

    def _restore(self, message: Open) -> tuple[Restored, Store]:
        persistence = message.settings.persistence
        self._directory, self._models_table = message.directory, message.models_table
        store = self.store = Store(
            message.directory.path,
            message.models_table,
            persistence.initial_map_mib,
            persistence.map_mib_max,
            create=message.create,
        )
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
        self.durable_seq = restored.book.seq
        # Derived from the journal, the next snapshot holds everything, and nothing of it is written ahead.
        self._snapshot_seq = 2**62 if restored.from_journal else restored.snapshot_seq
        return restored, store

    def _commit(self, batches: list[JournalBatch]) -> None:
        if not batches:
            return
        try:
            if self.failure is not None:
                raise self.failure.with_traceback(None)
            expected = self.durable_seq + 1
            for batch in batches:
                if batch.first_seq != expected:
                    raise StoreFailedError(
                        f"input {expected} was not handed to the journal; {batch.first_seq} was"
                    )
                expected += len(batch.entries)
            records = [record for batch in batches for record in self._chunks(batch)]
            if records:
                self._store().append(records, self._ahead)
                self._ahead = Settled()
                self.commits += 1
                self.journal_bytes += sum(len(value) for _, value in records)
                last = batches[-1]
                self.durable_seq = last.first_seq + len(last.entries) - 1
                if self._directory is not None:
                    self._directory.mark_used(self._models_table)
        except Exception as error:  # noqa: BLE001  # whatever it was: none of these is durable
            self._refuse(batches, error)
            return
        for batch in batches:
            for future, value in batch.replies:
                future.set(value)

    def _refuse(self, batches: list[JournalBatch], error: Exception) -> None:
        """After a failed commit nothing is acknowledged any more, so that nothing can be lost unnoticed."""
        if not isinstance(error, StoreFailedError):
            error = StoreFailedError(
                f"the journal could not be written: {error!r}; nothing more is acknowledged"
            )
        self.failure = error
        for batch in batches:
            for future, _ in batch.replies:
                future.set_exception((type(error), error, error.__traceback__))
        batches[0].failed(error)

    def _chunks(self, batch: JournalBatch) -> list[tuple[bytes, bytes]]:
        """Journal records of at most ``batch_inputs_max`` entries."""
        size, records = self._batch_inputs_max, []
        for start in range(0, len(batch.entries), size):
            key = number_key(batch.first_seq + start)
            body = encode((batch.received_at_ns, batch.entries[start : start + size]))
            records.append((key, seal(key, body)))
        return records

    def _write_snapshot(self, message: WriteSnapshot) -> None:
        write = message.write
        try:
            if self.failure is not None:
                raise self.failure
            write.index_run = message.index_run()
            write.settled += self._ahead
            if not write.replaces_all:
                write.settled.loose += self._without(write.no_longer_loose)
            self._store().write_snapshot(write)
            self._ahead = Settled()
        except Exception as error:  # noqa: BLE001  # reported, and tried again with the next snapshot
            failed = (
                error
                if isinstance(error, StoreFailedError)
                else StoreFailedError(f"snapshot failed: {error!r}")
            )
            self._drop_ahead()
            message.done(failed, 0)
            return
        self._snapshot_seq = message.seq
        tables = (write.meta, write.models, write.open_markets)
        message.done(None, sum(len(value) for table in tables for _, value in table))
        self._merge_index()

    def _drop_ahead(self) -> None:
        """What was written ahead belongs to a snapshot that will not be: the next one puts it together otherwise."""
        self._ahead = Settled()
        store = self._store()
        if store.failed is None:
            with contextlib.suppress(StoreFailedError):
                store.drop_settled_after(self._snapshot_seq)
        self.failure = self.failure or store.failed

    def _without(self, ordinals: list[int]) -> list[tuple[bytes, bytes]]:
        """The records of loose outcomes that hold one of these, made anew without them."""
        changed: dict[bytes, list[Loose]] = {}
        for ordinal in ordinals:
            record = self._store().loose_outcomes_at(ordinal)
            if record is None:
                continue
            key = record[0]
            try:
                held = changed[key] if key in changed else decode_loose(*record)
            except DamagedRecordError as error:
                _log.error("loose outcomes cannot be read", first_seq=key_number(key), error=str(error))
                continue
            if any(seq == ordinal for seq, _ in held):
                changed[key] = [loose for loose in held if loose[0] != ordinal]
        return [(key, seal(key, encode(held))) for key, held in changed.items()]

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
        """Close the environment."""
        self._close()

    def _close(self) -> None:
        if self.store is not None:
            self.store.close()


def run_key(level: int, seq: int) -> bytes:
    """Key of an index run: its level, then the snapshot that ended it."""
    return bytes([level]) + number_key(seq)
