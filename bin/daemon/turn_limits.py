"""Limits of the learner that a daemon cannot work with, although a learner in its own process could."""

from __future__ import annotations

from ...config import Settings
from ...protocol.serving.outgoing import TURN_UNITS

__all__ = ["turn_problems"]


def turn_problems(settings: Settings) -> list[str]:
    """What is wrong with the bounds, in words; empty if nothing is.

    What a connection sent is handed on in turns of up to ``TURN_UNITS`` inputs, which go in together or are told
    BUSY together. What is larger than the bound goes in only while nothing else is under way: under load a full
    turn never would.

    >>> from ...config import Limits
    >>> turn_problems(Settings(limits=Limits(in_flight_inputs_max=256)))
    []
    """
    most = settings.limits.in_flight_inputs_max
    if most >= TURN_UNITS:
        return []
    return [
        f"online_learning.limits.in_flight_inputs_max was {most}; expected {TURN_UNITS} or more for a daemon, which "
        f"hands on up to {TURN_UNITS} inputs of a connection together: under load so many would always be told BUSY"
    ]
