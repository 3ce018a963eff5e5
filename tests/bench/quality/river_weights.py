"""River's exponentially weighted averaging, beside the pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .real_streams import Event


class RiverWeights:
    """``river.ensemble.EWARegressor`` as it comes: squared loss, learning rate 0.5; raises ImportError without River.

    It knows two labels and models that are always there: one that is absent forecasts the mean of those present.
    """

    def __init__(self, labels: Sequence[str], models: Sequence[str]) -> None:
        from river import base, ensemble

        class Given(base.Regressor):
            def __init__(self, model: str = "") -> None:
                self.model = model

            def learn_one(self, x: dict[str, float], y: float) -> None:
                pass

            def predict_one(self, x: dict[str, float]) -> float:
                return x[self.model]

        self._first, self._models = labels[0], models
        self._made: Any = ensemble.EWARegressor([Given(model) for model in models])
        # River starts with a 1 for each, so that its first forecast would be a sum.
        self._made.weights = [1.0 / len(models)] * len(models)

    def forecast(self, event: Event, rows: dict[str, list[float]]) -> list[float] | None:
        p = min(max(float(self._made.predict_one(self._features(event))), 0.0), 1.0)
        return [p, 1.0 - p]

    def learn(self, event: Event, losses: dict[str, float]) -> None:
        self._made.learn_one(self._features(event), float(event.actual == self._first))

    def _features(self, event: Event) -> dict[str, float]:
        known = {model: c if label == self._first else 1.0 - c for model, label, c in event.forecasts}
        mean = sum(known.values()) / len(known)
        return {model: known.get(model, mean) for model in self._models}
