"""What of models' histories is on disk: the settled markets of the archive, and loose outcomes in the journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .journaled import journaled_outcomes
from .state.loose import Spans, in_spans, loose_ticket, spans_together
from .state.market import Market
from .state.pool_row import POOL_ID
from .state.rebuild import HistoryItem, model_history
from .store import Store

__all__ = ["Away", "archived_histories"]


class Away(NamedTuple):
    """What of a model's history is not in memory."""

    superseded: frozenset[int]
    """Markets that are newer in memory than on disk."""
    loose: Spans
    """Loose outcomes, of any model, that memory knows by number only."""
    archived: bool = True
    """Whether anything of it is in the archive."""


def archived_histories(
    store: Store, stored: Iterable[Market], away: Mapping[str, Away]
) -> dict[str, list[HistoryItem]]:
    """What models were taught by the settled markets on disk, which are ``stored``, and by loose outcomes that are in
    the journal, in one reading of both. ``away`` names the models.

    Raises:
        ArchiveDamagedError: a record cannot be read, so that nobody can say what was learned from it.

    """
    found: dict[str, list[HistoryItem]] = {model_id: [] for model_id in away}
    wanted = {model_id: tickets for model_id, tickets in found.items() if away[model_id].archived}
    pooled = wanted.get(POOL_ID)
    for market in stored if wanted else ():
        for ticket in market.tickets.values():
            tickets = wanted.get(ticket.model_id)
            if tickets is not None and market.ordinal not in away[ticket.model_id].superseded:
                tickets.append(ticket)
        if pooled is not None and market.ordinal not in away[POOL_ID].superseded:
            pooled += model_history(POOL_ID, (market,))
    for loose in journaled_outcomes(store, spans_together(each.loose for each in away.values())):
        tickets = found.get(loose[1].model_id)
        if tickets is not None and in_spans(away[loose[1].model_id].loose, loose[0]):
            tickets.append(loose_ticket(loose))
    return found
