"""A posterior that is a mixture of Betas: its mean, the Beta that stands for it, and which part a draw is of.

The Beta that stands for it has its mean and its variance: the method of moments.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .hypotheses import Numbers, mean_of, place_of_share, square_of

__all__ = ["SHARPNESS", "Mixture", "sharpened"]

SHARPNESS: Final = 4.0
"""Of the draws, see :func:`sharpened`; 1 picks each hypothesis by its weight."""


def sharpened(u: float) -> float:
    """A uniform ``u`` in (0, 1) drawn towards 1/2: its odds to the power 1/4.

    Where it picks a hypothesis by the sum of the weights before it, oldest first, the median stays where it was, and
    what has little weight is picked rarely: a chance of 0.02 that a segment has just begun becomes one of 0.0000002.
    Thompson sampling draws anew in every round; by the weights as they are it would go on trying what is unlikely, in
    every round, for as long as it is not ruled out.

    >>> sharpened(0.5), round(sharpened(0.99), 3)
    (0.5, 0.759)
    """
    odds = (u / (1.0 - u)) ** (1.0 / SHARPNESS)
    return odds / (1.0 + odds)


class Mixture(NamedTuple):
    """Betas with weights that sum to 1: drifts from the longest memory to the shortest, trends likewise, runs from the
    oldest to the newest, last the segment that may have begun since the newest outcome."""

    weights: Numbers
    alphas: Numbers
    betas: Numbers

    def mean(self) -> float:
        """Mean of the hit rate."""
        return mean_of(self.weights, self.alphas, self.betas)

    def matched_beta(self) -> tuple[float, float]:
        """(alpha, beta) of the Beta distribution that has the mean and the variance of the mixture.

        >>> from handicapper.actors.learning.hypotheses import numbers
        >>> Mixture(numbers([0.5, 0.5]), numbers([2.0, 1.0]), numbers([1.0, 2.0])).matched_beta()
        (1.0, 1.0)
        """
        mean = mean_of(self.weights, self.alphas, self.betas)
        variance = square_of(self.weights, self.alphas, self.betas) - mean * mean
        size = mean * (1.0 - mean) / variance - 1.0
        return mean * size, (1.0 - mean) * size

    def component(self, u: float) -> tuple[float, float]:
        """(alpha, beta) of the Beta that the uniform ``u`` picks for a draw: see :func:`sharpened`.

        >>> from handicapper.actors.learning.hypotheses import numbers
        >>> Mixture(numbers([0.9, 0.1]), numbers([2.0, 1.0]), numbers([3.0, 4.0])).component(0.95)
        (2.0, 3.0)
        """
        place = place_of_share(self.weights, sharpened(u))
        return self.alphas[place], self.betas[place]
