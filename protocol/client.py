"""The blocking client: the embedded learner's calls, answered by a daemon.

::

    with Client("unix:/run/handicapper/socket") as client:
        decision = client.process_signal(
            prediction_id="p-1", model_id="elo", market_id="game-1", outcome="HOME",
            confidence=0.64, price=Decimal("0.58"), predicted_at=datetime.now(UTC))
        client.resolve_market(market_id="game-1", winner="HOME", resolved_at=datetime.now(UTC))

``Client.spawn("state")`` starts the daemon as well.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from time import monotonic
from types import TracebackType
from typing import Any

from .addresses import Address, parse_address
from .calling.client_batch import Batch, Notify
from .calling.client_controls import ClientControls
from .calling.client_inputs import ClientInputs
from .calling.client_questions import ClientQuestions
from .calling.events import Event
from .calling.exchange import Exchange
from .calling.link import Link
from .calling.replies import Reply
from .calling.spawn import Daemon
from .calling.subscribers import Subscribers
from .errors import ClosedError, ConnectionLostError, HandicapperError, InvalidValueError
from .limits import PROTOCOL_VERSION
from .log import get_logger
from .messages import HelloReply
from .params import Hello

__all__ = ["Client"]

_log = get_logger("client")


class Client(ClientInputs, ClientControls, ClientQuestions):
    """A daemon's learner, from any thread of this process.

    Every call takes a ``timeout`` in seconds and raises what the embedded learner would; ``*_nowait`` forms return
    a reply to look at later; bulk forms take iterables and are the fast path. After a lost connection, and when the
    daemon is busy, a call is made again until its deadline, if that is safe: all are but ``reset``. An input that
    took effect before the connection was lost is then answered as a duplicate.

    Args:
        address: ``unix:/path``, ``tcp:host:port`` or ``tcp:[ipv6]:port``.
        token: what the daemon's token file holds, if it has one.
        timeout_seconds: how long a call takes at most if it does not say so itself.
        connect_timeout_seconds: how long it may take to connect and be greeted.
        reconnect: connect again after the connection was lost; otherwise every later call raises.
        client_name: shown in the daemon's log.

    Raises:
        InvalidValueError: an argument is wrong.
        ConnectionLostError: nobody listens at the address.
        UnauthenticatedError: the token is wrong.
        ProtocolUnsupportedError: the daemon speaks another major version.

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
        self._daemon: Daemon | None = None
        self._link: Link | None = None
        self.address = parse_address(address)
        self.timeout_seconds = checked_seconds("timeout_seconds", timeout_seconds)
        connect_seconds = checked_seconds("connect_timeout_seconds", connect_timeout_seconds)
        hello = hello_of(client_name, token)
        self._exchange = Exchange(hello, str(self.address), reconnect=reconnect)
        self._subscribers = Subscribers()
        self._subscribing = Lock()
        link = Link(self.address, self._exchange, connect_seconds, tell_all(self._subscribers))
        try:
            link.open()
        except BaseException:
            link.close(ClosedError("it was never connected"))
            raise
        self._link = link

    @classmethod
    def spawn(
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
    ) -> Client:
        """Start a daemon on ``state_dir`` and connect to it; closing the client stops it.

        The daemon ends when this process does, however that ends. Without ``unix`` and ``tcp`` it listens on
        a unix socket in a private temporary directory. Its log goes to the logger ``handicapper.daemon``.

        Args:
            state_dir: the state directory.
            config: a TOML file of settings.
            unix: path of a unix socket to listen on.
            tcp: ``host:port`` to listen on; port 0 lets the kernel choose.
            args: further options of ``handicapper serve``.
            ready_timeout_seconds: how long the daemon may take to be ready; replaying a long journal takes a while.
            stop_timeout_seconds: how long it may take to write its last snapshot and leave.
            token: what TCP connections have to bring.
            options: the other arguments of :class:`Client`.

        Raises:
            DaemonError: it ended at its start, which is told at once, or took too long to be ready; with its exit
                code and the last lines of its log.

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
        try:
            address = daemon.wait_ready(ready_timeout_seconds)
            try:
                client = cls(address, token=token, **options)
            except ConnectionLostError as error:
                raise daemon.why_lost(error) from error
        except BaseException:
            daemon.kill()
            raise
        client._daemon = daemon
        client._exchange.peer_gone = daemon.gone
        return client

    # -------------------------------------------------------------- lifetime

    @property
    def server(self) -> HelloReply:
        """Who answers, as told when the connection was made: release, protocol, pid, limits, methods."""
        server = self._exchange.server
        assert server is not None, "the constructor returns once hello is answered"
        return server

    @property
    def daemon(self) -> Daemon | None:
        """The daemon that :meth:`spawn` started, if it did."""
        return self._daemon

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except HandicapperError:
            if error is None:
                raise

    def close(self, timeout: float | None = None) -> None:
        """Wait for calls under way, disconnect, and stop the daemon if it is this client's. Safe to call twice.

        Raises:
            DaemonError: this client's daemon did not leave as it should have.

        """
        link, self._link = self._link, None
        if link is not None:
            if link.usable:
                link.drain(monotonic() + (self.timeout_seconds if timeout is None else timeout))
            link.close(ClosedError("the client is closed"))
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            daemon.stop()

    def __del__(self) -> None:
        link = getattr(self, "_link", None)
        if link is None:
            return
        if link.usable:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        link.close(ClosedError("the client is gone"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}>"

    # ----------------------------------------------------------- many at once

    def batch(self, *, timeout: float | None = None) -> Batch:
        """Collect calls in a ``with`` block and send them together.

        ::

            with client.batch() as batch:
                replies = [batch.record_outcome(outcome) for outcome in outcomes]
                sample = batch.thompson_sample()
            print(sample.result().ranked[0].model_id)
        """
        return Batch(self._open_link(), self._seconds(timeout))

    @property
    def notify(self) -> Notify:
        """Recording without an answer: ``client.notify.record_outcome(...)``."""
        # Somebody has to notice that the connection ended, although nothing is ever read.
        self._open_link().need_reader()
        return Notify(self._notify, lambda: self._limits)

    def subscribe(
        self,
        topics: Iterable[str] | None,
        callback: Callable[[Event], Any],
        *,
        interval_ms: int = 100,
        timeout: float | None = None,
    ) -> Callable[[], None]:
        """Have ``callback(event)`` called when something changes, until the function that is returned is called.

        Callbacks are called one after the other, on a thread of this client's; what they raise is logged. After a
        lost connection the subscription is made again; what happened in between is not told.

        Args:
            topics: ``parameters``, ``models``, ``drift``; None for all of them.
            callback: takes one of the events of :mod:`handicapper.protocol.calling.events`.
            interval_ms: how often the parameters of one model are told at most.
            timeout: seconds.

        """
        link = self._open_link()
        subscriber = self._subscribers.add(topics, interval_ms, callback)
        link.need_reader()

        def unsubscribe() -> None:
            if self._subscribers.remove(subscriber) and self._link is not None and self._link.usable:
                # If it cannot be told to the server now, it will be with the next connection.
                with contextlib.suppress(HandicapperError):
                    self._renew()

        try:
            self._renew().result(self._seconds(timeout))
        except BaseException:
            unsubscribe()
            raise
        return unsubscribe

    def _renew(self) -> Reply[Any]:
        # In one go, so that what is asked last is what is wanted last.
        with self._subscribing:
            request = self._subscribers.request()
            self._exchange.subscribe(request if len(self._subscribers) else None)
            return self._start(request)


def tell_all(subscribers: Subscribers) -> Callable[[list[Event]], None]:
    """A function that gives events to those who want them, and logs what they raise."""

    def tell(events: list[Event]) -> None:
        for event in events:
            for subscriber in subscribers.listening(event):
                try:
                    subscriber.tell(event)
                except Exception:  # noqa: BLE001  # the others want to hear of it too
                    _log.exception("subscriber_failed", about=type(event).__name__)

    return tell


def hello_of(client_name: str, token: str | bytes | None) -> Hello:
    """What a client greets the server with."""
    if isinstance(token, bytes):
        token = token.decode(errors="replace")
    return Hello(client=client_name, protocol=PROTOCOL_VERSION, errors="pair", token=token)


def checked_seconds(field: str, value: object) -> float:
    """A number of seconds above zero, or InvalidValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InvalidValueError(field, value, "a number of seconds above 0")
    return float(value)
