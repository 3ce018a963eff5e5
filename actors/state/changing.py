"""The change-point filter of a model, between its records and the maths.

It is kept packed: statistics that are copied share the bytes, and one that is not asked for is None and costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from ...config.rules import Posterior
from ...config.settings import LearningRules
from ..learning.changepoint import ChangePointFilter, ChangePointRules
from .history import Row

if TYPE_CHECKING:
    from .statistics import LearnedStatistics

__all__ = ["filter_of", "fold_changes", "follow_posterior", "restart_changes"]


@lru_cache(maxsize=16)
def _supposed(prior_alpha: float, prior_beta: float) -> ChangePointRules:
    return ChangePointRules(prior_alpha, prior_beta)


def filter_of(data: bytes, rules: LearningRules) -> ChangePointFilter:
    """The filter as it was packed. Evidence from before a change of the prior keeps the prior it began with."""
    return ChangePointFilter(_supposed(rules.prior_alpha, rules.prior_beta), data)


def fold_changes(data: bytes, rows: Sequence[Row], rules: LearningRules) -> bytes:
    """Fold rows into the packed filter."""
    found = filter_of(data, rules)
    for _, at_ns, x, _, _ in rows:
        if x == x:
            found.add(x, at_ns)
    return found.tobytes() if len(found) else data


def restart_changes(data: bytes, at_ns: int, rules: LearningRules) -> bytes | None:
    """The packed filter after a restart at a time; None: it stays as it is."""
    found = filter_of(data, rules)
    return found.tobytes() if found.restart(at_ns) else None


def follow_posterior(s: LearnedStatistics, wanted: Posterior) -> None:
    """The filter begins where it is first wanted, and is forgotten where it no longer is."""
    if wanted != "changepoint":
        s.changes = None
    elif s.changes is None:
        s.changes = b""
