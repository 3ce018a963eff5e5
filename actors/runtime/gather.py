"""One message to many actors, one deadline, and an answer that names what is missing.

A gather is a countdown instead of a list of futures: an actor's reply goes straight into it, and only the last
one wakes anybody. ``dict.setdefault`` under the GIL is all the synchronisation there is: it keeps the first
reply of an index, and the dict's length is the countdown.
"""

from __future__ import annotations

import logging
import sys
from _thread import allocate_lock
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pykka._envelope import Envelope

from ...protocol.errors import BusyError
from .cell import Cell
from .dispatcher import Dispatcher
from .future import ExcInfo
from .latch import Latch

if TYPE_CHECKING:
    from .ref import PooledRef

__all__ = ["Gather", "Gathered", "Slot", "scatter", "scatter_gather"]

_logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_FAILED: Any = object()


@dataclass(frozen=True, slots=True)
class Gathered(Generic[K, V]):
    """What a gather brought in. Every key is in exactly one of the three."""

    values: dict[K, V]
    """Replies, in the order of the keys."""
    errors: dict[K, BaseException]
    """Exceptions raised instead of a reply, or by sending."""
    missing: tuple[K, ...]
    """Keys with neither when the gather completed."""

    @property
    def complete(self) -> bool:
        """Whether every key has a value."""
        return not self.errors and not self.missing


class Gather(Generic[K, V]):
    """Collects one reply per key and completes exactly once: with the last reply, or when it expires.

    ``keys`` are the names of those asked, or a number *n* for ``0 … n-1``. ``on_complete(gathered)`` runs in
    the thread that brings the last reply, or in the one that calls ``expire``. Replies of one index after the
    first, and all after completion, are ignored. Thread-safe.

    >>> gather = Gather(["a", "b", "c"])
    >>> gather.deliver(0, 1.5)
    >>> gather.fail(2, ValueError("no draw"))
    >>> gather.expire()
    True
    >>> gather.deliver(1, 0.5)                    # too late
    >>> gather.result()
    Gathered(values={'a': 1.5}, errors={'c': ValueError('no draw')}, missing=('b',))
    """

    __slots__ = (
        "_claim",
        "_completed",
        "_errors",
        "_expected",
        "_gathered",
        "_on_complete",
        "_replies",
        "keys",
    )

    def __init__(
        self,
        keys: Sequence[K] | int,
        on_complete: Callable[[Gathered[K, V]], Any] | None = None,
    ) -> None:
        self.keys: Sequence[Any] = range(keys) if isinstance(keys, int) else keys
        self._expected = len(self.keys)
        self._replies: dict[int, V] = {}
        self._errors: dict[int, BaseException] = {}
        self._on_complete = on_complete
        self._claim = allocate_lock()
        self._completed = Latch()
        self._gathered: Gathered[K, V] | None = None
        if self._expected == 0:
            self._complete()

    def deliver(self, index: int, value: V) -> None:
        """Give the reply for ``keys[index]``. Raises ``IndexError`` for an index nobody was asked under."""
        if not 0 <= index < self._expected:
            raise IndexError(f"index was {index}; expected 0 to {self._expected - 1}")
        replies = self._replies
        replies.setdefault(index, value)
        if len(replies) >= self._expected:
            self._complete()

    def fail(self, index: int, error: BaseException) -> None:
        """Give an exception in place of the reply for ``keys[index]``."""
        self._errors.setdefault(index, error)
        self.deliver(index, _FAILED)

    def expire(self) -> bool:
        """Complete with what has arrived. Returns ``False`` if it was complete before."""
        return self._complete()

    @property
    def completed(self) -> Latch:
        """Set once there is a result."""
        return self._completed

    def result(self) -> Gathered[K, V]:
        """What arrived. Raises ``RuntimeError`` before completion."""
        if self._gathered is None:
            raise RuntimeError(
                f"gather is not complete: {len(self._replies)} of {self._expected} replies arrived"
            )
        return self._gathered

    def wait(self, timeout: float | None = None, dispatcher: Dispatcher | None = None) -> Gathered[K, V]:
        """Wait until everything has arrived, at most ``timeout`` seconds, then take what there is.

        With ``dispatcher`` the wait is spent on running its actors, where it allows that.
        """
        if dispatcher is not None and dispatcher.helped:
            dispatcher.help_until(self._completed, timeout)
        elif timeout is not None or not self._completed.is_set():
            self._completed.wait(timeout)
        self.expire()
        self._completed.wait()  # another thread may be completing it right now
        return self.result()

    def _complete(self) -> bool:
        if not self._claim.acquire(False):
            return False
        replies = self._replies.copy()  # late replies go on arriving in the original
        keys, expected = self.keys, self._expected
        if len(replies) == expected and not self._errors:
            gathered: Gathered[K, V] = Gathered(
                dict(zip(keys, map(replies.__getitem__, range(expected)), strict=True)), {}, ()
            )
        else:
            present = sorted(replies)
            failed = {index for index in present if replies[index] is _FAILED}
            gathered = Gathered(
                {keys[index]: replies[index] for index in present if index not in failed},
                {keys[index]: self._errors[index] for index in present if index in failed},
                tuple(key for index, key in enumerate(keys) if index not in replies),
            )
        self._gathered = gathered
        self._completed.set()
        if self._on_complete is not None:
            try:
                self._on_complete(gathered)
            except Exception:
                # It runs in whichever actor's turn came last, which has nothing to do with it.
                _logger.exception("on_complete of a gather raised")
        return True


