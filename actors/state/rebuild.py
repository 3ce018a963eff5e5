"""A model's state from its whole corrected history.

Used when a correction lies too far back to fold again in place, and when a model's actor died. The
result is bit for bit what folding the corrected journal from the start gives, because both fold the
same rows, in the same order, by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from ...config.settings import LearningRules
from ...protocol.errors import reason_of
from ...protocol.wording import written_out
from .book import Control
from .entries import Gate
from .events import Counted, PoolScored, RulesChanged
from .learners import new_state
from .market import Market, Ticket
from .pool_row import POOL_ID, row_in_force

__all__ = ["HistoryItem", "Poison", "PoolLesson", "model_history", "rebuild_model"]

EVENT_CHARS_MAX: Final = 200


class Poison(str):
    """What is told of an event that could not be folded; the text says all of it."""

    __slots__ = ("error", "event")

    event: str
    """The event, and the input it is of."""
    error: str

    @classmethod
    def of(cls, seq: int, event: Any, error: Exception) -> Poison:
        """What to tell of an event of input ``seq``."""
        shown, raised = f"input {seq}: {written_out(event, EVENT_CHARS_MAX)}", reason_of(error)
        poison = cls(f"{shown}: {raised}")
        poison.event, poison.error = shown, raised
        return poison


class PoolLesson(NamedTuple):
    """A market's row as the pool learns it, and its place in the pool's history."""

    position_seq: int
    row: PoolScored


HistoryItem = Ticket | PoolLesson
"""What a model's history is made of: its tickets; the pool's: rows of markets."""


def model_history(model_id: str, markets: Iterable[Market]) -> list[HistoryItem]:
    """Every ticket of one model in the markets given; of the pool, what each of them taught it."""
    if model_id == POOL_ID:
        rows = ((market.pool_seq, row_in_force(market)) for market in markets if market.pool_seq)
        return [PoolLesson(position_seq, row) for position_seq, row in rows if row is not None]
    return [ticket for market in markets for ticket in market.tickets.values() if ticket.model_id == model_id]


def rebuild_model(
    model_id: str,
    tickets: Iterable[HistoryItem],
    controls: Iterable[tuple[int, Control]],
    rules_history: list[tuple[int, LearningRules]],
    applied_seq: int,
    on_poison: Callable[[Poison], object] | None = None,
) -> Any:
    """Fold a model's tickets (from all its markets, in any order), pauses, resets and rules; or the pool's lessons.

    ``applied_seq`` is the last input that touched the model; all given was settled up to it. An event
    that raises is passed over and told to ``on_poison``; without it the exception goes on upwards.
    """
    timeline: list[tuple[int, int, Any]] = []
    for ticket in tickets:
        if isinstance(ticket, PoolLesson):
            timeline.append((ticket.position_seq, ticket.row.row_id, ticket.row))
            continue
        if ticket.prediction is not None:
            timeline.append((ticket.prediction_seq, 0, _counted(ticket.gate)))
        if ticket.row is not None:
            timeline.append((ticket.position_seq, ticket.row_id, ticket.row))
    timeline.extend((seq, 0, event) for seq, event in controls)
    first = min((seq for seq, _, _ in timeline), default=0)
    timeline.extend((seq, -1, RulesChanged(rules)) for seq, rules in rules_history if seq > first)
    timeline.sort(key=lambda item: item[:2])
    in_force = rules_history[0][1]
    for seq, rules in rules_history:
        if seq <= first:
            in_force = rules
    state = new_state(model_id, in_force)
    for seq, _, event in timeline:
        # Several events may carry one sequence number: apply() skips what is not newer.
        state.applied_seq = seq - 1
        try:
            state.apply((event,), seq)
        except Exception as error:
            if on_poison is None:
                raise
            on_poison(Poison.of(seq, event, error))
    state.applied_seq = applied_seq
    return state


def _counted(gate: Gate | None) -> Counted:
    if gate is None:
        return Counted(0, 0, 1, 0)
    return Counted(1, 0, 0, 0) if gate.accepted else Counted(0, 1, 0, 1)
