"""Changes of hit rates on the real streams, as each model's filter tells of them, and models that no longer say the
same, as the pool does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from handicapper.actors.learning.changepoint import ChangePointFilter
from handicapper.actors.state.repeating import Ended, Repeats, follow_repeats

from .real_streams import SECOND_NS, Stream

KEPT_MAX = 3
"""Changes of a model that are written down; more are only counted."""


def changes_of(stream: Stream) -> list[dict[str, Any]]:
    """A row a model: how many outcomes it had, how many changes were told of it, and the first of them."""
    filters: dict[str, ChangePointFilter] = {}
    outcomes: dict[str, int] = {}
    told: dict[str, list[dict[str, Any]]] = {}
    for resolves, i in stream.in_order():
        if not resolves:
            continue
        event = stream.events[i]
        for model, label, _ in event.forecasts:
            outcomes[model] = outcomes.get(model, 0) + 1
            hit = float(label == event.actual)
            change = filters.setdefault(model, ChangePointFilter()).add(hit, event.resolved_at)
            if change is not None:
                told.setdefault(model, []).append(
                    {
                        "day": _day(change.at_ns),
                        "before": change.before,
                        "after": change.after,
                        "probability": change.probability,
                    }
                )
    return [
        {
            "stream": stream.name,
            "model": model,
            "outcomes": outcomes[model],
            "count": len(told.get(model, [])),
            "changes": told.get(model, [])[:KEPT_MAX],
        }
        for model in sorted(outcomes)
    ]


def ends_of(stream: Stream) -> list[dict[str, Any]]:
    """A row whenever a model that had said what another says was told to do so no longer."""
    repeats: dict[str, Repeats] = {}
    ended: tuple[Ended, ...] = ()
    for resolves, i in stream.in_order():
        if resolves:
            event = stream.events[i]
            ended = follow_repeats(repeats, ended, event.forecasts, event.resolved_at)
    return [
        {
            "stream": stream.name,
            "model": end.model_id,
            "peer": end.peer,
            "day": _day(end.change.at_ns),
            "told": _day(end.change.detected_ns),
            "probability": end.change.probability,
        }
        for end in ended
    ]


def _day(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // SECOND_NS, tz=UTC).date().isoformat()
