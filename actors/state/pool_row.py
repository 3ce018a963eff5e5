"""What a resolved market teaches the pool: every model's forecast of it, and what came of it.

The pool learns once a market, when a resolution first comes into force, from the predictions that had been recorded
by then. What is recorded later, and what only a trade outcome settles, teaches the models but not the pool, which must
not know more than it would have known when it was asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from .events import Forecast, PoolScored
from .market import Market, Ruling, Ticket, counts

__all__ = [
    "POOL_CELLS_MAX",
    "POOL_ID",
    "POOL_MODELS_MIN",
    "cells_of",
    "forecasts_of",
    "pool_row",
    "row_in_force",
]

POOL_ID: Final = "\0pool"
"""The pool among the models it learns of; no model's id has a NUL in it."""

POOL_MODELS_MIN: Final = 2
"""Models that have to have forecast a market for it to teach the pool anything."""

POOL_CELLS_MAX: Final = 2**18
"""Models times outcomes of a market that teaches the pool: each model has a probability of each outcome, and so
many take a quarter of a second and 20 MB. Of a wider market the pool learns nothing."""


def cells_of(model_ids: Iterable[str], labels: Iterable[str], more_labels: Collection[str] = ()) -> int:
    """How many probabilities forecasts of these models come to, of these outcomes and more.

    >>> cells_of(["a", "b", "a"], ["YES", "NO", "NO"], ["YES", "MAYBE"])
    6
    """
    return len(set(model_ids)) * max(len({*labels, *more_labels}), 2)


def forecasts_of(tickets: Iterable[Ticket], before_seq: int = 2**63) -> list[Ticket]:
    """Each model's forecast of a market, of what was recorded before input ``before_seq``; by their numbers.

    Of a model those predictions count that it made last (by ``predicted_at``), of each outcome the one recorded last: a
    model may give each outcome its probability, and may change its mind.
    """
    newest: dict[str, tuple[int, dict[str, Ticket]]] = {}
    for ticket in tickets:
        prediction = ticket.prediction
        if prediction is None or ticket.prediction_seq >= before_seq:
            continue
        at_ns, said = newest.get(prediction.model_id, (0, {}))
        if not said or prediction.predicted_at > at_ns:
            newest[prediction.model_id] = prediction.predicted_at, {prediction.outcome: ticket}
        elif prediction.predicted_at == at_ns:
            earlier = said.get(prediction.outcome)
            if earlier is None or earlier.prediction_seq < ticket.prediction_seq:
                said[prediction.outcome] = ticket
    return sorted([ticket for _, said in newest.values() for ticket in said.values()], key=_by_number)


def _by_number(ticket: Ticket) -> int:
    return ticket.prediction_seq


def pool_row(market: Market, ruling: Ruling | None) -> PoolScored | None:
    """What a market teaches the pool under a ruling (None: no resolution is in force any more).

    None for a market that never had one, and for one that too few models forecast.
    """
    position_seq = market.pool_seq
    if not position_seq:
        return None
    tickets = forecasts_of(market.tickets.values(), position_seq)
    if _models(tickets) < POOL_MODELS_MIN:
        return None
    if ruling is None:
        return PoolScored(market.ordinal, 0, (), ())
    resolution = ruling.resolution
    counted = [ticket for ticket in tickets if ticket.prediction and counts(ticket.prediction, resolution)]
    if resolution.void or _models(counted) < POOL_MODELS_MIN:
        return PoolScored(market.ordinal, resolution.resolved_at, (), ())
    forecasts: list[Forecast] = [
        (prediction.model_id, prediction.outcome, prediction.confidence)
        for prediction in (ticket.prediction for ticket in counted)
        if prediction is not None
    ]
    payouts = tuple(sorted((resolution.payouts or {}).items()))
    if cells_of([f[0] for f in forecasts], [f[1] for f in forecasts], dict(payouts)) > POOL_CELLS_MAX:
        return PoolScored(market.ordinal, resolution.resolved_at, (), ())
    return PoolScored(market.ordinal, resolution.resolved_at, tuple(forecasts), payouts)


def row_in_force(market: Market) -> PoolScored | None:
    """The market's row as it was told last."""
    for ruling in market.rulings:
        if ruling.seq == market.pool_ruling_seq:
            return pool_row(market, ruling)
    return pool_row(market, None)


def _models(tickets: Iterable[Ticket]) -> int:
    return len({ticket.model_id for ticket in tickets})
