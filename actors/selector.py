"""Asking all models at once: selections, and reports over everyone.

A gather has one deadline; what has not arrived by then is named. Nothing here owns any state but the gathers
in flight, so that any thread may begin one (:class:`Scatter`); the actor is for callers that had better not
ask thousands of models themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from time import monotonic
from typing import Any

from msgspec import Struct
from pykka._envelope import Envelope

from ..protocol.messages import ModelSample, Selection
from .learning.draws import draw_key
from .learning.selection import rank
from .model import AskDraw, AskView
from .roster import Roster
from .runtime.actor import PooledActor
from .runtime.dispatcher import Dispatcher
from .runtime.future import LeanFuture
from .runtime.gather import Gather, Gathered, ask_all
from .runtime.timers import TimerHandle, Timers
from .state.model_state import ModelState

__all__ = ["AskAll", "Scatter", "Select", "SelectorActor"]


class Select(Struct, frozen=True):
    """A Thompson sample of all eligible models; the reply gets a :class:`Selection`."""

    selection_id: str
    seed: int
    n: int
    as_of: int
    deadline_seconds: float
    models: tuple[str, ...] | None
    """Only these; None: all."""
    reply: LeanFuture[Selection]


class AskAll(Struct, frozen=True):
    """``view(state, as_of)`` of every working model; the reply gets the :class:`Gathered` answers."""

    view: Callable[[ModelState, int], Any]
    as_of: int
    deadline_seconds: float
    reply: LeanFuture[Gathered[str, Any]]


class Scatter:
    """Sends a question to the model actors and gathers what comes back. Thread-safe."""

    def __init__(self, roster: Roster, dispatcher: Dispatcher, timers: Timers) -> None:
        self._roster = roster
        self._dispatcher = dispatcher
        self._timers = timers

    def begin(self, message: Any) -> None:
        """Begin a gather; its completion answers: here and now, if all models are idle."""
        if isinstance(message, Select):
            self._select(message)
        elif isinstance(message, AskAll):
            question = AskView(message.view, message.as_of)
            self._ask(None, question, message.deadline_seconds, message.reply.set)
        else:
            raise TypeError(f"the selector cannot handle {message!r:.200}")

    def _select(self, message: Select) -> None:
        question = AskDraw(draw_key(message.seed, message.selection_id), message.n, message.as_of)
        failed = self._roster.failed

        def complete(gathered: Gathered[str, ModelSample | None]) -> None:
            answers = gathered.values
            samples = [sample for sample in answers.values() if sample is not None]
            ineligible = [model for model, sample in answers.items() if sample is None]
            missing = {*gathered.missing, *gathered.errors}
            missing.update(m for m in failed if message.models is None or m in message.models)
            missing.update(m for m in message.models or () if m not in self._roster.refs)
            message.reply.set(
                Selection(
                    selection_id=message.selection_id,
                    seed=message.seed,
                    as_of=message.as_of,
                    ranked=tuple(rank(samples, attrgetter("sample"), attrgetter("model_id"))),
                    missing=tuple(sorted(missing)),
                    ineligible=tuple(sorted(ineligible)),
                )
            )

        self._ask(message.models, question, message.deadline_seconds, complete)

    def _ask(
        self,
        models: tuple[str, ...] | None,
        question: AskDraw | AskView,
        deadline_seconds: float,
        complete: Callable[[Gathered[str, Any]], object],
    ) -> None:
        refs = self._roster.working()
        if models is not None:
            refs = {model: refs[model] for model in models if model in refs}
        handle: list[TimerHandle] = []

        def done(gathered: Gathered[str, Any]) -> None:
            for timer in handle:
                timer.cancel()
            complete(gathered)

        gather: Gather[str, Any] = Gather(list(refs), done)
        if gather.completed.is_set():
            return
        began = monotonic()
        ask_all(self._dispatcher, list(refs.values()), question, gather, deadline_seconds)
        # Most gathers end here. One that ends just now finds no timer to cancel; it expires to no effect.
        if not gather.completed.is_set():
            left = deadline_seconds - (monotonic() - began)
            handle.append(self._timers.call_after(left, gather.expire))


class SelectorActor(PooledActor):
    """Begins gathers on its dispatcher."""

    def __init__(self, scatter: Scatter) -> None:
        super().__init__()
        self._scatter = scatter

    def on_batch(self, envelopes: list[Envelope[Any]]) -> None:
        """Begin a gather for each; its completion answers, not the end of the turn."""
        for envelope in envelopes:
            self._scatter.begin(envelope.message)
