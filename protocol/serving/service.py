"""What all connections of one server share: routes, counters, bounds, and the way back to the event loop.

Answers come from whichever thread made them. They are put into one inbox, which the loop empties in one go
and then writes to each connection once: one wake-up for a whole commit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from ..decoding import ParamsDecoder
from ..errors import BusyError, ClosedError, reason_of
from ..limits import WireLimits
from ..log import get_logger
from ..many import ManyDecoder
from ..messages import ConfigReply, Receipt, ServerStatistics
from ..methods import METHODS, Method
from .backend import Backend
from .feed import Feed
from .pieces import PieceQueue
from .subject import readable, subject_of

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Route", "Service", "Timer"]

BLOCKING_THREADS: Final = 2
"""Questions that take long (reports of all models, verify) are answered on threads, so many at a time."""

BUSY_RETRY_MS: Final = 20

POSTS_MAX: Final = 64
"""Answers, each of one question or of a group of inputs, that are handled between two looks at the sockets."""

_log = get_logger("server")


class Route(Struct, frozen=True):
    """How a method is served: its decoder, and that of its items if it is a batch."""

    method: Method
    decoder: ParamsDecoder
    item: Method
    item_decoder: ParamsDecoder
    many: ManyDecoder | None
    """Of the items, if they are inputs or signals."""
    is_batch: bool
    kind: str
    in_line: bool
    """Whether it changes something: such calls are answered in the order sent among themselves."""


class _Flushed(Protocol):
    def flush(self) -> None: ...


class Timer(Protocol):
    """Something that is to be called later."""

    def cancel(self) -> object:
        """Do not call it."""
        ...


class Counters(Struct):
    """What happened so far."""

    connections_total: int = 0
    requests: int = 0
    notifications: int = 0
    notifications_refused: int = 0
    bad_messages: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class Service:
    """One server's shared part. Everything but :meth:`post` belongs to the loop's thread.

    Args:
        backend: what is served.
        limits: the bounds.
        wake: makes the loop call :meth:`drain` soon; called from any thread.
        later: has the loop call something in so many seconds.
        config: the settings in force, for the ``config`` method.
        state_dir: shown by ``hello``.
        token: what TCP connections must bring, if anything.

    """

    def __init__(
        self,
        backend: Backend,
        limits: WireLimits,
        wake: Callable[[], object],
        later: Callable[[float, Callable[[], object]], Timer],
        config: Callable[[], ConfigReply],
        state_dir: str = "",
        token: bytes | None = None,
    ) -> None:
        self.backend = backend
        self.limits = limits
        # More at once would find no room even if nobody else sent anything.
        self.session_in_flight_max = min(limits.in_flight_per_connection_max, limits.in_flight_requests_max)
        self.config = config
        self.state_dir = state_dir
        self.token = token
        self.counters = Counters()
        self.in_flight = 0
        self.stopping = False
        self.sessions: set[Session] = set()
        self.feed = Feed(self)
        self.pieces = PieceQueue(self.post)
        self.routes = _routes(limits)
        self._wake = wake
        self._later = later
        self._woken = False
        self._closed = False
        self._inbox: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._dirty: dict[_Flushed, None] = {}
        self._blocking = ThreadPoolExecutor(BLOCKING_THREADS, thread_name_prefix="handicapper-questions")

    def post(self, action: Callable[..., object], *arguments: Any) -> None:
        """Have ``action(*arguments)`` called on the loop. From any thread."""
        self._inbox.append((action, arguments))
        if not self._woken and not self._closed:
            self._woken = True
            self._wake()

    def drain(self) -> None:
        """Do what was posted, or some of it, then write what came of it: once per connection."""
        # Cleared before looking: who posts after it wakes the loop again.
        self._woken = False
        inbox = self._inbox
        for _ in range(min(len(inbox), POSTS_MAX)):
            action, arguments = inbox.popleft()
            try:
                action(*arguments)
            except Exception:  # noqa: BLE001  # one answer's fault must not cost the others theirs
                _log.exception("an answer could not be handled")
        self.flush()
        if inbox and not self._woken:
            self._woken = True
            self._wake()

    def later(self, seconds: float, action: Callable[[], object]) -> Timer:
        """Have ``action()`` called on the loop in so many seconds, and what came of it written."""
        return self._later(seconds, lambda: self.post(action))

    def busy(self, requests: int) -> BusyError | None:
        """The error for so many requests too many, if they are."""
        bound = self.limits.in_flight_requests_max
        if self.in_flight + requests <= bound:
            return None
        return BusyError(
            f"{self.in_flight} requests are in flight and {requests} more came, the most allowed is {bound} "
            "(server.in_flight_requests_max)",
            BUSY_RETRY_MS,
        )

    def touch(self, session: _Flushed) -> None:
        """Remember that the session has something to write or may go on."""
        self._dirty[session] = None

    def flush(self) -> None:
        """Write what sessions have to say, and let them go on."""
        while self._dirty:
            dirty, self._dirty = self._dirty, {}
            for session in dirty:
                session.flush()

    def run_blocking(
        self,
        work: Callable[[], Any],
        done: Callable[[Any, BaseException | None], None],
        wanted: Callable[[], bool],
    ) -> None:
        """Do something slow on a thread, if it is still ``wanted`` once there is one.

        ``done(result, error)`` is called on the loop.
        """

        def run() -> None:
            if not wanted():
                self.post(done, None, ClosedError("nobody waits for the answer"))
                return
            try:
                result, error = work(), None
            except BaseException as raised:  # noqa: BLE001  # whatever it is, the client gets it
                result, error = None, raised
            self.post(done, result, error)
            del error  # its traceback knows this frame: a cycle

        self._blocking.submit(run)

    def refuse_notification(
        self, peer: str, method: str, error: BaseException, message: object, logged: bool, kept: bool
    ) -> None:
        """Count, and perhaps log and keep as a dead letter, what nobody can be told about."""
        self.counters.notifications_refused += 1
        if logged:
            subject = subject_of(method, message)
            _log.warning(
                "notification refused", connection=peer, method=method, **subject, error=reason_of(error)
            )
        if kept:
            # Everybody may read dead letters; what hello brings may be the token.
            told = None if method == "hello" else readable(message)
            self.backend.add_dead_letter(f"server/{method}", error, told)

    def statistics(self) -> ServerStatistics:
        """What happened so far."""
        counters = self.counters
        return ServerStatistics(
            connections=len(self.sessions),
            connections_total=counters.connections_total,
            requests=counters.requests,
            notifications=counters.notifications,
            notifications_refused=counters.notifications_refused,
            bad_messages=counters.bad_messages,
            bytes_in=counters.bytes_in,
            bytes_out=counters.bytes_out,
        )

    def close(self) -> None:
        """End the threads; what they are doing is let go of. What is posted from now on is dropped."""
        self._closed = True
        self._blocking.shutdown(wait=False, cancel_futures=True)


def _routes(limits: WireLimits) -> dict[str, Route]:
    depth = limits.depth_max
    decoders = {
        name: ParamsDecoder(method.params, depth, limits.batch_items_max) for name, method in METHODS.items()
    }
    routes: dict[str, Route] = {}
    many = {name: ManyDecoder(m.params) for name, m in METHODS.items() if m.kind in ("input", "signal")}
    for name, method in METHODS.items():
        item = METHODS[method.item_of or name]
        kind = "batch" if method.item_of and method.kind != "question" else method.kind
        routes[name] = Route(
            method,
            decoders[name],
            item,
            decoders[item.name],
            many.get(item.name),
            method.item_of is not None,
            kind,
            kind in ("input", "signal", "batch") or method.result is Receipt,
        )
    return routes
