"""The book's side of a snapshot: what changed since the last one, sealed piece by piece."""

from __future__ import annotations

from array import array

from .archive import market_fingerprints
from .persister import run_key
from .records import BookRecord, SnapshotMeta, TaggedControl, encode, number_key, seal
from .restore import BOOK_KEY, SNAPSHOT_KEY
from .state.book import Book, Cut
from .state.id_index import build_run
from .store import SnapshotWrite

__all__ = ["BookSealer", "Record", "snapshot_meta"]

Record = tuple[bytes, bytes]


class BookSealer:
    """Seals a cut of the book, so many markets at a time.

    ``ahead_of``: settled markets that came after this input are given out by :meth:`seal_some` to be written
    ahead (nothing on disk points at them yet); the others belong to the snapshot's own transaction, because
    what they replace must stay until it is there. None: nothing is written ahead.
    """

    def __init__(self, book: Book, cut: Cut, told_seq: dict[str, int], ahead_of: int | None) -> None:
        self._cut = cut
        self._seq = book.seq
        self._ahead_of = book.seq if ahead_of is None else ahead_of
        self._ordinals = sorted(cut.markets)
        self._next = 0
        self.numbers: array[int] = array("Q")
        """Fingerprints of the settled markets' ids."""
        self._number_ordinals: array[int] = array("Q")
        self.settled_markets = 0
        self.settled_bytes = 0
        controls = {
            model: (told_seq.get(model, 0), [TaggedControl.of(seq, event) for seq, event in controls])
            for model, controls in book.controls.items()
        }
        body = encode(BookRecord(book.seq, book.rules_history, controls))
        self.write = SnapshotWrite(
            meta=[(BOOK_KEY, seal(BOOK_KEY, body))],
            models=[],
            open_markets=[],
            settled_markets=[],
            deleted_markets=[number_key(ordinal) for ordinal in cut.merged],
        )

    @property
    def done(self) -> bool:
        """Whether every market is sealed."""
        return self._next >= len(self._ordinals)

    def seal_some(self, count_max: int) -> list[Record]:
        """Seal markets, as they were at the cut, of so many predictions and markets together; returns those to
        be written ahead."""
        ahead: list[Record] = []
        cut, write, ordinals = self._cut, self.write, self._ordinals
        left = count_max
        while left > 0 and self._next < len(ordinals):
            ordinal = ordinals[self._next]
            market = cut.kept.pop(ordinal, None) or cut.markets[ordinal]
            self._next += 1
            left -= 1 + len(market.tickets)
            cut.sealed_through = ordinal
            key = number_key(ordinal)
            record = (key, seal(key, encode(market)))
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
                write.settled_markets.append(record)
        return ahead

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
