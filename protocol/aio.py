"""The asyncio client: the embedded learner's calls, answered by a daemon, awaited.

::

    async with AsyncClient("unix:/run/handicapper/socket") as client:
        decision = await client.process_signal(
            prediction_id="p-1", model_id="elo", market_id="game-1", outcome="HOME",
            confidence=0.64, price=Decimal("0.58"), predicted_at=datetime.now(UTC))
        await asyncio.gather(*(client.record_outcome(outcome) for outcome in outcomes))   # one write

``await AsyncClient.spawn("state")`` starts the daemon as well.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary, WeakMethod, finalize, ref

from .addresses import Address, parse_address
from .calling.aio_batch import AsyncBatch
from .calling.aio_events import AsyncNotify, EventStream
from .calling.aio_inputs import AsyncInputs
from .calling.aio_link import AsyncLink
from .calling.aio_questions import AsyncQuestions
from .calling.events import Event
from .calling.exchange import Exchange
from .calling.spawn import Daemon
from .calling.subscribers import Subscriber, Subscribers
from .client import checked_seconds, hello_of, tell_all
from .errors import ClosedError, ConnectionLostError, HandicapperError
from .messages import HelloReply

__all__ = ["AsyncClient"]


class AsyncClient(AsyncInputs, AsyncQuestions):
    """A daemon's learner, from the tasks of one event loop.

    It connects when it is entered (``async with``) or told to (``connect``). Calls that tasks make in one go of the
    loop leave in one write, so ``asyncio.gather`` is a pipeline; ``batch`` collects them without a task each, and
    ``*_nowait`` forms give a future.
    For everything else see :class:`~.client.Client`: arguments and errors are the same.

    Raises:
        InvalidValueError: an argument is wrong.

    """

    def __init__(
        self,
        address: str | Address,
        *,
        token: str | bytes | None = None,
        timeout_seconds: float = 30.0,
        connect_timeout_seconds: float = 5.0,
        reconnect: bool = True,
        client_name: str = "",
    ) -> None:
        self.address = parse_address(address)
        self.timeout_seconds = checked_seconds("timeout_seconds", timeout_seconds)
        self._connect_seconds = checked_seconds("connect_timeout_seconds", connect_timeout_seconds)
        self._exchange = Exchange(hello_of(client_name, token), str(self.address), reconnect=reconnect)
        self._link: AsyncLink | None = None
        self._used = False
        self._daemon: Daemon | None = None
        self._subscribers = Subscribers()
        self._streams: WeakKeyDictionary[EventStream, Subscriber] = WeakKeyDictionary()

    @classmethod
    async def spawn(
        cls,
        state_dir: str | os.PathLike[str],
        *,
        config: str | os.PathLike[str] | None = None,
        unix: str | os.PathLike[str] | None = None,
        tcp: str | None = None,
        args: Sequence[str] = (),
        ready_timeout_seconds: float = 30.0,
        stop_timeout_seconds: float = 30.0,
        token: str | None = None,
        **options: Any,
    ) -> AsyncClient:
        """Start a daemon on ``state_dir`` and connect to it; closing the client stops it.

        Arguments and errors are those of :meth:`.client.Client.spawn`.
        """
        daemon = Daemon(
            state_dir,
            config=config,
            unix=unix,
            tcp=tcp,
            args=args,
            token=token,
            stop_timeout_seconds=stop_timeout_seconds,
        )
        waiting = asyncio.ensure_future(asyncio.to_thread(daemon.wait_ready, ready_timeout_seconds))
        try:
            address = await asyncio.shield(waiting)
            try:
                client = await cls(address, token=token, **options).connect()
            except ConnectionLostError as error:
                raise await asyncio.to_thread(daemon.why_lost, error) from error
        except BaseException:
            # The thread sees the end of the daemon and puts away what belongs to it.
            daemon.end_now()
            await asyncio.wait([waiting])
            daemon.kill()
            raise
        client._daemon = daemon
        client._exchange.peer_gone = daemon.gone
        return client

    # -------------------------------------------------------------- lifetime

    async def connect(self) -> AsyncClient:
        """Connect and be greeted; returns this client. One attempt only.

        Raises:
            ConnectionLostError: nobody listens at the address.
            UnauthenticatedError: the token is wrong.
            ProtocolUnsupportedError: the daemon speaks another major version.

        """
        if self._link is not None:
            return self
        if self._used:
            raise ClosedError("the client is closed; make another")
        self._used = True
        link = AsyncLink(
            self.address,
            self._exchange,
            self._connect_seconds,
            tell_all(self._subscribers),
            self._end_streams,
        )
        try:
            await link.open()
        except BaseException:
            await link.close(ClosedError("it was never connected"))
            raise
        self._link = link
        return self

    @property
    def server(self) -> HelloReply:
        """Who answers, as told when the connection was made: release, protocol, pid, limits, methods.

        Raises:
            ClosedError: it was never connected.

        """
        if self._exchange.server is None:
            raise ClosedError("the client is not connected")
        return self._exchange.server

    @property
    def daemon(self) -> Daemon | None:
        """The daemon that :meth:`spawn` started, if it did."""
        return self._daemon

    async def __aenter__(self) -> AsyncClient:
        return await self.connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except HandicapperError:
            if error is None:
                raise

    async def close(self, timeout: float | None = None) -> None:
        """Wait for calls under way, disconnect, and stop the daemon if it is this client's. Safe to call twice.

        Raises:
            DaemonError: this client's daemon did not leave as it should have.

        """
        link, self._link = self._link, None
        if link is not None:
            try:
                await link.drain(self.timeout_seconds if timeout is None else timeout)
            finally:
                await link.close(ClosedError("the client is closed"))
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            await asyncio.to_thread(daemon.stop)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}>"

    # ----------------------------------------------------------- many at once

    def batch(self, *, timeout: float | None = None) -> AsyncBatch:
        """Collect calls in an ``async with`` block and send them together.

        ::

            async with client.batch() as batch:
                replies = [batch.record_outcome(outcome) for outcome in outcomes]
                sample = batch.thompson_sample()
            print(sample.result().ranked[0].model_id)
        """
        return AsyncBatch(self._open_link(), self.timeout_seconds if timeout is None else timeout)

    # --------------------------------------------------------- without answers

    @property
    def notify(self) -> AsyncNotify:
        """Recording without an answer: ``await client.notify.record_outcome(...)``."""
        self._open_link()
        return AsyncNotify(self._notify, lambda: self._limits)

    def subscribe(self, topics: Iterable[str] | None = None, *, interval_ms: int = 100) -> EventStream:
        """A stream of what changes.

        ::

            async with client.subscribe(["models"]) as events:
                async for event in events:
                    ...

        Args:
            topics: ``parameters``, ``models``, ``drift``; None for all of them.
            interval_ms: how often the parameters of one model are told at most.

        """
        return EventStream(self, topics, interval_ms)

    async def _begin(self, stream: EventStream, topics: Iterable[str] | None, interval_ms: int) -> None:
        """Have a stream told about what happens from now on."""
        link = self._open_link()
        tell = WeakMethod(stream.offer)
        subscriber = self._subscribers.add(topics, interval_ms, lambda event: _tell_weakly(tell, event))
        self._streams[stream] = subscriber
        # A stream that a loop has left by "break" is never closed.
        finalize(stream, _forget, link.loop, ref(self), subscriber).atexit = False
        try:
            self._want()
            await self._start(self._subscribers.request())
        except BaseException:
            self._remove(subscriber)
            raise

    def _end(self, stream: EventStream) -> None:
        """Tell a stream no more."""
        subscriber = self._streams.pop(stream, None)
        if subscriber is not None:
            self._remove(subscriber)

    def _remove(self, subscriber: Subscriber) -> None:
        if self._subscribers.remove(subscriber):
            self._want()
            if self._link is not None and self._exchange.state == "up":
                # Nobody has to wait for it: what still comes is wanted by nobody.
                self._start(self._subscribers.request()).add_done_callback(_looked_at)

    def _want(self) -> None:
        self._exchange.subscribe(self._subscribers.request() if len(self._subscribers) else None)

    def _end_streams(self, error: HandicapperError) -> None:
        for stream in list(self._streams):
            stream.finish(error)


def _tell_weakly(tell: WeakMethod[Any], event: Event) -> None:
    offer = tell()
    if offer is not None:
        offer(event)


def _forget(loop: asyncio.AbstractEventLoop, client: ref[AsyncClient], subscriber: Subscriber) -> None:
    """A stream is gone, in whichever thread its last reference was."""
    owner = client()
    if owner is not None and not loop.is_closed():
        loop.call_soon_threadsafe(owner._remove, subscriber)


def _looked_at(future: asyncio.Future[Any]) -> None:
    """Take note of an error that nobody waits for."""
    if not future.cancelled():
        future.exception()
