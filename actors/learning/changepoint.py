"""Bayesian online change-point filter of a hit rate: how long has it been what it is, and what is it.

Outcomes ``x`` in [0, 1] come from segments. Each hypothesis about the current one has Beta counts and a weight:

* a **run** that began at one of the outcomes so far, with every outcome since then counted in full;
* a **drift** with a half-life of ``half_lives_seconds``, in which old outcomes fade: a world that moves all the time;
* a **trend** with one of ``trend_half_lives_seconds``: a drift that knows where it is going, see :mod:`.trends`.

A segment ends at the rate ``1/L`` of event time, so with the chance ``1 − e^(−elapsed/L)`` between two outcomes: a
model that is not observed drifts back to the prior. ``L`` is not known: every hypothesis has a weight for each of
``mean_runs_seconds``, at first in proportion to ``L``, and outcomes shift them. What ends goes over to a new run, and
the parts ``drift_share`` and ``trend_share`` of it to drifts and trends. An outcome multiplies each weight by the
chance that it gave the outcome, ``p·x + (1 − p)(1 − x)`` with ``p`` its mean. Of more than ``runs_max`` runs the least
probable is dropped.

**Changes.** One is told of once the runs begun since the last hold ``alarm`` of the probability that is not with
trends, which follow what has changed sooner than a new run can be told from the old.

**Restarts.** That a segment ended may be known from elsewhere: see :meth:`ChangePointFilter.restart`.

**Late outcomes.** An outcome older than the newest counts for the runs that had begun by its time, and for drifts
and trends with its own age; runs begun later are judged as the others are on average, so that it speaks neither for
nor against them. Time does not run backwards.

Sums run in one fixed order, and have the same bits everywhere: see :mod:`.hypotheses`.

Source: Adams & MacKay (2007), *Bayesian online changepoint detection*, arXiv:0710.3742; the grid of rates: Wilson,
Nassar & Gold (2010), *Bayesian online learning of the hazard rate in change-point problems*, Neural Computation 22;
drifts beside runs as fixed share has it: Herbster & Warmuth (1998), *Tracking the best expert*, Machine Learning 32.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import exp, exp2
from typing import Final

from .change import HEADER_BYTES, Change, pack_header, packed_change, unpack_counts
from .changepoint_rules import ChangePointRules
from .hypotheses import (
    Numbers,
    Times,
    bayes_rule,
    chances,
    count_in,
    fade,
    judge_by_others,
    late_shares,
    marginals,
    numbers,
    packed,
    packed_rows,
    packed_times,
    pairwise_sum,
    segments_end,
    sum_from,
    times,
    unpacked,
    unpacked_times,
)
from .mixture import Mixture
from .trends import SUMS, age_trends, count_in_trends, read_trends

__all__ = ["ChangePointFilter", "ChangePointRules"]

_BYTES: Final = 8


class ChangePointFilter:
    """The posterior over hypotheses after some outcomes. Mutable; :meth:`tobytes` is all of it.

    >>> filter_ = ChangePointFilter()
    >>> hour = 3_600 * 10**9
    >>> for i in range(200):
    ...     _ = filter_.add(float(i % 10 != 0), i * hour)
    >>> changes = [filter_.add(float(i % 10 == 0), i * hour) for i in range(200, 230)]
    >>> [(change.at_ns // hour, round(change.probability, 2)) for change in changes if change]
    [(201, 1.0)]
    >>> round(filter_.mean(230 * hour), 1)
    0.1
    >>> ChangePointFilter(filter_.rules, filter_.tobytes()).tobytes() == filter_.tobytes()
    True
    """

    __slots__ = (
        "_alphas", "_as_of_ns", "_betas", "_first_run", "_starts", "_sums", "_watched_ns", "_weights", "last", "rules",
    )  # fmt: skip

    def __init__(self, rules: ChangePointRules | None = None, data: bytes = b"") -> None:
        self.rules = rules = ChangePointRules() if rules is None else rules
        trends = len(rules.trend_half_lives_seconds)
        self._first_run = len(rules.half_lives_seconds) + trends
        self._sums = numbers((0.0,) * (SUMS * trends))
        """What the counts of trends are made of: see :mod:`.trends`."""
        if data:
            self._unpack(data)
            return
        self._weights: list[Numbers] = []
        """A column for each rate."""
        self._alphas: Numbers = numbers(())
        self._betas: Numbers = numbers(())
        self._starts: Times = times(())
        self._as_of_ns = 0
        self._watched_ns = 0
        self.last: Change | None = None
        """The newest change told of."""

    @property
    def as_of_ns(self) -> int:
        """Event time of the newest outcome."""
        return self._as_of_ns

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, x: float, at_ns: int) -> Change | None:
        """Learn from an outcome; returns a change that it settled."""
        if not self._starts:
            self._begin(at_ns)
        if at_ns < self._as_of_ns:
            self._add_late(x, at_ns)
            return None
        if at_ns > self._as_of_ns:
            self._pass_time(at_ns)
        alphas, betas = self._alphas, self._betas
        marginal = bayes_rule(self._weights, chances(alphas, betas, x))
        count_in(alphas, x)
        count_in(betas, 1.0 - x)
        trends = len(self.rules.trend_half_lives_seconds)
        self._count_in_trends(x, [0.0] * trends, [1.0] * trends)
        first = self._first_later()
        change = self._look_for_change(marginal, first)
        if len(alphas) > self._first_run + self.rules.runs_max:
            # Whether or not one was told of: what is later than that is another's.
            self._drop_least(marginal, first if change is None else self._first_later())
        return change

    def restart(self, at_ns: int) -> bool:
        """Take it that the segment ended at ``at_ns``, as another's outcomes say: whatever began before has no weight
        any more, and the run begun then (the first since, or a fresh one) takes what that had, at each rate; runs begun
        later keep theirs. It is not told as a change of one's own.

        Returns False, and changes nothing, if nothing was learned yet, or one was told of or restarted at or after that
        time: it is the same change.

        >>> filter_ = ChangePointFilter()
        >>> hour = 3_600 * 10**9
        >>> for i in range(100):
        ...     _ = filter_.add(float(i % 10 != 0), i * hour)
        >>> round(filter_.mean(100 * hour), 2), filter_.restart(100 * hour), round(filter_.mean(100 * hour), 2)
        (0.89, True, 0.5)
        >>> filter_.restart(90 * hour), filter_.last
        (False, None)
        """
        if not self._starts or at_ns <= self._watched_ns:
            return False
        if at_ns > self._as_of_ns:
            self._pass_time(at_ns)
        first = bisect_left(self._starts, at_ns, self._first_run)
        if first == len(self._starts):
            for column in self._weights:
                column.append(0.0)
            self._alphas.append(self.rules.prior_alpha)
            self._betas.append(self.rules.prior_beta)
            self._starts.append(at_ns)
        for column in self._weights:
            for place in range(first):
                column[first] += column[place]
                column[place] = 0.0
        for kept in (*self._weights, self._alphas, self._betas, self._starts):
            del kept[self._first_run : first]
        self._watched_ns = self._as_of_ns
        return True

    def _begin(self, at_ns: int) -> None:
        rules = self.rules
        shares = [*rules.lasting_shares(), rules.run_share()]
        total = sum_from(numbers(rules.mean_runs_seconds), 0)
        for mean in rules.mean_runs_seconds:
            belief = mean / total
            self._weights.append(numbers([belief * share for share in shares]))
        count = len(shares)
        self._alphas = numbers([rules.prior_alpha] * count)
        self._betas = numbers([rules.prior_beta] * count)
        self._starts = times([at_ns] * count)
        self._as_of_ns = self._watched_ns = at_ns

    def _pass_time(self, at_ns: int) -> None:
        """Segments may have ended since the newest outcome; a new run may begin with the next one."""
        rules = self.rules
        seconds = (at_ns - self._as_of_ns) / 1e9
        ended = segments_end(self._weights, self._lasts(seconds), rules.lasting_shares())
        run_share = rules.run_share()
        for column, lost in zip(self._weights, ended, strict=True):
            column.append(lost * run_share)
        self._fade(self._alphas, self._betas, self._sums, seconds)
        self._alphas.append(rules.prior_alpha)
        self._betas.append(rules.prior_beta)
        self._starts.append(at_ns)
        self._as_of_ns = at_ns

    def _lasts(self, seconds: float) -> list[float]:
        """The chance, by each rate, that a segment lasts that long."""
        return [exp(-seconds / mean) for mean in self.rules.mean_runs_seconds]

    def _fade(self, alphas: Numbers, betas: Numbers, sums: Numbers, seconds: float) -> None:
        rules = self.rules
        kept = _kept(seconds, rules.half_lives_seconds)
        fade(alphas, kept, rules.prior_alpha)
        fade(betas, kept, rules.prior_beta)
        half_lives = rules.trend_half_lives_seconds
        age_trends(sums, _in_half_lives(seconds, half_lives), _kept(seconds, half_lives))
        read_trends(sums, alphas, betas, len(kept), rules.prior_alpha, rules.prior_beta)

    def _count_in_trends(self, x: float, ages: list[float], kept: list[float]) -> None:
        rules, sums = self.rules, self._sums
        count_in_trends(sums, x, ages, kept)
        first = len(rules.half_lives_seconds)
        read_trends(sums, self._alphas, self._betas, first, rules.prior_alpha, rules.prior_beta)

    def _add_late(self, x: float, at_ns: int) -> None:
        rules, seconds = self.rules, (self._as_of_ns - at_ns) / 1e9
        half_lives = rules.trend_half_lives_seconds
        of_trends = _kept(seconds, half_lives)
        shares = late_shares(self._starts, _kept(seconds, rules.half_lives_seconds) + of_trends, at_ns)
        if not any(shares):
            return
        chance = chances(self._alphas, self._betas, x)
        weights = self._weights
        if judge_by_others(chance, shares, marginals(weights, [1.0] * len(weights), len(shares))):
            bayes_rule(weights, chance)
        count_in(self._alphas, x, shares)
        count_in(self._betas, 1.0 - x, shares)
        self._count_in_trends(x, _in_half_lives(seconds, half_lives), of_trends)

    def _look_for_change(self, marginal: Numbers, first: int) -> Change | None:
        """Told once the runs begun since the last one was told of, the ``first`` and on, hold ``alarm`` of what trends
        do not."""
        if first >= len(marginal):
            return None
        later, runs = sum_from(marginal, first), self._first_run
        held = later + pairwise_sum(marginal, runs, first - runs)
        held += pairwise_sum(marginal, 0, len(self.rules.half_lives_seconds))
        if later < self.rules.alarm * held or not later > 0.0:
            return None
        self._watched_ns = self._as_of_ns
        place, below = first, 0.0
        for mass in marginal[first:]:
            below += mass
            if below >= later / 2.0:
                break
            place += 1
        place = min(place, len(marginal) - 1)
        alpha, beta = self._alphas[place], self._betas[place]
        self.last = Change(
            self._starts[place],
            self._as_of_ns,
            self._mean_before(marginal, first, place),
            alpha / (alpha + beta),
            later / held,
        )
        return self.last

    def _mean_before(self, marginal: Numbers, first: int, place: int) -> float:
        """Mean of what the longest run that ended has counted more than the one that began."""
        rules = self.rules
        alpha = beta = 0.0
        if first > self._first_run:
            old = _most(marginal, self._first_run, first)
            alpha = max(self._alphas[old] - self._alphas[place], 0.0)
            beta = max(self._betas[old] - self._betas[place], 0.0)
        alpha, beta = alpha + rules.prior_alpha, beta + rules.prior_beta
        return alpha / (alpha + beta)

    def _drop_least(self, marginal: Numbers, first: int) -> None:
        """Drop the least probable run, but not the most probable of those that a change would be told against, which
        are those before the ``first``."""
        if first > self._first_run:
            marginal[_most(marginal, self._first_run, first)] = 2.0
        least = marginal.index(min(marginal[self._first_run :]), self._first_run)
        for kept in (*self._weights, self._alphas, self._betas, self._starts):
            del kept[least]

    def _first_later(self) -> int:
        """Place of the first run begun since a change was told of."""
        return bisect_right(self._starts, self._watched_ns, self._first_run)

    def mixture(self, as_of_ns: int) -> Mixture:
        """What the next outcome may come from, as of a time, which changes nothing. A time before the newest outcome
        reads as that."""
        rules = self.rules
        alphas, betas = self._alphas[:], self._betas[:]
        alphas.append(rules.prior_alpha)
        betas.append(rules.prior_beta)
        if not self._starts:
            return Mixture(numbers((1.0,)), alphas, betas)
        seconds = max(as_of_ns - self._as_of_ns, 0) / 1e9
        self._fade(alphas, betas, self._sums[:], seconds)
        return Mixture(marginals(self._weights, self._lasts(seconds), len(self)), alphas, betas)

    def mean(self, as_of_ns: int) -> float:
        """Mean of the mixture: the chance that the next outcome is right."""
        return self.mixture(as_of_ns).mean()

    def change_probability(self, since_ns: int, as_of_ns: int) -> float:
        """Probability that the current segment is a run that began after ``since_ns``."""
        if not self._starts:
            return 0.0
        first = bisect_right(self._starts, since_ns, self._first_run)
        return min(sum_from(self.mixture(as_of_ns).weights, first), 1.0)

    def tobytes(self) -> bytes:
        """All of it; ``ChangePointFilter(rules, data)`` is the inverse, with the same rules."""
        parts = (
            packed_rows(self._weights),
            packed(self._alphas),
            packed(self._betas),
            packed_times(self._starts),
            packed(self._sums),
        )
        return pack_header(len(self), self._as_of_ns, self._watched_ns, self.last) + b"".join(parts)

    def _unpack(self, data: bytes) -> None:
        """After the head come the weights, a row for each hypothesis, then counts, starts, and the sums of trends."""
        count, self._as_of_ns, self._watched_ns = unpack_counts(data)
        rates = len(self.rules.mean_runs_seconds)
        end = HEADER_BYTES + count * (rates + 2) * _BYTES
        values, counts = unpacked(data[HEADER_BYTES:end]), count * rates
        self._weights = [values[rate:counts:rates] for rate in range(rates)]
        self._alphas, self._betas = values[counts : counts + count], values[counts + count :]
        sums = end + count * _BYTES
        self._starts = unpacked_times(data[end:sums])
        self.last = packed_change(data)
        if len(data) > sums:
            self._sums = unpacked(data[sums:])
        else:
            self._trends_begin()

    def _trends_begin(self) -> None:
        """What was packed before there were trends holds none: they weigh nothing until a segment ends."""
        rules, first = self.rules, len(self.rules.half_lives_seconds)
        for _ in rules.trend_half_lives_seconds:
            for column in self._weights:
                column.insert(first, 0.0)
            self._alphas.insert(first, rules.prior_alpha)
            self._betas.insert(first, rules.prior_beta)
            self._starts.insert(first, self._as_of_ns)


def _in_half_lives(seconds: float, half_lives_seconds: tuple[float, ...]) -> list[float]:
    return [seconds / half_life for half_life in half_lives_seconds]


def _kept(seconds: float, half_lives_seconds: tuple[float, ...]) -> list[float]:
    """What is left of an outcome after that time, by each half-life."""
    return [exp2(-seconds / half_life) for half_life in half_lives_seconds]


def _most(values: Numbers, first: int, end: int) -> int:
    """The first place of the greatest of some values."""
    return values.index(max(values[first:end]), first)
