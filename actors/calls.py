"""A call under way: the future its caller waits on, and how many may be under way at once."""

from __future__ import annotations

import sys
from threading import Lock, get_ident
from time import monotonic
from typing import Any, Final, TypeVar

import pykka

from ..protocol.errors import BusyError, ClosedError, DeadlineExceededError, HandicapperError
from .runtime.future import ExcInfo, LeanFuture
from .runtime.latch import Latch

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
                repeating an input is safe. At once where a listener would wait for itself.
            ClosedError: the learner was closed before it was handled.
            HandicapperError: the call was refused.

        """
        if not self.is_set() and self._waits_for_itself():
            raise DeadlineExceededError(
                "no answer can come before the listener that waits for it returns; the call takes effect then: use its "
                "_nowait form in a listener, or call from another thread"
            )
        try:
            return super().get(timeout=timeout)
        except pykka.Timeout:
            raise DeadlineExceededError(
                f"no answer within {timeout:g} s; the call may still take effect, repeating an input is safe"
            ) from None

    def _waits_for_itself(self) -> bool:
        """Whether the actor that is to answer is the one that called whoever waits."""
        actor = getattr(self.waiting, "actor", None)
        return getattr(actor, "thread_id", 0) == get_ident()

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Give an exception, by default the one being handled: ours where an actor was not there any more."""
        given = sys.exc_info() if exc_info is None else exc_info
        if isinstance(given[1], pykka.ActorDeadError):
            error = self._not_there(given[1])
            given = (type(error), error, None)
        super().set_exception(given)

    def _not_there(self, error: pykka.ActorDeadError) -> HandicapperError:
        return ClosedError(f"the learner was closed before it handled this call ({error})")


class Admission:
    """How many inputs are under way, bounded: who is over the bound waits, or is told BUSY."""

    def __init__(self, inputs_max: int) -> None:
        self._inputs_max = inputs_max
        self._changing = Lock()
        self._room: Latch | None = None
        """Set when somebody leaves; made when somebody finds none."""
        self._replies: dict[LeanFuture[Any], int] = {}
        self.in_flight = 0

    def enter(self, reply: Reply[Any], inputs: int, timeout: float | None) -> None:
        """Count a call's inputs in; waits up to ``timeout`` seconds for room (None: not at all).

        Raises:
            BusyError: there is no room.

        """
        deadline = None if timeout is None else monotonic() + timeout
        while (room := self._count_in(reply, inputs)) is not None:
            left = 0.0 if deadline is None else deadline - monotonic()
            if left <= 0.0:
                raise BusyError(
                    f"{self.in_flight} inputs are in flight, the most allowed is {self._inputs_max} "
                    "(limits.in_flight_inputs_max)"
                )
            # As one waits for the reply: where callers run the actors, that is what makes room.
            if reply.waiting is None:
                room.wait(left)
            else:
                reply.waiting.wait_for(room, left)
        reply.add_done_callback(self._leave)

    def _count_in(self, reply: Reply[Any], inputs: int) -> Latch | None:
        """None if there was room; else what is set once somebody leaves."""
        with self._changing:
            # A batch larger than the bound goes alone, else it never could.
            if not self.in_flight or self.in_flight + inputs <= self._inputs_max:
                self.in_flight += inputs
                self._replies[reply] = inputs
                return None
            if self._room is None:
                self._room = Latch()
            return self._room

    def _leave(self, reply: LeanFuture[Any]) -> None:
        with self._changing:
            self.in_flight -= self._replies.pop(reply, 0)
            room, self._room = self._room, None
        if room is not None:
            room.set()

    def refuse_all(self, error: HandicapperError) -> None:
        """Answer every call that has none yet: nobody else will."""
        with self._changing:
            waiting = list(self._replies)
        for reply in waiting:
            reply.set_exception((type(error), error, None))
