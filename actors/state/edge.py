"""The log-wealth of a bettor who follows the model against the price; kept only while the weight asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp2

from msgspec import Struct

from ...config.settings import LearningRules
from ..learning.kelly import bet_log_growth
from .history import Row

__all__ = ["Edge", "fold_edge"]


class Edge(Struct, array_like=True):
    """Decayed sums as of ``at_ns``."""

    log_wealth: float = 0.0
    bets: float = 0.0
    """How many outcomes the log-wealth is of: those whose claim was worth more than it cost, by the model."""
    at_ns: int = 0

    def at(self, as_of: int, half_life_seconds: float) -> tuple[float, float]:
        """(log-wealth, bets) as of an event time."""
        since = as_of - self.at_ns
        factor = exp2(-since / (half_life_seconds * 1e9)) if since > 0 else 1.0
        return self.log_wealth * factor, self.bets * factor


def fold_edge(
    known: Edge, rows: Sequence[Row], rules: LearningRules, recalibrated: Sequence[float] | None
) -> None:
    """Fold rows in, in place; the confidence staked on is the ``recalibrated`` one where there is one for each row.

    Evidence halves with event time, and a late outcome counts by its own age, as in the posterior.
    """
    half_life_ns = rules.decay_half_life_seconds * 1e9
    fraction, most = rules.kelly_fraction, rules.outcome_log_wealth_max
    for index, (_, at_ns, x, confidence, price) in enumerate(rows):
        claimed = confidence if recalibrated is None else recalibrated[index]
        if price != price or claimed != claimed or x != x:
            continue
        growth = bet_log_growth(claimed, price, x, fraction, most)
        if growth is None:
            continue
        if at_ns > known.at_ns:
            factor = exp2((known.at_ns - at_ns) / half_life_ns)
            known.log_wealth, known.bets, known.at_ns = known.log_wealth * factor, known.bets * factor, at_ns
        share = exp2((at_ns - known.at_ns) / half_life_ns)
        known.log_wealth += growth * share
        known.bets += share
