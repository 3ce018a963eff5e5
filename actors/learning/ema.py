"""Exponential moving average of outcomes: accuracy that forgets per outcome, not per hour."""

from __future__ import annotations

__all__ = ["EMA_START", "ema_update"]

EMA_START = 0.5
"""Accuracy before the first outcome: right as often as wrong."""


def ema_update(ema: float, x: float, alpha: float) -> float:
    """The average after one more outcome ``x``: ``alpha·x + (1 − alpha)·ema``.

    ``x`` and ``ema`` are in [0, 1], ``alpha`` in (0, 1]; the result stays in [0, 1]. With ``alpha``
    0.1 an outcome loses half its influence after ``ln 0.5 / ln 0.9`` = 6.6 further ones.

    Source: Roberts (1959), *Control chart tests based on geometric moving averages*,
    Technometrics 1(3).

    >>> ema_update(0.5, 1.0, 0.1)
    0.55
    >>> ema_update(0.55, 0.0, 0.1)
    0.495
    """
    return alpha * x + (1.0 - alpha) * ema
