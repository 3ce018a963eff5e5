"""A client made of nothing but a socket and msgpack: what any language has. It can misbehave on purpose."""

from __future__ import annotations

import itertools
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgpack

Address = str | tuple[str, int]
"""The path of a unix socket, or host and port."""

DEADLINE_SECONDS = 120.0
"""Far beyond anything expected: reached only when something hangs."""
QUIET_SECONDS = 0.5
"""A socket that took nothing for so long is not read from. Taken too short it weakens a test, and fails none."""


@dataclass(frozen=True)
class Raw:
    """Bytes that stand in a message as they are: what no packer would write."""

    data: bytes


class Refused(Exception):  # noqa: N818  # an answer, not a fault of the test
    """An error response: ``fault`` is 0 or 1 (None where errors are plain text), ``code`` its first word."""

    def __init__(self, error: Any) -> None:
        super().__init__(error)
        fault, text = error if isinstance(error, list) else (None, error)
        self.fault: int | None = fault
        self.text: str = text
        self.code: str = text.partition(" ")[0]


def pack(value: Any) -> bytes:
    """MessagePack of a value in which :class:`Raw` stands for itself."""
    if isinstance(value, Raw):
        return value.data
    try:
        return _packed(value)  # in one go: floods are made of 200,000 messages that hold nothing raw
    except (TypeError, ValueError):
        if not isinstance(value, list | tuple | dict):
            raise
    if isinstance(value, dict):
        items = b"".join(pack(key) + pack(item) for key, item in value.items())
        return msgpack.Packer().pack_map_header(len(value)) + items
    return msgpack.Packer().pack_array_header(len(value)) + b"".join(map(pack, value))


def _packed(value: Any) -> bytes:
    data: bytes | None = msgpack.packb(value)
    assert data is not None
    return data


def pairs(items: Iterable[tuple[Any, Any]]) -> Raw:
    """A map written pair by pair: keys may be of any type, and come twice."""
    listed = list(items)
    header = msgpack.Packer().pack_map_header(len(listed))
    return Raw(header + b"".join(pack(key) + pack(item) for key, item in listed))


def request(msgid: int, method: Any, params: Any = None) -> bytes:
    return pack([0, msgid, method, params])


def notification(method: Any, params: Any = None) -> bytes:
    return pack([2, method, params])


def nested(depth: int) -> Raw:
    """Arrays in arrays: ``nested(1)`` is ``[]``."""
    return Raw(b"\x91" * (depth - 1) + b"\x90")


def new_unpacker() -> msgpack.Unpacker:
    return msgpack.Unpacker(strict_map_key=False, max_buffer_size=0)


def code_of(error: Any) -> str:
    """The first word of an error, as a pair or as text."""
    return (error if isinstance(error, str) else error[1]).partition(" ")[0]


def codes(messages: list[Any]) -> list[str]:
    """The first words of the errors among responses."""
    return [str(error[1]).partition(" ")[0] for _, _, error, _ in messages if isinstance(error, list)]


def results(messages: list[Any]) -> dict[Any, Any]:
    return {msgid: result for _, msgid, error, result in messages if error is None}


