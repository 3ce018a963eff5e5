"""One actor per model: owns its state, folds what it is told in journal order, answers what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from ..protocol.wording import shown
from .learning.changepoint import Change, packed_change
from .records import encode, seal
from .runtime.actor import PooledActor
from .runtime.future import LeanFuture
from .state import views
from .state.delivery import Delivery
from .state.learners import LearnerState
from .state.statistics import LearnedStatistics

__all__ = [
    "AskGate",
    "AskRecord",
    "AskView",
    "BroughtBackActor",
    "BroughtBackError",
    "FoldAgain",
    "HistoryTooShortError",
    "ModelActor",
    "OnChange",
    "Signal",
]


OnChange: TypeAlias = Callable[[str, Change, str | None], object]
"""Called with a model's id, what changed, and the model it no longer repeats where that is what changed."""


class HistoryTooShortError(Exception):
    """A correction lies too far back to be folded again in place: the model has to be rebuilt.

    Not a failure: it travels as one, because what follows is the same.
    """


class BroughtBackError(Exception):
    """An operator wants a model back that was given up: it has to be rebuilt. No failure either."""


class AskView(Struct, frozen=True):
    """Any question of :mod:`.state.views`, or to the pool of :mod:`.state.pool_views`: ``view(state, as_of)``."""

    view: Callable[[Any, int], Any]
    as_of: int


class AskRecord(Struct, frozen=True):
    """(key, sealed state) as it is at this place in the mailbox: one model's part of a snapshot's cut."""


Signal = tuple[float, int, float | None]
"""(confidence, predicted_at, price)."""


class AskGate(Struct, frozen=True):
    """Signals to be gated at this place in the mailbox: (confidence, predicted_at, price)."""

    signals: list[Signal]
    weights: Mapping[str, float] | None = None
    """What the pool says of the models, where that counts."""


class FoldAgain:
    """The model is to be rebuilt from its history, now that what could not be folded perhaps can."""

    __slots__ = ("asked", "done")

    def __init__(self) -> None:
        self.asked = False
        self.done: LeanFuture[None] = LeanFuture()
        """Set once it is."""


class ModelActor(PooledActor):
    """A thin shell around a :data:`LearnerState`: a model's, or the pool's."""

    def __init__(self, state: Any, on_change: OnChange | None = None) -> None:
        super().__init__()
        self.state: LearnerState = state
        self._on_change = on_change

    def on_receive(self, message: Any) -> Any:
        """Fold a delivery, or answer a question."""
        kind = type(message)
        if kind is Delivery:
            before = self._changes()
            if self.state.apply(message.events, message.seq):
                raise HistoryTooShortError(self.state.model_id)
            if before is not self._changes() and self._on_change is not None:
                self._tell_change(before, self._on_change)
            return None
        if kind is AskView:
            return message.view(self.state, message.as_of)
        if kind is AskGate:
            model: Any = self.state
            return [
                views.decide_gate(model, confidence, at, price, message.weights)
                for confidence, at, price in message.signals
            ]
        if kind is AskRecord:
            key = self.state.model_id.encode()
            return key, seal(key, encode(self.state.to_record()))
        if kind is FoldAgain:
            return self._fold_again(message)
        raise TypeError(f"a model cannot handle {shown(message)}")

    def _changes(self) -> Any:
        """What a change shows in; another object once there was one."""
        now = self.state.now
        return now.changes if isinstance(now, LearnedStatistics) else now.ended

    def _tell_change(self, before: Any, told: OnChange) -> None:
        """Tell of the newest change point, unless what was known before knew it, or a later one."""
        now = self.state.now
        if not isinstance(now, LearnedStatistics):
            latest_ns = max((ended.change.detected_ns for ended in before), default=-(2**63))
            for ended in now.ended:
                if ended not in before and ended.change.detected_ns >= latest_ns:
                    told(ended.model_id, ended.change, ended.peer)
            return
        change = packed_change(now.changes)
        known = packed_change(before)
        if change is not None and (known is None or change.detected_ns > known.detected_ns):
            told(self.state.model_id, change, None)

    def _fold_again(self, message: FoldAgain) -> None:
        """Have this actor replaced by a rebuilt one, which is handed the message again and answers it."""
        if not message.asked:
            message.asked = True
            raise HistoryTooShortError(self.state.model_id)
        message.done.set()


class BroughtBackActor(ModelActor):
    """Stands for a model until it is rebuilt: takes its mail, and handles none of it."""

    def on_start(self) -> None:
        """Ask for the one that takes its place."""
        raise BroughtBackError(self.state.model_id)
