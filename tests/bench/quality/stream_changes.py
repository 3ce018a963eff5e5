"""Changes of hit rates on the real streams, as each model's filter tells of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from handicapper.actors.learning.changepoint import ChangePointFilter

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
                day = datetime.fromtimestamp(change.at_ns // SECOND_NS, tz=UTC).date().isoformat()
                told.setdefault(model, []).append(
                    {
                        "day": day,
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
