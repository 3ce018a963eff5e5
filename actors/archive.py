"""Markets that left memory: found again by any id that belongs to them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..protocol.messages import MarketResolved, Prediction, TradeOutcome
from ..protocol.wording import shown
from .journaled import ArchiveDamagedError, JournalReader, journaled_outcomes
from .records import (
    DamagedRecordError,
    LooseEntry,
    decode_loose,
    decode_market,
    key_number,
    number_key,
)
from .state.book import Book
from .state.entries import GatedPrediction
from .state.id_index import BloomFilter, fingerprint, fingerprints
from .state.loose import Spans, loose_market
from .state.market import Market, loose_market_id
from .store import Store

__all__ = [
    "Archive",
    "Found",
    "is_loose",
    "market_fingerprints",
    "stored_markets",
]

_LOOSE: Final = loose_market_id("")


class Found(NamedTuple):
    """What :meth:`Archive.bring_back` could not find, and what it found out by the way."""

    damaged: dict[str, ArchiveDamagedError]
    """Ids whose market cannot be read: what is about them cannot be decided."""
    numbers: list[int] | None
    """The fingerprint of every entry's prediction id, where all are trade outcomes and it was needed."""


class Archive:
    """Settled markets on disk, with the filter that says which ids cannot be among them.

    Belongs to whoever owns the book: the router, or the restore before it.
    """

    def __init__(self, store: Store, filter_mib: int) -> None:
        self._store = store
        self._filter = BloomFilter(filter_mib)

    def note(self, numbers: Sequence[int] | NDArray[np.uint64]) -> None:
        """Add the fingerprints of markets that are on disk from now on."""
        self._filter.add(numbers)

    def bring_back(self, book: Book, entries: Sequence[object]) -> Found:
        """Admit to the book every settled market, and every loose outcome, that these entries may be about."""
        names, market_names, aligned = _names_in(entries)
        damaged: dict[str, ArchiveDamagedError] = {}
        read = JournalReader(self._store)
        loose = book.loose
        if not (loose.fresh.keys().isdisjoint(names) and loose.saving.keys().isdisjoint(names)):
            _read_back(book, names, read, damaged)
        if not self._filter.count:
            return Found(damaged, None)
        numbers = fingerprints(names)
        wanted = self._wanted(book, names, market_names, numbers)
        if wanted:
            found = self._store.find_ordinals(list(wanted))
            markets = _Archived(self._store, {ordinal for each in found.values() for ordinal in each}, read)
            # In the order of the journal, so that each of its records is taken apart once.
            for number in sorted(found, key=found.__getitem__):
                try:
                    _admit(book, found[number], wanted[number], markets)
                except ArchiveDamagedError as error:
                    damaged.update(dict.fromkeys(wanted[number], error))
        return Found(damaged, numbers if aligned else None)

    def _wanted(
        self, book: Book, names: Sequence[str], market_names: Sequence[str], numbers: Sequence[int]
    ) -> dict[int, set[str]]:
        """Ids that are not in memory and perhaps on disk, by fingerprint; ``numbers`` are those of ``names``."""
        numbers = [*numbers, *map(market_fingerprint, market_names)] if market_names else numbers
        wanted: dict[int, set[str]] = {}
        # The filter first: of what it does not know, which is nearly everything, nothing else need be asked.
        for place in self._filter.among(numbers):
            if place < len(names):
                name = names[place]
                known = book.knows(name)
            else:
                name = market_names[place - len(names)]
                known = name in book.markets
            if not known:
                wanted.setdefault(numbers[place], set()).add(name)
        return wanted


