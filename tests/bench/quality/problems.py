"""Bandit problems: the mean of every arm in every round.

Problems 1 to 4 are those of SMPyBandits' ``configuration_nonstationary.py`` (Besson, Kaufmann, Maillard & Seznec 2022,
*Efficient change-point detection for tackling piecewise-stationary bandits*, JMLR 23): three arms each, whose means
change at the given shares of the horizon.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS = 5_000

Floats = NDArray[np.float64]

_SEGMENTS: dict[str, tuple[list[float], list[list[float]]]] = {
    "1": (
        [0, 0.2, 0.4, 0.6, 0.8],
        [[0.3, 0.5, 0.9], [0.3, 0.2, 0.9], [0.3, 0.2, 0.1], [0.7, 0.2, 0.1], [0.7, 0.5, 0.1]],
    ),
    "2": (
        [0, 0.2, 0.4, 0.6, 0.8],
        [[0.4, 0.5, 0.9], [0.5, 0.4, 0.7], [0.6, 0.3, 0.5], [0.7, 0.2, 0.3], [0.8, 0.1, 0.1]],
    ),
    "3": ([0, 0.25, 0.5, 0.75], [[0.1, 0.2, 0.9], [0.4, 0.9, 0.1], [0.5, 0.1, 0.2], [0.2, 0.2, 0.3]]),
    "4": (
        [0, 0.5, 0.625, 0.75, 0.875],
        [[0.1, 0.5, 0.9], [0.3, 0.4, 0.1], [0.5, 0.3, 0.2], [0.7, 0.4, 0.3], [0.1, 0.5, 0.2]],
    ),
    "stationary": ([0], [[0.5] + [0.4] * 9]),
    "subtle": ([0, 0.5], [[0.50, 0.45, 0.45], [0.49, 0.46, 0.45]]),
}
PIECEWISE = tuple(_SEGMENTS)
DRIFTING = ("walk", "sinusoid")


def change_points(problem: str, rounds: int = ROUNDS) -> list[int]:
    """Rounds in which a segment begins that is not the first."""
    return [round(share * rounds) for share in _SEGMENTS[problem][0][1:]] if problem in _SEGMENTS else []


def means_of(problem: str, rounds: int = ROUNDS) -> Floats:
    """A row for every round, a column for every arm."""
    if problem == "walk":
        return _walk(rounds)
    if problem == "sinusoid":
        phases = 2.0 * np.pi * (np.arange(rounds)[:, None] / 2_500 + np.arange(3) / 3)
        return 0.5 + 0.3 * np.sin(phases)
    _, levels = _SEGMENTS[problem]
    starts = [0, *change_points(problem, rounds), rounds]
    lengths = np.diff(starts)
    return np.repeat(np.array(levels), lengths, axis=0)


def _walk(rounds: int) -> Floats:
    """Steps of 0.01 a round, reflected at 0 and 1: the same walk in every run."""
    generator = np.random.default_rng(20_170_301)
    path = generator.uniform(0.2, 0.8, 3) + np.cumsum(generator.normal(0.0, 0.01, (rounds, 3)), axis=0)
    folded = np.abs(path % 2.0)
    return np.where(folded > 1.0, 2.0 - folded, folded)