class Wire:
    """One connection, blocking. Everything waits for at most ``DEADLINE_SECONDS``."""

    def __init__(self, address: Address, receive_buffer_bytes: int | None = None) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        # With a timeout of Python's, connecting would fail at once where many wait to be accepted.
        self.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(DEADLINE_SECONDS), 0)
        )
        try:
            self.socket.connect(address)
        except BaseException:
            self.socket.close()
            raise
        self.socket.settimeout(DEADLINE_SECONDS)
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unpacker = new_unpacker()
        self._msgids = itertools.count(1)
        self.ended = False
        self.events: list[list[Any]] = []
        """Notifications met while waiting for something else."""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Close with RST (over TCP), as a process that crashes with unread data does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # ------------------------------------------------------------------ plain

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def finish(self) -> None:
        """Say that nothing more will be sent; answers still come."""
        self.socket.shutdown(socket.SHUT_WR)

    def receive(self, bytes_max: int = 1 << 16) -> bool:
        """Read once; False at the end of the stream."""
        try:
            data = self.socket.recv(bytes_max)
        except ConnectionResetError:
            data = b""
        self._unpacker.feed(data)
        self.ended = not data
        return not self.ended

    def decoded(self) -> list[Any]:
        """The messages that were received whole, and not asked for before."""
        return list(self._unpacker)

    def message(self) -> Any:
        """The next message, or None at the end of the stream."""
        while True:
            for message in self._unpacker:
                return message
            if self.ended or not self.receive():
                return None

    def response(self) -> list[Any]:
        """The next response; notifications before it go to ``events``."""
        while True:
            message = self.message()
            assert message is not None, "the server closed the connection"
            if message[0] == 1:
                return message
            self.events.append(message)

    def event(self) -> list[Any]:
        """The next notification, with the one map of its params."""
        message = self.events.pop(0) if self.events else self.message()
        assert message is not None and message[0] == 2, message
        kind, name, params = message
        assert isinstance(params, list) and len(params) == 1, message
        return [kind, name, params[0]]

    def rest(self) -> list[Any]:
        """Every message up to the end of the stream, which must come."""
        messages = []
        while (message := self.message()) is not None:
            messages.append(message)
        return messages

    # ------------------------------------------------------------------ calls

    def next_msgid(self) -> int:
        return next(self._msgids)

    def call(self, method: Any, params: Any = None) -> Any:
        """One request and its result; raises :class:`Refused` for an error."""
        msgid = self.next_msgid()
        self.send(request(msgid, method, params))
        _, answered, error, result = self.response()
        assert answered == msgid
        if error is not None:
            raise Refused(error)
        return result

    def refusal(self, method: Any, params: Any = None) -> Refused:
        """The error of a request that must be refused."""
        try:
            result = self.call(method, params)
        except Refused as refused:
            return refused
        raise AssertionError(f"{method!r} of {params!r:.200} was not refused: {result!r:.200}")

    def pipeline(self, calls: Iterable[tuple[Any, Any]]) -> list[list[Any]]:
        """Many requests at once; their responses in the order of the requests."""
        listed = [(self.next_msgid(), method, params) for method, params in calls]
        data = b"".join(request(*call) for call in listed)
        answers = {response[1]: response for response in self.exchange(data, len(listed))}
        assert answers.keys() == {msgid for msgid, _, _ in listed}
        return [answers[msgid] for msgid, _, _ in listed]

    # ------------------------------------------------- both directions at once

    def exchange(self, data: bytes, count: int | None = None) -> list[Any]:
        """Send while reading, until ``count`` responses have come or the server closed."""
        messages: list[Any] = []
        view, deadline = memoryview(data), time.monotonic() + DEADLINE_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while not self.ended and (count is None or len(messages) < count):
                assert time.monotonic() < deadline, f"{len(messages)} of {count} responses in time"
                for _, ready in selector.select(1.0):
                    if ready & selectors.EVENT_READ:
                        self.receive()
                        messages.extend(self._responses())
                    if ready & selectors.EVENT_WRITE and not self.ended:
                        view = self.send_some(view)
                        if not view:
                            selector.modify(self.socket, selectors.EVENT_READ)
        return messages

    def _responses(self) -> list[Any]:
        decoded = self.decoded()
        self.events.extend(message for message in decoded if message[0] != 1)
        return [message for message in decoded if message[0] == 1]

    def send_some(self, view: memoryview) -> memoryview:
        """Send as much as is taken without waiting; what is left. Nothing is left once the server closed."""
        try:
            return view[self.socket.send(view[: 1 << 18], socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            return view
        except (BrokenPipeError, ConnectionResetError):
            return view[:0]  # what the server had to say can still be read

    def send_until_blocked(self, data: bytes) -> int:
        """Send and read nothing, until all is sent or the server takes no more; the bytes it took."""
        view = memoryview(data)
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_WRITE)
            while view and selector.select(QUIET_SECONDS):
                view = self.send_some(view)
        return len(data) - len(view)


def eventually(condition: Callable[[], bool], what: str = "the condition") -> None:
    """Look again and again for something that no event announces."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} never became true"
        time.sleep(0.005)
