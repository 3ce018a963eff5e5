"""What of an estimated error is more than chance would do."""

from __future__ import annotations

from math import copysign, sqrt
from typing import Final

__all__ = ["STANDARD_ERRORS", "significant_error"]

STANDARD_ERRORS: Final = 2.5
"""An error of so many standard errors is put down to chance."""


def significant_error(error_sum: float, count: float, variance_sum: float) -> float:
    """The mean error, nearer to 0 by two and a half standard errors; 0 if it does not reach them.

    ``error_sum`` and ``count`` are (discounted) sums over outcomes, and ``variance_sum`` is that of the errors'
    variances with the squares of their weights.

    Source: soft thresholding, Donoho & Johnstone (1994), *Ideal spatial adaptation by wavelet shrinkage*,
    Biometrika 81(3).

    >>> significant_error(20.0, 100.0, 25.0), significant_error(-20.0, 100.0, 25.0)
    (0.075, -0.075)
    >>> significant_error(5.0, 100.0, 25.0), significant_error(0.0, 0.0, 0.0)
    (0.0, 0.0)
    """
    beyond = abs(error_sum) - STANDARD_ERRORS * sqrt(variance_sum)
    return copysign(beyond / count, error_sum) if beyond > 0.0 else 0.0
