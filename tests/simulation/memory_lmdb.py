"""A disk in memory that speaks as much of LMDB, and of the journal's log, as the store uses, and fails on request.

A commit takes all of a transaction or nothing, and so does an append to the log. Only what was committed with
``sync`` survives a loss of power: an environment that is opened without it loses what it committed.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal

import lmdb

from handicapper.actors.log_file import Record, SyncFailedError

__all__ = ["Crash", "Disk", "Environment", "Fate", "MemoryLog"]

Fate = Literal["done", "crash before", "crash after", "fail before", "fail after"]
"""What becomes of a commit: *before* it nothing of it is on disk, *after* it everything is."""


class Crash(BaseException):
    """The machine is gone, in the middle of a commit: nobody is left to handle it."""


class Table:
    """Records sorted by key."""

    def __init__(self, keys: list[bytes] | None = None, values: dict[bytes, bytes] | None = None) -> None:
        self.keys = keys or []
        self.values = values or {}

    def copy(self) -> Table:
        return Table(self.keys.copy(), self.values.copy())

    def put(self, key: bytes, value: bytes) -> None:
        if key not in self.values:
            insort(self.keys, key)
        self.values[key] = value

    def delete(self, key: bytes) -> bool:
        if self.values.pop(key, None) is None:
            return False
        del self.keys[bisect_left(self.keys, key)]
        return True


_NOTHING = Table()


class Disk:
    """What is there after the process is gone: tables by name."""

    def __init__(self) -> None:
        self.tables: dict[bytes, Table] = {}
        self.durable: dict[bytes, Table] = {}
        self.log = Table()
        """The journal records that the log holds: always synced, and never changed in place."""
        self.crashed = False
        self.commits = 0
        self.fate: Callable[[], Fate] = lambda: "done"

    def lose_power(self) -> None:
        """The process is gone, and what was not synced."""
        self.tables = dict(self.durable)
        self.crashed = False

    def commit(self, changed: dict[bytes, Table], sync: bool) -> None:
        """Put the tables that a transaction changed in the place of the old ones, as the fates will."""

        def put() -> None:
            self.tables = {**self.tables, **changed}
            if sync:
                self.durable = dict(self.tables)

        self._write(put, lmdb.DiskError)

    def append(self, records: Sequence[Record]) -> None:
        """Add records to the log, as the fates will."""

        def put() -> None:
            self.log = self.log.copy()
            for key, value in records:
                self.log.put(key, value)

        self._write(put, SyncFailedError)

    def _write(self, put: Callable[[], None], failure: type[Exception]) -> None:
        if self.crashed:
            raise Crash
        fate = self.fate()
        if not fate.endswith("before"):
            put()
            self.commits += 1
        if fate.startswith("crash"):
            self.crashed = True
            raise Crash
        if fate.startswith("fail"):
            raise failure(f"simulated: {fate} the commit")

    @property
    def journal(self) -> tuple[Table, Table]:
        """What would be left of the journal now: what the environment has of it, and what the log has."""
        return self.durable.get(b"journal") or _NOTHING, self.log


class Environment:
    """The part of ``lmdb.Environment`` that the store uses."""

    def __init__(self, disk: Disk, **options: Any) -> None:
        self.disk = disk
        self.sync_commits = bool(options.get("sync", True) and options.get("metasync", True))
        self.map_size = int(options["map_size"])

    def open_db(self, name: bytes) -> bytes:
        self.disk.tables.setdefault(name, Table())
        self.disk.durable.setdefault(name, Table())
        return name

    def begin(self, write: bool = False, db: bytes = b"", buffers: bool = False) -> Transaction:
        del buffers
        return Transaction(self, write, db)

    def info(self) -> dict[str, int]:
        return {"map_size": self.map_size, "last_pgno": 1}

    def stat(self) -> dict[str, int]:
        return {"psize": 4096}

    def set_mapsize(self, size: int) -> None:
        self.map_size = size

    def sync(self, force: bool = False) -> None:
        del force
        self.disk.durable = dict(self.disk.tables)

    def close(self) -> None:
        """Nothing is held."""


class MemoryLog:
    """In the place of the journal's log: what is released is gone at once, as if it were written over."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.found: list[Record] = sorted(disk.log.values.items())
        self.unfinished: list[tuple[str, bytes]] = []

    def begin(self) -> None:
        self._disk.log = Table()
        self.found = []

    def append(self, records: Sequence[Record]) -> int:
        self._disk.append(records)
        return sum(len(value) for _, value in records)

    def release(self, key: bytes) -> None:
        kept = {known: value for known, value in self._disk.log.values.items() if known > key}
        self._disk.log = Table(sorted(kept), kept)

    def close(self, emptied: bool) -> None:
        """Nothing is held; what was not taken over stays."""
        if emptied:
            self._disk.log = Table()


