"""What the pool says the models' weights are, for whoever sizes a trade by it (``weight_policy = "score"``).

The pool is asked first, and the models are asked with what it says: a model knows its own forecasts only.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..config import LearningRules
from .log import get_logger
from .model import AskView
from .prompt import ask_promptly
from .roster import Roster
from .state import pool_views
from .state.pool_row import POOL_ID

__all__ = ["relative_weights"]

_log = get_logger(__name__)


def relative_weights(roster: Roster, rules: LearningRules, as_of: int) -> Mapping[str, float] | None:
    """What the pool thinks of each model against an equal share; None where the weights do not follow it, or it
    cannot say: then they are neutral, which is logged when it begins and when it ends."""
    if rules.weight_policy != "score":
        return None
    ref = roster.refs.get(POOL_ID)
    if ref is None:
        return None  # it has learned nothing yet: all models are alike
    weights: Mapping[str, float] | None = None
    if POOL_ID not in roster.failed:
        weights = ask_promptly(ref, AskView(pool_views.weights, as_of), POOL_ID, roster)
    if roster.pool_silent is not (weights is None):
        roster.pool_silent = weights is None
        if weights is None:
            _log.warning("weights are neutral: the pool cannot say them", pool=_why(roster))
        else:
            _log.info("weights follow the pool again")
    return weights


def _why(roster: Roster) -> str:
    if POOL_ID in roster.failed:
        return "given up"
    return "restarting" if roster.refs[POOL_ID].cell.failure is not None else "not answering"
