"""What an actor's supervisor is told when a handler raised, and how it answers."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import pykka
from pykka._envelope import Envelope

if TYPE_CHECKING:
    from .actor import PooledActor
    from .cell import Cell

__all__ = ["Failure", "FailureHandler"]


class Failure:
    """A handler raised, its actor takes no turn until this is answered: ``resume`` or ``stop``, once.

    Mail goes on being accepted meanwhile, up to the mailbox's bound. May be answered from any thread, at once
    or later; the first answer counts.
    """

    __slots__ = ("_cell", "_claim", "attempts", "envelopes", "exception", "ref")

    def __init__(
        self,
        cell: Cell,
        ref: pykka.ActorRef[Any],
        envelopes: tuple[Envelope[Any], ...],
        exception: BaseException,
        attempts: int,
    ) -> None:
        self._cell = cell
        self._claim = allocate_lock()
        self.ref = ref
        self.envelopes = envelopes
        """The letters not handled. Asks are not among them: their askers have the exception."""
        self.exception = exception
        self.attempts = attempts
        """How often the first of these messages (or ``on_start``) was tried by now; 1 after the first failure."""

    def __repr__(self) -> str:
        return f"<Failure of {self.name}, attempt {self.attempts}: {self.exception!r}>"

    @property
    def name(self) -> str:
        """The actor's name."""
        return self._cell.name

    @property
    def message(self) -> Any:
        """The message that failed, or the first of its batch; ``None`` when ``on_start`` failed."""
        return self.envelopes[0].message if self.envelopes else None

    @property
    def messages(self) -> tuple[Any, ...]:
        """All messages of a batch that failed; they are tried one at a time when retried."""
        return tuple(envelope.message for envelope in self.envelopes)

    @property
    def on_start_failed(self) -> bool:
        """Whether it was ``on_start`` that raised, so that no message is involved."""
        return not self.envelopes

    def resume(self, *, retry: bool, actor: PooledActor | None = None) -> bool:
        """Let the actor go on with its mail, in order.

        ``retry``: hand it the failed message again, before everything else; otherwise that becomes a dead
        letter with the exception as its reason. ``actor``: a new instance that takes the old one's place
        behind the same ref and mailbox; its ``on_start`` runs first. After a failed ``on_start``, ``retry``
        runs it again.

        Returns ``False`` when the failure was answered before or the actor has been stopped.
        """
        return self.claim() and self._cell.recover(self, retry, actor)

    def stop(self) -> bool:
        """Give the actor up: its waiting mail is sent back, ``on_stop`` runs. Return value as ``resume``."""
        return self.claim() and self._cell.give_up(self)

    def claim(self) -> bool:
        """Become the one who answers. Internal."""
        return self._claim.acquire(False)


FailureHandler: TypeAlias = Callable[[Failure], Any]
