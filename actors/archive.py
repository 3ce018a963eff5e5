"""Markets that left memory: found again by any id that belongs to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..protocol.errors import StateDamagedError
from ..protocol.messages import MarketResolved, Prediction, TradeOutcome
from ..protocol.wording import shown
from .records import DamagedRecordError, decode_loose, decode_market, key_number, number_key
from .state.book import Book
from .state.entries import GatedPrediction
from .state.id_index import BloomFilter, fingerprint, fingerprints
from .state.loose import loose_market
from .state.market import Market, loose_market_id
from .store import Store

__all__ = ["Archive", "ArchiveDamagedError", "is_loose", "market_fingerprints", "stored_markets"]

_LOOSE: Final = loose_market_id("")


class ArchiveDamagedError(StateDamagedError):
    """The record of a settled market, or of loose outcomes, cannot be read; ``table`` and ``key`` say which."""

    def __init__(self, ordinal: int, problem: str, table: str = "settled_markets") -> None:
        what = "settled market" if table == "settled_markets" else "loose outcomes from"
        super().__init__(f"{what} {ordinal}: {problem}; run verify to see what else is damaged")
        self.table = table
        self.key = number_key(ordinal)
        self.problem = problem


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

    def bring_back(self, book: Book, entries: Sequence[object]) -> dict[str, ArchiveDamagedError]:
        """Admit to the book every settled market that these entries may be about.

        Returns the ids whose market cannot be read, with the error: what is about them cannot be decided.
        """
        if not self._filter.count:
            return {}
        wanted = self._wanted(book, entries)
        damaged: dict[str, ArchiveDamagedError] = {}
        if not wanted:
            return damaged
        for number, ordinals in self._store.find_ordinals(list(wanted)).items():
            try:
                self._admit(book, ordinals, wanted[number])
            except ArchiveDamagedError as error:
                damaged.update(dict.fromkeys(wanted[number], error))
        return damaged

    def _admit(self, book: Book, ordinals: list[int], names: set[str]) -> None:
        found = [market for market in map(self.market, ordinals) if market is not None]
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

    def _wanted(self, book: Book, entries: Sequence[object]) -> dict[int, set[str]]:
        """Ids that are not in memory and perhaps on disk, by fingerprint."""
        names, market_names = _names_in(entries)
        numbers = [*fingerprints(names), *map(market_fingerprint, market_names)]
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

    def market(self, ordinal: int) -> Market | None:
        """One settled market; None if it is not on disk any more.

        Raises:
            ArchiveDamagedError: its record cannot be read.

        """
        value = self._store.settled_market(ordinal)
        if value is not None:
            try:
                return decode_market(number_key(ordinal), value)
            except DamagedRecordError as error:
                raise ArchiveDamagedError(ordinal, str(error)) from error
        record = self._store.loose_outcomes_at(ordinal)
        if record is None:
            return None
        try:
            found = decode_loose(*record)
        except DamagedRecordError as error:
            raise ArchiveDamagedError(key_number(record[0]), str(error), "loose_outcomes") from error
        return next((loose_market(loose) for loose in found if loose[0] == ordinal), None)


def _names_in(entries: Sequence[Any]) -> tuple[list[str], list[str]]:
    """(prediction ids, market ids) that entries are about."""
    if {*map(type, entries)} == {TradeOutcome}:
        return [entry.prediction_id for entry in entries], []
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
    return names, market_names


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
        try:
            yield from map(loose_market, decode_loose(key, value))
        except DamagedRecordError as error:
            raise ArchiveDamagedError(key_number(key), str(error), "loose_outcomes") from error


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
