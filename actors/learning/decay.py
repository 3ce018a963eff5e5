"""Evidence that halves with event time, kept as one number and the time it refers to.

A sum ``S(t) = Σ amountᵢ · 2^(−(t − tᵢ)/h)`` is stored as its value at ``as_of_ns``, the newest event
time it has seen. That time only moves forward, and only when evidence is added: looking at a sum
never changes it, so the value depends neither on how often anyone looks nor on arrival order (two
orders agree to rounding; the same order agrees bit for bit).
"""

from __future__ import annotations

from math import exp2

__all__ = ["add_decayed", "decay_factor", "decayed_at"]


def decay_factor(elapsed_ns: int, half_life_seconds: float) -> float:
    """The share of evidence left after ``elapsed_ns`` nanoseconds: ``2^(−elapsed / half-life)``.

    In [0, 1]; 1 where nothing has elapsed or the half-life is infinite, 0 once the exponent underflows.

    Raises:
        ValueError: ``elapsed_ns`` is negative, or the half-life is not above zero.

    >>> decay_factor(3_600 * 10**9, 3_600.0), decay_factor(7_200 * 10**9, 3_600.0)
    (0.5, 0.25)
    >>> decay_factor(10**18, float("inf"))
    1.0
    """
    if elapsed_ns < 0:
        raise ValueError(f"elapsed_ns was {elapsed_ns}; expected 0 or more: evidence is never amplified")
    if not half_life_seconds > 0.0:
        raise ValueError(f"half_life_seconds was {half_life_seconds}; expected a number above 0")
    return exp2(-elapsed_ns / (half_life_seconds * 1e9))


def add_decayed(
    total: float, as_of_ns: int, amount: float, at_ns: int, half_life_seconds: float
) -> tuple[float, int]:
    """Add evidence that happened at ``at_ns``; returns the new ``(total, as_of_ns)``.

    Newer evidence first ages the total to its own time; late evidence enters with its own age and
    leaves the reference time alone. A negative ``amount`` takes evidence back.

    >>> hour = 3_600 * 10**9
    >>> add_decayed(8.0, 0, 1.0, hour, 3_600.0)
    (5.0, 3600000000000)
    >>> add_decayed(5.0, hour, 1.0, 0, 3_600.0)
    (5.5, 3600000000000)
    """
    if at_ns == as_of_ns:
        return total + amount, as_of_ns
    if at_ns > as_of_ns:
        return total * decay_factor(at_ns - as_of_ns, half_life_seconds) + amount, at_ns
    return total + amount * decay_factor(as_of_ns - at_ns, half_life_seconds), as_of_ns


def decayed_at(total: float, as_of_ns: int, at_ns: int, half_life_seconds: float) -> float:
    """The value of a decayed sum at ``at_ns``, which changes nothing.

    A time before ``as_of_ns`` reads as ``as_of_ns``: time never runs backwards, and dividing the
    decay out again would amplify old evidence without bound.

    >>> decayed_at(8.0, 0, 3_600 * 10**9, 3_600.0), decayed_at(8.0, 5, 0, 3_600.0)
    (4.0, 8.0)
    """
    if at_ns <= as_of_ns:
        return total
    return total * decay_factor(at_ns - as_of_ns, half_life_seconds)
