"""A question on its way to one model or to all, checked and put, with a reply that names the model's failure."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, TypeVar

import pykka
from msgspec.structs import replace
from pykka._envelope import Envelope

from ..protocol.errors import HandicapperError, InvalidValueError, ModelFailedError
from ..protocol.messages import Selection, SelectionMode
from ..protocol.validation import check_id, check_mode, check_time
from ..protocol.wording import shown
from .calls import Reply
from .engine import Engine
from .model import AskView
from .runtime.cell import NOT_IDLE
from .selector import Select
from .state.learners import public_name

__all__ = ["ModelReply", "event_time", "model_failed", "put_question", "put_selection", "selection_question"]

T = TypeVar("T")

DRAWS_MAX: Final = 100_000


class ModelReply(Reply[T]):
    """The reply of one model."""

    __slots__ = ("_engine", "_model_id")

    def __init__(self, engine: Engine, model_id: str) -> None:
        super().__init__(engine.roster.refs.get(model_id, engine.router).cell)
        self._engine = engine
        self._model_id = model_id

    def _not_there(self, error: pykka.ActorDeadError) -> HandicapperError:
        """A model that is given up sends its mail back."""
        if self._model_id in self._engine.roster.failed:
            return model_failed(self._engine, self._model_id)
        return super()._not_there(error)


def model_failed(engine: Engine, model_id: str) -> ModelFailedError:
    """The error for a question to a model that was given up."""
    return ModelFailedError(
        f"model {shown(public_name(model_id))} was given up: {engine.roster.failed[model_id]}"
    )


def event_time(engine: Engine, as_of: int | datetime | None) -> int:
    """The event time that is asked about: now, unless it is given."""
    return engine.clock.now_ns() if as_of is None else check_time("as_of", as_of)


def put_question(
    engine: Engine, model_id: str, view: Callable[[Any, int], Any], as_of: int, reply: Reply[Any]
) -> None:
    """Ask a model, or the pool; its answer goes into ``reply``, or None if it was never seen. Idle it answers in place.

    Raises:
        ModelFailedError: it was given up.
        BusyError: too many messages wait for it.

    """
    ref = engine.roster.refs.get(model_id)
    if ref is None:
        reply.set(None)
        return
    if model_id in engine.roster.failed:
        raise model_failed(engine, model_id)
    question = AskView(view, as_of)
    answer = ref.cell.ask_idle(question)
    if answer is NOT_IDLE:
        reply.waiting = ref.cell
        ref.cell.put(Envelope(question, reply))
    else:
        reply.set(answer)


def put_selection(engine: Engine, question: Select, reply: Reply[Selection]) -> None:
    """Ask the models. Their answers go into ``reply``: here and now, if all are idle."""
    selection = engine.scatter.at_once(question)
    if selection is not None:
        reply.set(selection)
        return
    question = replace(question, reply=reply)
    # In a thread of its own the router has better things to do than to ask thousands of models.
    if engine.driven or not engine.in_routers_turn:
        engine.scatter.begin(question)
    else:
        engine.ask(engine.selector, question, reply)


def selection_question(
    engine: Engine,
    n: int,
    as_of: int | datetime | None,
    models: Iterable[str] | None,
    selection_id: str | None,
    seed: int | None,
    mode: SelectionMode | None,
    timeout: float | None,
) -> Select:
    """The question of a selection, with defaults for what is not given.

    Raises:
        InvalidValueError: an argument is of the wrong type or out of range.

    """
    sampling = engine.settings.thompson_sampling
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= DRAWS_MAX:
        raise InvalidValueError("n", n, f"a whole number from 1 to {DRAWS_MAX}")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**64):
        raise InvalidValueError("seed", seed, "a whole number from 0 to 18446744073709551615")
    mode = check_mode("mode", mode) or sampling.mode
    selection_id = os.urandom(16).hex() if selection_id is None else check_id("selection_id", selection_id)
    if models is not None and (isinstance(models, str) or not isinstance(models, Iterable)):
        raise InvalidValueError("models", models, "several model ids, such as a list of them")
    return Select(
        selection_id=selection_id,
        seed=sampling.seed if seed is None else seed,
        n=n,
        mode=mode if sampling.enabled else "mean",
        as_of=event_time(engine, as_of),
        deadline_seconds=sampling.gather_deadline_ms / 1000 if timeout is None else timeout,
        models=None if models is None else tuple(check_id("model_id", model) for model in models),
    )
