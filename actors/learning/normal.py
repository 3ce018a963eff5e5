"""The quantile of the standard normal distribution, of one number.

>>> round(quantile(0.975), 6)
1.959964

Source: scipy.special.ndtri (Cephes), which the vectors of :mod:`.gamma` take as well: the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

from scipy.special import cython_special

__all__ = ["quantile"]

quantile: Callable[[float], float] = cython_special.ndtri
"""Φ⁻¹ of a probability between 0 and 1."""
