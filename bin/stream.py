"""Rows to batches of events, in event-time order, as a learner would have met them live.

A resolution is held back until its ``resolved_at``: every prediction made before that instant goes first,
and the resolution goes before predictions made at the very instant. What is still pending when the rows
end is resolved at the end. Nothing here does I/O, and memory grows only with what is pending.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import NamedTuple, NoReturn

from ..protocol.messages import MarketResolved, Prediction
from .errors import InputDataError
from .rows import Row
from .times import format_time_ns

__all__ = ["EventStream", "Place", "PredictionBatch", "ResolutionBatch", "merge_rows"]


class Place(NamedTuple):
    """Where an event came from."""

    source: str
    line: int


class PredictionBatch(NamedTuple):
    """Consecutive predictions; ``places[i]`` is the line of ``items[i]``."""

    items: list[Prediction]
    places: list[Place]


class ResolutionBatch(NamedTuple):
    """Consecutive resolutions; ``places[i]`` is the line that first named the event."""

    items: list[MarketResolved]
    places: list[Place]


class _Pending(NamedTuple):
    resolved_at: int | None
    actual: str | None
    place: Place
    models: set[str]


def merge_rows(inputs: list[Iterator[Row]]) -> Iterator[Row]:
    """Merge inputs that are each sorted by ``predicted_at``; of equal times the earlier input goes first."""
    if len(inputs) == 1:
        return inputs[0]
    return heapq.merge(*inputs, key=itemgetter(0))


class EventStream:
    """Iterate once over the batches of a stream of rows sorted by ``predicted_at``.

    The counters are those of what was handed out so far.

    Raises:
        InputDataError: While iterating: rows of one event disagree on how it ended, or a model has two
            rows for one event.
    """

    def __init__(self, rows: Iterable[Row], *, batch_items_max: int = 1024) -> None:
        self.rows = 0
        self.events = 0
        self.resolutions = 0
        self.last_event_at: int | None = None
        """Event time (ns) of the latest prediction or resolution; None before the first."""
        self._input = rows
        self._batch_items_max = batch_items_max
        self._pending: dict[str, _Pending] = {}
        self._due: list[tuple[int, int, str]] = []

    @property
    def unresolved_events(self) -> int:
        """Events seen whose resolution was not handed out."""
        return len(self._pending)

    @property
    def unresolved_predictions(self) -> int:
        """Predictions of those events."""
        return sum(len(pending.models) for pending in self._pending.values())

    def __iter__(self) -> Iterator[PredictionBatch | ResolutionBatch]:
        batch = PredictionBatch([], [])
        for row in self._input:
            if self._due and self._due[0][0] <= row.predicted_at:
                if batch.items:
                    yield batch
                    batch = PredictionBatch([], [])
                yield from self._resolve_until(row.predicted_at)
            place = Place(row.source, row.line)
            self._expect(row, place)
            batch.items.append(row.prediction)
            batch.places.append(place)
            self.rows += 1
            self.last_event_at = row.predicted_at
            if len(batch.items) >= self._batch_items_max:
                yield batch
                batch = PredictionBatch([], [])
        if batch.items:
            yield batch
        yield from self._resolve_until(None)

    def _expect(self, row: Row, place: Place) -> None:
        """Note that the row's event will resolve, or check that the row agrees with what was noted."""
        event_id, model_id = row.prediction.market_id, row.prediction.model_id
        pending = self._pending.get(event_id)
        if pending is None:
            self._pending[event_id] = _Pending(row.resolved_at, row.actual, place, {model_id})
            if row.resolved_at is not None:
                heapq.heappush(self._due, (row.resolved_at, self.events, event_id))
            self.events += 1
            return
        if pending.actual != row.actual:
            _disagree("actual", row, pending.actual, row.actual, pending.place)
        if pending.resolved_at != row.resolved_at:
            earlier, now = _shown_time(pending.resolved_at), _shown_time(row.resolved_at)
            _disagree("resolved_at", row, earlier, now, pending.place)
        if model_id in pending.models:
            problem = f"model {model_id!r} already has a row for event {event_id!r}"
            raise InputDataError(problem, row.source, row.line, "model_id")
        pending.models.add(model_id)

    def _resolve_until(self, until: int | None) -> Iterator[ResolutionBatch]:
        """Hand out every resolution due by ``until`` (None: all), oldest first."""
        batch = ResolutionBatch([], [])
        while self._due and (until is None or self._due[0][0] <= until):
            resolved_at, _, event_id = heapq.heappop(self._due)
            pending = self._pending.pop(event_id)
            batch.items.append(
                MarketResolved(market_id=event_id, resolved_at=resolved_at, winner=pending.actual)
            )
            batch.places.append(pending.place)
            self.resolutions += 1
            self.last_event_at = resolved_at
            if len(batch.items) >= self._batch_items_max:
                yield batch
                batch = ResolutionBatch([], [])
        if batch.items:
            yield batch


def _shown_time(time_ns: int | None) -> str | None:
    return None if time_ns is None else format_time_ns(time_ns)


def _disagree(column: str, row: Row, earlier: str | None, now: str | None, place: Place) -> NoReturn:
    event_id = row.prediction.market_id
    problem = (
        f"of event {event_id!r} was {earlier!r} at {place.source}, line {place.line}, and is {now!r} here"
    )
    raise InputDataError(problem, row.source, row.line, column)
