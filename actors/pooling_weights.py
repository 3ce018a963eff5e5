"""What the pool says the models' weights are, for whoever sizes a trade by it (``weight_policy = "score"``).

The pool is asked first, and the models are asked with what it says: a model knows its own forecasts only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pykka
from pykka._envelope import Envelope

from ..config import LearningRules
from ..protocol.errors import BusyError
from .model import AskView
from .roster import Roster
from .runtime.cell import NOT_IDLE
from .runtime.future import LeanFuture
from .state import pool_views
from .state.pool_row import POOL_ID

__all__ = ["WEIGHTS_SECONDS_MAX", "relative_weights"]

WEIGHTS_SECONDS_MAX: Final = 0.25
"""How long the pool may take to say what the weights are; whoever sizes a trade, and so everybody, waits for it."""


def relative_weights(roster: Roster, rules: LearningRules, as_of: int) -> Mapping[str, float] | None:
    """What the pool thinks of each model against an equal share; None where the weights do not follow it, or it
    cannot say: then they are neutral."""
    if rules.weight_policy != "score":
        return None
    ref = roster.refs.get(POOL_ID)
    if ref is None or POOL_ID in roster.failed:
        return None
    question = AskView(pool_views.weights, as_of)
    try:
        answer = ref.cell.ask_idle(question)
        if answer is not NOT_IDLE:
            return answer
        future: LeanFuture[Mapping[str, float]] = LeanFuture(ref.cell)
        ref.cell.put(Envelope(question, future))
        return future.get(timeout=WEIGHTS_SECONDS_MAX)
    except (pykka.ActorDeadError, pykka.Timeout, BusyError):
        return None
