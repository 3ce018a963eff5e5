"""Takes an actor's turns, and decides what a raised exception means.

* Raised for an **ask**, it goes to the asker; the actor lives.
* Raised for a **tell**, it belongs to nobody: the mailbox takes no further turn and the ``on_failure``
  handler is told (see ``failure``). Without a handler the message becomes a dead letter and the actor lives.
* ``SystemExit``, ``KeyboardInterrupt`` and the like are no exception to this, so that one actor cannot stop
  the others; an asker gets ``RuntimeFaultError`` in their place, or it would end the asker's thread.
  Only an interrupt in the main thread goes on upwards as well: that is somebody pressing Ctrl-C while the
  main thread helps, and it is meant for the process.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from pykka._envelope import Envelope
from pykka.messages import (
    ProxyCall,
    ProxyGetAttr,
    ProxySetAttr,
    _ActorStop,
)

from ...protocol.errors import RuntimeFaultError, reason_of
from .failure import Failure
from .latch import OneShot
from .lifecycle import Lifecycle

if TYPE_CHECKING:
    from .actor import PooledActor
    from .future import LeanFuture

__all__ = ["NOT_IDLE", "Cell", "Ping", "Start"]


class Ping:
    """Answered with ``None`` by the cell itself, once everything sent before it was handled."""

    __slots__ = ()


class Start:
    """What an actor is handling while its ``on_start`` runs."""

    __slots__ = ()


NOT_IDLE: Any = object()
"""In place of an answer: the actor is busy, has mail, or has something else to attend to first."""

_CONTROL_TYPES = frozenset({Ping, _ActorStop, ProxyCall, ProxyGetAttr, ProxySetAttr})


class Cell(Lifecycle):
    """Mailbox, actor and its turns. Only one thread at a time is inside ``run``: the one that owes the turn."""

    __slots__ = ()

    def run(self, quantum: int) -> None:
        """Take one turn: handle up to ``quantum`` messages (or one batch), then park.

        The loop is written out here, and parking too: three calls less in a turn of one message.
        """
        try:
            if self._attention and not self._attend():
                return
            actor = self.actor
            assert actor is not None
            if actor.handles_batches:
                self._run_batch_turn(actor)
                return
            waiting = self._queue
            while waiting and quantum > 0 and not self._suspended:
                try:
                    envelope = waiting.popleft()
                except IndexError:
                    return  # a hard stop has just emptied it
                quantum -= 1
                self.handling = envelope
                message = envelope.message
                if message.__class__ in _CONTROL_TYPES:
                    if not self._control(envelope):
                        return
                    continue
                try:
                    reply = actor.on_receive(message)
                except BaseException as error:  # noqa: BLE001 - see the module's docstring
                    if not self._raised((envelope,), error):
                        return
                    continue
                if envelope.reply_to is not None:
                    envelope.reply_to.set(reply)
        finally:
            self.handling = None
            self._idle.release()
            if self._queue or self._attention:
                self._schedule_if_needed()

    def ask_idle(self, message: Any) -> Any:
        """The actor's answer to a message, taken in this thread and at once; ``NOT_IDLE`` if it is busy.

        Takes the turn that an ask would be given next, without the letter: nothing waits in front of it.
        Raises what the handler raises. Not for actors that implement ``on_batch``.
        """
        if not self._idle.acquire(False):
            return NOT_IDLE
        try:
            actor = self.actor
            if self._attention or self._queue or actor is None:
                return NOT_IDLE
            self.handling = message
            return actor.on_receive(message)
        finally:
            self.handling = None
            self._idle.release()
            if self._queue or self._attention:
                self._schedule_if_needed()

    def _attend(self) -> bool:
        """Do what comes before ordinary mail. Returns whether ordinary mail may be handled now."""
        # Cleared before looking: whoever changes something sets it afterwards, so no change is overlooked.
        self._attention = False
        if self._closed:
            self._finish()
            return False
        if self._suspended or self._failure is not None:
            self._attention = True
            return False
        return (not self._starting or self._start()) and (not self._retries or self._run_retries())

    def wait_for(self, flag: OneShot, timeout: float | None) -> bool:
        """Wait until ``flag`` is set; where the dispatcher allows it, by running its actors meanwhile."""
        dispatcher = self.scheduler
        if dispatcher is not None and dispatcher.helped:
            return dispatcher.help_until(flag, timeout, self)
        return flag.wait(timeout)

    def _run_batch_turn(self, actor: PooledActor) -> None:
        waiting = self._queue
        size_max = max(actor.batch_messages_max, 1)
        batch: list[Envelope[Any]] = []
        control: Envelope[Any] | None = None
        while control is None and waiting and len(batch) < size_max:
            try:
                envelope = waiting.popleft()
            except IndexError:
                break  # a hard stop has just emptied it
            if envelope.message.__class__ in _CONTROL_TYPES:
                control = envelope
            else:
                batch.append(envelope)
        goes_on = not batch
        try:
            goes_on = goes_on or self._run_batch(actor, batch)
        finally:
            if control is not None and not goes_on:
                waiting.appendleft(control)
        if control is not None and goes_on:
            self.handling = control
            self._control(control)

    def _run_batch(self, actor: PooledActor, batch: list[Envelope[Any]], attempts: int = 1) -> bool:
        # A copy: the handler may do to its list what it likes.
        self.handling = envelopes = tuple(batch)
        try:
            actor.on_batch(batch)
        except BaseException as error:  # noqa: BLE001
            return self._raised(envelopes, error, attempts)
        return True

    def _run_retries(self) -> bool:
        """Hand failed letters over again, one at a time: that finds the poisonous one of a batch."""
        retries, actor = self._retries, self.actor
        assert actor is not None
        while retries and not self._suspended:
            envelope, attempts = retries.popleft()
            if actor.handles_batches:
                if not self._run_batch(actor, [envelope], attempts + 1):
                    return False
                continue
            self.handling = (envelope, attempts)
            try:
                actor.on_receive(envelope.message)
            except BaseException as error:  # noqa: BLE001
                if not self._raised((envelope,), error, attempts + 1):
                    return False
        return not self._suspended

    def _control(self, envelope: Envelope[Any]) -> bool:
        """Handle what is not for the actor's own handler. Returns whether the actor goes on."""
        message, actor, reply_to = envelope.message, self.actor, envelope.reply_to
        assert actor is not None
        if isinstance(message, _ActorStop):
            if reply_to is not None:
                self._answer_when_stopped(cast("LeanFuture[bool]", reply_to))
            self.close("the actor was stopped")
            self._finish()
            return False
        try:
            # pykka's own interpretation of proxy messages; the only private method of its Actor we call.
            reply = None if isinstance(message, Ping) else actor._handle_receive(message)
        except BaseException as error:  # noqa: BLE001
            return self._raised((envelope,), error)
        if reply_to is not None:
            reply_to.set(reply)
        return True

    def _raised(self, envelopes: Sequence[Envelope[Any]], error: BaseException, attempts: int = 1) -> bool:
        """Settle what a handler raised. Returns whether the actor may go on with its turn."""
        tells = tuple(envelope for envelope in envelopes if envelope.reply_to is None)
        if len(tells) < len(envelopes):
            shown = error if isinstance(error, Exception) else self._contained(error)
            for envelope in envelopes:
                if envelope.reply_to is not None:
                    envelope.reply_to.set_exception((type(shown), shown, shown.__traceback__))
        goes_on = not tells or self._fail(tells, error, attempts)
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            self._attention = True  # for letters to be retried, whose turn this interrupts
            raise error
        return goes_on

    def _contained(self, error: BaseException) -> RuntimeFaultError:
        contained = RuntimeFaultError(f"{self.name} raised {reason_of(error)} while it handled this message")
        contained.__cause__ = error
        return contained

    def _fail(self, tells: tuple[Envelope[Any], ...], error: BaseException, attempts: int) -> bool:
        if self._report(tells, error, attempts):
            return False
        self._bury(tells, reason_of(error), attempts)
        return True

    def _report(self, tells: tuple[Envelope[Any], ...], error: BaseException, attempts: int) -> bool:
        """Tell the ``on_failure`` handler. ``False``: there is none, or it raised without answering."""
        actor, handler = self.actor, self.on_failure
        assert actor is not None
        self._guard("on_failure hook", actor.on_failure, type(error), error, error.__traceback__)
        if handler is None:
            return False
        failure = self._failure = Failure(self, self.ref, tells, error, attempts)
        self._attention = True
        if self._guard("on_failure handler", handler, failure) or not failure.claim():
            return True
        self._failure = None
        return False

    def _start(self) -> bool:
        """Run ``on_start``. An actor whose failed start nobody looks after is stopped."""
        actor = self.actor
        assert actor is not None
        self._starting = False
        self._start_attempts += 1
        self.handling = Envelope(Start())
        try:
            actor.on_start()
        except BaseException as error:  # noqa: BLE001
            if not self._report((), error, self._start_attempts):
                reason = f"on_start raised {reason_of(error)}"
                self.scheduler.dead_letters.add(self.name, reason, None, self._start_attempts)
                self.close(reason)
                self._finish()
            return False
        self._start_attempts = 0
        return True
