"""The queue in front of an actor: bounded, suspendable, and able to close without leaving an ask unanswered.

It has pykka's inbox protocol (``put``, ``get``, ``empty``). Two races decide its shape, and both are settled
by order instead of a lock:

*Who schedules?* ``_idle`` is a raw lock used as test-and-set. Whoever takes it owes the dispatcher one
``schedule``; whoever has run the actor gives it back and then looks again for mail that came meanwhile.

*Who answers mail that comes while it closes?* pykka checks "alive?" and then puts, so an ask can land in a
queue that nobody reads any more. Here the putter appends first and looks at ``_closed`` afterwards, the closer
sets ``_closed`` first and empties the queue afterwards: one of the two sees every letter, and ``popleft``
gives it to one of them only.
"""

from __future__ import annotations

import queue
from _thread import allocate_lock
from collections import deque
from typing import Any, Protocol

import pykka
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from ...protocol.errors import BusyError
from .dead_letters import DeadLetters

__all__ = ["MESSAGES_MAX", "Mailbox", "Scheduler"]

MESSAGES_MAX = 100_000
"""Bound of a mailbox for which none is given."""

TURNED_AWAY_RETRY_MS = 1_000


class Scheduler(Protocol):
    """Where a mailbox with mail asks for a turn."""

    dead_letters: DeadLetters

    def schedule(self, mailbox: Any, /) -> None:
        """Give the mailbox a turn soon. Called by whoever took ``_idle``."""
        ...


class Mailbox:
    """Mail of one actor, in order of arrival.

    It is created unopened: it takes mail, but asks for no turn before ``open``.
    """

    __slots__ = (
        "_attention",
        "_closed",
        "_closed_reason",
        "_idle",
        "_queue",
        "_suspended",
        "_turned_away",
        "messages_max",
        "name",
        "scheduler",
    )

    def __init__(self, name: str = "", messages_max: int = MESSAGES_MAX) -> None:
        self.name = name
        self.messages_max = messages_max
        """Bound on waiting messages. Threads that put at the same instant may exceed it by one each."""
        self.scheduler: Any = None  # set before open(); Any saves a check in every put
        self._queue: deque[Envelope[Any]] = deque()
        self._idle = allocate_lock()
        self._idle.acquire()
        self._suspended = False
        self._attention = True
        """Set after each change that a turn has to look at before the mail."""
        self._closed = False
        self._closed_reason = ""
        self._turned_away: tuple[str, int] | None = None
        """Why nothing is taken, and the bound that holds otherwise."""

    def __len__(self) -> int:
        """Mailbox depth: messages waiting."""
        return len(self._queue)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.name}: {len(self._queue)} waiting>"

    @property
    def closed(self) -> bool:
        """Whether late mail is sent back."""
        return self._closed

    @property
    def suspended(self) -> bool:
        """Whether it takes mail without being given turns."""
        return self._suspended

    @property
    def at_rest(self) -> bool:
        """Whether everything that the calling thread put before has been handled, to the end of its turn."""
        # In this order: what is no longer waiting was taken in a turn, and a turn holds _idle to its end.
        return not self._queue and not self._idle.locked()

    def offer(self, envelope: Envelope[Any], /) -> bool:
        """Take a letter. ``True`` means that the caller now owes a turn: ``schedule``, or running it.

        Raises ``BusyError`` when ``messages_max`` are waiting; a request to stop is always taken.
        """
        waiting = self._queue
        if len(waiting) >= self.messages_max and not isinstance(envelope.message, _ActorStop):
            raise self._full(len(waiting))
        return self._accept(envelope)

    def _full(self, waiting: int) -> BusyError:
        if self._turned_away is not None:
            return BusyError(self._turned_away[0], TURNED_AWAY_RETRY_MS)
        return BusyError(
            f"mailbox of {self.name} was full: {waiting} messages wait, at most {self.messages_max} may"
        )

    def turn_away(self, reason: str) -> None:
        """Take nothing but what is put always, and answer every ask that waits with ``BusyError``, until
        :meth:`welcome`: whoever asks an actor that does not get to his question need not wait to learn it."""
        if self._turned_away is None:
            self._turned_away = (reason, self.messages_max)
            self.messages_max = 0
        error = BusyError(reason, TURNED_AWAY_RETRY_MS)
        for envelope in tuple(self._queue):
            if envelope.reply_to is not None and not isinstance(envelope.message, _ActorStop):
                envelope.reply_to.set_exception((BusyError, error, None))

    def welcome(self) -> None:
        """End :meth:`turn_away`."""
        if self._turned_away is not None:
            self.messages_max = self._turned_away[1]
            self._turned_away = None

    def _accept(self, envelope: Envelope[Any]) -> bool:
        self._queue.append(envelope)
        if self._closed:
            self._return_waiting()
            return False
        return self._idle.acquire(False)

    def put(self, envelope: Envelope[Any], /) -> None:
        """Take a letter and ask for a turn. Raises ``BusyError`` as ``offer`` does."""
        if self.offer(envelope):
            self.scheduler.schedule(self)

    def put_always(self, envelope: Envelope[Any], /) -> None:
        """As ``put``, over the bound too: for actors that must not lose what they have begun."""
        if self._accept(envelope):
            self.scheduler.schedule(self)

    def get(self) -> Envelope[Any]:
        """The oldest letter. Never blocks: raises ``queue.Empty``."""
        try:
            return self._queue.popleft()
        except IndexError:
            raise queue.Empty from None

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._queue

    def suspend(self) -> None:
        """Go on taking mail, but take no further turn; a message being handled is finished."""
        self._suspended = True
        self._attention = True

    def resume(self) -> None:
        """Take turns again."""
        self._suspended = False
        self._schedule_if_needed()

    def open(self) -> None:
        """Start asking for turns, now that ``scheduler`` is known. To be called once."""
        self.park()

    def park(self) -> None:
        """End a turn: ask for another if there is mail, else become idle. Only for whoever has the turn."""
        self._idle.release()
        # Mail that came before the release saw a mailbox in use, and left the scheduling to us.
        self._schedule_if_needed()

    def close(self, reason: str) -> None:
        """Send everything back, now and from now on: an ask is answered with ``pykka.ActorDeadError`` at
        once, a tell becomes a dead letter with ``reason``."""
        if not self._closed:
            self._closed_reason = reason
            self._closed = True
            self._attention = True
        self._return_waiting()

    def _schedule_if_needed(self) -> None:
        if self._has_work() and self._idle.acquire(False):
            self.scheduler.schedule(self)

    def _has_work(self) -> bool:
        return bool(self._queue) and not self._suspended

    def _return_waiting(self) -> None:
        waiting = self._queue
        while waiting:
            try:
                envelope = waiting.popleft()
            except IndexError:
                return
            self._return(envelope)

    def _return(self, envelope: Envelope[Any], attempts: int = 0) -> None:
        if envelope.reply_to is not None:
            error = pykka.ActorDeadError(f"{self.name} did not handle the message: {self._closed_reason}")
            envelope.reply_to.set_exception((pykka.ActorDeadError, error, None))
        elif not isinstance(envelope.message, _ActorStop):
            self.scheduler.dead_letters.add(self.name, self._closed_reason, envelope.message, attempts)
