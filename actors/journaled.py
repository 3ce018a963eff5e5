"""Loose outcomes read back from the journal, which is where they are kept: by number, one by one or in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import Final

from msgspec import Raw

from ..protocol.errors import StateDamagedError
from ..protocol.messages import TradeOutcome
from .log_file import Record
from .records import DamagedRecordError, decode_chunk, decode_entry, key_number, number_key, split_chunk
from .state.loose import Loose, Spans
from .store import Store

__all__ = ["ArchiveDamagedError", "JournalReader", "journaled_outcomes"]

_NAMES: Final = {
    "settled_markets": "settled market",
    "loose_outcomes": "loose outcomes from",
    "journal": "journal record",
}


class ArchiveDamagedError(StateDamagedError):
    """What is known of a settled market, or of loose outcomes, cannot be read; ``table`` and ``key`` say which record
    it is."""

    def __init__(self, ordinal: int, problem: str, table: str = "settled_markets") -> None:
        super().__init__(f"{_NAMES[table]} {ordinal}: {problem}; run verify to see what else is damaged")
        self.table = table
        self.key = number_key(ordinal)
        self.problem = problem


class JournalReader:
    """Reads single outcomes from the journal; a record is taken apart once for all that are wanted of it in turn."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._first = 0
        self._entries: list[Raw] = []

    def outcome(self, seq: int) -> TradeOutcome:
        """The trade outcome that is input ``seq``.

        Raises:
            ArchiveDamagedError: it cannot be read.

        """
        key = number_key(seq)
        try:
            if not self._first <= seq < self._first + len(self._entries):
                record = self._store.journal_record_at(seq)
                if record is None:
                    raise DamagedRecordError("it is missing")
                key = record[0]
                self._first, self._entries = split_chunk(*record)
            if seq >= self._first + len(self._entries):
                raise DamagedRecordError(f"input {seq} is missing")
            outcome = decode_entry(self._entries[seq - self._first])
        except DamagedRecordError as error:
            raise ArchiveDamagedError(key_number(key), str(error), "journal") from error
        return _checked_outcome(seq, outcome)


def _checked_outcome(seq: int, entry: object) -> TradeOutcome:
    if not isinstance(entry, TradeOutcome):
        raise ArchiveDamagedError(
            seq, f"it is a {type(entry).__name__} instead of a trade outcome", "journal"
        )
    return entry


def journaled_outcomes(store: Store, spans: Spans) -> Iterator[Loose]:
    """Loose outcomes by their numbers, in order, from the journal.

    Raises:
        ArchiveDamagedError: one cannot be read.

    """
    place, expected = 0, spans[0][0] if spans else 0
    for key, value, following in _with_following(store.read_journal(expected) if spans else ()):
        if following <= number_key(expected):
            continue  # nothing that is wanted is in it, and whether it is whole is not asked
        try:
            first, _, entries = decode_chunk(key, value)
        except DamagedRecordError as error:
            raise ArchiveDamagedError(key_number(key), str(error), "journal") from error
        if first > expected:
            break
        end = first + len(entries)
        while expected < end:
            yield expected, _checked_outcome(expected, entries[expected - first])
            expected += 1
            if expected > spans[place][1]:
                place += 1
                if place == len(spans):
                    return
                expected = spans[place][0]
    if spans:
        raise ArchiveDamagedError(expected, "it is missing", "journal")


def _with_following(records: Iterable[Record]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Each record, and the key of the one after it; of the last one a key behind all."""
    for (key, value), (following, _) in pairwise(chain(records, [(b"\xff" * 9, b"")])):
        yield key, value, following
