"""What the book has in memory: markets with something pending, and those settled since the last snapshot; of loose
outcomes (:mod:`.loose`) their numbers.

Older ones are on disk. Whoever decides brings those an input mentions back (:meth:`BookMemory.admit`); a snapshot
saves what changed (:meth:`BookMemory.cut`), after which what is settled leaves memory, piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from heapq import heapify, heappop, heappush
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ...protocol.messages import Prediction
from .id_index import IndexRows
from .loose import LooseOutcomes, loose_market
from .market import Market

__all__ = ["LET_GO_ITEMS", "BookMemory", "Cut"]

LET_GO_ITEMS: Final = 512
"""Freed at a time: that takes half a millisecond."""


class Cut(Struct):
    """What a snapshot has to save of the book."""

    markets: dict[int, Market]
    merged: list[int]
    loose: dict[str, int]
    """Sequence numbers of the outcomes of which nothing else was known at the cut; changed only once it is durable."""
    loose_index: IndexRows
    """Their rows of the id index, and of some that were such outcomes since the last cut and are not any more."""
    kept: dict[int, Market] = {}
    """As they were at the cut: markets that changed before they were sealed."""
    sealed_through: int = -1
    """Markets up to this ordinal are sealed."""
    durable: bool = False
    """What is still in ``markets`` and ``loose`` may leave memory."""

    def keep(self, market: Market) -> None:
        """The market is about to change: what is to be saved is how it was at the cut."""
        ordinal = market.ordinal
        if ordinal <= self.sealed_through or ordinal in self.kept or ordinal not in self.markets:
            return
        tickets = {prediction_id: copy(ticket) for prediction_id, ticket in market.tickets.items()}
        self.kept[ordinal] = replace(market, tickets=tickets)


class BookMemory:
    """Markets by their id and by the ids of their predictions, and which of them are not saved yet.

    ``unsaved`` holds the markets that changed since the last :meth:`cut`.
    """

    def __init__(self) -> None:
        self.pending = 0
        self.open_markets = 0
        """Markets with something pending."""
        self.markets: dict[str, Market] = {}
        self.by_prediction: dict[str, Market] = {}
        self.loose = LooseOutcomes()
        self.unsaved: dict[int, Market] = {}
        self.merged: list[int] = []
        """Ordinals of loose markets that went into another since the last save."""
        self.saving: Cut | None = None
        """The cut that is being saved."""
        self.visiting: dict[int, Market] = {}
        self._expiries: list[tuple[int, str]] = []
        """Heap of (expires_at, prediction id) of pending predictions; may hold some that are settled."""

    def let_go(self, pause: Callable[[], object]) -> None:
        """Forget everything, a few things between two calls of ``pause``. A large book that is freed at once is one
        call of C of a fifth of a second, in which no other thread has the interpreter."""
        loose, expiries = self.loose, self._expiries
        # Markets last: by then each is in one place only, and freed where it is taken out.
        for each in (self.by_prediction, self.unsaved, loose.fresh, loose.saving, loose.found, self.markets):
            while each:
                for _ in range(min(len(each), LET_GO_ITEMS)):
                    each.popitem()
                pause()
        while expiries:
            del expiries[-LET_GO_ITEMS:]
            pause()
        loose.recent.let_go(pause)

    # ------------------------------------------------------------- looking up

    def knows(self, prediction_id: str) -> bool:
        """Whether anything in memory is about this prediction."""
        loose = self.loose
        return (
            prediction_id in self.by_prediction
            or prediction_id in loose.fresh
            or prediction_id in loose.saving
        )

    def all_markets(self) -> Iterator[Market]:
        """Every market in memory; of a loose outcome the one it would have.

        Raises:
            LookupError: a loose outcome is in the journal only.

        """
        yield from self.markets.values()
        yield from map(loose_market, self.loose.items(self.by_prediction))

    @property
    def settled_predictions(self) -> int:
        """How many settled predictions are in memory, those among them that are being saved and changed twice."""
        return len(self.by_prediction) - self.pending + len(self.loose)

    def market_of(self, prediction_id: str) -> Market | None:
        """The market of a prediction that is about to change; a loose outcome becomes one."""
        market = self.by_prediction.get(prediction_id)
        if market is None and (loose := self.loose.take(prediction_id)) is not None:
            market = loose_market(loose)
            self.markets[market.market_id] = self.by_prediction[prediction_id] = market
            self.unsaved[market.ordinal] = market
        return market

    # ---------------------------------------------------------------- pending

    def pend(self, market: Market) -> None:
        """Count a prediction that waits for its market."""
        self.open_markets += market.pending == 0
        market.pending += 1
        self.pending += 1

    def unpend(self, market: Market) -> None:
        """It waits no more."""
        market.pending -= 1
        self.pending -= 1
        self.open_markets -= market.pending == 0

    def note_expiry(self, prediction: Prediction | None) -> None:
        """Remember when a pending prediction expires, if it does."""
        if prediction is not None and prediction.expires_at is not None:
            heappush(self._expiries, (prediction.expires_at, prediction.prediction_id))
            if len(self._expiries) > 2 * self.pending + 1024:
                self._drop_settled_expiries()

    def _drop_settled_expiries(self) -> None:
        """The heap holds what is pending, and not every id that was ever to expire."""
        self._expiries = [item for item in self._expiries if self._pending_market(item[1]) is not None]
        heapify(self._expiries)

    def _pending_market(self, prediction_id: str) -> Market | None:
        market = self.by_prediction.get(prediction_id)
        return None if market is None or market.tickets[prediction_id].row is not None else market

    def expiry_due(self, now_ns: int) -> bool:
        """Whether a pending prediction has expired; then an ExpirePredictions is to be journaled."""
        heap = self._expiries
        while heap and heap[0][0] < now_ns:
            if self._pending_market(heap[0][1]) is not None:
                return True
            heappop(heap)
        return False

    def take_expired(self, at_ns: int) -> list[tuple[str, Market]]:
        """(id, market) of the pending predictions that have expired, in the order of their numbers."""
        expired: dict[int, tuple[str, Market]] = {}
        while self._expiries and self._expiries[0][0] < at_ns:
            prediction_id = heappop(self._expiries)[1]
            market = self._pending_market(prediction_id)
            if market is not None:
                expired[market.tickets[prediction_id].row_id] = prediction_id, market
        # Not in the order of their expiry: that of their numbers is the one a rebuild folds them in.
        return [expired[row_id] for row_id in sorted(expired)]

    # ------------------------------------------------------------ in and out

    def admit(self, market: Market) -> None:
        """Bring a market back from disk; it leaves again with :meth:`leave` unless an input changes it."""
        self.markets[market.market_id] = market
        for prediction_id, ticket in market.tickets.items():
            self.by_prediction[prediction_id] = market
            if ticket.row is None:
                self.note_expiry(ticket.prediction)
        self.pending += market.pending
        self.open_markets += market.pending > 0
        if market.settled:
            self.visiting[market.ordinal] = market

    def leave(self) -> None:
        """Drop the settled markets that were brought back and did not change, and the outcomes that were read back."""
        for ordinal, market in self.visiting.items():
            cut = self.saving
            saving = cut is not None and not cut.durable and ordinal in cut.markets
            if market.settled and ordinal not in self.unsaved and not saving:
                self._evict(market)
        self.visiting.clear()
        self.loose.found.clear()

    def cut(self) -> Cut:
        """Everything that changed since the last cut, to be saved; one cut at a time."""
        assert self.saving is None
        self.loose.cut()
        self.saving = Cut(self.unsaved, self.merged, self.loose.saving, self.loose.saving_index)
        self.unsaved, self.merged = {}, []
        return self.saving

    def saved(self) -> int:
        """The cut is durable: its settled markets leave memory. Returns how many did."""
        left = 0
        while (some := self.leave_some(10_000)) is not None:
            left += some
        return left

    def leave_some(self, count_max: int) -> int | None:
        """The cut is durable: look at so many of its markets, and drop those that are settled and unchanged.

        Returns how many were dropped; None once there is none left to look at: then the next cut may be made.
        """
        cut = self.saving
        assert cut is not None
        if not cut.durable:
            cut.sealed_through, cut.kept, cut.durable = 2**63, {}, True
        if not cut.markets:
            left = self.loose.leave_some(8 * count_max)  # an eighth of the work that a market is
            if left:
                return left
            self.saving = None
            return None
        left = 0
        for _ in range(min(count_max, len(cut.markets))):
            # Taken out one by one: to let go of 200,000 at the end would take as long as all the rest.
            ordinal, market = cut.markets.popitem()
            if market.settled and ordinal not in self.unsaved:
                self._evict(market)
                left += 1
        return left

    def not_saved(self) -> None:
        """The cut could not be saved: all of it is to be saved next time."""
        cut, self.saving = self.saving, None
        assert cut is not None
        self.unsaved = cut.markets | self.unsaved
        self.merged = cut.merged + self.merged
        self.loose.not_saved(self.by_prediction)
        for ordinal in self.merged:
            self.unsaved.pop(ordinal, None)

    def _evict(self, market: Market) -> None:
        if self.markets.get(market.market_id) is market:
            del self.markets[market.market_id]
            for prediction_id in market.tickets:
                self.by_prediction.pop(prediction_id, None)

    def superseded(self) -> frozenset[int]:
        """Ordinals of the markets whose records on disk, if any, no longer count."""
        saving = [] if self.saving is None else self.saving.merged
        in_memory = (market.ordinal for market in self.markets.values())
        return frozenset(
            (*in_memory, *self.loose.saving.values(), *self.loose.fresh.values(), *self.merged, *saving)
        )
