"""What is to become of an input, given the book: duplicate, refused, or to be recorded. Changes nothing.

The other half of the book's rule "decide, then apply": a replay only applies, and so can never decide
otherwise than it was decided the first time.
"""

from __future__ import annotations

from ...protocol.errors import (
    BusyError,
    PredictedAfterResolutionError,
    StaleRevisionError,
    UnknownModelError,
)
from ...protocol.messages import MarketResolved, Prediction, Receipt, TradeOutcome
from ...protocol.wording import shown
from .agreement import agree, agree_on_x, same_outcome, same_prediction, same_ruling
from .book import Book
from .entries import ControlEntry
from .loose import loose_ticket
from .market import Market, Ruling, Ticket, effective_resolution, revision_key

__all__ = ["decide_control", "decide_outcome", "decide_prediction", "decide_resolution"]


def decide_prediction(book: Book, prediction: Prediction) -> Receipt | None:
    """Receipt of the original if this prediction is a duplicate, None if it is to be recorded.

    Raises:
        ConflictError: its id stands for another prediction, or it contradicts its trade outcome.
        PredictedAfterResolutionError: it was made after its market resolved.
        BusyError: too many predictions are pending.

    """
    ticket = _ticket_of(book, prediction.prediction_id)
    if ticket is not None and ticket.prediction is not None:
        return same_prediction(ticket, prediction)
    if ticket is not None:
        agree(ticket, prediction)
    if prediction.model_id not in book.controls:
        _room_for_model(book, prediction.model_id)
    market = book.markets.get(prediction.market_id)
    if market is not None and market.rulings:
        _not_after_resolution(book, market, prediction, ticket)
    if book.pending >= book.pending_max:
        raise BusyError(
            f"{book.pending} predictions are pending, the most allowed (limits.pending_predictions_max); "
            "resolve or expire some, or raise the limit",
            60_000,
        )
    return None


def _ticket_of(book: Book, prediction_id: str) -> Ticket | None:
    """What is known of a prediction; not to be changed."""
    market = book.by_prediction.get(prediction_id)
    if market is not None:
        return market.tickets[prediction_id]
    loose = book.loose.get(prediction_id)
    return None if loose is None else loose_ticket(loose)


def _room_for_model(book: Book, model_id: str) -> None:
    if len(book.controls) >= book.models_max:
        raise BusyError(
            f"model {shown(model_id)} would be one more than the {book.models_max} allowed (limits.models_max)",
            60_000,
        )


def _not_after_resolution(book: Book, market: Market, prediction: Prediction, ticket: Ticket | None) -> None:
    ruling = effective_resolution(market.rulings, book.learn_on)
    if ruling is None:
        return
    resolved_at = ruling.resolution.resolved_at
    if prediction.predicted_at > resolved_at:
        raise PredictedAfterResolutionError(
            f"prediction {shown(prediction.prediction_id)} of market {shown(market.market_id)} was made at "
            f"{prediction.predicted_at}, {(prediction.predicted_at - resolved_at) / 1e9:g} s after the market "
            f"resolved ({resolved_at}); nothing was recorded"
        )
    if ticket is not None and ticket.outcome is not None:
        agree_on_x(ticket.outcome, prediction, ruling)


def decide_resolution(book: Book, resolution: MarketResolved) -> Receipt | None:
    """Receipt of the original if this resolution is a duplicate, None if it is to be recorded.

    Raises:
        StaleRevisionError: a higher revision, or a later status, is already recorded.
        ConflictError: it contradicts what is recorded, without a higher revision.

    """
    market = book.markets.get(resolution.market_id)
    if market is None:
        return None
    if market.rulings:
        key = revision_key(resolution)
        for ruling in market.rulings:
            if revision_key(ruling.resolution) == key:
                return same_ruling(ruling, resolution)
        last = market.rulings[-1].resolution
        if key < revision_key(last):
            raise StaleRevisionError(
                f"market {shown(resolution.market_id)}: revision {resolution.revision} ({resolution.status}) came "
                f"after revision {last.revision} ({last.status}) was recorded; to correct it, send revision "
                f"{last.revision + 1}"
            )
    if resolution.revision == 0:
        _no_outcome_contradicts(book, market, resolution)
    return None


def _no_outcome_contradicts(book: Book, market: Market, resolution: MarketResolved) -> None:
    ruling = None
    for ticket in market.tickets.values():
        if ticket.outcome is None or ticket.prediction is None:
            continue
        if ruling is None:
            ruling = Ruling(0, resolution)
            if effective_resolution([*market.rulings, ruling], book.learn_on) is not ruling:
                return
        agree_on_x(ticket.outcome, ticket.prediction, ruling)


def decide_outcome(book: Book, outcome: TradeOutcome) -> Receipt | None:
    """Receipt of the original if this outcome is a duplicate, None if it is to be recorded.

    Raises:
        ConflictError: it contradicts its prediction, an earlier outcome or the market's resolution.
        PredictedAfterResolutionError: it is dated before its prediction was made.

    """
    ticket = _ticket_of(book, outcome.prediction_id)
    if ticket is None:
        if outcome.model_id not in book.controls:
            _room_for_model(book, outcome.model_id)
        return None
    if ticket.outcome is not None:
        return same_outcome(ticket, ticket.outcome, outcome)
    prediction = ticket.prediction
    assert prediction is not None
    agree(Ticket(ticket.row_id, outcome=outcome), prediction)
    market = book.by_prediction[outcome.prediction_id]
    ruling = effective_resolution(market.rulings, book.learn_on)
    if ruling is not None:
        agree_on_x(outcome, prediction, ruling)
    return None


def decide_control(book: Book, entry: ControlEntry) -> None:
    """Raise UnknownModelError unless the model was ever seen."""
    if entry.model_id not in book.controls:
        raise UnknownModelError(entry.model_id)