class Transaction:
    """Reads what was there when it began; a writing one changes copies."""

    def __init__(self, environment: Environment, write: bool, db: bytes) -> None:
        self._environment = environment
        self._tables = environment.disk.tables
        self._write = write
        self._db = db
        self._changed: dict[bytes, Table] = {}

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._write and error is None:
            self._environment.disk.commit(self._changed, self._environment.sync_commits)

    def readable(self, db: bytes | None) -> Table:
        name = db or self._db
        return self._changed.get(name) or self._tables[name]

    def writable(self, db: bytes | None) -> Table:
        assert self._write, "a write in a transaction for reading"
        name = db or self._db
        if name not in self._changed:
            self._changed[name] = self._tables[name].copy()
        return self._changed[name]

    def get(self, key: bytes, default: bytes | None = None, db: bytes | None = None) -> bytes | None:
        return self.readable(db).values.get(key, default)

    def put(self, key: bytes, value: bytes, db: bytes | None = None) -> bool:
        self.writable(db).put(key, value)
        return True

    def delete(self, key: bytes, db: bytes | None = None) -> bool:
        return self.writable(db).delete(key)

    def drop(self, db: bytes, delete: bool = True) -> None:
        assert not delete, "the store empties tables, it removes none"
        self.writable(db)
        self._changed[db] = Table()

    def cursor(self, db: bytes | None = None) -> Cursor:
        return Cursor(self, db)


class Cursor:
    """A place in a table, or nowhere: before the first record, after the last one."""

    def __init__(self, transaction: Transaction, db: bytes | None) -> None:
        self._transaction = transaction
        self._db = db
        self._place: int | None = None

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    @property
    def _table(self) -> Table:
        return self._transaction.readable(self._db)

    def _go(self, place: int) -> bool:
        there = 0 <= place < len(self._table.keys)
        self._place = place if there else None
        return there

    def key(self) -> bytes:
        return b"" if self._place is None else self._table.keys[self._place]

    def value(self) -> bytes:
        return b"" if self._place is None else self._table.values[self.key()]

    def first(self) -> bool:
        return self._go(0)

    def last(self) -> bool:
        return self._go(len(self._table.keys) - 1)

    def next(self) -> bool:
        return self.first() if self._place is None else self._go(self._place + 1)

    def prev(self) -> bool:
        return self.last() if self._place is None else self._go(self._place - 1)

    def set_range(self, key: bytes) -> bool:
        return self._go(bisect_left(self._table.keys, key))

    def delete(self) -> bool:
        if self._place is None:
            return False
        self._transaction.writable(self._db).delete(self.key())
        self._go(self._place)
        return True

    def putmulti(self, items: Iterable[tuple[bytes, bytes]], append: bool = False) -> tuple[int, int]:
        table = self._transaction.writable(self._db)
        consumed = added = 0
        for key, value in items:
            consumed += 1
            if append and table.keys and key <= table.keys[-1]:
                continue
            table.put(key, value)
            added += 1
        return consumed, added

    def iternext(self, keys: bool = True, values: bool = True) -> Iterator[Any]:
        there = self._place is not None or self.first()
        while there:
            yield (self.key(), self.value()) if keys and values else self.key() if keys else self.value()
            there = self.next()

    def __iter__(self) -> Iterator[Any]:
        return self.iternext()
