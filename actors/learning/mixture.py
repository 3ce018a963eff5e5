"""A posterior that is a mixture of Betas: its mean, the Beta that stands for it, and which part a draw is of.

The Beta that stands for it has its mean and its variance: the method of moments.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHARPNESS", "Mixture", "sharpened"]

Floats: TypeAlias = NDArray[np.float64]

SHARPNESS: Final = 3.0
"""Of the draws, see :func:`sharpened`; 1 picks each hypothesis by its weight."""


def sharpened(u: float) -> float:
    """A uniform ``u`` in (0, 1) drawn towards 1/2: its odds to the power 1/3.

    Where it picks a hypothesis by the sum of the weights before it, oldest first, the median stays where it was, and
    what has little weight is picked rarely: a chance of 0.02 that a segment has just begun becomes one of 0.00001.
    Thompson sampling draws anew in every round; by the weights as they are it would go on trying what is unlikely, in
    every round, for as long as it is not ruled out.

    >>> sharpened(0.5), round(sharpened(0.99), 3)
    (0.5, 0.822)
    """
    odds = (u / (1.0 - u)) ** (1.0 / SHARPNESS)
    return odds / (1.0 + odds)


class Mixture(NamedTuple):
    """Betas with weights that sum to 1: drifts from the longest memory to the shortest, runs from the oldest to the
    newest, last the segment that may have begun since the newest outcome."""

    weights: Floats
    alphas: Floats
    betas: Floats

    def mean(self) -> float:
        """Mean of the hit rate."""
        return float(np.add.reduce(self.weights * (self.alphas / (self.alphas + self.betas))))

    def matched_beta(self) -> tuple[float, float]:
        """(alpha, beta) of the Beta distribution that has the mean and the variance of the mixture.

        >>> Mixture(np.array([0.5, 0.5]), np.array([2.0, 1.0]), np.array([1.0, 2.0])).matched_beta()
        (1.0, 1.0)
        """
        sizes = self.alphas + self.betas
        means = self.alphas / sizes
        mean = float(np.add.reduce(self.weights * means))
        # E[p²] of a Beta is mean · (alpha + 1) / (alpha + beta + 1).
        square = float(np.add.reduce(self.weights * means * (self.alphas + 1.0) / (sizes + 1.0)))
        variance = square - mean * mean
        size = mean * (1.0 - mean) / variance - 1.0
        return mean * size, (1.0 - mean) * size

    def component(self, u: float) -> tuple[float, float]:
        """(alpha, beta) of the Beta that the uniform ``u`` picks for a draw: see :func:`sharpened`.

        >>> Mixture(np.array([0.9, 0.1]), np.array([2.0, 1.0]), np.array([3.0, 4.0])).component(0.95)
        (2.0, 3.0)
        """
        place = min(int(self.weights.cumsum().searchsorted(sharpened(u))), len(self.weights) - 1)
        return float(self.alphas[place]), float(self.betas[place])
