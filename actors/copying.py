"""Copies what a store holds into another directory: record by record, each one checked.

The tables of the snapshot are copied while no snapshot is written; the journal, which is only appended to, afterwards
and as far as it goes then. Together they are the state as of the journal's last input, as a crash at that
moment would have left it, with nothing in a log. Read in short transactions, so that the store may grow meanwhile;
written in small ones, so that a learner's own commits do not wait behind one large one. Until all of it is there the
copy is marked as unfinished, and is opened by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Final

from ..protocol.errors import BackupFailedError, StateDamagedError
from .records import DamagedRecordError, decode_chunk, key_number, unseal
from .restore import SNAPSHOT_KEY
from .state_directory import UNFINISHED_SCHEMA, write_marker
from .store import LOCK_NAME, Record, Store

__all__ = ["copy_store"]

COMMIT_BYTES: Final = 256 * 1024
"""Written with one sync: what a learner journals meanwhile waits for the disk behind no more."""


def copy_store(
    source: Store,
    models_table: str,
    into: Path,
    breathe: Callable[[], object],
    held: Callable[[], AbstractContextManager[object]],
) -> int:
    """Make a state directory of what a store holds; returns the number of the last input in it.

    Args:
        source: what is copied; other threads may go on appending to its journal.
        models_table: name of its table of model states.
        into: an empty directory.
        breathe: called between small pieces of work; may raise to end it.
        held: within its context nothing but the journal changes.

    Raises:
        StateDamagedError: a record is damaged; the copy would be too.
        StateError: the copy cannot be written.

    """
    # Before there is anything in it: should this process end on the way, whoever finds it is told what it is.
    write_marker(into, models_table, UNFINISHED_SCHEMA)
    copy = Store(into, models_table)
    with closing(copy):
        with held():
            snapshot = source.meta(SNAPSHOT_KEY)
            for table in source.tables():
                checked = _checked(table, source.records(table), breathe)
                _write(copy, table, checked if table != source.QUARANTINE else source.records(table))
            if source.meta(SNAPSHOT_KEY) != snapshot:
                # One that was on its way when the router failed, which holds up nothing any more.
                raise BackupFailedError("a snapshot was written meanwhile; try again")
        seq = _copy_journal(source, copy, breathe)
        copy.add(source.QUARANTINE, source.unfinished())
    write_marker(into, models_table)
    (into / LOCK_NAME).unlink(missing_ok=True)
    return seq


def _copy_journal(source: Store, copy: Store, breathe: Callable[[], object]) -> int:
    newest = source.last_journal_record()
    if newest is None:
        return 0
    journal = _up_to(newest[0], source.read_journal(0))
    _write(copy, source.JOURNAL, _checked(source.JOURNAL, journal, breathe))
    first, _, entries = decode_chunk(*newest)
    return first + len(entries) - 1


def _up_to(last: bytes, records: Iterable[Record]) -> Iterable[Record]:
    for record in records:
        if record[0] > last:
            return
        yield record


def _checked(table: str, records: Iterable[Record], breathe: Callable[[], object]) -> Iterable[Record]:
    """The records, if they are whole."""
    for key, value in records:
        breathe()
        try:
            unseal(key, value)
        except DamagedRecordError as error:
            name = str(key_number(key)) if len(key) == 8 else key.decode(errors="replace")
            raise StateDamagedError(
                f"{table} {name} is damaged: {error}; no copy is made of it. Run verify to see what else is"
            ) from error
        yield key, value


def _write(copy: Store, table: str, records: Iterable[Record]) -> None:
    some: list[Record] = []
    size = 0
    for record in records:
        some.append(record)
        size += len(record[1])
        if size >= COMMIT_BYTES:
            copy.add(table, some)
            some, size = [], 0
    copy.add(table, some)
