"""The only file that knows LMDB: one environment, one writer thread, every commit an fsync.

What it offers is narrow on purpose: append a batch, read from a number, put a snapshot. The newest journal records
are in a log of plain files (:mod:`.log_file`), which is quicker to make durable, until a checkpoint takes
them over into the environment; whoever reads the journal sees one.

Appending may be done by any one thread at a time; other writes belong to the one thread that opened the store.
Reads are short read-only transactions and may come from any thread; growing the map waits for them, because
LMDB allows none meanwhile.

A write that failed is never retried behind the caller's back, and after one nothing more is written:
once an fsync has failed the kernel may have dropped the pages, and only opening again shows what is there.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Final

import lmdb
from msgspec import Struct

from ..protocol.errors import ClosedError, StateDamagedError, StateError, StoreFailedError, StoreFullError
from .log_file import LogFile, Record, SyncFailedError
from .read_gate import ReadGate
from .reading import INDEX, JOURNAL, LOOSE, META, OPEN, QUARANTINE, SETTLED, StoreReads
from .records import number_key
from .state_directory import DATA_FILE
from .structure import check_structure

__all__ = ["LOCK_NAME", "Record", "Settled", "SnapshotWrite", "Store"]

_MIB: Final = 2**20
_PASSING: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Why a write could not even be begun: no room, or no leave. Nothing is in doubt then, and it may be tried again."""
LOCK_NAME: Final = "lock.mdb"
"""LMDB's own, for the processes that have the environment open: no part of what is stored."""
CHECKPOINT_BYTES: Final = 2 * 2**20
"""Journal bytes after which they are taken over from the log."""


class Settled(Struct):
    """Sealed records of what is settled, for the archive."""

    markets: list[tuple[bytes, bytes]] = []
    loose: list[tuple[bytes, bytes]] = []
    """Outcomes of which nothing else is known, many a record."""

    def __iadd__(self, other: Settled) -> Settled:
        self.markets += other.markets
        self.loose += other.loose
        return self


class SnapshotWrite(Struct):
    """All that one snapshot puts and deletes, sealed; written in one transaction."""

    meta: list[tuple[bytes, bytes]]
    models: list[tuple[bytes, bytes]]
    open_markets: list[tuple[bytes, bytes]]
    settled: Settled
    deleted_markets: list[bytes]
    """Keys to be in neither table of markets, unless put by this snapshot."""
    no_longer_loose: list[int]
    """Ordinals that no record of loose outcomes is to hold any more."""
    index_run: tuple[bytes, bytes] | None = None
    replaces_all: bool = False
    """Nothing of an earlier snapshot stays: it was damaged, and this one holds everything."""


