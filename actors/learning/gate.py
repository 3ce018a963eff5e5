"""The gate: whether a prediction is acted on, and how large."""

from __future__ import annotations

__all__ = ["passes_gate", "size_multiplier"]


def passes_gate(confidence: float, threshold: float) -> bool:
    """Below the threshold is refused; equal to it passes.

    >>> passes_gate(0.60, 0.60), passes_gate(0.59, 0.60)
    (True, False)
    """
    return confidence >= threshold


def size_multiplier(confidence: float, weight: float) -> float:
    """What to multiply the base size by, for a prediction that passed: ``confidence × weight``.

    >>> size_multiplier(0.8, 1.5)
    1.2
    """
    return confidence * weight
