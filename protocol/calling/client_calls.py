"""How a blocking client makes a call: alone, unattended, unanswered, or in bulk."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, TypeVar

from ..errors import ClosedError
from ..limits import WireLimits
from .bulk import BATCHES_IN_FLIGHT_MAX, InputBulk, Part, SignalBulk
from .exchange import Exchange
from .link import Link
from .replies import BulkReply, Reply
from .requests import Request

__all__ = ["ClientCalls"]

T = TypeVar("T")


class ClientCalls:
    """What every call of a blocking client is made with."""

    timeout_seconds: float
    """How long a call takes at most if it does not say so itself."""
    _exchange: Exchange
    _link: Link | None
    """None once it is closed."""

    @property
    def _limits(self) -> WireLimits:
        return self._exchange.limits

    def _open_link(self) -> Link:
        if self._link is None:
            raise ClosedError("the client is closed")
        return self._link

    def _seconds(self, timeout: float | None) -> float:
        return self.timeout_seconds if timeout is None else timeout

    def _call(self, request: Request[T], deadline: float) -> Reply[T]:
        msgid, data = self._exchange.encoded(request)
        return Reply(self._open_link(), request.spec, msgid, data, deadline)

    def _ask(self, request: Request[T], timeout: float | None) -> T:
        link = self._open_link()
        deadline = monotonic() + (self.timeout_seconds if timeout is None else timeout)
        call = self._call(request, deadline)
        try:
            link.submit(call)
            if not link.wait(call, deadline):
                link.give_up(call)
        except BaseException:
            link.give_up(call)
            raise
        if call.error is not None:
            raise call.error
        return call.value

    def _start(self, request: Request[T]) -> Reply[T]:
        call = self._call(request, monotonic() + self.timeout_seconds)
        self._open_link().submit(call, unattended=True)
        return call

    def _notify(self, request: Request[Any]) -> None:
        link = self._open_link()
        deadline = monotonic() + self.timeout_seconds
        data = self._exchange.encoded_notification(request)
        call: Reply[None] = Reply(link, request.spec, None, data, deadline)
        try:
            link.submit(call)
            if not call.done and not link.wait(call, deadline):
                link.give_up(call)
        except BaseException:
            link.give_up(call)
            raise
        if call.error is not None:
            raise call.error

    def _run(self, bulk: InputBulk | SignalBulk, timeout: float | None) -> None:
        deadline = monotonic() + self._seconds(timeout)
        self._pipeline(bulk, bulk, deadline)
        while (pause := bulk.retry_seconds) is not None and monotonic() + pause < deadline:
            time.sleep(pause)
            self._pipeline(bulk, bulk.again(), deadline)

    def _pipeline(self, bulk: InputBulk | SignalBulk, parts: Iterable[Part], deadline: float) -> None:
        """Send parts, with a few of them on their way at a time."""
        link = self._open_link()
        window: deque[tuple[Part, Reply[Any]]] = deque()
        try:
            for part in parts:
                if len(window) >= BATCHES_IN_FLIGHT_MAX:
                    bulk.take(window[0][0], window[0][1].result())
                    window.popleft()
                reply = self._call(part.request, deadline)
                window.append((part, reply))
                link.submit(reply)
            for part, reply in window:
                bulk.take(part, reply.result())
        finally:
            for _, reply in window:
                if not reply.done:
                    link.give_up(reply)

    def _start_all(self, bulk: InputBulk | SignalBulk, outcome: Callable[[], T]) -> BulkReply[T]:
        parts = [(part, self._start(part.request)) for part in bulk]

        def merged() -> T:
            for part, reply in parts:
                bulk.take(part, reply.result())
            return outcome()

        return BulkReply([reply for _, reply in parts], merged)
