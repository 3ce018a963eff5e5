"""The book's side of a snapshot: what changed since the last one, sealed, in one piece."""

from __future__ import annotations

from .archive import market_fingerprints
from .persister import run_key
from .records import BookRecord, SnapshotMeta, TaggedControl, encode, number_key, seal
from .restore import BOOK_KEY, SNAPSHOT_KEY
from .state.book import Book, Cut
from .state.id_index import build_run
from .store import SnapshotWrite

__all__ = ["book_write", "snapshot_meta"]


def book_write(book: Book, cut: Cut, told_seq: dict[str, int]) -> tuple[SnapshotWrite, list[int]]:
    """Records of the book and the markets of a cut, and the fingerprints that leave memory with it."""
    open_markets: list[tuple[bytes, bytes]] = []
    settled_markets: list[tuple[bytes, bytes]] = []
    pairs: list[tuple[int, int]] = []
    for ordinal, market in sorted(cut.markets.items()):
        key = number_key(ordinal)
        record = (key, seal(key, encode(market)))
        if market.settled:
            settled_markets.append(record)
            pairs.extend(market_fingerprints(market))
        else:
            open_markets.append(record)
    controls = {
        model: (told_seq.get(model, 0), [TaggedControl.of(seq, event) for seq, event in controls])
        for model, controls in book.controls.items()
    }
    body = encode(BookRecord(book.seq, book.rules_history, controls))
    write = SnapshotWrite(
        meta=[(BOOK_KEY, seal(BOOK_KEY, body))],
        models=[],
        open_markets=open_markets,
        settled_markets=settled_markets,
        deleted_markets=[number_key(ordinal) for ordinal in cut.merged],
    )
    if pairs:
        key = run_key(0, book.seq)
        write.index_run = (key, seal(key, build_run(pairs)))
    return write, [number for number, _ in pairs]


def snapshot_meta(seq: int, taken_at_ns: int, stale_models: list[str]) -> tuple[bytes, bytes]:
    """The record that makes it a snapshot."""
    body = encode(SnapshotMeta(seq, taken_at_ns, stale_models))
    return SNAPSHOT_KEY, seal(SNAPSHOT_KEY, body)
