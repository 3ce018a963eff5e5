"""A call under way: the future its caller waits on, and how many may be under way at once."""

from __future__ import annotations

from threading import Condition
from typing import Any, Final, TypeVar

import pykka

from ..protocol.errors import BusyError, ClosedError, DeadlineExceededError, HandicapperError
from .runtime.future import LeanFuture

__all__ = ["TIMEOUT_SECONDS", "Admission", "Reply"]

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 30.0
"""How long a call waits if it is not told."""


class Reply(LeanFuture[T]):
    """A result to come. ``get(timeout)`` waits for it, or raises what went wrong."""

    __slots__ = ()

    def get(self, timeout: float | None = None) -> T:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The result.

        Raises:
            DeadlineExceededError: not within ``timeout`` seconds. The call may still take effect;
                repeating it is safe.
            ClosedError: the learner was closed before it was handled.
            HandicapperError: the call was refused.

        """
        try:
            return super().get(timeout=timeout)
        except pykka.Timeout:
            raise DeadlineExceededError(
                f"no answer within {timeout:g} s; the call may still take effect, repeating it is safe"
            ) from None
        except pykka.ActorDeadError as error:
            raise ClosedError(f"the learner was closed before it handled this call ({error})") from None


class Admission:
    """How many inputs are under way, bounded: who is over the bound waits, or is told BUSY."""

    def __init__(self, inputs_max: int) -> None:
        self._inputs_max = inputs_max
        self._changed = Condition()
        self._replies: dict[LeanFuture[Any], int] = {}
        self.in_flight = 0

    def enter(self, reply: Reply[Any], inputs: int, timeout: float | None) -> None:
        """Count a call's inputs in; waits up to ``timeout`` seconds for room (None: not at all).

        Raises:
            BusyError: there is no room.

        """
        with self._changed:
            # A batch larger than the bound goes alone, else it never could.
            fits = self._changed.wait_for(
                lambda: not self.in_flight or self.in_flight + inputs <= self._inputs_max, timeout or 0.0
            )
            if not fits:
                raise BusyError(
                    f"{self.in_flight} inputs are in flight, the most allowed is {self._inputs_max} "
                    "(limits.in_flight_inputs_max)"
                )
            self.in_flight += inputs
            self._replies[reply] = inputs
        reply.add_done_callback(self._leave)

    def _leave(self, reply: LeanFuture[Any]) -> None:
        with self._changed:
            self.in_flight -= self._replies.pop(reply, 0)
            self._changed.notify_all()

    def refuse_all(self, error: HandicapperError) -> None:
        """Answer every call that has none yet: nobody else will."""
        with self._changed:
            waiting = list(self._replies)
        for reply in waiting:
            reply.set_exception((type(error), error, None))
