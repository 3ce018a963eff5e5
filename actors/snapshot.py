"""The book's side of a snapshot: what changed since the last one, sealed piece by piece."""

from __future__ import annotations

from .archive import is_loose, market_fingerprints
from .loose_records import loose_records
from .persister import run_key
from .records import BookRecord, SnapshotMeta, TaggedControl, encode, number_key, seal
from .restore import BOOK_KEY, SNAPSHOT_KEY
from .state.book import Book
from .state.id_index import IndexRows
from .state.loose import spans_of
from .state.memory import Cut
from .store import Settled, SnapshotWrite

__all__ = ["BookSealer", "Record", "snapshot_meta"]

Record = tuple[bytes, bytes]


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
        self.index = IndexRows()
        """Of the settled markets' ids, those of loose outcomes first."""
        self.index.extend(cut.loose_index.fingerprints, cut.loose_index.ordinals)
        self.settled_markets = len(cut.loose)
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
        return self._next >= len(self._ordinals)

    def seal_some(self, left: int) -> Settled:
        """Seal markets, as they were at the cut, of so many predictions and markets together; returns what is to be
        written ahead."""
        ahead = Settled()
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
            self.index.extend(numbers, [ordinal] * len(numbers))
            self.settled_markets += 1
            self.settled_bytes += len(record[1])
            if ordinal > self._ahead_of:
                ahead.markets.append(record)
            else:
                write.settled.markets.append(record)
        return ahead

    def finish(self) -> None:
        """Complete the write, once everything is sealed: may be done in another thread, while the cut is kept."""
        cut, write = self._cut, self.write
        if len(self.index):
            key = run_key(0, self._seq)
            write.index_run = key, seal(key, self.index.run())
        numbers = cut.loose_index.ordinals
        records = loose_records(spans_of(numbers if len(numbers) == len(cut.loose) else cut.loose.values()))
        self.settled_bytes += sum(len(value) for _, value in records)
        write.settled.loose += records


def snapshot_meta(seq: int, taken_at_ns: int, stale_models: list[str]) -> Record:
    """The record that makes it a snapshot."""
    body = encode(SnapshotMeta(seq, taken_at_ns, stale_models))
    return SNAPSHOT_KEY, seal(SNAPSHOT_KEY, body)
