"""What one sends to: a ``pykka.ActorRef`` that wakes no thread when the caller can do the work itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

import pykka
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from .future import LeanFuture
from .latch import Latch

if TYPE_CHECKING:
    from threading import Event

    from .actor import PooledActor
    from .cell import Cell

__all__ = ["PooledRef"]

A = TypeVar("A", bound="PooledActor")


class PooledRef(pykka.ActorRef[A]):
    """Ref of a ``PooledActor``. It stays valid when the actor behind it is replaced.

    ``tell`` and ``proxy`` are pykka's. All sending raises ``BusyError`` when the mailbox is full.
    """

    def __init__(self, actor: A) -> None:
        super().__init__(actor)
        self.cell: Cell = cast("Cell", actor.actor_inbox)
        """``actor_inbox`` by its real type."""

    def __str__(self) -> str:
        return self.actor_urn

    @property
    def stopped(self) -> Latch:
        """Set when the actor has stopped and ``on_stop`` is over."""
        return cast("Latch", self.actor_stopped)

    # The overloads are pykka's with a narrower future; the checker cannot match overloads that return Any.
    @overload
    def ask(
        self, message: Any, *, block: Literal[False], timeout: float | None = None
    ) -> LeanFuture[Any]: ...

    @overload
    def ask(self, message: Any, *, block: Literal[True], timeout: float | None = None) -> Any: ...

    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any: ...

    def ask(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, message: Any, *, block: bool = True, timeout: float | None = None
    ) -> Any:
        """Send a message and wait for the reply, or get a future with ``block=False``.

        A blocking ask to an idle actor runs it at once in this thread, where its dispatcher allows helping;
        ``timeout`` cannot interrupt a handler then, so an actor that may block belongs on a dispatcher with
        ``helped=False``. Raises what the handler raised, ``pykka.Timeout`` after ``timeout`` seconds (the
        message may still be handled later), and ``pykka.ActorDeadError`` when the actor is stopped or stops
        before the message's turn.
        """
        cell = self.cell
        future: LeanFuture[Any] = LeanFuture(cell)
        envelope = Envelope(message, future)
        if not block:
            cell.put(envelope)
            return future
        scheduler = cell.scheduler
        if scheduler is None or not scheduler.helped:
            cell.put(envelope)
        elif cell.offer(envelope):
            cell.run(scheduler.quantum)
        return future.get(timeout=timeout)

    def post(self, message: Any) -> None:
        """Tell, whatever happens: a full mailbox takes it too, a stopped actor's makes it a dead letter."""
        self.cell.put_always(Envelope(message))

    @overload
    def stop(self, *, block: Literal[True], timeout: float | None = None, hard: bool = False) -> bool: ...

    @overload
    def stop(
        self, *, block: Literal[False], timeout: float | None = None, hard: bool = False
    ) -> LeanFuture[bool]: ...

    @overload
    def stop(
        self, *, block: bool = True, timeout: float | None = None, hard: bool = False
    ) -> bool | LeanFuture[bool]: ...

    def stop(
        self, *, block: bool = True, timeout: float | None = None, hard: bool = False
    ) -> bool | LeanFuture[bool]:
        """Stop the actor once everything sent before is handled; with ``hard``, send that back instead.

        A hard stop also ends an actor that is suspended or waits for the answer to a failure. Returns
        ``True`` when it has stopped (``on_stop`` is over), ``False`` if it had before; raises
        ``pykka.Timeout`` when that takes longer than ``timeout`` seconds.
        """
        cell = self.cell
        future: LeanFuture[bool] = LeanFuture(cell)
        if cell.actor is None:
            future.set(False)
        elif hard:
            cell.stop_hard("the actor was stopped hard", future)
        else:
            # A mailbox that is closed meanwhile answers by itself, so dead and dying look the same here.
            cell.put(Envelope(_ActorStop(), future))
        if block:
            try:
                return future.get(timeout=timeout)
            except pykka.ActorDeadError:
                return False
        return future


def as_event(latch: Latch) -> Event:
    """A latch where pykka's types say ``threading.Event``: ``is_set``, ``set`` and ``wait`` are all it uses."""
    return cast("Event", latch)
