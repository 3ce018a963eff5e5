"""The errors of calls that got no answer: what is known of why, and of what became of them."""

from __future__ import annotations

from typing import Any, TypeVar

from ..errors import ConnectionLostError, DeadlineExceededError, HandicapperError
from .outbox import Call

__all__ = ["lost", "overdue", "renewed"]

E = TypeVar("E", bound=HandicapperError)


def overdue(call: Call[Any], connected: bool, address: str, trouble: str) -> DeadlineExceededError:
    """The deadline of a call has passed."""
    text = f"{call.spec.name} was not answered before its deadline"
    if not connected:
        text += f" (no connection to {address}: {trouble})"
    return DeadlineExceededError(f"{text}; {_effect(call)}")


def lost(call: Call[Any], address: str, trouble: str) -> ConnectionLostError:
    """The connection of a call was lost, and it is not made again on another."""
    text = f"the connection to {address} was lost before {call.spec.name} was answered ({trouble})"
    return ConnectionLostError(f"{text}; {_effect(call)}")


def _effect(call: Call[Any]) -> str:
    """What may have become of a call that was not answered."""
    if not call.sent:
        return "it was not sent"
    again = "repeating it is safe" if call.spec.idempotent else "so look before repeating it"
    return f"it may have taken effect, {again}"


def renewed(error: E) -> E:
    """The same error as an object of its own: raised in several threads, one would gather every traceback."""
    copy = type(error).__new__(type(error))
    Exception.__init__(copy, *error.args)
    copy.__dict__.update(error.__dict__)
    return copy
