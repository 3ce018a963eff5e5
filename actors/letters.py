"""What dead letters hold that can be tried again: inputs that were refused, and events that could not be folded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeGuard

from ..protocol.messages import Input, MarketResolved, Prediction, TradeOutcome
from .roster import actor_name
from .runtime.dead_letters import DeadLetters
from .state.rebuild import Poison

__all__ = ["HeldInput", "PoisonEvent", "held_input", "set_aside"]

SIGNAL_METHODS = ("server/process_signal", "server/process_signal_batch")
"""Recipients of predictions that were to go through the gate."""


class HeldInput(NamedTuple):
    """An input that was refused."""

    item: Input
    signal: bool
    """It was to go through the gate."""


class PoisonEvent(NamedTuple):
    """An event that a model's fold raised for: its input is in the journal, its model goes on without it."""

    model_id: str
    event: str


def held_input(recipient: str, message: object) -> HeldInput | None:
    """What there is to try again of a refused message."""
    if not _is_input(message):
        return None
    return HeldInput(message, recipient in SIGNAL_METHODS and isinstance(message, Prediction))


def _is_input(message: object) -> TypeGuard[Input]:
    return isinstance(message, Prediction | MarketResolved | TradeOutcome)


def set_aside(letters: DeadLetters, model_id: str, poison: Iterable[str], attempts: int) -> None:
    """Have one letter for each event that a model was just folded without, and none for any other of its events.

    A letter there was before has been tried once more.
    """
    earlier: dict[str, int] = {}
    for letter in letters.latest():
        content: Any = letter.content
        if isinstance(content, PoisonEvent) and content.model_id == model_id:
            earlier[content.event] = letter.id
    for text in poison:
        event, error = (
            (text.event, text.error) if isinstance(text, Poison) else (str(text), "see the message")
        )
        reason = f"poison: not folded: {error}"
        number = earlier.pop(event, None)
        if number is not None:
            letters.tried_again(number, reason)
        else:
            content = PoisonEvent(model_id, event)
            letters.add(actor_name(model_id), reason, event, attempts, content)
    for number in earlier.values():
        letters.remove(number)
