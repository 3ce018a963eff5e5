"""How far a sample is from the distribution it should have, and how far it may be."""

from __future__ import annotations

from math import log, sqrt

import numpy as np

__all__ = ["dkw_bound", "kolmogorov_smirnov"]


def kolmogorov_smirnov(values: np.ndarray) -> float:
    """Largest distance between the empirical CDF and that of the uniform distribution."""
    ordered = np.sort(values)
    n = len(ordered)
    return float(max((np.arange(1, n + 1) / n - ordered).max(), (ordered - np.arange(n) / n).max()))


def dkw_bound(n: int, chance: float = 1e-9) -> float:
    """Dvoretzky-Kiefer-Wolfowitz: the distance exceeds √(ln(2/chance)/(2n)) with at most this chance."""
    return sqrt(log(2 / chance) / (2 * n))
