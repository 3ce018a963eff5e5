"""Runs of inputs that need no decision, taken in by one loop.

Most inputs are the first to say anything about their prediction. For them :mod:`.decisions` finds nothing to
decide and :meth:`.book.Book.apply` goes one of its ways; the same effects are written out here, without the
calls and look-ups in between, at half the cost. Whatever is not so plain ends the run, and goes the usual way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import astuple

from ...protocol.messages import Prediction, Receipt, TradeOutcome
from .book import Book
from .delivery import Deliveries, Delivery
from .id_index import fingerprints
from .market import Market, Ticket, loose_score

__all__ = ["take_outcomes", "take_predictions"]


def take_outcomes(
    book: Book,
    items: Sequence[Any],
    start: int,
    out: Deliveries,
    receipts: list[Any],
    latest_ns: int,
    numbers: Sequence[int] | None = None,
) -> int:
    """Take in trade outcomes of known models from ``items[start]`` on, as long as nothing is known of their
    predictions and none is dated after ``latest_ns``; returns how many. Each settles by itself, as in
    ``Book.apply``. ``numbers``: the fingerprints of the prediction ids of all ``items``, where somebody has them."""
    known, loose, saving, models = book.by_prediction, book.loose.fresh, book.loose.saving, book.controls
    first_seq = seq = book.seq
    told: dict[str, list[Any]] = {}
    for index in range(start, len(items)):
        outcome = items[index]
        if type(outcome) is not TradeOutcome:
            break
        prediction_id, model_id, predicted, actual, resolved_at, pnl, confidence = astuple(outcome)
        if (
            prediction_id in known
            or prediction_id in loose
            or prediction_id in saving
            or model_id not in models
            or resolved_at > latest_ns
        ):
            break
        seq += 1
        loose[prediction_id] = seq
        row = loose_score(seq, predicted, actual, resolved_at, pnl, confidence)
        events = told.get(model_id)
        if events is None:
            delivery = out.get(model_id)
            if delivery is None:
                delivery = out[model_id] = Delivery(seq, seq, [])
            events = told[model_id] = delivery.events
        events.append(row)
        receipts.append(Receipt(seq=seq, scored=1))
    for model_id, events in told.items():
        out[model_id].seq = events[-1].row_id  # the row of an outcome without a prediction has its number
    book.seq = seq
    taken = seq - first_seq
    if taken:
        end = start + taken
        if numbers is None:
            some: Sequence[int] = fingerprints([outcome.prediction_id for outcome in items[start:end]])
        else:
            some = numbers if taken == len(numbers) else numbers[start:end]
        book.loose.index.extend(some, range(first_seq + 1, seq + 1))
    return taken


def take_predictions(
    book: Book, items: Sequence[Any], start: int, out: Deliveries, receipts: list[Any], latest_ns: int
) -> int:
    """Take in predictions of known models from ``items[start]`` on, as long as nothing is known of them, their
    markets have no resolution, they do not expire, none is dated after ``latest_ns`` and there is room; returns
    how many. Each is pending then, as in ``Book.apply``."""
    known, markets, unsaved, models = book.by_prediction, book.markets, book.unsaved, book.controls
    loose, saving = book.loose.fresh, book.loose.saving
    first_seq = seq = book.seq
    seq_max = seq + book.pending_max - book.pending
    for index in range(start, len(items)):
        prediction = items[index]
        if type(prediction) is not Prediction or seq >= seq_max or prediction.expires_at is not None:
            break
        prediction_id, model_id, market_id = (
            prediction.prediction_id,
            prediction.model_id,
            prediction.market_id,
        )
        if (
            prediction_id in known
            or prediction_id in loose
            or prediction_id in saving
            or model_id not in models
            or prediction.predicted_at > latest_ns
        ):
            break
        market = markets.get(market_id)
        if market is None:
            seq += 1
            market = Market(market_id, seq, (), {prediction_id: Ticket(seq, prediction)}, 1)
            markets[market_id] = unsaved[seq] = market
            book.open_markets += 1
        elif market.rulings or book.saving is not None:
            break  # while a cut is being saved, its markets are kept as they were at the cut
        else:
            seq += 1
            market.tickets[prediction_id] = Ticket(seq, prediction)
            book.open_markets += market.pending == 0
            market.pending += 1
            unsaved[market.ordinal] = market
        known[prediction_id] = market
        delivery = out.get(model_id)
        if delivery is None:
            delivery = out[model_id] = Delivery(seq, seq, [])
        delivery.seq = seq
        delivery.ungated += 1
        receipts.append(Receipt(seq=seq))
    book.seq = seq
    book.pending += seq - first_seq
    return seq - first_seq
