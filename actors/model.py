"""One actor per model: owns its state, folds what it is told in journal order, answers what it is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from .records import encode, seal
from .runtime.actor import PooledActor
from .state import views
from .state.delivery import Delivery
from .state.model_state import ModelState

__all__ = ["AskGate", "AskRecord", "AskView", "HistoryTooShortError", "ModelActor"]


class HistoryTooShortError(Exception):
    """A correction lies too far back to be folded again in place: the model has to be rebuilt.

    Not a failure: it travels as one, because what follows is the same.
    """


class AskView(Struct, frozen=True):
    """Any question of :mod:`.state.views`: ``view(state, as_of)``."""

    view: Callable[[ModelState, int], Any]
    as_of: int


class AskRecord(Struct, frozen=True):
    """(key, sealed state) as it is at this place in the mailbox: one model's part of a snapshot's cut."""


class AskGate(Struct, frozen=True):
    """Signals to be gated at this place in the mailbox: (confidence, predicted_at)."""

    signals: list[tuple[float, int]]


class ModelActor(PooledActor):
    """A thin shell around a :class:`ModelState`."""

    def __init__(self, state: ModelState) -> None:
        super().__init__()
        self.state = state

    def on_receive(self, message: Any) -> Any:
        """Fold a delivery, or answer a question."""
        kind = type(message)
        if kind is Delivery:
            if self.state.apply(message.events, message.seq):
                raise HistoryTooShortError(self.state.model_id)
            return None
        if kind is AskView:
            return message.view(self.state, message.as_of)
        if kind is AskGate:
            return [views.decide_gate(self.state, confidence, at) for confidence, at in message.signals]
        if kind is AskRecord:
            key = self.state.model_id.encode()
            return key, seal(key, encode(self.state.to_record()))
        raise TypeError(f"a model cannot handle {message!r:.200}")
