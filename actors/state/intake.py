"""One batch of inputs on its way in: numbered, decided, applied; what is to be journaled and told falls out.

The router's plain core: no thread, clock or file. Whoever calls it has brought back from disk what the
inputs mention.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from msgspec import Struct

from ...protocol.errors import BusyError, HandicapperError, InvalidValueError
from ...protocol.messages import (
    BatchResult,
    Input,
    MarketResolved,
    Prediction,
    Receipt,
    SignalDecision,
    TradeOutcome,
)
from ...protocol.validation import TIME_NS_MAX
from ...protocol.wording import shown
from .book import Book
from .decisions import decide_control, decide_outcome, decide_prediction, decide_resolution
from .delivery import Deliveries
from .entries import (
    ControlEntry,
    Entry,
    ExpirePredictions,
    Gate,
    GatedPrediction,
    RulesInForce,
    ShareChange,
)
from .learners import public_name
from .pool_row import POOL_ID, POOL_MODELS_MIN
from .runs import take_outcomes, take_predictions

__all__ = ["Counters", "Intake", "Submission"]

FULL_RETRY_MS: Final = 200

Submission = Input | ControlEntry | RulesInForce | ExpirePredictions | ShareChange


class Counters(Struct):
    """How many inputs of each kind were accepted, and what came of them, since opening."""

    predictions: int = 0
    resolutions: int = 0
    outcomes: int = 0
    duplicates: int = 0
    refused: int = 0
    scored: int = 0
    revised: int = 0


class Intake:
    """Decides and applies inputs one after another, and gathers a batch until :meth:`take`."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.counters = Counters()
        self.entries: list[Entry] = []
        book.loose.recent.begin(book.seq + 1, self.entries)
        self.out = Deliveries()
        self.unreadable: Mapping[str, HandicapperError] = {}
        """Ids whose market is on disk and cannot be read, with the error that answers what mentions them."""
        self.full: AbstractSet[str] = frozenset()
        """Models whose mailboxes are full: what would go to one of them is refused, whatever else goes on."""
        self.latest_ns = TIME_NS_MAX
        """Event time beyond which an input is refused as one from the future."""
        self.future_seconds_max = 0.0
        """How far that is after now, by the clock of whoever sets it."""

    def accept(self, item: Submission) -> Receipt:
        """Take one input in, or find that it is a duplicate.

        Raises:
            HandicapperError: it was refused, and nothing changed.

        """
        book, counters = self.book, self.counters
        kind = type(item)
        try:
            if self.unreadable:
                self._refuse_unreadable(item)
            if kind is TradeOutcome:
                duplicate = decide_outcome(book, item)  # pyright: ignore[reportArgumentType]  # tested above
                counters.outcomes += duplicate is None
            elif kind is Prediction:
                duplicate = decide_prediction(book, item)  # pyright: ignore[reportArgumentType]
                counters.predictions += duplicate is None
            elif isinstance(item, MarketResolved):
                duplicate = decide_resolution(book, item)
                counters.resolutions += duplicate is None
            else:
                duplicate = None
                if isinstance(item, ControlEntry):
                    decide_control(book, item)
            if duplicate is None:
                self._refuse_future(item)
                if self.full:
                    self._refuse_full(item)
        except HandicapperError:
            counters.refused += 1
            raise
        if duplicate is not None:
            counters.duplicates += 1
            return duplicate
        return self._apply(item)

    def _refuse_unreadable(self, item: Submission) -> None:
        for field in ("prediction_id", "market_id"):
            error = self.unreadable.get(getattr(item, field, ""))
            if error is not None:
                raise error

    def _refuse_future(self, item: Submission) -> None:
        """What was recorded before stays a duplicate, however far the clock was set back since."""
        if isinstance(item, Prediction):
            field, at = "predicted_at", item.predicted_at
        elif isinstance(item, MarketResolved | TradeOutcome):
            field, at = "resolved_at", item.resolved_at
        else:
            return
        if at > self.latest_ns:
            seconds = self.future_seconds_max
            raise InvalidValueError(
                field,
                at,
                f"a time in ns at most {seconds:g} s after now, which is {self.latest_ns - round(seconds * 1e9)} by "
                "the learner's clock; set the clocks right, or raise limits.future_seconds_max (0: no bound)",
            )

    def _refuse_full(self, item: Submission) -> None:
        """A resolution is refused as a whole if any of its models is full: half of it cannot be taken in."""
        for model_id in _models_of(item, self.book):
            if model_id in self.full:
                name = shown(public_name(model_id))
                raise BusyError(
                    f"the mailbox of model {name} is full (limits.mailbox_messages_max); inputs of other models are "
                    "taken",
                    FULL_RETRY_MS,
                )

    def accept_each(
        self, items: Sequence[Submission | HandicapperError], numbers: Sequence[int] | None = None
    ) -> list[Receipt | HandicapperError]:
        """Take many in, with a receipt or an error for each; an error among them stays in its place.

        ``numbers``: fingerprints of the prediction ids, if all are trade outcomes and somebody has them.
        """
        results: list[Receipt | HandicapperError] = []
        index, end = 0, len(items)
        while index < end:
            taken = 0 if self.unreadable or self.full else self._accept_run(items, index, results, numbers)
            if taken:
                index += taken
                continue
            item = items[index]
            index += 1
            if isinstance(item, HandicapperError):
                results.append(item)
                continue
            try:
                results.append(self.accept(item))
            except HandicapperError as error:
                results.append(error)
        return results

    def _accept_run(
        self, items: Sequence[Any], index: int, receipts: list[Any], numbers: Sequence[int] | None
    ) -> int:
        """Take in what needs no decision from an item on; returns how many."""
        item = items[index]
        kind = type(item)
        if kind is TradeOutcome:
            if self.book.knows(item.prediction_id):
                return 0
            taken = take_outcomes(self.book, items, index, self.out, receipts, self.latest_ns, numbers)
            self.counters.outcomes += taken
            self.counters.scored += taken
        elif kind is Prediction:
            taken = take_predictions(self.book, items, index, self.out, receipts, self.latest_ns)
            self.counters.predictions += taken
        else:
            return 0
        self.entries += items[index : index + taken]
        return taken

    def accept_all(self, items: Sequence[Submission], numbers: Sequence[int] | None = None) -> BatchResult:
        """Take many in; a refused one stops none of the others. ``numbers`` as for :meth:`accept_each`."""
        errors: list[tuple[int, Exception]] = []
        duplicates = scored = revised = seq = 0
        for index, receipt in enumerate(self.accept_each(items, numbers)):
            if isinstance(receipt, HandicapperError):
                errors.append((index, receipt))
                continue
            if receipt.duplicate:
                duplicates += 1
            else:
                scored += receipt.scored
                revised += receipt.revised
            if receipt.seq > seq:
                seq = receipt.seq
        return BatchResult(
            total=len(items),
            accepted=len(items) - len(errors) - duplicates,
            duplicates=duplicates,
            scored=scored,
            revised=revised,
            errors=tuple(errors),
            seq=seq,
        )

    def earlier_decision(self, prediction: Prediction) -> SignalDecision | None:
        """The decision of a signal that was decided before; None if it is new.

        Raises:
            HandicapperError: it is to be refused.

        """
        try:
            if self.unreadable:
                self._refuse_unreadable(prediction)
            duplicate = decide_prediction(self.book, prediction)
            if duplicate is None:
                self._refuse_future(prediction)
                if self.full:
                    self._refuse_full(prediction)
        except HandicapperError:
            self.counters.refused += 1
            raise
        if duplicate is None:
            return None
        self.counters.duplicates += 1
        return self._recorded_decision(prediction)

    def accept_gated(self, prediction: Prediction, gate: Gate) -> SignalDecision:
        """Record a signal with what the gate said of it.

        Raises:
            HandicapperError: it was refused, and nothing changed.

        """
        earlier = self.earlier_decision(prediction)
        if earlier is not None:
            return earlier
        self.counters.predictions += 1
        receipt = self._apply(GatedPrediction(prediction, gate))
        return gate.decision(prediction, receipt.seq)

    def _recorded_decision(self, prediction: Prediction) -> SignalDecision:
        ticket = self.book.by_prediction[prediction.prediction_id].tickets[prediction.prediction_id]
        if ticket.gate is None:
            # Recorded without asking the gate: there is no decision to repeat, and no trade may follow.
            nothing = Gate(False, "recorded_before", 0.0, 0.0, 0.0, 0.5, False, 0)
            return nothing.decision(prediction, ticket.prediction_seq, duplicate=True)
        return ticket.gate.decision(prediction, ticket.prediction_seq, duplicate=True)

    def _apply(self, entry: Entry) -> Receipt:
        book = self.book
        receipt = book.apply(entry, book.seq + 1, self.out)
        self.entries.append(entry)
        if receipt.scored or receipt.revised:
            self.counters.scored += receipt.scored
            self.counters.revised += receipt.revised
        return receipt

    def take(self) -> tuple[int, list[Entry], Deliveries]:
        """(first sequence number, entries, deliveries) of the batch; the next one begins."""
        book, entries = self.book, self.entries
        batch = (book.seq - len(entries) + 1, entries, self.out)
        self.out = Deliveries()
        if entries:
            self.entries = []
            book.loose.recent.begin(book.seq + 1, self.entries)
        return batch


def _models_of(item: Submission, book: Book) -> Iterable[str]:
    """The models an input is for. What is a message in a long while, such as new rules, goes to any model."""
    if isinstance(item, MarketResolved):
        market = book.markets.get(item.market_id)
        if market is None:
            return ()
        models = {ticket.model_id for ticket in market.tickets.values()}
        return {*models, POOL_ID} if book.pooling and len(models) >= POOL_MODELS_MIN else models
    if isinstance(item, RulesInForce | ExpirePredictions | ShareChange):
        return ()
    return (item.model_id,)
