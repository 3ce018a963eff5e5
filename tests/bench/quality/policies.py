"""Policies, each over many repetitions at once: handicapper's filter, and peers from their papers.

``choose(t)`` gives the arm of every repetition; ``learn(t, arms, x)`` tells it one outcome each, ``learn_all(t, x)``
one of every arm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from handicapper.actors.learning.change import Change
from handicapper.actors.learning.changepoint import ChangePointFilter

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]
Generator = np.random.Generator

ROUND_NS = 3_600 * 10**9
"""A round is an hour of event time."""


class Policy(Protocol):
    def choose(self, t: int) -> Arms: ...
    def learn(self, t: int, arms: Arms, x: Floats) -> None: ...
    def learn_all(self, t: int, x: Floats) -> None: ...


class Thompson:
    """Beta-Bernoulli Thompson sampling, and its like: evidence fades, or is forgotten where an oracle says so."""

    def __init__(
        self,
        shape: tuple[int, int],
        generator: Generator,
        keep: float = 1.0,
        restarts: frozenset[int] = frozenset(),
        played_only: bool = False,
        greedy: bool = False,
    ) -> None:
        self._right, self._wrong = np.zeros(shape), np.zeros(shape)
        self._generator, self._keep, self._restarts = generator, keep, restarts
        self._played_only, self._greedy = played_only, greedy
        self._rows = np.arange(shape[0])

    def choose(self, t: int) -> Arms:
        if t in self._restarts:
            self._right[:] = self._wrong[:] = 0.0
        if self._greedy:
            ties = self._generator.random(self._right.shape) * 1e-9
            return ((1.0 + self._right) / (2.0 + self._right + self._wrong) + ties).argmax(axis=1)
        return self._generator.beta(1.0 + self._right, 1.0 + self._wrong).argmax(axis=1)

    def learn(self, t: int, arms: Arms, x: Floats) -> None:
        places = self._rows, arms
        if self._keep < 1.0:
            where = places if self._played_only else slice(None)
            self._right[where] *= self._keep
            self._wrong[where] *= self._keep
        self._right[places] += x
        self._wrong[places] += 1.0 - x

    def learn_all(self, t: int, x: Floats) -> None:
        self._right *= self._keep
        self._wrong *= self._keep
        self._right += x
        self._wrong += 1.0 - x


class ChangePoint:
    """Handicapper's filter, one an arm: Thompson sampling from its mixture, or its mean (``greedy``).

    ``shared``: when one of every arm tells of a change, those of all others restart."""

    def __init__(
        self, shape: tuple[int, int], generator: Generator, greedy: bool = False, shared: bool = False
    ) -> None:
        self._filters = [[ChangePointFilter() for _ in range(shape[1])] for _ in range(shape[0])]
        self._generator, self._greedy, self._shared = generator, greedy, shared

    def choose(self, t: int) -> Arms:
        at = t * ROUND_NS
        arms = len(self._filters[0])
        if self._greedy:
            ties = self._generator.random((len(self._filters), arms)) * 1e-9
            means = [[arm.mean(at) for arm in row] for row in self._filters]
            return (np.array(means) + ties).argmax(axis=1)
        picks = self._generator.random((len(self._filters), arms))
        counts = np.array(
            [
                [arm.mixture(at).component(u) for arm, u in zip(row, us, strict=True)]
                for row, us in zip(self._filters, picks.tolist(), strict=True)
            ]
        )
        return self._generator.beta(counts[..., 0], counts[..., 1]).argmax(axis=1)

    def learn(self, t: int, arms: Arms, x: Floats) -> None:
        for row, arm, outcome in zip(self._filters, arms.tolist(), x.tolist(), strict=True):
            row[arm].add(outcome, t * ROUND_NS)

    def learn_all(self, t: int, x: Floats) -> None:
        for row, outcomes in zip(self._filters, x.tolist(), strict=True):
            told = [arm.add(outcome, t * ROUND_NS) for arm, outcome in zip(row, outcomes, strict=True)]
            if self._shared:
                _share([change for change in told if change is not None], row)


def _share(told: list[Change], row: list[ChangePointFilter]) -> None:
    """The first of a round is shared, as what is settled no later is taken for the same change."""
    for change in told[:1]:
        for arm in row:
            arm.restart(change.at_ns)


class OneByOne:
    """A library's bandit, which knows one repetition: an object each."""

    def __init__(
        self, made: list[Any], pull: Callable[[Any], int], tell: Callable[[Any, int, float], object]
    ) -> None:
        self._made, self._pull, self._tell = made, pull, tell

    def choose(self, t: int) -> Arms:
        return np.array([self._pull(one) for one in self._made])

    def learn(self, t: int, arms: Arms, x: Floats) -> None:
        for one, arm, outcome in zip(self._made, arms.tolist(), x.tolist(), strict=True):
            self._tell(one, arm, outcome)

    def learn_all(self, t: int, x: Floats) -> None:
        for one, outcomes in zip(self._made, x.tolist(), strict=True):
            for arm, outcome in enumerate(outcomes):
                self._tell(one, arm, outcome)


def river_thompson(shape: tuple[int, int], seed: int) -> OneByOne:
    """River's ``bandit.ThompsonSampling`` with its Beta reward; raises ImportError without River."""
    from river import bandit, proba

    made = [
        bandit.ThompsonSampling(reward_obj=proba.Beta(), seed=seed * 1_000 + number)
        for number in range(shape[0])
    ]
    arms = list(range(shape[1]))
    return OneByOne(
        made, lambda one: one.pull(arms), lambda one, arm, outcome: one.update(arm, bool(outcome))
    )


def mabwiser_thompson(shape: tuple[int, int], seed: int) -> OneByOne:
    """MABWiser's ``LearningPolicy.ThompsonSampling``; raises ImportError without MABWiser.

    It has to be fitted before it is asked: with one hit and one miss of every arm, which are not outcomes."""
    from mabwiser.mab import MAB, LearningPolicy

    arms = list(range(shape[1]))
    made = []
    for number in range(shape[0]):
        one = MAB(arms, LearningPolicy.ThompsonSampling(), seed=seed * 1_000 + number)
        one.fit(decisions=arms * 2, rewards=[0] * len(arms) + [1] * len(arms))
        made.append(one)
    return OneByOne(
        made, lambda one: int(one.predict()), lambda one, arm, outcome: one.partial_fit([arm], [int(outcome)])
    )
