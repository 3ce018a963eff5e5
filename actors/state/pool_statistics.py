"""What the pool has learned, and how its forecasts did: the part of its state that is folded again when the past is
corrected."""

from __future__ import annotations

from copy import copy
from functools import cache

from msgspec import Struct

from ...config.rules import PoolRules
from ..learning import pooling
from ..learning.pooling import Judged, Pool, ShareRule
from ..learning.scores import brier_loss, log_loss
from .events import PoolScored
from .repeating import Ended, Repeats, follow_repeats

__all__ = ["PoolStatistics", "fold_row", "pooling_rules"]


@cache
def pooling_rules(rules: PoolRules) -> pooling.PoolRules:
    """The journaled rules as :mod:`..learning.pooling` takes them.

    >>> from handicapper.config import Pool
    >>> pooling_rules(Pool().rules()) == pooling.DEFAULT_RULES
    True
    """
    total = sum(rules.form_prior)
    equal, linear, log_odds, corrected = rules.form_prior
    return pooling.PoolRules(
        slow=ShareRule(*rules.slow),
        fast=ShareRule(*rules.fast),
        form_prior=(equal / total, linear / total, log_odds / total, corrected / total),
        form_decay=rules.form_decay,
        correction_variance=rules.correction_variance,
        correction_decay=rules.correction_decay,
        probability_floor=rules.probability_floor,
        simultaneous_seconds=rules.simultaneous_seconds,
    )


class PoolStatistics(Struct, array_like=True):
    """Sums over the markets learned from, of the pool as it was before each of them; and the pool."""

    pool: Pool
    n: int = 0
    correct: float = 0.0
    """Sum of what the most probable outcome paid."""
    brier_sum: float = 0.0
    """Of the most probable outcome, as of a model's prediction."""
    log_loss_sum: float = 0.0
    equal_brier_sum: float = 0.0
    """Likewise of the models' equally weighted mean."""
    equal_log_loss_sum: float = 0.0
    repeats: dict[str, Repeats] = {}
    """Models that say what another says, see :mod:`.repeating`."""
    ended: tuple[Ended, ...] = ()
    """The newest that no longer do, oldest first."""

    @classmethod
    def initial(cls, rules: PoolRules | None) -> PoolStatistics:
        """No market yet."""
        given = pooling.DEFAULT_RULES if rules is None else pooling_rules(rules)
        return cls(pooling.new_pool(given))

    def copy(self) -> PoolStatistics:
        """An independent copy."""
        twin = copy(self)
        twin.pool = pooling.copy_pool(self.pool)
        twin.repeats = self.repeats.copy()
        return twin

    def count(self, judged: Judged) -> None:
        """Add what a market said of the pool."""
        self.n += 1
        x, p = _most_probable(judged.pooled, judged.outcome)
        self.correct += x
        self.brier_sum += brier_loss(p, x)
        self.log_loss_sum += log_loss(p, x)
        x, p = _most_probable(judged.equal, judged.outcome)
        self.equal_brier_sum += brier_loss(p, x)
        self.equal_log_loss_sum += log_loss(p, x)


def fold_row(statistics: PoolStatistics, row: PoolScored, rules: PoolRules | None) -> None:
    """Fold a market into the pool's statistics, in place. If it raises, they are half folded.

    Where the pool does not learn (``rules`` is None), and where the row teaches nothing, nothing changes.
    """
    if not row.payouts or rules is None:
        return
    judged = pooling.learn(
        statistics.pool, row.at_ns, row.forecasts, dict(row.payouts), rules=pooling_rules(rules)
    )
    if judged is not None:
        statistics.count(judged)
        statistics.ended = follow_repeats(statistics.repeats, statistics.ended, row.forecasts, row.at_ns)


def _most_probable(forecast: list[float], outcome: list[float]) -> tuple[float, float]:
    """(what it paid, its probability); of equals the first."""
    p = max(forecast)
    return outcome[forecast.index(p)], p
