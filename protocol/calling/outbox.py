"""The calls of one client on their way: waiting, in flight, postponed, over their deadline. No I/O, no clock."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from typing import Any, Final, Generic, Literal, TypeVar

from ..errors import HandicapperError
from .requests import Spec

__all__ = ["Agenda", "Call", "Outbox"]

T = TypeVar("T")

CHUNK_BYTES: Final = 2**18
"""Calls are joined into writes of about this size."""
GIVEN_UP_MIN: Final = 64
"""Calls that ended while waiting are swept out once there are so many, and half of those waiting are."""

Place = Literal["", "waiting", "in flight", "postponed"]


class Call(Generic[T]):
    """One request under way, or one notification (``msgid`` None: done once it is written)."""

    __slots__ = (
        "attempts",
        "data",
        "deadline",
        "done",
        "error",
        "internal",
        "msgid",
        "place",
        "sent",
        "spec",
        "value",
    )

    def __init__(
        self, spec: Spec, msgid: int | None, data: bytes, deadline: float, internal: bool = False
    ) -> None:
        self.spec = spec
        self.msgid = msgid
        self.data = data
        self.deadline = deadline
        """Monotonic seconds after which it is neither waited for nor repeated."""
        self.internal = internal
        """Made by the client itself: nobody waits for it, and it belongs to one connection."""
        self.place: Place = ""
        self.sent = False
        """Whether the server may have seen it."""
        self.attempts = 0
        """How often the server said BUSY."""
        self.done = False
        self.value: Any = None
        self.error: HandicapperError | None = None


class Outbox:
    """Calls in the order in which they go out, and those that are out and not answered."""

    def __init__(self) -> None:
        self._waiting: deque[Call[Any]] = deque()
        self._given_up = 0
        """Calls among the waiting that are done already."""
        self._in_flight: dict[int, Call[Any] | None] = {}
        """By msgid, in the order in which they were sent; None where nobody waits any more."""
        self._chunk = b""
        self._written = 0
        self._chunk_calls: list[Call[Any]] = []

    @property
    def waiting(self) -> int:
        """Calls not given to the socket yet."""
        return len(self._waiting) - self._given_up

    @property
    def in_flight(self) -> int:
        """Requests the server has not answered, whether or not anybody still waits."""
        return len(self._in_flight)

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for one of those in flight."""
        return any(call is not None for call in self._in_flight.values())

    def put(self, call: Call[Any]) -> None:
        """Behind all others."""
        call.place = "waiting"
        self._waiting.append(call)

    def put_first(self, call: Call[Any]) -> None:
        """Before all others."""
        call.place = "waiting"
        self._waiting.appendleft(call)

    def put_bytes(self, data: bytes) -> None:
        """Bytes to be written before every call, on a connection on which nothing was written."""
        self._chunk, self._written = data, 0

    def next_bytes(self, window: int) -> memoryview | None:
        """What to write next, keeping at most ``window`` requests in flight; 0: only :meth:`put_bytes`."""
        if not self._chunk:
            if not self._waiting:
                return None
            self._fill(window - len(self._in_flight))
            if not self._chunk:
                return None
        return memoryview(self._chunk)[self._written :]

    def _fill(self, room: int) -> None:
        waiting, in_flight, size = self._waiting, self._in_flight, 0
        parts: list[bytes] = []
        while waiting and room > 0 and size < CHUNK_BYTES:
            call = waiting.popleft()
            if call.done:
                self._given_up -= 1
                continue
            if call.msgid is not None:
                in_flight[call.msgid] = call
                room -= 1
            call.place = "in flight"
            parts.append(call.data)
            size += len(call.data)
            self._chunk_calls.append(call)
        self._chunk = parts[0] if len(parts) == 1 else b"".join(parts)
        self._written = 0

    def written(self, count: int) -> list[Call[Any]]:
        """So many bytes more are with the kernel; the notifications that are thereby done."""
        if not self._written:
            for call in self._chunk_calls:
                call.sent = True
        self._written += count
        if self._written < len(self._chunk):
            return []
        notifications = [call for call in self._chunk_calls if call.msgid is None and not call.done]
        self._chunk, self._chunk_calls = b"", []
        return notifications

    def answered(self, msgid: int) -> Call[Any] | None:
        """The call an answer is for, which is no longer in flight; None if nobody waits for it."""
        return self._in_flight.pop(msgid, None)

    def give_up(self, call: Call[Any]) -> None:
        """A call whose caller no longer waits, and which is about to be done."""
        if call.place == "in flight" and call.msgid is not None:
            self._in_flight[call.msgid] = None
        elif call.place == "waiting":
            self._given_up += 1
            if self._given_up >= GIVEN_UP_MIN and self._given_up * 2 > len(self._waiting):
                self._waiting = deque(each for each in self._waiting if not each.done and each is not call)
                self._given_up = 0

    def _given(self) -> list[Call[Any]]:
        """Calls that were given to the connection and are not done, in order."""
        chunk = [call for call in self._chunk_calls if call.place == "in flight" and not call.done]
        in_chunk = set(map(id, chunk))
        calls = [call for call in self._in_flight.values() if call is not None and id(call) not in in_chunk]
        return calls + chunk

    def calls(self) -> list[Call[Any]]:
        """Every call that is not done."""
        return self._given() + [call for call in self._waiting if not call.done]

    def take_back(self) -> list[Call[Any]]:
        """The connection is gone: every call that was given to it and is not done, in order."""
        calls = self._given()
        self._in_flight.clear()
        self._chunk, self._chunk_calls = b"", []
        return calls

    def clear(self) -> list[Call[Any]]:
        """Every call that is not done; none is left here."""
        calls = self.calls()
        self.take_back()
        self._waiting.clear()
        self._given_up = 0
        return calls


