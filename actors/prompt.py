"""A question that whoever sizes a trade has, and so everybody waits for: answered soon, or not at all."""

from __future__ import annotations

from typing import Any, Final

import pykka
from pykka._envelope import Envelope

from ..protocol.errors import BusyError, reason_of
from .roster import ModelRef, Roster
from .runtime.cell import NOT_IDLE
from .runtime.future import LeanFuture

__all__ = ["PROMPT_SECONDS_MAX", "ask_promptly"]

PROMPT_SECONDS_MAX: Final = 0.25
"""How long a model, or the pool, may take to get to a question."""


def ask_promptly(ref: ModelRef, question: Any, model_id: str, roster: Roster) -> Any:
    """The answer; None if it cannot be given now. Who did not get to it in time is waited for no more until he has
    caught up."""
    cell, unanswered = ref.cell, roster.unanswered
    if unanswered and (late := unanswered.get(model_id)) is not None:
        if not late.is_set():
            return None
        unanswered.pop(model_id, None)
    try:
        answer = cell.ask_idle(question)
        if answer is not NOT_IDLE:
            return answer
        if cell.failure is not None or cell.suspended or cell.closed:
            return None
        future: LeanFuture[Any] = LeanFuture(cell)
        cell.put(Envelope(question, future))
        try:
            return future.get(timeout=PROMPT_SECONDS_MAX)
        except pykka.Timeout:
            unanswered[model_id] = future
            return None
    except (pykka.ActorDeadError, BusyError):
        return None
    except Exception as error:  # noqa: BLE001  # one model's fault must not become the router's
        cell.scheduler.dead_letters.add(cell.name, f"raised {reason_of(error)}", question, 1)
        return None
