"""Models that say the same: who repeats whom, and when that ended.

Two models that are one count twice in every average, and a model that was quietly exchanged for another cannot be told
by its hit rate for years: two good models are right nearly as often as each other. But a model that said on every
market what another said, and then does not, has changed from one market to the next.

Per model the first other, by name, that gave the same forecast is followed while it goes on; after
:data:`REPEATS_MIN` markets in a row a change-point filter (see :mod:`..learning.changepoint`) watches whether it does,
and what it detects is the end. Only models with names before its own are looked at, so that one of two alike is told
of, and not both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ..learning.change import Change
from ..learning.changepoint import ChangePointFilter
from .events import Forecast

__all__ = ["ENDS_KEPT", "MODELS_MAX", "REPEATS_MIN", "Ended", "Repeats", "follow_repeats"]

REPEATS_MIN: Final = 50
"""Markets in a row with the same forecast from which on one model is said to repeat the other: chance gives a few."""

ENDS_KEPT: Final = 100

MODELS_MAX: Final = 64
"""Of a market that more models forecast nothing is followed: to watch hundreds that all say the same takes longer than
to learn from them."""


class Repeats(NamedTuple):
    """That a model says what another says."""

    peer: str
    run: int
    """Markets in a row, up to :data:`REPEATS_MIN`."""
    watch: bytes
    """The filter from then on, packed; empty before."""


class Ended(NamedTuple):
    """One model no longer repeats another; either may be the one that changed."""

    model_id: str
    peer: str
    change: Change
    """Of the share of markets on which they said the same."""


def follow_repeats(
    repeats: dict[str, Repeats], ended: tuple[Ended, ...], forecasts: Sequence[Forecast], at_ns: int
) -> tuple[Ended, ...]:
    """Take in the forecasts of a market: ``repeats`` in place, what ended behind what had ended before.

    >>> repeats = {}
    >>> for day in range(REPEATS_MIN):
    ...     ended = follow_repeats(repeats, (), [("a", "YES", 0.6), ("b", "YES", 0.6)], day * 86_400 * 10**9)
    >>> repeats["b"].peer, repeats["b"].run, ended
    ('a', 50, ())
    """
    said = _said(forecasts)
    if len(said) > MODELS_MAX:
        return ended
    first_to_say: dict[object, str] = {}
    for model_id in sorted(said):
        says = said[model_id]
        first = first_to_say.setdefault(says, model_id)
        known = repeats.get(model_id)
        if known is None:
            if first != model_id:
                repeats[model_id] = Repeats(first, 1, b"")
        elif known.peer in said:
            ended = _go_on(repeats, ended, model_id, known, said[known.peer] == says, at_ns)
    return ended


def _said(forecasts: Iterable[Forecast]) -> dict[str, frozenset[tuple[str, float]]]:
    """What each model says of each outcome it names."""
    said: dict[str, dict[str, float]] = {}
    for model_id, label, confidence in forecasts:
        said.setdefault(model_id, {})[label] = confidence
    return {model_id: frozenset(each.items()) for model_id, each in said.items()}


def _go_on(
    repeats: dict[str, Repeats],
    ended: tuple[Ended, ...],
    model_id: str,
    known: Repeats,
    same: bool,
    at_ns: int,
) -> tuple[Ended, ...]:
    if known.run < REPEATS_MIN:
        if same:
            repeats[model_id] = known._replace(run=known.run + 1)
        else:
            del repeats[model_id]
        return ended
    found = ChangePointFilter(data=known.watch)
    change = found.add(1.0 if same else 0.0, at_ns)
    if change is None or change.after > change.before:
        repeats[model_id] = known._replace(watch=found.tobytes())
        return ended
    del repeats[model_id]
    return (*ended, Ended(model_id, known.peer, change))[-ENDS_KEPT:]
