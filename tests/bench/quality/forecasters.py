"""What the pool is measured beside: forecasters that see the same events at the same times."""

from __future__ import annotations

from collections import deque
from math import exp, inf
from typing import Protocol

from handicapper.actors.learning.pooling import combine, learn, new_pool

from .real_streams import Event


class Forecaster(Protocol):
    """Forecasts an event when it is predicted, learns from it when it resolves."""

    def forecast(self, event: Event, rows: dict[str, list[float]]) -> list[float] | None:
        """A distribution over the stream's labels, or None."""
        ...

    def learn(self, event: Event, losses: dict[str, float]) -> None:
        """``losses`` are the Brier losses of the models that forecast it."""
        ...


class Pool:
    """Ours, with its one setting."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.state = new_pool()

    def forecast(self, event: Event, rows: dict[str, list[float]]) -> list[float] | None:
        pooled = combine(self.state, event.forecasts, self.labels)
        assert pooled is not None
        return [pooled.probabilities[label] for label in self.labels]

    def learn(self, event: Event, losses: dict[str, float]) -> None:
        learn(self.state, event.resolved_at, event.forecasts, {event.actual: 1.0}, self.labels)


class Fixed:
    """One model, for ever."""

    def __init__(self, model: str) -> None:
        self.model = model

    def forecast(self, event: Event, rows: dict[str, list[float]]) -> list[float] | None:
        return rows.get(self.model)

    def learn(self, event: Event, losses: dict[str, float]) -> None:
        pass


class EqualWeights:
    """The plain mean of those that forecast."""

    def forecast(self, event: Event, rows: dict[str, list[float]]) -> list[float] | None:
        return [sum(column) / len(rows) for column in zip(*rows.values(), strict=True)]

    def learn(self, event: Event, losses: dict[str, float]) -> None:
        pass


class Window:
    """Losses of the last ``size`` resolved events; None for all of them."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.events: deque[dict[str, float]] = deque()
        self.total: dict[str, float] = {}
        self.count: dict[str, int] = {}

    def add(self, losses: dict[str, float]) -> None:
        self.events.append(losses)
        self._count(losses, 1)
        if self.size is not None and len(self.events) > self.size:
            self._count(self.events.popleft(), -1)

    def _count(self, losses: dict[str, float], sign: int) -> None:
        for model, loss in losses.items():
            self.total[model] = self.total.get(model, 0.0) + sign * loss
            self.count[model] = self.count.get(model, 0) + sign


class FollowTheLeader:
    """The model with the lowest mean Brier loss over the last 1,000 resolved events."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def forecast(self, event: Event, rows: dict[str, list[float]]) -> list[float] | None:
        total, count = self.window.total, self.window.count
        return rows[min(rows, key=lambda m: total[m] / count[m] if count.get(m) else inf)]

    def learn(self, event: Event, losses: dict[str, float]) -> None:
        pass


class Hedge:
    """Linear pool by ``e^(−eta · Brier loss in the window)``, a missing loss taken for the mean one.

    Source: Freund & Schapire (1997), *A decision-theoretic generalization of on-line learning*, Journal of
    Computer and System Sciences 55.
    """

    def __init__(self, window: Window, eta: float) -> None:
        self.window = window
        self.eta = eta

    def forecast(self, event: Event, rows: dict[str, list[float]]) -> list[float] | None:
        total, count = self.window.total, self.window.count
        size = len(self.window.events)
        known = [model for model in rows if count.get(model)]
        mean = sum(total[m] / count[m] for m in known) / len(known) if known else 0.0
        losses = [total[m] + (size - count[m]) * mean if count.get(m) else size * mean for m in rows]
        best = min(losses)
        weights = [exp(-self.eta * (loss - best)) for loss in losses]
        scale = sum(weights)
        return [
            sum(w * p for w, p in zip(weights, column, strict=True)) / scale
            for column in zip(*rows.values(), strict=True)
        ]

    def learn(self, event: Event, losses: dict[str, float]) -> None:
        pass


class Feeding:
    """Adds to a window that several forecasters read."""

    def __init__(self, window: Window) -> None:
        self.window = window

    def forecast(self, event: Event, rows: dict[str, list[float]]) -> list[float] | None:
        return None

    def learn(self, event: Event, losses: dict[str, float]) -> None:
        self.window.add(losses)
