"""Reading the store: short read-only transactions, from any thread, so that a long scan blocks nobody.

The newest journal records are in the log only (:attr:`StoreReads._tail`); whoever reads the journal sees one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from threading import Lock
from typing import Any, Final

from .log_file import LogFile, Record
from .read_gate import ReadGate
from .records import number_key, sealed_body
from .state.id_index import look_up_all

__all__ = ["INDEX", "JOURNAL", "LOOSE", "META", "OPEN", "QUARANTINE", "SETTLED", "StoreReads"]

META: Final = b"meta"
JOURNAL: Final = b"journal"
OPEN: Final = b"open_markets"
SETTLED: Final = b"settled_markets"
LOOSE: Final = b"loose_outcomes"
INDEX: Final = b"index"
QUARANTINE: Final = b"quarantine"

_READ_BATCH: Final = 1024
_READ_BYTES: Final = 256 * 1024
"""What one reading takes at most, but for a record that is larger: the interpreter is held for as long."""
UNFINISHED: Final = (
    b"a batch that was not finished, or is damaged: then inputs are missing if it was not the last"
)


class StoreReads:
    """The half of a :class:`.store.Store` that reads; the other half opens, writes and closes."""

    _env: Any
    """LMDB's environment, and its tables by name."""
    _tables: dict[bytes, Any]
    _models: bytes
    _gate: ReadGate
    _log: LogFile
    _tail: list[Record]
    """Journal records that only the log holds; changed under the lock, because two threads do."""
    _tail_changing: Lock
    _checkpoints: int
    """How often they were taken over."""

    def tables(self) -> list[str]:
        """Names of all tables but the journal."""
        return [name.decode() for name in self._tables if name != JOURNAL]

    def records(self, table: str) -> Iterator[Record]:
        """Every record of one of them."""
        return self._scan(table.encode(), b"")

    def unfinished(self) -> list[Record]:
        """Records for the quarantine: of batches in the log that are not whole."""
        return sorted(
            (b"log/" + where.encode(), UNFINISHED + b"\0" + data) for where, data in self._log.unfinished
        )

    def meta(self, key: bytes) -> bytes | None:
        """A record about the whole."""
        return self._get(META, key)

    def model(self, key: bytes) -> bytes | None:
        """A model's record."""
        return self._get(self._models, key)

    def models(self) -> Iterator[tuple[bytes, bytes]]:
        """Every model's record."""
        return self._scan(self._models, b"")

    def open_markets(self) -> Iterator[tuple[bytes, bytes]]:
        """Every market with something pending."""
        return self._scan(OPEN, b"")

    def settled_markets(self, ordinal: int = 0) -> Iterator[tuple[bytes, bytes]]:
        """Every settled market from an ordinal on, in order of arrival."""
        return self._scan(SETTLED, number_key(ordinal))

    def loose_outcomes(self) -> Iterator[tuple[bytes, bytes]]:
        """Every record of loose outcomes, in order of arrival."""
        return self._scan(LOOSE, b"")

    def loose_outcomes_at(self, ordinal: int) -> Record | None:
        """The record of loose outcomes that holds an ordinal, if one does: the last that does not begin after it."""
        return self._last_until(LOOSE, number_key(ordinal))

    def journal_record_at(self, seq: int) -> Record | None:
        """The journal record that holds an input, if one does, likewise; one of the log too."""
        wanted = number_key(seq)
        with self._tail_changing:
            tail = self._tail
            if tail and tail[0][0] <= wanted:
                return tail[bisect_right(tail, wanted, key=itemgetter(0)) - 1]
        return self._last_until(JOURNAL, wanted)

    def archived(self, ordinals: Iterable[int]) -> dict[int, tuple[bytes | None, Record | None]]:
        """Of each ordinal its settled market, or else the record of loose outcomes that may hold it."""
        found: dict[int, tuple[bytes | None, Record | None]] = {}
        with self._gate.reading(), self._env.begin() as txn, txn.cursor(db=self._tables[LOOSE]) as cursor:
            for ordinal in ordinals:
                key = number_key(ordinal)
                settled = txn.get(key, db=self._tables[SETTLED])
                found[ordinal] = settled, None if settled is not None else _last_until(cursor, key)
        return found

    def _last_until(self, table: bytes, wanted: bytes) -> Record | None:
        with self._gate.reading(), self._env.begin(db=self._tables[table]) as txn, txn.cursor() as cursor:
            return _last_until(cursor, wanted)

    def runs(self) -> list[tuple[bytes, bytes]]:
        """Every run of the id index."""
        return list(self._scan(INDEX, b""))

    def run_keys(self) -> list[bytes]:
        """The key of every run, without reading them."""
        with self._gate.reading(), self._env.begin(db=self._tables[INDEX]) as txn, txn.cursor() as cursor:
            return list(cursor.iternext(values=False))

    def run(self, key: bytes) -> bytes | None:
        """One run of the id index."""
        return self._get(INDEX, key)

    def find_ordinals(self, numbers: list[int]) -> dict[int, list[int]]:
        """Ordinals of the settled markets the index knows for each fingerprint, read in place."""
        found: dict[int, list[int]] = {number: [] for number in numbers}
        with (
            self._gate.reading(),
            self._env.begin(db=self._tables[INDEX], buffers=True) as txn,
            txn.cursor() as cursor,
        ):
            for run in cursor.iternext(keys=False):
                for number, ordinal in look_up_all(sealed_body(run), numbers):
                    found[number].append(ordinal)
        return found

    def read_journal(self, seq: int) -> Iterator[Record]:
        """Journal records from the one that holds ``seq``, or the first after it."""
        last, start = b"", self._key_before(seq)
        while True:
            checkpoints = self._checkpoints
            for record in self._scan(JOURNAL, start):
                if record[0] > last:
                    last = record[0]
                    yield record
            with self._tail_changing:
                tail = list(self._tail)
                if checkpoints == self._checkpoints:
                    break
            start = last or start  # meanwhile something was taken over: it is to be found there
        yield from (record for record in tail if record[0] > last)

    def _key_before(self, seq: int) -> bytes:
        """The key of the record that the environment may have ``seq`` in, or of the first after it."""
        with self._gate.reading(), self._env.begin(db=self._tables[JOURNAL]) as txn, txn.cursor() as cursor:
            key = number_key(seq)
            if not cursor.set_range(key):
                return bytes(cursor.key()) if cursor.last() else key
            found = bytes(cursor.key())
            return bytes(cursor.key()) if found != key and cursor.prev() else found

    def last_journal_record(self) -> Record | None:
        """The newest journal record."""
        with self._tail_changing:
            if self._tail:
                return self._tail[-1]
        with self._gate.reading(), self._env.begin(db=self._tables[JOURNAL]) as txn, txn.cursor() as cursor:
            return (cursor.key(), cursor.value()) if cursor.last() else None

    def _last_taken_over(self) -> bytes:
        """The key of the newest journal record in the environment."""
        with self._gate.reading(), self._env.begin(db=self._tables[JOURNAL]) as txn, txn.cursor() as cursor:
            return bytes(cursor.key()) if cursor.last() else b""

    def quarantined(self) -> list[str]:
        """What was set aside, each with its reason."""
        items: list[str] = []
        for key, value in self._scan(QUARANTINE, b""):
            table, _, name = key.partition(b"/")
            shown = str(int.from_bytes(name, "big")) if len(name) == 8 else name.decode(errors="replace")
            items.append(f"{table.decode()} {shown}: {value.partition(bytes(1))[0].decode(errors='replace')}")
        return items

    def sizes(self) -> Mapping[str, int]:
        """Bytes of the map and of its used part."""
        info = self._env.info()
        used = (info["last_pgno"] + 1) * self._env.stat()["psize"]
        return {"map_bytes": info["map_size"], "used_bytes": used}

    def _get(self, table: bytes, key: bytes) -> bytes | None:
        with self._gate.reading(), self._env.begin(db=self._tables[table]) as txn:
            return txn.get(key)

    def _scan(self, table: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """All records from a key on, read in short transactions so that a long scan blocks nobody."""
        key, skip = start, False
        while True:
            with self._gate.reading(), self._env.begin(db=self._tables[table]) as txn, txn.cursor() as cursor:
                batch: list[tuple[bytes, bytes]] = []
                size, more = 0, False
                if cursor.set_range(key) if key else cursor.first():
                    if skip and cursor.key() == key and not cursor.next():
                        return
                    for item in cursor:
                        batch.append(item)
                        size += len(item[1])
                        if len(batch) == _READ_BATCH or size >= _READ_BYTES:
                            more = True
                            break
            yield from batch
            if not more:
                return
            key, skip = batch[-1][0], True


def _last_until(cursor: Any, wanted: bytes) -> Record | None:
    """The last record whose key does not come after one; with a cursor of the store's."""
    if cursor.set_range(wanted) and cursor.key() == wanted:
        return wanted, cursor.value()
    # Behind the last one set_range leaves the cursor nowhere, and the last one is it.
    found = cursor.prev() if cursor.key() else cursor.last()
    return (cursor.key(), cursor.value()) if found else None
