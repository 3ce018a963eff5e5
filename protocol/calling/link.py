"""The one connection of a blocking client, shared by its threads.

Whoever waits for an answer reads for all (leader and followers): a call that is alone goes out and comes back
in its own thread, with no hand-over. A thread of our own, the *reader*, exists only once there is something
that nobody waits for: replies of ``*_nowait`` calls, and subscriptions. It watches the socket while no caller leads.

What is done with ``_lock`` held never blocks. Only the leader connects, reads and disconnects, and it sleeps
on the socket without the lock; anybody may write.
"""

from __future__ import annotations

import os
import select
import threading
from _thread import LockType
from collections.abc import Callable
from time import monotonic
from typing import Any

from ..addresses import Address
from ..errors import ClosedError, ConnectionLostError, HandicapperError
from .carrier import NEVER, Carrier
from .dialing import Doorbell, quiet_close
from .events import Event
from .exchange import Exchange
from .followers import Followers, sleep_at
from .reader import Reader
from .replies import Reply

__all__ = ["Link"]


class Link:
    """Moves the bytes of an :class:`Exchange`, in whichever thread waits for them."""

    def __init__(
        self,
        address: Address,
        exchange: Exchange,
        connect_timeout_seconds: float,
        on_events: Callable[[list[Event]], None],
    ) -> None:
        self.exchange = exchange
        self._carrier = Carrier(address, exchange, connect_timeout_seconds)
        self._connect_timeout_seconds = connect_timeout_seconds
        self._on_events = on_events
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._leading = False
        self._followers = Followers()
        self._closed = False
        self._sleep_until = 0.0
        """When the leader will look at the clock by itself."""
        self._doorbell = Doorbell()
        self._poll = select.poll()
        self._poll.register(self._doorbell.fd, select.POLLIN)
        self._polled = (-1, 0)
        """Descriptor and mask of the socket, as the poll object has them."""
        self._reader: Reader | None = None

    def open(self) -> None:
        """Connect, greet, and return; one attempt only.

        Raises:
            ConnectionLostError: nobody listens there, or it took too long.
            HandicapperError: the server refused.

        """
        carrier, until = self._carrier, monotonic() + self._connect_timeout_seconds
        self._leading = True
        try:
            while self.exchange.state != "up":
                if carrier.polled[0] != -1:
                    if not self._turn(until):
                        break
                elif carrier.failure is None or carrier.more_targets:
                    self._dial()
                else:
                    break
        finally:
            self._stand_down()
        if self.exchange.state != "up":
            raise carrier.failure or ConnectionLostError(carrier.text("it took too long"))

    # ------------------------------------------------------------------ calling

    @property
    def usable(self) -> bool:
        """Whether this is the process that made it."""
        return os.getpid() == self._pid

    def check_usable(self) -> None:
        """Raise ClosedError in a forked child: two processes on one connection would read each other's answers."""
        if os.getpid() != self._pid:
            raise ClosedError(
                f"this client belongs to process {self._pid}, of which this one was forked; make one here"
            )

    def submit(self, call: Reply[Any], *, unattended: bool = False) -> None:
        """Send a call, or see to it that it will be; ``unattended``: whether or not anybody waits for it."""
        self.check_usable()
        with self._lock:
            self.exchange.add(call, watched=unattended, bounded=unattended)
            self._write()
            if unattended:
                self._start_reader()
                if not self._leading:
                    self._watch()
                elif call.deadline < self._sleep_until:
                    self._doorbell.ring()

    def submit_all(self, calls: list[Reply[Any]]) -> None:
        """Send several calls in as few writes as possible."""
        self.check_usable()
        with self._lock:
            for call in calls:
                self.exchange.add(call)
            self._write()

    def _write(self) -> None:
        """Write what the socket takes; notifications are thereby done."""
        self._carrier.write()
        if self._carrier.stalled and self._leading:
            self._doorbell.ring()
        self._settle()

    def give_up(self, call: Reply[Any], error: HandicapperError | None = None) -> None:
        """Nobody waits for a call any more, by default because its deadline has passed."""
        if not self.usable:
            return  # what was forked off may find the lock held for ever
        with self._lock:
            self.exchange.give_up(call, error)
            self._settle()
            if self.exchange.stuck:
                self._carrier.hang_up()

    def call_back(self, call: Reply[Any], callback: Callable[[Any], Any]) -> bool:
        """Keep a callback until the call is done; True if it is done already."""
        self.check_usable()
        with self._lock:
            if not call.done:
                call.callbacks = [*(call.callbacks or ()), callback]
                self._start_reader()
            return call.done

    def wait(self, call: Reply[Any], until: float) -> bool:
        """Return once a call is done, or ``until`` has passed: tells whether it is done."""
        self.check_usable()
        while not call.done and monotonic() < until:
            with self._lock:
                if call.done or self._closed:
                    break
                gate = self._followers.join(call) if self._leading else self._lead()
            if gate is None:
                try:
                    while not call.done and self._turn(until):
                        pass
                finally:
                    self._stand_down()
            else:
                self._sleep(gate, until)
        return call.done

    # ------------------------------------------------------- leader and followers

    def _sleep(self, gate: LockType, until: float) -> None:
        """Until the call is done, or this thread is to lead, or the time is up."""
        try:
            sleep_at(gate, until)
        finally:
            with self._lock:
                # Perhaps told to lead just when it stopped waiting: then somebody else has to.
                if self._followers.leave(gate) and not self._leading and not self._closed:
                    self._choose_leader()

    def _lead(self) -> None:
        self._leading = True
        if self._reader is not None:
            self._reader.disarm()

    def _stand_down(self) -> None:
        """The leader leaves: another thread that waits takes over, or the reader, if there is one."""
        with self._lock:
            self._leading = False
            if self._closed:
                self._release()
            else:
                self._choose_leader()

    def _choose_leader(self) -> None:
        if not self._followers.wake_one():
            self._watch()

    def _turn(self, until: float) -> bool:
        """Sleep until something happens on the socket, and handle it; False once ``until`` has passed.

        For the leader only. ``until=0`` does not sleep.
        """
        now = monotonic()
        if until and now >= until:
            return False
        if self._carrier.should_dial(now):
            self._dial()
            if self.exchange.broken is not None:
                return not self._closed  # every call has ended: there is nothing to sleep for
        with self._lock:
            self._sleep_until = min(until, self._carrier.next_at())
            self._register()
        ready = dict(self._poll.poll(_poll_ms(self._sleep_until - now)))
        with self._lock:
            self._step(ready)
            self._settle()
        return not self._closed

    def _step(self, ready: dict[int, int]) -> None:
        if self._doorbell.fd in ready:
            self._doorbell.answer()
        try:
            if not self._closed:
                self._carrier.step(ready.get(self._polled[0], 0))
        except BaseException:
            # Half of what was read is lost, so the connection is; what may be asked again will be.
            self._carrier.drop("interrupted")
            self._settle()
            raise

    def _dial(self) -> None:
        begun = self._carrier.dial()
        with self._lock:
            if not self._closed:
                self._carrier.dialled(begun)
                self._settle()
            elif not isinstance(begun, OSError):
                quiet_close(begun)

    def _register(self) -> None:
        """Have the poll object watch what is to be watched now."""
        wanted, known = self._carrier.polled, self._polled
        if wanted != known:
            if known[0] not in (-1, wanted[0]):
                self._poll.unregister(known[0])
            if wanted[0] != -1:
                self._poll.register(*wanted)
            self._polled = wanted

    def _settle(self) -> None:
        """Let those go on whose calls are done, and have those called back who want to be."""
        exchange, reader = self.exchange, self._reader
        if exchange.finished:
            finished: list[Any] = exchange.finished
            exchange.finished = []
            for call in finished:
                if call.gates:
                    self._followers.wake_for(call)
                if call.callbacks and reader is not None:
                    reader.post(call.run_callbacks)
        if exchange.events:
            events = exchange.events
            exchange.events = []
            if reader is not None:
                reader.post(lambda: self._on_events(events))

    # ---------------------------------------------------------------- the reader

    def need_reader(self) -> None:
        """From now on there is something that nobody may be waiting for."""
        self.check_usable()
        with self._lock:
            self._start_reader()

    def _start_reader(self) -> None:
        if self._reader is None and not self._closed:
            self._reader = Reader(self._read_for_nobody)

    def _watch(self) -> None:
        """Nobody leads: let the reader watch the socket and the clock, if there is one."""
        reader = self._reader
        if reader is not None:
            fd, mask = self._carrier.polled
            if fd != -1:
                reader.arm(fd, mask)
            if self._carrier.next_at() < reader.until:
                reader.wake()

    def _read_for_nobody(self) -> float | None:
        """A turn of the reader's; when it has to take the next one at the latest, None if it is over."""
        with self._lock:
            if self._closed:
                return None
            lead = not self._leading
            if lead:
                self._lead()
        if lead:
            try:
                self._turn(0)
            finally:
                self._stand_down()
        with self._lock:
            if self._closed or self._reader is None:
                return None
            self._reader.until = NEVER if self._leading else self._carrier.next_at()
            return self._reader.until

    # ------------------------------------------------------------------- the end

    def drain(self, until: float) -> None:
        """Wait for the calls under way, as long as there is a connection."""
        with self._lock:
            calls = [call for call in self.exchange.under_way() if isinstance(call, Reply)]
        for call in calls:
            if self.exchange.state != "up" or not self.wait(call, until):
                return

    def close(self, error: HandicapperError) -> None:
        """End every call with ``error``, close the connection, end the reader. Safe to call twice."""
        if not self.usable:
            self._release()
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self.exchange.close(error)
            self._settle()
            if self._leading:
                self._doorbell.ring()
            else:
                self._release()
            reader = self._reader
        if reader is not None:
            reader.stop()

    def _release(self) -> None:
        """Give the descriptors back. Harmless in a forked child: the parent's connection stays as it is."""
        self._carrier.close()
        self._doorbell.close()


def _poll_ms(seconds: float) -> float | None:
    """For ``poll``, which counts in milliseconds and takes no more than an int."""
    return None if seconds == NEVER else min(max(seconds, 0.0) * 1000, 2**31 - 1)