class Store(StoreReads):
    """An open LMDB environment in ``path``.

    Raises:
        StateDamagedError: the file is shorter than it says, or is no LMDB file.
        StateError: it cannot be opened or made.

    """

    JOURNAL: Final = JOURNAL.decode()
    QUARANTINE: Final = QUARANTINE.decode()

    def __init__(
        self,
        path: Path,
        models_table: str,
        initial_map_mib: int = 64,
        map_mib_max: int = 2**20,
        create: bool = True,
    ) -> None:
        self.path = path
        self.failed: StoreFailedError | None = None
        self._map_bytes_max = map_mib_max * _MIB
        self._gate = ReadGate()
        self._closed = False
        size = os.path.getsize(path / DATA_FILE) if (path / DATA_FILE).exists() else 0
        map_size = max(initial_map_mib * _MIB, 2 * size // _MIB * _MIB)
        if not create and not size:
            raise StateError(f"{path / DATA_FILE} does not exist; nothing was ever recorded here")
        if size:
            check_structure(path / DATA_FILE)
        try:
            self._env = lmdb.open(
                str(path), map_size=map_size, max_dbs=8, mode=0o600, max_readers=64, sync=True, metasync=True
            )
        except lmdb.Error as error:
            damaged = isinstance(error, lmdb.InvalidError | lmdb.CorruptedError | lmdb.VersionMismatchError)
            what = StateDamagedError if damaged else StateError
            raise what(f"{path / DATA_FILE} cannot be opened: {error}") from error
        try:
            with self._gate.reading():
                self._tables = {
                    name: self._env.open_db(name)
                    for name in (
                        META,
                        JOURNAL,
                        OPEN,
                        SETTLED,
                        LOOSE,
                        INDEX,
                        QUARANTINE,
                        models_table.encode(),
                    )
                }
        except lmdb.Error as error:
            self._env.close()
            if isinstance(error, lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.IncompatibleError):
                raise StateDamagedError(f"{path / DATA_FILE} cannot be read: {error}") from error
            raise StateError(f"{path / DATA_FILE} cannot be written: {error}") from error
        except BaseException:
            self._env.close()
            raise
        self._models = models_table.encode()
        self._tail: list[Record] = []
        """Journal records that only the log holds; changed under the lock, because two threads do."""
        self.tail_bytes = 0
        self._tail_changing = Lock()
        self._checkpoints = 0
        try:
            self._log = LogFile(path)
        except OSError as error:
            self._env.close()
            raise StateError(f"the journal's log in {path} cannot be read: {error}") from error
        last = self._last_taken_over()
        self._add_to_tail([record for record in self._log.found if record[0] > last])

    # ----------------------------------------------------------------- write

    def begin(self) -> None:
        """Take over what the log holds, and start a new one: from here on records may be appended.

        Raises:
            StoreFailedError: it cannot be written.

        """
        unfinished = self.unfinished()
        if unfinished:
            self._write(lambda txn: self._put_all(txn, QUARANTINE, unfinished))
        self.checkpoint()
        try:
            self._log.begin()
        except OSError as error:
            raise self._fail(error) from error

    def append(self, records: list[Record]) -> int:
        """Append journal records (ascending keys above all there) and make them durable. Returns the bytes written.

        Raises:
            StoreFullError: there is no room, or no leave to write; they may be appended again.
            StoreFailedError: nothing of it counts, and nothing more will be written.

        """
        if self.failed is not None:
            raise self.failed
        try:
            size = self._log.append(records)
        except OSError as error:
            passing = error.errno in _PASSING and not isinstance(error, SyncFailedError)
            raise (self._full(error) if passing else self._fail(error)) from error
        self._add_to_tail(records)
        return size

    def _add_to_tail(self, records: list[Record]) -> None:
        with self._tail_changing:
            self._tail += records
            self.tail_bytes += sum([len(value) for _, value in records])

    @property
    def checkpoint_due(self) -> bool:
        """Whether the log holds enough to be taken over. From any thread."""
        return self.tail_bytes >= CHECKPOINT_BYTES

    def checkpoint(self, settled_ahead: Settled | None = None) -> None:
        """Take over what the log holds.

        ``settled_ahead``: what a snapshot that is being taken has for the archive, written with it so
        that the snapshot has less to write. Nothing finds it before the snapshot is there.

        Raises:
            StoreFailedError: nothing was taken over, and nothing more will be written.

        """
        ahead = Settled() if settled_ahead is None else settled_ahead
        if self._tail or ahead.markets or ahead.loose:
            self._write(lambda txn: self._put_settled(txn, ahead))

    def drop_settled_after(self, seq: int) -> None:
        """Delete what was written ahead for a snapshot, later than ``seq``, that never came.

        Raises:
            StoreFailedError: nothing was deleted, and nothing more will be written.

        """

        def left_over(txn: lmdb.Transaction, table: bytes) -> bool:
            with txn.cursor(db=self._tables[table]) as cursor:
                return cursor.last() and bytes(cursor.key()) > number_key(seq)

        def drop(txn: lmdb.Transaction) -> None:
            for table in (SETTLED, LOOSE):
                with txn.cursor(db=self._tables[table]) as cursor:
                    if cursor.set_range(number_key(seq + 1)):
                        while cursor.delete():
                            pass

        with self._gate.reading(), self._env.begin() as txn:
            wanted = left_over(txn, SETTLED) or left_over(txn, LOOSE)
        if wanted:
            self._write(drop)

    def write_snapshot(self, snapshot: SnapshotWrite) -> None:
        """Write a whole snapshot in one transaction and make it durable.

        Raises:
            StoreFailedError: nothing of it was kept, and nothing more will be written.

        """

        def put(txn: lmdb.Transaction) -> None:
            if snapshot.replaces_all:
                for table in (OPEN, SETTLED, LOOSE, INDEX, self._models):
                    txn.drop(self._tables[table], delete=False)
            for key in snapshot.deleted_markets:
                txn.delete(key, db=self._tables[OPEN])
                txn.delete(key, db=self._tables[SETTLED])
            for key, _ in snapshot.settled.markets:
                txn.delete(key, db=self._tables[OPEN])
            for key, _ in snapshot.open_markets:
                txn.delete(key, db=self._tables[SETTLED])
            self._put_all(txn, OPEN, snapshot.open_markets)
            self._put_settled(txn, snapshot.settled)
            self._put_all(txn, self._models, snapshot.models)
            if snapshot.index_run is not None:
                self._put_all(txn, INDEX, [snapshot.index_run])
            self._put_all(txn, META, snapshot.meta)

        self._write(put)

    def replace_runs(self, old: Iterable[bytes], new: tuple[bytes, bytes]) -> None:
        """Put one merged index run in the place of several."""
        keys = list(old)

        def put(txn: lmdb.Transaction) -> None:
            for key in keys:
                txn.delete(key, db=self._tables[INDEX])
            self._put_all(txn, INDEX, [new])

        self._write(put)

    def add(self, table: str, records: list[Record]) -> None:
        """Put records as they are, with ascending keys above all there: for a store that is made as a copy.

        Raises:
            StoreFailedError: none of them was written, and nothing more will be.

        """
        if records:
            self._write(lambda txn: self._put_all(txn, table.encode(), records, append=True))

    def quarantine(self, table: str, key: bytes, reason: str, move: bool = False) -> None:
        """Copy a damaged record aside, with the reason; unless it is to ``move``, it stays where it is too.

        Raises:
            StoreFailedError: it could not be written.

        """
        value = self._get(self._models if table == "models" else table.encode(), key) or b""
        name = table.encode() + b"/" + key[:400]

        def put(txn: lmdb.Transaction) -> None:
            self._put_all(txn, QUARANTINE, [(name, reason.encode() + b"\0" + value)])
            if move:
                txn.delete(key, db=self._tables[table.encode()])

        self._write(put)

    def _put_settled(self, txn: lmdb.Transaction, settled: Settled) -> None:
        self._put_all(txn, SETTLED, settled.markets)
        self._put_all(txn, LOOSE, settled.loose)

    def _put_all(
        self, txn: lmdb.Transaction, table: bytes, records: list[tuple[bytes, bytes]], append: bool = False
    ) -> None:
        if not records:
            return
        with txn.cursor(db=self._tables[table]) as cursor:
            _, added = cursor.putmulti(records, append=append)
        if append and added != len(records):
            raise lmdb.KeyExistsError(
                f"{len(records) - added} records of the {table.decode()} are not in ascending order"
            )

    def _write(self, work: Callable[[lmdb.Transaction], object]) -> None:
        """One transaction: what the log holds, then ``work``."""
        if self.failed is not None:
            raise self.failed
        if self._closed:
            raise ClosedError("the state directory is closed")
        with self._tail_changing:
            tail, tail_bytes = list(self._tail), self.tail_bytes
        while True:
            try:
                with self._env.begin(write=True) as txn:
                    self._put_all(txn, JOURNAL, tail, append=True)
                    work(txn)
                break
            except lmdb.MapFullError:
                self._grow()
            except (lmdb.Error, OSError) as error:
                # The environment is as it was, and what was to be taken over is in the log still.
                passing = any(os.strerror(number) in str(error) for number in _PASSING) and self._usable()
                raise (self._full(error) if passing else self._fail(error)) from error
        if tail:
            with self._tail_changing:
                del self._tail[: len(tail)]
                self.tail_bytes -= tail_bytes
                self._checkpoints += 1
            self._log.release(tail[-1][0])

    def _usable(self) -> bool:
        """Whether LMDB takes another transaction: none any more once a meta page could not be written."""
        try:
            self._env.begin(write=True).abort()
        except lmdb.Error:
            return False
        return True

    def _grow(self) -> None:
        size = self._env.info()["map_size"]
        if size * 2 > self._map_bytes_max:
            raise self._fail(
                f"the map is full at {size // _MIB} MiB, the most allowed (persistence.map_mib_max)"
            )
        with self._gate.alone():
            self._env.set_mapsize(size * 2)

    def _full(self, error: object) -> StoreFullError:
        return StoreFullError(
            f"writing {self.path} is not possible now: {error}; nothing is accepted until it is, which is tried every "
            "second. What was acknowledged is safe; make room"
        )

    def _fail(self, error: object) -> StoreFailedError:
        self.failed = StoreFailedError(
            f"writing {self.path} failed: {error}; nothing more is acknowledged. "
            "What was acknowledged is safe: mend the cause and open it again"
        )
        return self.failed

    def close(self) -> None:
        """Close the environment; safe to call twice."""
        if not self._closed:
            self._closed = True
            with self._gate.alone():
                self._gate.ended = True
                self._env.close()
            self._log.close(emptied=not self._tail and self.failed is None)
