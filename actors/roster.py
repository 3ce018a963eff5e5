"""Which models there are, and how to reach them: written by the router, read by everyone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from .model import ModelActor
from .runtime.dispatcher import Dispatcher
from .runtime.failure import Failure
from .runtime.ref import PooledRef
from .state.model_state import ModelState

__all__ = ["ModelRef", "Roster"]

ModelRef = PooledRef[ModelActor]


class Roster:
    """Refs by model id. Adding is the router's; a read of ``refs`` or ``failed`` is one look at a dict."""

    def __init__(
        self, dispatcher: Dispatcher, messages_max: int, on_failure: Callable[[Failure], Any]
    ) -> None:
        self._dispatcher = dispatcher
        self._messages_max = messages_max
        self._on_failure = on_failure
        self.refs: dict[str, ModelRef] = {}
        self.failed: dict[str, str] = {}
        """Models given up, with the reason."""

    def add(self, state: ModelState) -> ModelRef:
        """Start the actor of a new model."""
        ref = ModelActor.start_on(
            self._dispatcher,
            state,
            name=f"model/{state.model_id}",
            messages_max=self._messages_max,
            on_failure=self._on_failure,
        )
        self.refs[state.model_id] = ref
        return ref

    def working(self) -> dict[str, ModelRef]:
        """Every model that was not given up."""
        failed = self.failed
        refs = dict(self.refs)
        return {model: ref for model, ref in refs.items() if model not in failed} if failed else refs

    def status_of(self, model_id: str) -> Literal["running", "restarting", "failed"]:
        """How the actor of a model is."""
        if model_id in self.failed:
            return "failed"
        return "restarting" if self.refs[model_id].cell.failure is not None else "running"
