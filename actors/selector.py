"""Asking all models at once: selections, and reports over everyone.

Asking has one deadline; what has not arrived by then is named. Nothing here owns any state but the questions
in flight, so that any thread may begin one (:class:`Scatter`); the actor is for callers that had better not
ask thousands of models themselves.

In a selection a model answers with what its draws depend on. They are made of all answers together: as
counter-based draws they are the same whoever makes them, and one by one they take ten times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from time import monotonic
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from pykka._envelope import Envelope

from ..protocol.messages import ModelSample, Selection
from ..protocol.wording import shown
from .learning.changepoint import Mixture
from .learning.draws import (
    Seeds,
    Streams,
    beta_draws,
    draw_key,
    few_beta_draws,
    mixture_draw,
    mixture_draws,
    stream_of,
    stream_seeds,
    streams_of,
)
from .learning.gamma import FEW
from .learning.posterior import beta_mean
from .learning.selection import rank
from .model import AskView
from .roster import Roster
from .runtime.actor import PooledActor
from .runtime.cell import Cell
from .runtime.dispatcher import Dispatcher
from .runtime.everyone import NO_REPLY, Asked, ask_all
from .runtime.future import LeanFuture
from .runtime.gather import Gathered
from .runtime.timers import TimerHandle, Timers
from .state import views
from .state.model_state import ModelState
from .state.pool_row import POOL_ID

__all__ = ["AskAll", "Scatter", "Select", "SelectorActor"]

DRAWS_A_LOOK: Final = 4_096
"""Draws made between two looks at the clock."""

LATE_DRAWS_MAX: Final = 100_000
"""Draws made of what has arrived even if the deadline is over, as it is once a model did not answer."""


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


class Lineup:
    """Models to be asked, in the order of their names."""

    __slots__ = ("_words", "cells", "names", "streams", "unreachable")

    def __init__(
        self, names: list[str], cells: list[Cell], streams: list[bytes], unreachable: list[str]
    ) -> None:
        self.names = names
        self.cells = cells
        self.streams = streams
        self.unreachable = unreachable
        """Models that cannot be asked: given up, or never seen."""
        self._words: Streams | None = None

    @property
    def words(self) -> Streams:
        """The streams, as many draws at once need them."""
        if self._words is None:
            self._words = streams_of(self.streams)
        return self._words

    def only(self, places: list[int]) -> Lineup:
        """The models in these places."""
        return Lineup(
            [self.names[place] for place in places],
            [self.cells[place] for place in places],
            [self.streams[place] for place in places],
            self.unreachable,
        )


class Scatter:
    """Sends a question to the model actors and gathers what comes back. Thread-safe."""

    def __init__(self, roster: Roster, dispatcher: Dispatcher, timers: Timers) -> None:
        self._roster = roster
        self._dispatcher = dispatcher
        self._timers = timers
        self._streams: dict[str, bytes] = {}
        self._everyone = (0, 0, 0), Lineup([], [], [], [])
        """How many models there were, and how many had been given up and brought back, when it was made; and all that
        work. The first only grows, and the second shrinks only when the third grows."""

    def begin(self, message: Any) -> None:
        """Begin to ask; the last answer completes it: here and now, if all models are idle."""
        if isinstance(message, Select):
            lineup = self._lineup(message.models)
            key = draw_key(message.seed, message.selection_id)
            deadline = monotonic() + message.deadline_seconds

            def select(asked: Asked) -> None:
                message.reply.set(_selection(message, lineup, asked, key, deadline))

            self._ask(lineup, AskView(views.arm, message.as_of), deadline, select)
        elif isinstance(message, AskAll):
            lineup = self._lineup(None)

            def gather(asked: Asked) -> None:
                message.reply.set(_gathered(lineup.names, asked))

            deadline = monotonic() + message.deadline_seconds
            self._ask(lineup, AskView(message.view, message.as_of), deadline, gather)
        else:
            raise TypeError(f"the selector cannot handle {shown(message)}")

    def _ask(
        self, lineup: Lineup, question: AskView, deadline: float, complete: Callable[[Asked], object]
    ) -> None:
        handle: list[TimerHandle] = []

        def done(asked: Asked) -> None:
            for timer in handle:
                timer.cancel()
            complete(asked)

        gather = ask_all(self._dispatcher, lineup.cells, question, done, deadline)
        # Most end here. One that ends just now finds no timer to cancel; it expires to no effect.
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
        refs, known = self._roster.refs, self._streams
        names, streams = sorted(models), []
        for name in names:
            stream = known.get(name)
            if stream is None:
                stream = known[name] = stream_of(name)
            streams.append(stream)
        return Lineup(names, [refs[name].cell for name in names], streams, sorted(unreachable))


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


def _gathered(names: list[str], asked: Asked) -> Gathered[str, Any]:
    replies, errors = asked.replies, asked.errors
    values = {name: reply for name, reply in zip(names, replies, strict=False) if reply is not NO_REPLY}
    raised = {names[place]: errors[place] for place in sorted(errors)}
    return Gathered(values, raised, tuple(n for n in names if n not in values and n not in raised))


def _selection(message: Select, lineup: Lineup, asked: Asked, key: bytes, deadline: float) -> Selection:
    """Draw for every model that answered and is eligible; rank them, name the others."""
    names, arms = lineup.names, asked.replies
    missing, ineligible = lineup.unreachable, []
    if asked.busy or asked.errors or len(arms) < len(names) or not all(arms):
        missing = missing + names[len(arms) :]
        missing += [name for name, arm in zip(names, arms, strict=False) if arm is NO_REPLY]
        ineligible = [name for name, arm in zip(names, arms, strict=False) if arm is None]
        places = [place for place, arm in enumerate(arms) if arm is not None and arm is not NO_REPLY]
        lineup, arms = lineup.only(places), [arms[place] for place in places]
    ranked = _ranked(lineup, arms, key, message.n, deadline)
    if len(ranked) < len(arms):
        missing = missing + lineup.names[len(ranked) :]
    return Selection(
        selection_id=message.selection_id,
        seed=message.seed,
        as_of=message.as_of,
        ranked=ranked,
        missing=tuple(sorted(missing)),
        ineligible=tuple(ineligible),
    )


def _ranked(
    lineup: Lineup, arms: list[tuple[float, float, bool | Mixture]], key: bytes, n: int, deadline: float
) -> tuple[ModelSample, ...]:
    """The models with their draws, in the order of their rank; of the first ones only, if there is no time for all."""
    if not arms:
        return ()
    names = lineup.names
    alphas, betas, sampled = zip(*arms, strict=True)
    if n == 1 and len(names) <= FEW:
        first, rows = few_beta_draws(key, lineup.streams, alphas, betas), None
    else:
        draws = _draws(stream_seeds(key, lineup.words), alphas, betas, n, deadline)
        first, rows = draws[:, 0].tolist(), draws.tolist() if n > 1 else None
    if sampled.count(True) < len(sampled):
        for place in range(len(first)):
            sampling = sampled[place]
            if sampling is True:
                continue
            if sampling is False:
                row = [beta_mean(alphas[place], betas[place])] * n
            elif n == 1:
                row = [mixture_draw(key, lineup.streams[place], sampling)]
            else:
                seeds = stream_seeds(key, streams_of(lineup.streams[place : place + 1]))
                row = mixture_draws(seeds, [sampling], n)[0].tolist()
            first[place] = row[0]
            if rows is not None:
                rows[place] = row
    if rows is None:
        samples = [
            ModelSample(model_id=name, sample=sample, alpha=alpha, beta=beta)
            for name, sample, alpha, beta in zip(names, first, alphas, betas, strict=False)
        ]
    else:
        samples = [
            ModelSample(model_id=name, sample=sample, alpha=alpha, beta=beta, samples=tuple(row))
            for name, sample, alpha, beta, row in zip(names, first, alphas, betas, rows, strict=False)
        ]
    return tuple(rank(samples, attrgetter("sample")))


def _draws(
    seeds: Seeds, alphas: Sequence[float], betas: Sequence[float], n: int, deadline: float
) -> NDArray[np.float64]:
    """``n`` draws for each; of the first ones only, if there is no time for all."""
    count = len(alphas)
    if count * n <= DRAWS_A_LOOK:
        return beta_draws(seeds, alphas, betas, n)
    models_a_look = max(DRAWS_A_LOOK // n, 1)
    parts: list[NDArray[np.float64]] = []
    for start in range(0, count, models_a_look):
        if start * n >= LATE_DRAWS_MAX and monotonic() >= deadline:
            break
        some = slice(start, start + models_a_look)
        parts.append(beta_draws(seeds[:, some], alphas[some], betas[some], n))
    return np.concatenate(parts)
