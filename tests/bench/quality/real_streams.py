"""The real forecast streams of ``../shared/data``: read, and put in the order in which things became known."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"

FILES = {
    "precipitation": "precip_pop_2012_2017.csv.gz",
    "mlb": "mlb_2010_2019.csv.gz",
    "football": "football_eng_2005_2021.csv.gz",
    "nfl": "nfl_2012_2021.csv.gz",
}
LABELS = {
    "precipitation": ("NO", "YES"),
    "mlb": ("AWAY", "HOME"),
    "football": ("AWAY", "DRAW", "HOME"),
    "nfl": ("AWAY", "HOME"),
}
"""The outcomes of each set's markets, which every bookmaker knows before the match."""

SECOND_NS = 10**9


class Event(NamedTuple):
    """One market: what was forecast, and how it ended."""

    predicted_at: int
    resolved_at: int
    """Both ns."""
    forecasts: list[tuple[str, str, float]]
    """(model, label, probability of the label), by model."""
    prices: dict[str, float]
    """Of the labels somebody forecast and the market quoted."""
    actual: str


class Stream(NamedTuple):
    """One set, events by the time of their forecasts."""

    name: str
    labels: tuple[str, ...]
    events: list[Event]

    def in_order(self) -> Iterator[tuple[bool, int]]:
        """(resolves, index of the event): resolutions first where the times are equal."""
        events = self.events
        resolving = sorted(range(len(events)), key=lambda i: (events[i].resolved_at, i))
        done = 0
        for i, event in enumerate(events):
            while done < len(resolving) and events[resolving[done]].resolved_at <= event.predicted_at:
                yield True, resolving[done]
                done += 1
            yield False, i
        for i in resolving[done:]:
            yield True, i

    def models(self) -> list[str]:
        """Every model, by name."""
        return sorted({model for event in self.events for model, _, _ in event.forecasts})


def load(name: str, events_max: int | None = None) -> Stream:
    """The stream of this name, or its first ``events_max`` events."""
    rows: dict[str, list[dict[str, str]]] = {}
    with gzip.open(DATA / FILES[name], "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["event_id"] not in rows and len(rows) == events_max:
                break
            rows.setdefault(row["event_id"], []).append(row)
    events = [_event(of_event) for of_event in rows.values()]
    events.sort(key=lambda event: event.predicted_at)
    return Stream(name, LABELS[name], events)


def _event(rows: list[dict[str, str]]) -> Event:
    first = rows[0]
    return Event(
        predicted_at=_ns(first["predicted_at"]),
        resolved_at=_ns(first["resolved_at"]),
        forecasts=[(row["model_id"], row["outcome_label"], float(row["confidence"])) for row in rows],
        prices={row["outcome_label"]: float(row["price"]) for row in rows if row["price"]},
        actual=first["actual"],
    )


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * SECOND_NS


def season(at_ns: int) -> int:
    """July to June, named by its first year."""
    at = datetime.fromtimestamp(at_ns // SECOND_NS, tz=UTC)
    return at.year if at.month >= 7 else at.year - 1
