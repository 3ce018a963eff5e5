"""Adaptive confidence threshold: how sure a model must be before it is acted on.

An overconfident model is asked for more, an underconfident one for less. The rule by itself is an
integrator: it holds on to every error it ever saw, runs into its bound and, where a refused model
earns no further outcomes, stays there after the model is mended. Relaxation towards the initial
threshold lets old errors fade with time, as the evidence in the posterior does.

Source: integrator wind-up and the leaky integrator as its remedy: Åström & Murray, *Feedback Systems*
(2nd ed.), chapter 11.
"""

from __future__ import annotations

from math import inf
from typing import Literal

from .decay import decay_factor

__all__ = ["adjust_threshold", "relax_threshold", "threshold_wall"]


def adjust_threshold(theta: float, error: float, rate: float, minimum: float, maximum: float) -> float:
    """``clip(theta + rate·error, minimum, maximum)``.

    ``error`` is the signed calibration error, mean confidence − mean outcome; ``rate`` is the step per
    outcome.

    >>> adjust_threshold(0.60, 0.10, 0.01, 0.40, 0.90)
    0.601
    >>> adjust_threshold(0.8999, 0.10, 0.01, 0.40, 0.90)
    0.9
    """
    theta += rate * error
    if theta < minimum:
        return minimum
    if theta > maximum:
        return maximum
    return theta


def relax_threshold(theta: float, initial: float, elapsed_ns: int, half_life_seconds: float) -> float:
    """Half the distance to ``initial`` is left after every half-life.

    The result lies between ``initial`` and ``theta``. A half-life of 0 or infinity, like no elapsed
    time, returns ``theta`` itself: the bare rule, bit for bit.

    Raises:
        ValueError: ``elapsed_ns`` is negative while a half-life is in force.

    >>> relax_threshold(0.9, 0.6, 3_600 * 10**9, 3_600.0)
    0.75
    >>> relax_threshold(0.9, 0.6, 3_600 * 10**9, 0.0)
    0.9
    """
    if elapsed_ns == 0 or half_life_seconds == 0.0 or half_life_seconds == inf:
        return theta
    relaxed = initial + (theta - initial) * decay_factor(elapsed_ns, half_life_seconds)
    # Rounding may carry a barely relaxed value an ulp past where it started, and past its bound.
    if (theta >= initial) == (relaxed > theta):
        return theta
    return relaxed


def threshold_wall(theta: float, minimum: float, maximum: float) -> Literal["min", "max"] | None:
    """Which bound the threshold rests on, if any; ``max`` where both are the same.

    >>> threshold_wall(0.9, 0.4, 0.9), threshold_wall(0.4, 0.4, 0.9), threshold_wall(0.6, 0.4, 0.9)
    ('max', 'min', None)
    """
    if theta >= maximum:
        return "max"
    if theta <= minimum:
        return "min"
    return None
