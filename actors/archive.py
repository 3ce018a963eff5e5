"""Markets that left memory: found again by any id that belongs to them."""

from __future__ import annotations

from collections.abc import Iterable

from ..protocol.errors import StateDamagedError
from ..protocol.messages import MarketResolved, Prediction, TradeOutcome
from .records import DamagedRecordError, decode_market, number_key
from .state.book import Book
from .state.entries import Entry, GatedPrediction
from .state.id_index import BloomFilter, fingerprint
from .state.market import Market, loose_market_id
from .store import Store

__all__ = ["Archive", "market_fingerprints"]


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

    def bring_back(self, book: Book, entries: Iterable[Entry]) -> None:
        """Admit to the book every settled market that these entries may be about.

        Raises:
            StateDamagedError: the record of such a market cannot be read.

        """
        if not self._filter.count:
            return
        wanted = self._wanted(book, entries)
        if not wanted:
            return
        for number, ordinals in self._store.find_ordinals(list(wanted)).items():
            found = [market for market in map(self.market, ordinals) if market is not None]
            for market in found:
                if market.market_id in book.markets:
                    continue
                if wanted[number] in market.tickets or wanted[number] == market.market_id:
                    book.admit(market)
            # The index goes on to name loose markets that went into another, but then it names that one too.
            if ordinals and not found:
                raise StateDamagedError(
                    f"the index says that {wanted[number]!r} is in settled market {ordinals[-1]}, which is missing; "
                    "restore the directory from a backup"
                )

    def _wanted(self, book: Book, entries: Iterable[Entry]) -> dict[int, str]:
        """Ids that are not in memory and perhaps on disk, by fingerprint."""
        markets, predictions, known = book.markets, book.by_prediction, self._filter
        wanted: dict[int, str] = {}
        for entry in entries:
            if isinstance(entry, GatedPrediction):
                entry = entry.prediction
            if isinstance(entry, Prediction | TradeOutcome):
                if entry.prediction_id not in predictions:
                    number = fingerprint(entry.prediction_id)
                    if number in known:
                        wanted[number] = entry.prediction_id
                if isinstance(entry, TradeOutcome):
                    continue
            if isinstance(entry, Prediction | MarketResolved) and entry.market_id not in markets:
                number = market_fingerprint(entry.market_id)
                if number in known:
                    wanted[number] = entry.market_id
        return wanted

    def market(self, ordinal: int) -> Market | None:
        """One settled market; None if it is not on disk any more.

        Raises:
            StateDamagedError: its record cannot be read.

        """
        value = self._store.settled_market(ordinal)
        if value is None:
            return None
        try:
            return decode_market(number_key(ordinal), value)
        except DamagedRecordError as error:
            raise StateDamagedError(
                f"the record of settled market {ordinal} is damaged: {error}; run verify to see what else is"
            ) from error


def market_fingerprint(market_id: str) -> int:
    """Fingerprint of a market id; kept apart from prediction ids of the same text."""
    return fingerprint("\1" + market_id)


def market_fingerprints(market: Market) -> list[tuple[int, int]]:
    """(fingerprint, ordinal) of every id that must find this market."""
    pairs = [(fingerprint(prediction_id), market.ordinal) for prediction_id in market.tickets]
    if not market.market_id.startswith(loose_market_id("")):
        pairs.append((market_fingerprint(market.market_id), market.ordinal))
    return pairs
