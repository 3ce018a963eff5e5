"""Gamma variates from counted words: one by one and many together, the same numbers bit for bit.

For a shape ``a`` from 1 on, with ``d = a − ⅓`` and ``c = 1 / √(9d)``, attempt ``k`` = 0 … 14 takes
``x = Φ⁻¹(u₂ₖ)`` and ``v = (1 + c·x)³`` and ends with ``d·v`` if ``v > 0`` and
``ln y < x²/2 + d·(1 − v + ln v)``, where ``y = ((word₂ₖ mod 2¹¹) + u₂ₖ₊₁) / 2¹¹``: the bits that ``x`` has left over,
and more behind them for the tenth of attempts that are not clear without, because ``y ≤ 1 − 0.0331·x⁴`` is always
accepted. An attempt fails with a chance below 0.05; after 15 failures, which nobody will see, ``v = 1``. Words and
uniforms are those of :mod:`.splitmix`.

Apart from Φ⁻¹, only arithmetic that IEEE 754 defines to the bit enters a variate.

Source: Marsaglia & Tsang (2000), *A simple method for generating gamma variables*, ACM TOMS 26.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from . import normal, splitmix
from .splitmix import CELL, Floats, Words, constant, uniforms_of, words

__all__ = ["ATTEMPTS_MAX", "FEW", "gamma_variate", "gamma_variates"]

ATTEMPTS_MAX: Final = 15
FEW: Final = 12
"""So few are done one by one: with numpy each would take longer."""

_THIRD = 1.0 / 3.0
_LEFT_OVER = 2**11
_SQUEEZE = 0.0331 * _LEFT_OVER
_SHAPE_MAX = 1e9
_CLEAR = 1e-6
"""Sides of the inequality that are further apart are in the same order whatever library has the logarithms, for shapes
up to ``_SHAPE_MAX``."""

_N_THIRD, _N_ONE, _N_NINE, _N_SQUEEZE, _N_REST = map(constant, (_THIRD, 1.0, 9.0, _SQUEEZE, _LEFT_OVER - 1.0))
_N_LEFT_OVER = np.array(_LEFT_OVER - 1, dtype=np.uint64)


def gamma_variate(seed: int, shape: float) -> float:
    """A variate from the generator begun at ``seed``; 0 if :func:`gamma_variates` has to say: one out of the
    ordinary, or too close to tell.

    >>> round(gamma_variate(7, 2.5), 6)
    1.780405
    >>> gamma_variate(7, 0.5)
    0.0
    """
    if not 1.0 <= shape <= _SHAPE_MAX:
        return 0.0
    d = shape - _THIRD
    c = 1.0 / math.sqrt(9.0 * d)
    for attempt in range(ATTEMPTS_MAX):
        drawn = splitmix.word(seed, 2 * attempt)
        x = normal.quantile(((drawn >> 11) | 1) * CELL)
        v = c * x + 1.0
        v = v * v * v
        square = x * x
        if drawn % _LEFT_OVER <= _LEFT_OVER - 1.0 - square * square * _SQUEEZE:
            return d * v
        if v > 0.0:
            u = ((splitmix.word(seed, 2 * attempt + 1) >> 11) | 1) * CELL
            margin = (
                0.5 * square + d * (1.0 - v + math.log(v)) - math.log((drawn % _LEFT_OVER + u) / _LEFT_OVER)
            )
            if margin > _CLEAR:
                return d * v
            if margin > -_CLEAR:
                return 0.0
    return 0.0


def gamma_variates(seeds: Words, shapes: Floats) -> Floats:
    """A variate of each shape from its generator. The shapes must be from 1 on and finite; nothing is checked.

    >>> gamma_variates(np.array([7, 8], dtype=np.uint64), np.array([2.5, 2.5])).round(6).tolist()
    [1.780405, 2.641547]
    """
    d = shapes - _N_THIRD
    c = _N_ONE / np.sqrt(_N_NINE * d)
    drawn = words(seeds, 0)
    x, v, clear = _begun(drawn, c)
    variates = d * v
    left = np.flatnonzero(~clear)
    if left.size:
        flat, seeds = variates.reshape(-1), seeds.ravel()[left]
        few = _few(seeds, shapes.ravel()[left]) if left.size <= FEW else None
        if few is None:
            d, c, drawn, x, v = (
                d.ravel()[left],
                c.ravel()[left],
                drawn.ravel()[left],
                x.ravel()[left],
                v.ravel()[left],
            )
            flat[left] = _finished(seeds, d, c, drawn, x, v)
        else:
            flat[left] = few
    return variates


def _few(seeds: Words, shapes: Floats) -> list[float] | None:
    """Variates one by one; None if one is out of the ordinary."""
    variates = list(map(gamma_variate, seeds.tolist(), shapes.tolist()))
    return variates if all(variates) else None


def _begun(drawn: Words, c: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """(x, v, whether it is clear that v is accepted) of an attempt's first words."""
    x = ndtri(uniforms_of(drawn))
    v = c * x
    v += _N_ONE
    v = v * v * v
    power = x * x
    power *= power
    power *= _N_SQUEEZE
    return x, v, (drawn & _N_LEFT_OVER) <= _N_REST - power


def _finished(seeds: Words, d: Floats, c: Floats, drawn: Words, x: Floats, v: Floats) -> Floats:
    """Variates of those whose first attempt was not clear."""
    variates = d.copy()
    places = np.arange(len(v))
    for attempt in range(ATTEMPTS_MAX):
        if attempt:
            drawn = words(seeds, 2 * attempt)
            x, v, _ = _begun(drawn, c)
        y = ((drawn & _N_LEFT_OVER) + uniforms_of(words(seeds, 2 * attempt + 1))) / _LEFT_OVER
        positive = np.where(v > 0.0, v, 1.0)
        accepted = (v > 0.0) & (np.log(y) < 0.5 * (x * x) + d * (1.0 - positive + np.log(positive)))
        variates[places[accepted]] *= v[accepted]
        left = ~accepted
        places, seeds, d, c = places[left], seeds[left], d[left], c[left]
        if not places.size:
            break
    return variates
