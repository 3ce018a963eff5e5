"""From the forecasts of one event to one distribution over its labels per model.

A forecast is a label and the probability of that label. What it says of the other labels is not known:
the remaining mass is spread evenly over them. With two labels that is exact; with more it is the
distribution of largest entropy that agrees with what was said (Jaynes 1957, *Information theory and
statistical mechanics*, Physical Review 106). Several forecasts of one model are read together: a label
has the last probability given for it, and what they leave is spread over the labels it did not name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import log
from typing import NamedTuple

__all__ = ["REMAINDER", "Forecast", "Table", "floored_logs", "tabulate", "target"]

REMAINDER = ""
"""Stands for "none of these" where only one label is known: an event has at least two outcomes."""


class Forecast(NamedTuple):
    """One model's probability for one label of an event."""

    model_id: str
    label: str
    confidence: float
    """In [0, 1]; 0 and 1 are allowed."""


class Table(NamedTuple):
    """The forecasts of one event, sorted, so that their order of arrival does not matter."""

    labels: list[str]
    model_ids: list[str]
    rows: Sequence[Sequence[float]]
    """Per model, the probability of each label; sums to 1."""


def tabulate(forecasts: Iterable[tuple[str, str, float]], labels: Collection[str] = ()) -> Table:
    """The distributions of the models that forecast, over the labels known.

    Known are ``labels`` (the outcomes of the market, where somebody knows them; the labels it paid) and
    those of the forecasts. Where that is one label, :data:`REMAINDER` is the second.

    >>> tabulate([("b", "HOME", 0.5), ("a", "AWAY", 1.0)], ["HOME", "DRAW", "AWAY"])
    Table(labels=['AWAY', 'DRAW', 'HOME'], model_ids=['a', 'b'], rows=[[1.0, 0.0, 0.0], [0.25, 0.25, 0.5]])
    >>> tabulate([("a", "YES", 0.75)])
    Table(labels=['', 'YES'], model_ids=['a'], rows=[[0.25, 0.75]])
    """
    said: dict[str, dict[str, float]] = {}
    known = set(labels)
    for model_id, label, confidence in forecasts:
        known.add(label)
        said.setdefault(model_id, {})[label] = confidence
    if len(known) < 2:
        known.add(REMAINDER)
    ordered = sorted(known)
    model_ids = sorted(said)
    return Table(ordered, model_ids, [distribution(said[model_id], ordered) for model_id in model_ids])


def distribution(said: Mapping[str, float], labels: list[str]) -> list[float]:
    if len(said) == 1:
        ((only, confidence),) = said.items()
        rest = (1.0 - confidence) / (len(labels) - 1)
        return [confidence if label == only else rest for label in labels]
    total = sum(said.values())
    left = len(labels) - len(said)
    if left and total <= 1.0:
        rest = (1.0 - total) / left
        return [said.get(label, rest) for label in labels]
    if total <= 0.0:
        return [1.0 / len(labels)] * len(labels)
    return [said.get(label, 0.0) / total for label in labels]


def target(payouts: Mapping[str, float], labels: list[str]) -> list[float] | None:
    """How the event ended, as a distribution over ``labels``, which must hold every label that paid.

    Payouts are shares of 1. What they leave of it belongs evenly to the labels that were not listed; where
    all were listed they are scaled to 1. None where every label is listed and none paid: no outcome.

    >>> target({"YES": 1.0}, ["NO", "YES"]), target({"A": 0.5, "B": 0.5}, ["A", "B", "C"])
    ([0.0, 1.0], [0.5, 0.5, 0.0])
    >>> target({"YES": 0.25}, ["", "YES"]), target({"YES": 0.0, "NO": 0.0}, ["NO", "YES"])
    ([0.75, 0.25], None)
    """
    if len(payouts) == len(labels) and not any(payouts.values()):
        return None
    return distribution(payouts, labels)


def floored_logs(row: Sequence[float], floor: float) -> list[float]:
    """Logarithms of a distribution in which no label has less than ``floor`` (before it sums to 1 again).

    A forecast of 0 or 1 that was wrong would otherwise cost infinitely much, once and for ever.

    >>> floored_logs([0.5, 0.5], 0.01), floored_logs([1.0, 0.0], 0.01)
    ([-0.693147, -0.693147], [-0.00995, -4.6151])
    """
    if min(row) >= floor:
        return list(map(log, row))
    raised = [p if p > floor else floor for p in row]
    total = sum(raised)
    return [log(p / total) for p in raised]
