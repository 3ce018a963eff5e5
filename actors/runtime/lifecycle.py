"""A mailbox with its actor: replacing the actor behind the ref, answering failures, stopping.

The mailbox holds the only strong reference to the actor, so that replacing it is one assignment: refs and
waiting mail stay valid.
"""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pykka
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from ...protocol.errors import reason_of
from .failure import Failure, FailureHandler
from .mailbox import Mailbox

if TYPE_CHECKING:
    from .actor import PooledActor
    from .future import LeanFuture
    from .ref import PooledRef

__all__ = ["Lifecycle"]

_logger = logging.getLogger(__name__)


class Lifecycle(Mailbox):
    """What surrounds the turns of an actor. ``Cell`` adds the turns."""

    __slots__ = (
        "__weakref__",
        "_failure",
        "_retries",
        "_start_attempts",
        "_starting",
        "actor",
        "handling",
        "on_failure",
        "ref",
    )

    ref: PooledRef[Any]

    def __init__(self) -> None:
        super().__init__()
        self.actor: PooledActor | None = None
        """``None`` before it is adopted and once it is stopped."""
        self.handling: Any = None
        """What it was given to handle: a letter, a tuple of them, or a message without one; None between turns.
        Never the same object twice in a row, so that a watchdog can tell whether it has gone on."""
        self.on_failure: FailureHandler | None = None
        self._failure: Failure | None = None
        self._retries: deque[tuple[Envelope[Any], int]] | None = None
        """Failed letters to be tried again before all others, each with its number of attempts so far."""
        self._starting = False
        self._start_attempts = 0

    @property
    def failure(self) -> Failure | None:
        """The failure that waits for an answer, if there is one."""
        return self._failure

    def adopt(self, actor: PooledActor) -> None:
        """Make ``actor`` the one behind this mailbox and its ref; its ``on_start`` runs before it gets mail."""
        ref = self.ref
        actor.actor_urn = ref.actor_urn
        actor.actor_inbox = self
        actor.actor_stopped = ref.actor_stopped
        actor._actor_ref = ref
        ref._actor_weakref = weakref.ref(actor)
        self.actor = actor
        self._starting = type(actor).on_start is not pykka.Actor.on_start
        self._attention = True

    # ------------------------------------------------------------------ answers to a failure

    def recover(self, failure: Failure, retry: bool, actor: PooledActor | None) -> bool:
        """See ``Failure.resume``."""
        if actor is not None:
            self.adopt(actor)
        elif failure.on_start_failed:
            self._starting = retry
        if retry:
            retries = self._retries
            if retries is None:
                retries = self._retries = deque()
            retries.extendleft((envelope, failure.attempts) for envelope in reversed(failure.envelopes))
        else:
            self._bury(failure.envelopes, reason_of(failure.exception), failure.attempts)
        self._attention = True
        self._failure = None
        if self._closed:  # a hard stop came first
            self._return_waiting()
            if self.ref.stopped.is_set():
                self.actor = None
            return False
        self._schedule_if_needed()
        return True

    def give_up(self, failure: Failure) -> bool:
        """See ``Failure.stop``."""
        was_closed = self._closed
        self._bury(failure.envelopes, reason_of(failure.exception), failure.attempts)
        self._failure = None
        self.stop_hard(f"the actor failed: {reason_of(failure.exception)}")
        return not was_closed

    # ------------------------------------------------------------------ stopping

    def stop_hard(self, reason: str, reply_to: LeanFuture[bool] | None = None) -> None:
        """Stop after the message being handled: what waits is sent back. ``on_stop`` runs on the dispatcher.

        ``reply_to`` is given ``True`` when it has stopped, ``False`` if it had before.
        """
        if reply_to is not None:
            self._answer_when_stopped(reply_to)
        self.close(reason)
        self._schedule_if_needed()

    def abandon(self, reason: str) -> None:
        """Stop here and now, in the calling thread, which owes the turn."""
        self.close(reason)
        self._finish()
        self._idle.release()

    def _answer_when_stopped(self, reply_to: LeanFuture[bool]) -> None:
        if self.actor is None:
            reply_to.set(False)
        else:
            self.ref.stopped.add_callback(partial(reply_to.set, True))

    def _finish(self) -> None:
        """Last act of an actor. Only for whoever has the turn."""
        actor = self.actor
        if actor is None:
            return
        self._guard("on_stop", actor.on_stop)
        failure = self._failure
        if failure is not None and failure.claim():
            self._bury(failure.envelopes, self._closed_reason, failure.attempts)
            self._failure = None
        self._return_waiting()
        self.actor = None
        self.ref.stopped.set()

    def _has_work(self) -> bool:
        if self._closed:
            return self.actor is not None
        if self._queue or self._starting or self._retries:
            return not self._suspended and self._failure is None
        return False

    def _return_waiting(self) -> None:
        retries = self._retries
        while retries:
            try:
                envelope, attempts = retries.popleft()
            except IndexError:
                break
            self._return(envelope, attempts)
        super()._return_waiting()

    def _return(self, envelope: Envelope[Any], attempts: int = 0) -> None:
        reply_to: Any = envelope.reply_to
        if reply_to is not None and self.actor is not None and isinstance(envelope.message, _ActorStop):
            self._answer_when_stopped(reply_to)  # asked to stop while it stops
        else:
            super()._return(envelope, attempts)

    # ------------------------------------------------------------------ what has no one to be raised to

    def _bury(self, envelopes: Sequence[Envelope[Any]], reason: str, attempts: int) -> None:
        for envelope in envelopes:
            self.scheduler.dead_letters.add(self.name, reason, envelope.message, attempts)

    def _guard(self, what: str, function: Callable[..., Any], *arguments: Any) -> bool:
        """Call something of the user's whose exception nobody waits for. Returns whether it returned."""
        try:
            function(*arguments)
        except BaseException as error:
            _logger.exception("%s of %s raised", what, self.name)
            self.scheduler.dead_letters.add(self.name, f"{what} raised {reason_of(error)}", None)
            return False
        return True
