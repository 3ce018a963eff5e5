"""The book's side of a snapshot: what changed since the last one, sealed piece by piece."""

from __future__ import annotations

from array import array
from itertools import islice
from typing import Final

from .archive import is_loose, market_fingerprints
from .persister import run_key
from .records import BookRecord, SnapshotMeta, TaggedControl, encode, number_key, seal
from .restore import BOOK_KEY, SNAPSHOT_KEY
from .state.book import Book
from .state.id_index import build_run, fingerprints
from .state.memory import Cut
from .store import Settled, SnapshotWrite

__all__ = ["BookSealer", "Record", "snapshot_meta"]

Record = tuple[bytes, bytes]

LOOSE_A_RECORD: Final = 64
"""Loose outcomes that share a record: to find one of them, so many are decoded."""


class BookSealer:
    """Seals a cut of the book, so many markets at a time.

    ``ahead_of``: what is settled and came after this input is given out by :meth:`seal_some` to be written
    ahead (nothing on disk points at them yet); the others belong to the snapshot's own transaction, because
    what they replace must stay until it is there. None: nothing is written ahead.
    """

    def __init__(self, book: Book, cut: Cut, told_seq: dict[str, int], ahead_of: int | None) -> None:
        self._cut = cut
        self._seq = book.seq
        self._ahead_of = book.seq if ahead_of is None else ahead_of
        self._ordinals = sorted(cut.markets)
        self._next = 0
        self._loose = iter(cut.loose.values())
        self._loose_left = len(cut.loose)
        self.numbers: array[int] = array("Q")
        """Fingerprints of the settled markets' ids."""
        self._number_ordinals: array[int] = array("Q")
        self.settled_markets = 0
        self.settled_bytes = 0
        controls = {
            model: (told_seq.get(model, 0), [TaggedControl.of(seq, event) for seq, event in controls])
            for model, controls in book.controls.items()
        }
        body = encode(BookRecord(book.seq, book.rules_history, controls, book.shared_until_ns))
        self.write = SnapshotWrite(
            meta=[(BOOK_KEY, seal(BOOK_KEY, body))],
            models=[],
            open_markets=[],
            settled=Settled(),
            deleted_markets=[number_key(ordinal) for ordinal in cut.merged],
            no_longer_loose=list(cut.merged),
        )

    @property
    def done(self) -> bool:
        """Whether everything is sealed."""
        return self._next >= len(self._ordinals) and not self._loose_left

    def seal_some(self, count_max: int) -> Settled:
        """Seal markets, as they were at the cut, of so many predictions and markets together, then loose outcomes;
        returns what is to be written ahead."""
        ahead = Settled()
        left = self._seal_markets(count_max, ahead.markets)
        # Sealed many a record, such a one is about a quarter of the work of a market with its prediction.
        while left > 0 and self._loose_left:
            left -= max(LOOSE_A_RECORD // 2, 1)
            first, record = self._seal_loose()
            (ahead if first > self._ahead_of else self.write.settled).loose.append(record)
        return ahead

    def _seal_markets(self, left: int, ahead: list[Record]) -> int:
        cut, write, ordinals = self._cut, self.write, self._ordinals
        while left > 0 and self._next < len(ordinals):
            ordinal = ordinals[self._next]
            market = cut.kept.pop(ordinal, None) or cut.markets[ordinal]
            self._next += 1
            left -= 1 + len(market.tickets)
            cut.sealed_through = ordinal
            key = number_key(ordinal)
            record = (key, seal(key, encode(market)))
            if is_loose(market):
                write.no_longer_loose.append(ordinal)
            if not market.settled:
                write.open_markets.append(record)
                continue
            numbers = market_fingerprints(market)
            self.numbers.extend(numbers)
            self._number_ordinals.extend([ordinal] * len(numbers))
            self.settled_markets += 1
            self.settled_bytes += len(record[1])
            if ordinal > self._ahead_of:
                ahead.append(record)
            else:
                write.settled.markets.append(record)
        return left

    def _seal_loose(self) -> tuple[int, Record]:
        """(number of the first, record) of some."""
        some = list(islice(self._loose, LOOSE_A_RECORD))
        self._loose_left -= len(some)
        self.numbers.extend(fingerprints([outcome.prediction_id for _, outcome in some]))
        self._number_ordinals.extend([seq for seq, _ in some])
        key = number_key(some[0][0])
        record = (key, seal(key, encode(some)))
        self.settled_markets += len(some)
        self.settled_bytes += len(record[1])
        return some[0][0], record

    def index_run(self) -> Record | None:
        """The run of the id index that finds the settled markets; None if there are none."""
        if not self.numbers:
            return None
        key = run_key(0, self._seq)
        return key, seal(key, build_run(self.numbers, self._number_ordinals))


def snapshot_meta(seq: int, taken_at_ns: int, stale_models: list[str]) -> Record:
    """The record that makes it a snapshot."""
    body = encode(SnapshotMeta(seq, taken_at_ns, stale_models))
    return SNAPSHOT_KEY, seal(SNAPSHOT_KEY, body)
