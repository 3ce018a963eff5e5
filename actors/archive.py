"""Markets that left memory: found again by any id that belongs to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..protocol.errors import StateDamagedError
from ..protocol.messages import MarketResolved, Prediction, TradeOutcome
from .records import DamagedRecordError, decode_market, number_key
from .state.book import Book
from .state.entries import GatedPrediction
from .state.id_index import BloomFilter, fingerprint
from .state.market import Market, loose_market_id
from .store import Store

__all__ = ["Archive", "ArchiveDamagedError", "market_fingerprints"]

_LOOSE: Final = loose_market_id("")


class ArchiveDamagedError(StateDamagedError):
    """The record of a settled market cannot be read; ``key`` is its key."""

    def __init__(self, ordinal: int, problem: str) -> None:
        super().__init__(f"settled market {ordinal}: {problem}; run verify to see what else is damaged")
        self.key = number_key(ordinal)
        self.problem = problem


class Archive:
    """Settled markets on disk, with the filter that says which ids cannot be among them.

    Belongs to whoever owns the book: the router, or the restore before it.
    """

    def __init__(self, store: Store, filter_mib: int) -> None:
        self._store = store
        self._filter = BloomFilter(filter_mib)

    def note(self, numbers: Iterable[int]) -> None:
        """Add the fingerprints of markets that are on disk from now on."""
        self._filter.add(numbers)

    def bring_back(self, book: Book, entries: Iterable[object]) -> dict[str, ArchiveDamagedError]:
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
                ordinals[-1], f"the index says that it has {min(names)!r}, and it is missing"
            )

    def _wanted(self, book: Book, entries: Iterable[object]) -> dict[int, set[str]]:
        """Ids that are not in memory and perhaps on disk, by fingerprint."""
        markets, predictions = book.markets, book.by_prediction
        names: list[str] = []
        market_names: list[str] = []
        for entry in entries:
            kind = type(entry)
            if kind is GatedPrediction:
                entry = entry.prediction  # pyright: ignore[reportAttributeAccessIssue]  # tested above
                kind = Prediction
            if kind is TradeOutcome or kind is Prediction:
                name = entry.prediction_id  # pyright: ignore[reportAttributeAccessIssue]
                if name not in predictions:
                    names.append(name)
            if kind is Prediction or kind is MarketResolved:
                name = entry.market_id  # pyright: ignore[reportAttributeAccessIssue]
                if name not in markets:
                    market_names.append(name)
        numbers = [*map(fingerprint, names), *map(market_fingerprint, market_names)]
        names += market_names
        wanted: dict[int, set[str]] = {}
        for place in self._filter.among(numbers):
            wanted.setdefault(numbers[place], set()).add(names[place])
        return wanted

    def market(self, ordinal: int) -> Market | None:
        """One settled market; None if it is not on disk any more.

        Raises:
            ArchiveDamagedError: its record cannot be read.

        """
        value = self._store.settled_market(ordinal)
        if value is None:
            return None
        try:
            return decode_market(number_key(ordinal), value)
        except DamagedRecordError as error:
            raise ArchiveDamagedError(ordinal, str(error)) from error


def market_fingerprint(market_id: str) -> int:
    """Fingerprint of a market id; kept apart from prediction ids of the same text."""
    return fingerprint("\1" + market_id)


def market_fingerprints(market: Market) -> list[int]:
    """Of every id that must find this market."""
    numbers = [fingerprint(prediction_id) for prediction_id in market.tickets]
    if not market.market_id.startswith(_LOOSE):
        numbers.append(market_fingerprint(market.market_id))
    return numbers
