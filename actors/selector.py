"""Asking all models at once: selections, and reports over everyone.

Asking has one deadline; what has not arrived by then is named. Nothing here owns any state but the questions
in flight, so that any thread may begin one (:class:`Scatter`); the actor is for callers that had better not
ask thousands of models themselves.

What is drawn of the answers of a selection, and in which order that puts the models, is :mod:`.ranking`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from msgspec import Struct
from pykka._envelope import Envelope

from ..protocol.messages import Selection, SelectionMode
from ..protocol.wording import shown
from .at_once import AT_ONCE_MAX, ranked_at_once
from .learning.draws import draw_key
from .model import AskView
from .ranking import Lineup, Question, Seat, ranked, seat_of
from .roster import Roster
from .runtime.actor import PooledActor
from .runtime.dispatcher import Dispatcher
from .runtime.everyone import NO_REPLY, Asked, ask_busy, ask_idle
from .runtime.future import LeanFuture
from .runtime.gather import Gathered
from .runtime.timers import TimerHandle, Timers
from .state import views
from .state.model_state import ModelState
from .state.pool_row import POOL_ID

__all__ = ["AskAll", "Scatter", "Select", "SelectorActor"]


class Select(Struct, frozen=True):
    """A Thompson sample of all eligible models; the reply gets a :class:`Selection`."""

    selection_id: str
    seed: int
    n: int
    mode: SelectionMode
    as_of: int
    deadline_seconds: float
    models: tuple[str, ...] | None
    """Only these; None: all."""
    reply: LeanFuture[Selection] | None = None
    """Where the selection goes, if it is not asked for at once."""


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
        self._seats: dict[str, Seat] = {}
        self._everyone = (0, 0, 0), Lineup([], [])
        """How many models there were, and how many had been given up and brought back, when it was made; and all that
        work. The first only grows, and the second shrinks only when the third grows."""

    def at_once(self, question: Select) -> Selection | None:
        """The selection, if it is a plain one of models which are all idle, as most are: in half of the time. Else
        None, and it is to be begun."""
        if question.n != 1 or question.mode != "thompson" or question.deadline_seconds <= 0.0:
            return None
        lineup = self._lineup(question.models)
        if len(lineup.names) > AT_ONCE_MAX:
            return None
        key = draw_key(question.seed, question.selection_id)
        found = ranked_at_once(lineup, question.as_of, key)
        if found is None:
            return None
        return Selection(
            selection_id=question.selection_id,
            seed=question.seed,
            as_of=question.as_of,
            ranked=found[0],
            missing=tuple(lineup.unreachable),
            ineligible=tuple(found[1]),
        )

    def begin(self, message: Any) -> None:
        """Begin to ask; the last answer completes it: here and now, if all models are idle."""
        if isinstance(message, Select):
            lineup = self._lineup(message.models)
            deadline = monotonic() + message.deadline_seconds
            key = draw_key(message.seed, message.selection_id)
            complete = partial(_select, message, lineup, Question(key, message.n, message.mode, deadline))
            self._ask(lineup, AskView(views.arm, message.as_of), deadline, complete)
        elif isinstance(message, AskAll):
            lineup = self._lineup(None)
            deadline = monotonic() + message.deadline_seconds
            complete = partial(_answer, message, lineup.names)
            self._ask(lineup, AskView(message.view, message.as_of), deadline, complete)
        else:
            raise TypeError(f"the selector cannot handle {shown(message)}")

    def _ask(
        self, lineup: Lineup, question: AskView, deadline: float, complete: Callable[[Asked], object]
    ) -> None:
        asked = ask_idle(lineup.cells, question, deadline)
        if asked.busy:
            self._ask_busy(lineup, question, asked, deadline, complete)
        else:  # as most end
            complete(asked)

    def _ask_busy(
        self,
        lineup: Lineup,
        question: AskView,
        asked: Asked,
        deadline: float,
        complete: Callable[[Asked], object],
    ) -> None:
        handle: list[TimerHandle] = []

        def done(asked: Asked) -> None:
            for timer in handle:
                timer.cancel()
            complete(asked)

        gather = ask_busy(self._dispatcher, lineup.cells, question, asked, done)
        # One that ends just now finds no timer to cancel; it expires to no effect.
        if gather is not None:
            handle.append(self._timers.call_after(deadline - monotonic(), gather.expire))

    def _lineup(self, models: Sequence[str] | None) -> Lineup:
        """These models, or all; that is kept until there is another."""
        roster = self._roster
        refs, failed = roster.refs, roster.failed
        if models is not None:
            wanted = set(models)
            known = {model for model in wanted if model in refs and model not in failed}
            return self._made(known, wanted - known)
        size = len(refs), len(failed), roster.brought_back
        made_of, lineup = self._everyone
        if size != made_of:
            given_up = set(failed) - {POOL_ID}
            lineup = self._made(set(refs) - given_up - {POOL_ID}, given_up)
            self._everyone = size, lineup
        return lineup

    def _made(self, models: Iterable[str], unreachable: Iterable[str]) -> Lineup:
        refs, known = self._roster.refs, self._seats
        seats: list[Seat] = []
        for name in sorted(models):
            seat, cell = known.get(name), refs[name].cell
            if seat is None or seat[3] is not cell:
                seat = known[name] = seat_of(name, cell)
            seats.append(seat)
        return Lineup(seats, sorted(unreachable))


class SelectorActor(PooledActor):
    """Begins to ask on its dispatcher."""

    def __init__(self, scatter: Scatter) -> None:
        super().__init__()
        self._scatter = scatter

    def on_batch(self, envelopes: list[Envelope[Any]]) -> None:
        """Begin each; the last answer completes it, not the end of the turn. What raises in one is its own."""
        for envelope in envelopes:
            try:
                self._scatter.begin(envelope.message)
            except Exception as error:
                if envelope.reply_to is None:
                    raise
                envelope.reply_to.set_exception((type(error), error, error.__traceback__))


def _answer(message: AskAll, names: list[str], asked: Asked) -> None:
    message.reply.set(_gathered(names, asked))


def _gathered(names: list[str], asked: Asked) -> Gathered[str, Any]:
    replies, errors = asked.replies, asked.errors
    values = {name: reply for name, reply in zip(names, replies, strict=False) if reply is not NO_REPLY}
    raised = {names[place]: errors[place] for place in sorted(errors)}
    return Gathered(values, raised, tuple(n for n in names if n not in values and n not in raised))


def _select(message: Select, lineup: Lineup, question: Question, asked: Asked) -> None:
    assert message.reply is not None
    message.reply.set(_selection(message, lineup, question, asked))


def _selection(message: Select, lineup: Lineup, question: Question, asked: Asked) -> Selection:
    """Draw for every model that answered and is eligible; rank them, name the others."""
    names, arms = lineup.names, asked.replies
    missing, ineligible = lineup.unreachable, []
    if asked.busy or asked.errors or len(arms) < len(names) or not all(arms):
        missing = missing + names[len(arms) :]
        missing += [name for name, arm in zip(names, arms, strict=False) if arm is NO_REPLY]
        ineligible = [name for name, arm in zip(names, arms, strict=False) if arm is None]
        places = [place for place, arm in enumerate(arms) if arm is not None and arm is not NO_REPLY]
        lineup, arms = lineup.only(places), [arms[place] for place in places]
    mode, samples = ranked(lineup, arms, question)
    if len(samples) < len(arms):
        missing = missing + lineup.names[len(samples) :]
    return Selection(
        selection_id=message.selection_id,
        seed=message.seed,
        as_of=message.as_of,
        ranked=samples,
        missing=tuple(sorted(missing)) if missing else (),
        ineligible=tuple(ineligible),
        mode=mode,
    )
