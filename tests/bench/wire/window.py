"""The client's discipline, the same for all: so many requests in flight, refilled as replies arrive.

Requests are encoded before the clock starts and replies are looked at after it stops; in between the client
only counts them, each protocol with its own parser in C.
"""

from __future__ import annotations

import gc
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgpack

__all__ = ["MsgpackReplies", "RedisReplies", "Replies", "Run", "ask", "connect", "drive"]

_RECEIVE_BYTES = 1 << 18
_TIMEOUT_SECONDS = 60.0


class Replies(Protocol):
    """Counts the whole replies in what was received."""

    def feed(self, data: bytes) -> int:
        """How many replies ``data`` completes."""
        ...

    @property
    def values(self) -> list[Any]:
        """Every reply so far, decoded."""
        ...


class RedisReplies:
    """RESP, by hiredis, which decodes as it counts."""

    def __init__(self) -> None:
        import hiredis

        self._reader = hiredis.Reader()
        self._values: list[Any] = []

    @property
    def values(self) -> list[Any]:
        """Every reply so far."""
        return self._values

    def feed(self, data: bytes) -> int:
        """How many replies ``data`` completes."""
        before, keep, next_reply = len(self._values), self._values.append, self._reader.gets
        self._reader.feed(data)
        while (value := next_reply()) is not False:
            keep(value)
        return len(self._values) - before


class MsgpackReplies:
    """MessagePack-RPC, by msgpack's own framing; the bytes are kept and decoded when asked for."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(max_buffer_size=1 << 27)
        self._chunks: list[bytes] = []

    def feed(self, data: bytes) -> int:
        """How many replies ``data`` completes."""
        self._chunks.append(data)
        unpacker, count = self._unpacker, 0
        unpacker.feed(data)
        try:
            while True:
                unpacker.skip()
                count += 1
        except msgpack.OutOfData:
            return count

    @property
    def values(self) -> list[Any]:
        """Every reply, decoded."""
        unpacker = msgpack.Unpacker(max_buffer_size=1 << 30)
        unpacker.feed(b"".join(self._chunks))
        return list(unpacker)


@dataclass
class Run:
    """How one drive went."""

    requests: int
    seconds: float
    latencies: list[tuple[float, int]] = field(default_factory=list)
    """(seconds, how many requests took them)."""

    @property
    def per_second(self) -> float:
        """Acknowledged requests per second."""
        return self.requests / self.seconds

    @property
    def longest_us(self) -> float:
        """The latency of the request that waited longest, in microseconds."""
        return max(self.latencies)[0] * 1e6

    def quantile_us(self, share: float) -> float:
        """The latency that ``share`` of the requests did not exceed, in microseconds."""
        left = share * self.requests
        for seconds, count in sorted(self.latencies):
            left -= count
            if left <= 0:
                return seconds * 1e6
        raise ValueError("nothing was measured")


def connect(path: str) -> socket.socket:
    """A blocking connection to a unix socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_TIMEOUT_SECONDS)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def ask(connection: socket.socket, request: bytes, replies: Replies) -> None:
    """Send one request and wait for its reply."""
    connection.sendall(request)
    while not replies.feed(_receive(connection)):
        pass


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(_RECEIVE_BYTES)
    if not data:
        raise ConnectionError("closed by the server before its reply")
    return data


def drive(connection: socket.socket, requests: Sequence[bytes], depth: int, replies: Replies) -> Run:
    """Send all requests with at most ``depth`` unanswered, and wait for every reply.

    A request's latency runs from before the send that took it to after the receive that completed its reply.
    Replies come in the order of the requests.
    """
    total, clock = len(requests), time.perf_counter
    latencies: list[tuple[float, int]] = []
    in_flight: deque[tuple[float, int]] = deque()
    gc.collect()
    gc.disable()
    try:
        began = now = clock()
        sent, answered, room = 0, 0, depth
        while answered < total:
            if room and sent < total:
                batch = requests[sent : sent + room]
                sent += len(batch)
                in_flight.append((now, len(batch)))
                connection.sendall(b"".join(batch))
            room = replies.feed(_receive(connection))
            answered += room
            now = clock()
            _account(in_flight, latencies, room, now)
        return Run(total, now - began, latencies)
    finally:
        gc.enable()


def _account(
    in_flight: deque[tuple[float, int]], latencies: list[tuple[float, int]], count: int, now: float
) -> None:
    """Take the oldest ``count`` requests out of flight."""
    while count:
        sent_at, waiting = in_flight.popleft()
        taken = min(waiting, count)
        latencies.append((now - sent_at, taken))
        count -= taken
        if waiting > taken:
            in_flight.appendleft((sent_at, waiting - taken))
