"""Which models there are, and how to reach them: written by the router, read by everyone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from .model import BroughtBackActor, ModelActor, OnChange
from .runtime.dispatcher import Dispatcher
from .runtime.failure import Failure
from .runtime.future import LeanFuture
from .runtime.ref import PooledRef
from .state.learners import LearnerState
from .state.pool_row import POOL_ID

__all__ = ["MODEL_PREFIX", "POOL_NAME", "ModelRef", "Roster", "actor_name"]

MODEL_PREFIX: Final = "model/"
"""Before a model's id in the name of its actor."""
POOL_NAME: Final = "pool"
"""Name of the pool's actor."""

ModelRef = PooledRef[ModelActor]


def actor_name(model_id: str) -> str:
    """Name of the actor of a model, or of the pool.

    >>> actor_name("elo"), actor_name(POOL_ID)
    ('model/elo', 'pool')
    """
    return POOL_NAME if model_id == POOL_ID else MODEL_PREFIX + model_id


class Roster:
    """Refs by model id, the pool's among them.

    Adding is the router's, giving up and bringing back the supervisor's; a read of ``refs`` or ``failed`` is one look
    at a dict.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        messages_max: int,
        on_failure: Callable[[Failure], Any],
        on_change: OnChange | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._messages_max = messages_max
        self._on_failure = on_failure
        self.on_change = on_change
        """Called, in a model's turn, with a change point it found."""
        self.refs: dict[str, ModelRef] = {}
        self.failed: dict[str, str] = {}
        """Models given up, with the reason."""
        self.brought_back = 0
        """How often a model was brought back. The supervisor's."""
        self.stuck: dict[str, None] = {}
        """Models whose handlers do not return. The watchdog's."""
        self.unanswered: dict[str, LeanFuture[Any]] = {}
        """Models, and the pool, that did not get to a question in time, each with the answer that is still to come:
        see :mod:`.prompt`."""
        self.pool_silent = False
        """The weights should follow the pool, and it could not say them when it was asked last."""

    def add(self, state: LearnerState) -> ModelRef:
        """Start the actor of a new model."""
        return self._start(ModelActor, state)

    def bring_back(self, state: LearnerState) -> None:
        """Have a model that was given up take mail again; its actor fails at once, and so is rebuilt. ``state`` is
        an empty one."""
        self._start(BroughtBackActor, state)
        # Only now: what the router tells it goes to the new mailbox, or is in the history that is asked for later.
        self.failed.pop(state.model_id, None)
        self.brought_back += 1

    def _start(self, kind: type[ModelActor], state: LearnerState) -> ModelRef:
        ref = kind.start_on(
            self._dispatcher,
            state,
            self.on_change,
            name=actor_name(state.model_id),
            messages_max=self._messages_max,
            on_failure=self._on_failure,
        )
        self.refs[state.model_id] = ref
        return ref

    @property
    def models(self) -> list[str]:
        """Every model, working or not, by id."""
        return sorted(self.refs.keys() - {POOL_ID})

    @property
    def model_count(self) -> int:
        """How many models there are, working or not."""
        refs = self.refs
        return len(refs) - (POOL_ID in refs)

    def working(self) -> dict[str, ModelRef]:
        """Every model that was not given up."""
        failed = self.failed
        refs = dict(self.refs)
        return {model: ref for model, ref in refs.items() if model not in failed} if failed else refs

    def status_of(self, model_id: str) -> Literal["running", "restarting", "stuck", "failed"]:
        """How the actor of a model is."""
        if model_id in self.failed:
            return "failed"
        if model_id in self.stuck:
            return "stuck"
        return "restarting" if self.refs[model_id].cell.failure is not None else "running"
