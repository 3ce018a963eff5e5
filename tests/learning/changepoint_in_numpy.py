"""The change-point filter and its mixture in NumPy's words: rows of one hypothesis each, and whole arrays at a time.
Trends have a row for each of their sums, and a column each.

What it says is what :mod:`handicapper.actors.learning.changepoint` says in loops, and the bits must be the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from math import exp, exp2
from operator import add
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from handicapper.actors.learning.change import (
    HEADER_BYTES,
    Change,
    pack_header,
    packed_change,
    unpack_counts,
)
from handicapper.actors.learning.changepoint import ChangePointRules
from handicapper.actors.learning.mixture import sharpened

Floats: TypeAlias = NDArray[np.float64]


def _sum(values: Iterable[float]) -> float:
    """One after another, which the built-in does not promise."""
    return float(reduce(add, values, 0.0))


class NumPyMixture(NamedTuple):
    """Betas with weights that sum to 1: drifts from the longest memory to the shortest, runs from the oldest to the
    newest, last the segment that may have begun since the newest outcome."""

    weights: Floats
    alphas: Floats
    betas: Floats

    def mean(self) -> float:
        """Mean of the hit rate."""
        return float(np.add.reduce(self.weights * (self.alphas / (self.alphas + self.betas))))

    def matched_beta(self) -> tuple[float, float]:
        """(alpha, beta) of the Beta distribution that has the mean and the variance of the mixture."""
        sizes = self.alphas + self.betas
        means = self.alphas / sizes
        mean = float(np.add.reduce(self.weights * means))
        # E[p²] of a Beta is mean · (alpha + 1) / (alpha + beta + 1).
        square = float(np.add.reduce(self.weights * means * (self.alphas + 1.0) / (sizes + 1.0)))
        variance = square - mean * mean
        size = mean * (1.0 - mean) / variance - 1.0
        return mean * size, (1.0 - mean) * size

    def component(self, u: float) -> tuple[float, float]:
        """(alpha, beta) of the Beta that the uniform ``u`` picks for a draw: see :func:`sharpened`."""
        place = min(int(self.weights.cumsum().searchsorted(sharpened(u))), len(self.weights) - 1)
        return float(self.alphas[place]), float(self.betas[place])


class NumPyFilter:
    __slots__ = (
        "_alpha", "_as_of_ns", "_beta", "_counts", "_first_run", "_n", "_prior", "_start", "_sums", "_watched_ns",
        "_weight", "last", "rules",
    )  # fmt: skip

    def __init__(self, rules: ChangePointRules | None = None, data: bytes = b"") -> None:
        self.rules = rules = ChangePointRules() if rules is None else rules
        drifts, rates = len(rules.half_lives_seconds), len(rules.mean_runs_seconds)
        trends = len(rules.trend_half_lives_seconds)
        self._first_run = drifts + trends
        self._sums = np.zeros((5, trends))
        size = self._first_run + rules.runs_max + 1
        self._weight = np.zeros((size, rates))
        self._prior = np.array(((rules.prior_alpha,), (rules.prior_beta,)))
        self._counts = np.empty((2, size))
        self._counts[:] = self._prior
        self._alpha, self._beta = self._counts
        self._start = np.zeros(size, dtype=np.int64)
        self._n = 0
        self._as_of_ns = 0
        self._watched_ns = 0
        self.last: Change | None = None
        """The newest change told of."""
        if data:
            self._unpack(data)

    @property
    def as_of_ns(self) -> int:
        """Event time of the newest outcome."""
        return self._as_of_ns

    def __len__(self) -> int:
        return self._n

    def add(self, x: float, at_ns: int) -> Change | None:
        """Learn from an outcome; returns a change that it settled."""
        if self._n == 0:
            self._begin(at_ns)
        if at_ns < self._as_of_ns:
            self._add_late(x, at_ns)
            return None
        if at_ns > self._as_of_ns:
            self._pass_time(at_ns)
        n = self._n
        weight, alpha, beta = self._weight[:n], self._alpha[:n], self._beta[:n]
        if x == 1.0:
            chance = alpha / (alpha + beta)
            weight *= chance[:, None]
            alpha += 1.0
        elif x == 0.0:
            chance = beta / (alpha + beta)
            weight *= chance[:, None]
            beta += 1.0
        else:
            chance = (alpha * x + beta * (1.0 - x)) / (alpha + beta)
            weight *= chance[:, None]
            alpha += x
            beta += 1.0 - x
        self._count_in_trends(x, 0.0)
        weight /= _sum(np.add.reduce(weight, 0))
        marginal = np.add.reduce(weight, 1)
        change = self._look_for_change(marginal)
        if n > self._first_run + self.rules.runs_max:
            self._drop_least(marginal)
        return change

    def _shares(self) -> Floats:
        """Of a segment that begins: each drift's, each trend's, a run's."""
        rules = self.rules
        drifts, trends = len(rules.half_lives_seconds), len(rules.trend_half_lives_seconds)
        of_drifts, of_trends = rules.drift_share if drifts else 0.0, rules.trend_share if trends else 0.0
        shares = np.empty(drifts + trends + 1)
        shares[:drifts] = of_drifts / max(drifts, 1)
        half_lives = np.array(rules.trend_half_lives_seconds)
        shares[drifts:-1] = of_trends * (half_lives / _sum(half_lives))
        shares[-1] = 1.0 - of_drifts - of_trends
        return shares

    def _begin(self, at_ns: int) -> None:
        means = np.array(self.rules.mean_runs_seconds)
        self._n = n = self._first_run + 1
        self._weight[:n] = self._shares()[:, None] * (means / means.sum())
        self._start[:n] = at_ns
        self._as_of_ns = self._watched_ns = at_ns

    def _pass_time(self, at_ns: int) -> None:
        """Segments may have ended since the newest outcome; a new run may begin with the next one."""
        rules, n, lasting = self.rules, self._n, self._first_run
        seconds = (at_ns - self._as_of_ns) / 1e9
        weight = self._weight
        held = np.add.reduce(weight[:n], 0)
        lasts = np.array([exp(-seconds / mean) for mean in rules.mean_runs_seconds])
        weight[:n] *= lasts
        ended = held * (1.0 - lasts)
        shares = self._shares()
        self._sums = self._fade(self._counts, seconds)
        weight[:lasting] += ended * shares[:-1, None]
        weight[n] = ended * shares[-1]
        self._alpha[n], self._beta[n], self._start[n] = rules.prior_alpha, rules.prior_beta, at_ns
        self._n = n + 1
        self._as_of_ns = at_ns

    def _fade(self, counts: Floats, seconds: float) -> Floats:
        """Fades the counts of drifts and puts in those of trends, of which the faded sums are returned."""
        some = counts[:, : len(self.rules.half_lives_seconds)]
        some -= self._prior
        some *= np.array([exp2(-seconds / half_life) for half_life in self.rules.half_lives_seconds])
        some += self._prior
        age, kept = self._aged(seconds)
        n0, n1, n2, s0, s1 = self._sums
        sums = kept * np.array([n0, n1 + age * n0, n2 + age * (2.0 * n1 + age * n0), s0, s1 + age * s0])
        self._read_trends(counts, sums)
        return sums

    def _aged(self, seconds: float) -> tuple[Floats, Floats]:
        """(age in half-lives, what is kept of it) by trend."""
        ages = [seconds / half_life for half_life in self.rules.trend_half_lives_seconds]
        return np.array(ages), np.array([exp2(-age) for age in ages])

    def _count_in_trends(self, x: float, seconds: float) -> None:
        age, kept = self._aged(seconds)
        aged = age * kept
        self._sums += np.array([kept, aged, age * aged, kept * x, aged * x])
        self._read_trends(self._counts, self._sums)

    def _read_trends(self, counts: Floats, sums: Floats) -> None:
        n0, n1, n2, s0, s1 = sums
        alpha, beta = self._prior[:, 0]
        lean = n1 / (1.02 * n2 + 1e-3)
        size = np.maximum(n0 + (alpha + beta) - lean * n1, alpha + beta)
        room = size + (alpha + beta)
        p = ((s0 + alpha - lean * s1) / size).clip(alpha / room, 1.0 - beta / room)
        counts[:, len(self.rules.half_lives_seconds) : self._first_run] = p * size, (1.0 - p) * size

    def _add_late(self, x: float, at_ns: int) -> None:
        rules, n = self.rules, self._n
        weight, alpha, beta = self._weight[:n], self._alpha[:n], self._beta[:n]
        counts = (self._start[:n] <= at_ns).astype(np.float64)
        seconds = (self._as_of_ns - at_ns) / 1e9
        lasting = rules.half_lives_seconds + rules.trend_half_lives_seconds
        counts[: self._first_run] = [exp2(-seconds / half_life) for half_life in lasting]
        knows = counts > 0.0
        if not knows.any():
            return
        chance = (alpha * x + beta * (1.0 - x)) / (alpha + beta)
        marginal = np.add.reduce(weight, 1)
        held = _sum(marginal[knows])
        if held > 0.0:
            average = _sum(chance[knows] * marginal[knows]) / held
            chance[~knows] = average
            weight *= chance[:, None]
            weight /= _sum(np.add.reduce(weight, 0))
        alpha += counts * x
        beta += counts * (1.0 - x)
        self._count_in_trends(x, seconds)

    def _look_for_change(self, marginal: Floats) -> Change | None:
        """Told once the runs begun since the last one was told of hold ``alarm`` of what trends do not."""
        n, first = self._n, self._first_later()
        if first >= n:
            return None
        later = marginal[first:].tolist()
        newer = _sum(later)
        held = newer + float(np.add.reduce(marginal[self._first_run : first]))
        held += float(np.add.reduce(marginal[: len(self.rules.half_lives_seconds)]))
        if newer < self.rules.alarm * held or newer == 0.0:
            return None
        self._watched_ns = self._as_of_ns
        place, below = first, 0.0
        for mass in later:
            below += mass
            if below >= newer / 2.0:
                break
            place += 1
        place = min(place, n - 1)
        alpha, beta = float(self._alpha[place]), float(self._beta[place])
        self.last = Change(
            int(self._start[place]),
            self._as_of_ns,
            self._mean_before(first, place),
            alpha / (alpha + beta),
            newer / held,
        )
        return self.last

    def _mean_before(self, first: int, place: int) -> float:
        """Mean of what the longest run that ended has counted more than the one that began."""
        rules, runs = self.rules, self._first_run
        alpha = beta = 0.0
        if first > runs:
            old = runs + int(self._weight[runs:first].sum(axis=1).argmax())
            alpha = max(float(self._alpha[old] - self._alpha[place]), 0.0)
            beta = max(float(self._beta[old] - self._beta[place]), 0.0)
        alpha, beta = alpha + rules.prior_alpha, beta + rules.prior_beta
        return alpha / (alpha + beta)

    def _drop_least(self, marginal: Floats) -> None:
        """Drop the least probable run, but not the most probable of those that a change would be told against."""
        runs, n = self._first_run, self._n
        first = self._first_later()
        if first > runs:
            marginal[runs + int(marginal[runs:first].argmax())] = 2.0
        least = runs + int(marginal[runs:n].argmin())
        for kept in (self._weight, self._alpha, self._beta, self._start):
            kept[least : n - 1] = kept[least + 1 : n]
        self._n = n - 1

    def _first_later(self) -> int:
        """Place of the first run begun since a change was told of."""
        runs = self._first_run
        return runs + int(self._start[runs : self._n].searchsorted(self._watched_ns, side="right"))

    def mixture(self, as_of_ns: int) -> NumPyMixture:
        """What the next outcome may come from, as of a time, which changes nothing. A time before the newest outcome
        reads as that."""
        rules, n = self.rules, self._n
        if n == 0:
            return NumPyMixture(np.ones(1), *self._prior)
        seconds = max(as_of_ns - self._as_of_ns, 0) / 1e9
        counts = self._counts[:, : n + 1].copy()
        counts[:, n:] = self._prior
        weight = np.empty(n + 1)
        lasts = np.array([exp(-seconds / mean) for mean in rules.mean_runs_seconds])
        np.add.reduce(self._weight[:n] * lasts, 1, out=weight[:n])
        weight[n] = max(1.0 - float(np.add.reduce(weight[:n])), 0.0)
        self._fade(counts, seconds)
        return NumPyMixture(weight, *counts)

    def mean(self, as_of_ns: int) -> float:
        """Mean of the mixture: the chance that the next outcome is right."""
        return self.mixture(as_of_ns).mean()

    def change_probability(self, since_ns: int, as_of_ns: int) -> float:
        """Probability that the current segment is a run that began after ``since_ns``."""
        weight = self.mixture(as_of_ns).weights
        runs, n = self._first_run, self._n
        if n == 0:
            return 0.0
        first = runs + int(self._start[runs:n].searchsorted(since_ns, side="right"))
        return min(_sum(weight[first:]), 1.0)

    def tobytes(self) -> bytes:
        """All of it; ``ChangePointFilter(rules, data)`` is the inverse, with the same rules."""
        n = self._n
        header = pack_header(n, self._as_of_ns, self._watched_ns, self.last)
        parts = self._weight, self._alpha, self._beta, self._start
        return header + b"".join(part[:n].tobytes() for part in parts) + self._sums.T.tobytes()

    def _unpack(self, data: bytes) -> None:
        n, self._as_of_ns, self._watched_ns = unpack_counts(data)
        rates = self._weight.shape[1]
        numbers = np.frombuffer(data, dtype=np.float64, offset=HEADER_BYTES, count=n * (rates + 2))
        self._weight[:n] = numbers[: n * rates].reshape(n, rates)
        self._alpha[:n] = numbers[n * rates : n * (rates + 1)]
        self._beta[:n] = numbers[n * (rates + 1) :]
        starts = HEADER_BYTES + numbers.nbytes
        self._start[:n] = np.frombuffer(data, dtype=np.int64, offset=starts, count=n)
        sums = np.frombuffer(data, dtype=np.float64, offset=starts + n * 8)
        self._sums = sums.reshape(-1, 5).T.copy()
        self._n = n
        self.last = packed_change(data)
