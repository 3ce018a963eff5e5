"""The answers of a selection, drawn for and ranked.

A model answers with what its draws depend on. They are made of all answers together: as counter-based draws they are
the same whoever makes them, and one by one they take ten times as long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..protocol.messages import ModelSample, SelectionMode
from .learning.draws import (
    Seeds,
    Streams,
    beta_draws,
    few_beta_draws,
    later_seeds,
    mixture_draw,
    mixture_draws,
    stream_of,
    stream_seeds,
    streams_of,
    words_of,
)
from .learning.gamma import FEW
from .learning.mixture import Mixture
from .learning.posterior import beta_mean
from .learning.selection import rank
from .learning.top_two import ROUNDS_BEGIN, challenge, leader_leads, rounds_of
from .runtime.cell import Cell

__all__ = ["DRAWS_A_LOOK", "LATE_DRAWS_MAX", "Arm", "Lineup", "Question", "Seat", "ranked", "seat_of"]

DRAWS_A_LOOK: Final = 4_096
"""Draws made between two looks at the clock."""

LATE_DRAWS_MAX: Final = 100_000
"""Draws made of what has arrived even if the deadline is over, as it is once a model did not answer."""

Arm: TypeAlias = tuple[float, float, bool | Mixture]
"""What :func:`.state.views.arm` answers of an eligible model."""


Seat: TypeAlias = tuple[str, int, int, Cell, Callable[[bool], bool], Callable[[], None], "deque[Any]", bytes]
"""A model with all that asking it and drawing for it take, the same as long as it has the same mailbox: (name, the two
words of its stream, cell, the cell's turn taken and let go of, its mail, the stream). No named tuple: those a compiled
loop takes apart in twice the time."""


def seat_of(name: str, cell: Cell) -> Seat:
    """The seat of a model."""
    stream, idle = stream_of(name), cell._idle
    return name, *words_of(stream), cell, idle.acquire, idle.release, cell._queue, stream


class Lineup:
    """Models to be asked, in the order of their names."""

    __slots__ = ("_words", "cells", "names", "seats", "streams", "unreachable")

    def __init__(self, seats: list[Seat], unreachable: list[str]) -> None:
        self.seats = seats
        self.names = [seat[0] for seat in seats]
        self.cells = [seat[3] for seat in seats]
        self.streams = [seat[-1] for seat in seats]
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
        return Lineup([self.seats[place] for place in places], self.unreachable)


class Question(NamedTuple):
    """What is drawn."""

    key: bytes
    """See :func:`.learning.draws.draw_key`."""
    n: int
    mode: SelectionMode
    deadline: float
    """By the monotonic clock."""


def ranked(
    lineup: Lineup, arms: Sequence[Arm], asked: Question
) -> tuple[SelectionMode, tuple[ModelSample, ...]]:
    """(mode that ranked, the models by rank); of the first ones only, if there is no time to draw for all.

    That is the mode asked for, but ``mean`` where sampling is disabled.
    """
    mode = asked.mode
    if not arms:
        return mode, ()
    alphas, betas, sampled = zip(*arms, strict=True)
    only_betas = sampled.count(True) == len(sampled)
    if not only_betas and any(sampling is False for sampling in sampled):
        mode = "mean"
    if mode == "mean":
        first, rows = _means(alphas, betas, asked.n)
    else:
        first, rows = _drawn(lineup, alphas, betas, asked)
        if not only_betas:
            _draw_from_mixtures(lineup, sampled, asked, first, rows)
    leading = None
    if mode == "top_two" and len(first) > 1 and not leader_leads(asked.key):
        leading = _challenge(lineup, alphas, betas, sampled, asked.key, first, rows)
    order = rank(range(len(first)), first.__getitem__)
    if leading is not None:
        order.sort(key=leading.__ne__)
    names = lineup.names
    if rows is None:
        return mode, tuple(
            [
                ModelSample(
                    model_id=names[place], sample=first[place], alpha=alphas[place], beta=betas[place]
                )
                for place in order
            ]
        )
    return mode, tuple(
        [
            ModelSample(
                model_id=names[place],
                sample=first[place],
                alpha=alphas[place],
                beta=betas[place],
                samples=tuple(rows[place]),
            )
            for place in order
        ]
    )


def _means(
    alphas: Sequence[float], betas: Sequence[float], n: int
) -> tuple[list[float], list[list[float]] | None]:
    means = list(map(beta_mean, alphas, betas))
    return means, [[mean] * n for mean in means] if n > 1 else None


def _drawn(
    lineup: Lineup, alphas: Sequence[float], betas: Sequence[float], asked: Question
) -> tuple[list[float], list[list[float]] | None]:
    """The first draw of each, and if there is more than one, all of them."""
    key, n, _, deadline = asked
    if n == 1 and len(alphas) <= FEW:
        return few_beta_draws(key, lineup.streams, alphas, betas), None
    draws = _draws(stream_seeds(key, lineup.words), alphas, betas, n, deadline)
    return draws[:, 0].tolist(), draws.tolist() if n > 1 else None


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


def _draw_from_mixtures(
    lineup: Lineup,
    sampled: Sequence[bool | Mixture],
    asked: Question,
    first: list[float],
    rows: list[list[float]] | None,
) -> None:
    """Put the draws of mixtures in the place of those from the Betas that stand for them."""
    for place in range(len(first)):
        mixture = sampled[place]
        if isinstance(mixture, bool):
            continue
        if rows is None:
            first[place] = mixture_draw(asked.key, lineup.streams[place], mixture)
        else:
            seeds = stream_seeds(asked.key, streams_of(lineup.streams[place : place + 1]))
            rows[place] = mixture_draws(seeds, [mixture], asked.n)[0].tolist()
            first[place] = rows[place][0]


def _challenge(
    lineup: Lineup,
    alphas: Sequence[float],
    betas: Sequence[float],
    sampled: Sequence[bool | Mixture],
    key: bytes,
    first: list[float],
    rows: list[list[float]] | None,
) -> int:
    """Put the draws of the round that ranks in the first place of each model; returns the model that leads.

    See :mod:`.learning.top_two`. Rounds are drawn together as long as they are few draws.
    """
    count = len(first)
    alphas, betas, leader = alphas[:count], betas[:count], int(np.argmax(first))
    seeds = later_seeds(stream_seeds(key, lineup.words)[:, :count], ROUNDS_BEGIN)
    mixed = [place for place in range(count) if not isinstance(sampled[place], bool)]
    mixtures = [mixture for mixture in sampled[:count] if not isinstance(mixture, bool)]
    rounds, drawn = rounds_of(count), 0
    while True:
        some = min(max(DRAWS_A_LOOK // count, 1), rounds - drawn)
        begun = later_seeds(seeds, drawn)
        draws = beta_draws(begun, alphas, betas, some)
        if mixed:
            draws[mixed] = mixture_draws(begun[:, mixed], mixtures, some)
        drawn += some
        place, leading = challenge(leader, draws)
        if drawn == rounds or int(draws[:, place].argmax()) != leader:
            break
    first[:] = draws[:, place].tolist()
    for row, sample in zip(rows or (), first, strict=False):
        row[0] = sample
    return leading
