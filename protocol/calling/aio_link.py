"""The one connection of an asyncio client: a shell around an :class:`~.exchange.Exchange` on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from ..addresses import Address, UnixAddress
from ..errors import ClosedError, ConnectionLostError, HandicapperError
from .dialing import Backoff, tune
from .events import Event
from .exchange import Exchange
from .outbox import Call
from .requests import Spec

__all__ = ["AsyncCall", "AsyncLink"]

T = TypeVar("T")


class AsyncCall(Call[T]):
    """One request under way, and the future that waits for it."""

    __slots__ = ("future",)

    def __init__(
        self, spec: Spec, msgid: int | None, data: bytes, deadline: float, future: asyncio.Future[T]
    ) -> None:
        super().__init__(spec, msgid, data, deadline)
        self.future = future

    def settle(self) -> None:
        """Tell whoever waits, if it still does."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)


class AsyncLink:
    """Moves the bytes of an exchange. Calls made in one go of the loop leave in one write."""

    def __init__(
        self,
        address: Address,
        exchange: Exchange,
        connect_timeout_seconds: float,
        on_events: Callable[[list[Event]], None],
        on_broken: Callable[[HandicapperError], None],
    ) -> None:
        self.exchange = exchange
        self.loop = asyncio.get_running_loop()
        self._address = address
        self._connect_timeout_seconds = connect_timeout_seconds
        self._on_events = on_events
        self._on_broken = on_broken
        self._backoff = Backoff()
        self._wire: Wire | None = None
        self._ending: set[Wire] = set()
        """Connections that the loop has not done with yet."""
        self._failure: HandicapperError | None = None
        """What the newest attempt to connect, or the newest connection, ended with."""
        self._greeted: asyncio.Future[None] | None = None
        """Waits for the end of an attempt to connect."""
        self._connector: asyncio.Task[None] | None = None
        self._flush_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    # ------------------------------------------------------------------ calling

    def check_usable(self) -> None:
        """Raise ClosedError where another event loop runs, or none: this one's futures are of no use there."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is not self.loop:
            raise ClosedError("this client belongs to another event loop; make one in this one")

    def submit(self, call: AsyncCall[Any], *, bounded: bool = False) -> None:
        """Send a call at the end of this go of the loop, or as soon as there is a connection."""
        self.check_usable()
        self.exchange.add(call, watched=True, bounded=bounded)
        if self.exchange.state != "up":
            self._ensure_connecting()
        elif not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush)
        if self._timer is None or call.deadline < self._timer.when():
            self._set_timer()

    def give_up(self, call: AsyncCall[Any], error: HandicapperError | None = None) -> None:
        """Nobody waits for a call any more."""
        self.exchange.give_up(call, error)
        self._settle()

    def _flush(self) -> None:
        self._flush_due = False
        wire, exchange = self._wire, self.exchange
        while wire is not None and wire.writable and (chunk := exchange.outgoing()) is not None:
            wire.transport.write(chunk)
            exchange.sent(len(chunk))
        self._settle()

    def _settle(self) -> None:
        """Tell those whose calls are done, and those who listen."""
        exchange = self.exchange
        finished: list[Any] = exchange.finished
        if finished:
            exchange.finished = []
            for call in finished:
                call.settle()
        events = exchange.events
        if events:
            exchange.events = []
            self._on_events(events)

    # -------------------------------------------------------------------- time

    def _set_timer(self) -> None:
        """Tick when something is due. A timer that is too early is left as it is: it costs one look."""
        due = self.exchange.next_due()
        if due is None or self._closed or (self._timer is not None and self._timer.when() <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.exchange.due(self.loop.time())
        if self.exchange.stuck and self._wire is not None:
            self._drop("the server answers nothing any more")
        self._flush()
        self._set_timer()

    # -------------------------------------------------------------- connecting

    async def open(self) -> None:
        """Connect, greet, and return; one attempt only.

        Raises:
            ConnectionLostError: nobody listens there, or it took too long.
            HandicapperError: the server refused.

        """
        failure = await self._attempt()
        if failure is not None:
            raise failure

    def _ensure_connecting(self) -> None:
        if self._connector is None and not self._closed and self.exchange.broken is None:
            self._connector = self.loop.create_task(self._connect(), name="handicapper-connect")

    async def _connect(self) -> None:
        """Connect, again and again, as long as somebody wants it."""
        try:
            while self.exchange.state == "down" and self.exchange.wanted:
                if await self._attempt() is not None:
                    await asyncio.sleep(self._backoff.failed())
        finally:
            self._connector = None

    async def _attempt(self) -> HandicapperError | None:
        """One attempt; what it failed with."""
        self._failure = None
        self._greeted = self.loop.create_future()
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                await self._dial()
                await self._greeted
        except TimeoutError:
            self._drop(f"it took longer than {self._connect_timeout_seconds:g} s")
        except OSError as error:
            self._drop(str(error))
        finally:
            self._greeted = None
        return self._failure

    async def _dial(self) -> None:
        if isinstance(self._address, UnixAddress):
            await self.loop.create_unix_connection(lambda: Wire(self), self._address.path)
        else:
            await self.loop.create_connection(lambda: Wire(self), self._address.host, self._address.port)

    # ------------------------------------------------------------ from the wire

    def connected(self, wire: Wire) -> None:
        """There is a connection."""
        self._ending.add(wire)
        if self._closed:
            wire.transport.abort()
            return
        tune(wire.transport.get_extra_info("socket"))
        self._wire = wire
        self.exchange.connected()
        self._flush()

    def received(self, wire: Wire, data: bytes) -> None:
        """The server sent something."""
        if wire is not self._wire:
            return
        try:
            self.exchange.received(data, self.loop.time())
        except HandicapperError as error:
            self._drop(error)
            return
        if self._greeted is not None and self.exchange.state == "up":
            self._backoff.succeeded()
            self._end_attempt()
        self._flush()
        # Told to come back later, or released from something that waited for a place.
        self._set_timer()

    def writable(self, wire: Wire) -> None:
        """The socket takes more again."""
        if wire is self._wire:
            self._flush()

    def lost(self, wire: Wire, error: Exception | None) -> None:
        """The connection is gone."""
        self._ending.discard(wire)
        if wire is self._wire:
            self._drop("the server closed the connection" if error is None else str(error))

    def _drop(self, reason: HandicapperError | str) -> None:
        """End the connection, or the attempt to make one; go on to the next if somebody wants one."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.transport.abort()
        text = f"no connection to {self._address}: {reason}"
        self._failure = ConnectionLostError(text) if isinstance(reason, str) else reason
        self.exchange.lost(reason)
        self._settle()
        self._end_attempt()
        if self.exchange.broken is not None:
            self._on_broken(self.exchange.broken)
        elif self.exchange.wanted:
            self._ensure_connecting()

    def _end_attempt(self) -> None:
        if self._greeted is not None and not self._greeted.done():
            self._greeted.set_result(None)

    # ------------------------------------------------------------------- the end

    async def drain(self, timeout_seconds: float) -> None:
        """Wait for the calls under way, as long as there is a connection."""
        calls = [call.future for call in self.exchange.under_way() if isinstance(call, AsyncCall)]
        if calls and self.exchange.state == "up":
            await asyncio.wait(calls, timeout=timeout_seconds)

    async def close(self, error: HandicapperError) -> None:
        """End every call with ``error`` and close the connection. Safe to call twice."""
        self._closed = True
        self.exchange.close(error)
        self._settle()
        self._on_broken(error)
        if self._timer is not None:
            self._timer.cancel()
        self._wire = None
        if self._connector is not None:
            self._connector.cancel()
            await asyncio.wait([self._connector])
        for wire in list(self._ending):
            wire.transport.abort()
            await wire.ended


class Wire(asyncio.Protocol):
    """One connection, as asyncio sees it."""

    transport: asyncio.Transport

    def __init__(self, link: AsyncLink) -> None:
        self._link = link
        self.writable = True
        self.ended: asyncio.Future[None] = link.loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._link.connected(self)

    def data_received(self, data: bytes) -> None:
        """Something came."""
        self._link.received(self, data)

    def pause_writing(self) -> None:
        """The socket takes no more."""
        self.writable = False

    def resume_writing(self) -> None:
        """The socket takes more again."""
        self.writable = True
        self._link.writable(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        if not self.ended.done():
            self.ended.set_result(None)
        self._link.lost(self, exc)