class Slot:
    """Where one actor's reply goes. It takes the place of a future in the envelope, whose receiver only ever
    calls ``set`` or ``set_exception``, at half the cost."""

    __slots__ = ("_gather", "_index")

    def __init__(self, gather: Gather[Any, Any], index: int) -> None:
        self._gather = gather
        self._index = index

    def set(self, value: Any = None) -> None:
        """Deliver the reply."""
        gather = self._gather
        replies = gather._replies
        replies.setdefault(self._index, value)
        if len(replies) >= gather._expected:
            gather._complete()

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Deliver an exception."""
        error = (sys.exc_info() if exc_info is None else exc_info)[1]
        self._gather.fail(self._index, RuntimeError("unknown failure") if error is None else error)


def scatter(
    dispatcher: Dispatcher,
    refs: Iterable[PooledRef[Any]],
    make_message: Callable[[int], Any],
    gather: Gather[Any, Any] | None = None,
    *,
    wake: bool = True,
) -> None:
    """Put ``make_message(index)`` into the mailbox of each ref, waking workers once instead of for each.

    Replies go to ``gather`` under the ref's index; so does what a handler raises, and ``BusyError`` or
    ``pykka.ActorDeadError`` when a mailbox is full or closed. Without a gather the messages are tells, and a
    full mailbox raises ``BusyError`` after the others have been served. ``wake=False`` if this thread is about
    to ``gather.wait(timeout, dispatcher)``, which then does the work itself.
    """
    owed: list[Cell] = []
    busy: BusyError | None = None
    try:
        for index, ref in enumerate(refs):
            cell = ref.cell
            slot: Any = None if gather is None else Slot(gather, index)
            try:
                owes = cell.offer(Envelope(make_message(index), slot))
            except BusyError as error:
                if gather is None:
                    busy = error
                else:
                    gather.fail(index, error)
                continue
            if owes:
                if cell.scheduler is dispatcher:
                    owed.append(cell)
                else:
                    cell.scheduler.schedule(cell)
    finally:
        if owed:
            dispatcher.schedule_all(owed, wake=wake)
    if busy is not None:
        raise busy


def scatter_gather(
    dispatcher: Dispatcher,
    refs: Sequence[PooledRef[Any]],
    make_message: Callable[[int], Any],
    keys: Sequence[K] | None = None,
    *,
    timeout: float | None,
) -> Gathered[Any, Any]:
    """Ask all ``refs`` and wait for their replies until one shared deadline; keys are ``0 … n-1`` if not given.

    Never raises for what an actor did: look at ``errors`` and ``missing``.
    """
    gather: Gather[Any, Any] = Gather(len(refs) if keys is None else keys)
    scatter(dispatcher, refs, make_message, gather, wake=False)
    return gather.wait(timeout, dispatcher)