class Agenda:
    """What is to happen to calls at a certain time."""

    def __init__(self) -> None:
        self._postponed: list[tuple[float, int, Call[Any]]] = []
        self._deadlines: list[tuple[float, int, Call[Any]]] = []
        self._order = itertools.count()

    @property
    def postponed(self) -> bool:
        """Whether calls are to be asked again later."""
        return any(not call.done for _, _, call in self._postponed)

    @property
    def empty(self) -> bool:
        """Whether nothing is to happen."""
        return not self._postponed and not self._deadlines

    def calls(self) -> list[Call[Any]]:
        """The postponed calls."""
        return [call for _, _, call in sorted(self._postponed) if not call.done]

    def postpone(self, call: Call[Any], until: float) -> None:
        """Ask again at ``until``."""
        call.place = "postponed"
        heapq.heappush(self._postponed, (until, next(self._order), call))

    def watch(self, call: Call[Any]) -> None:
        """Look after the deadline of a call, because nobody may be waiting for it."""
        heapq.heappush(self._deadlines, (call.deadline, next(self._order), call))

    def next_due(self) -> float | None:
        """When there is something to do."""
        if self.empty:
            return None
        heads: list[float] = []
        for heap in (self._postponed, self._deadlines):
            while heap and heap[0][2].done:
                heapq.heappop(heap)
            if heap:
                heads.append(heap[0][0])
        return min(heads, default=None)

    def due(self, now: float) -> tuple[list[Call[Any]], list[Call[Any]]]:
        """(calls to ask again, calls over their deadline)."""
        return _popped(self._postponed, now), _popped(self._deadlines, now)

    def clear(self) -> list[Call[Any]]:
        """The postponed calls; nothing is left here."""
        calls = self.calls()
        self._postponed.clear()
        self._deadlines.clear()
        return calls


def _popped(heap: list[tuple[float, int, Call[Any]]], now: float) -> list[Call[Any]]:
    calls: list[Call[Any]] = []
    while heap and (heap[0][0] <= now or heap[0][2].done):
        call = heapq.heappop(heap)[2]
        if not call.done:
            calls.append(call)
    return calls