class _Archived:
    """Some settled markets as they are on disk, read in one go and decoded as they are asked for."""

    def __init__(self, store: Store, ordinals: Iterable[int], read: JournalReader) -> None:
        self._records = store.archived(ordinals)
        self._loose: dict[bytes, list[LooseEntry]] = {}
        self._read = read

    def market(self, ordinal: int) -> Market | None:
        """One of them; None if it is not on disk any more.

        Raises:
            ArchiveDamagedError: its record cannot be read.

        """
        settled, loose = self._records[ordinal]
        if settled is not None:
            try:
                return decode_market(number_key(ordinal), settled)
            except DamagedRecordError as error:
                raise ArchiveDamagedError(ordinal, str(error)) from error
        if loose is None:
            return None
        key = loose[0]
        if key not in self._loose:
            self._loose[key] = _loose_entries(*loose)
        held = self._loose[key]
        first, last = held[bisect_right(held, ordinal, key=itemgetter(0)) - 1] if held else (0, 0)
        if isinstance(last, TradeOutcome):
            return loose_market((ordinal, last)) if first == ordinal else None
        return loose_market((ordinal, self._read.outcome(ordinal))) if first <= ordinal <= last else None


def _admit(book: Book, ordinals: list[int], names: set[str], markets: _Archived) -> None:
    """Admit what is on disk under some ordinals, if it has one of these names."""
    found = [market for market in map(markets.market, ordinals) if market is not None]
    for market in found:
        if market.market_id in book.markets:
            continue
        if any(name in market.tickets or name == market.market_id for name in names):
            book.admit(market)
    # The index goes on to name loose markets that went into another, but then it names that one too.
    if ordinals and not found:
        raise ArchiveDamagedError(
            ordinals[-1], f"the index says that it has {shown(min(names))}, and it is missing"
        )


def _read_back(
    book: Book, names: Sequence[str], read: JournalReader, damaged: dict[str, ArchiveDamagedError]
) -> None:
    """Have the book find the loose outcomes that it knows by number only; in their order, a record after another."""
    loose = book.loose
    away = {seq: name for name in names if (seq := loose.away(name)) and name not in book.by_prediction}
    for seq in sorted(away):
        try:
            loose.found[seq] = read.outcome(seq)
        except ArchiveDamagedError as error:
            damaged[away[seq]] = error


def _loose_entries(key: bytes, value: bytes) -> list[LooseEntry]:
    try:
        return decode_loose(key, value)
    except DamagedRecordError as error:
        raise ArchiveDamagedError(key_number(key), str(error), "loose_outcomes") from error


def _names_in(entries: Sequence[Any]) -> tuple[list[str], list[str], bool]:
    """(prediction ids, market ids) that entries are about, and whether they are one prediction id an entry."""
    if {*map(type, entries)} == {TradeOutcome}:
        return [entry.prediction_id for entry in entries], [], True
    names: list[str] = []
    market_names: list[str] = []
    for entry in entries:
        kind = type(entry)
        if kind is GatedPrediction:
            entry, kind = entry.prediction, Prediction
        if kind is TradeOutcome or kind is Prediction:
            names.append(entry.prediction_id)
        if kind is Prediction or kind is MarketResolved:
            market_names.append(entry.market_id)
    return names, market_names, False


def stored_markets(store: Store) -> Iterator[Market]:
    """Every settled market on disk, those of loose outcomes too.

    Raises:
        ArchiveDamagedError: a record cannot be read.

    """
    for key, value in store.settled_markets():
        try:
            yield decode_market(key, value)
        except DamagedRecordError as error:
            raise ArchiveDamagedError(key_number(key), str(error)) from error
    for key, value in store.loose_outcomes():
        spans: Spans = []
        for first, held in _loose_entries(key, value):
            if isinstance(held, TradeOutcome):
                yield loose_market((first, held))
            else:
                spans.append((first, held))
        yield from map(loose_market, journaled_outcomes(store, spans))


def market_fingerprint(market_id: str) -> int:
    """Fingerprint of a market id; kept apart from prediction ids of the same text."""
    return fingerprint("\1" + market_id)


def is_loose(market: Market) -> bool:
    """Whether it is the market of its own that a trade outcome without a prediction has."""
    return market.market_id.startswith(_LOOSE)


def market_fingerprints(market: Market) -> list[int]:
    """Of every id that must find this market."""
    numbers = fingerprints(market.tickets)
    if not is_loose(market):
        numbers.append(market_fingerprint(market.market_id))
    return numbers
