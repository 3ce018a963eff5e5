"""Cuts a stream of bytes into MessagePack values without decoding them.

``Unpacker.skip()`` walks over a value in C and remembers where it stopped, so a message that comes byte by
byte costs no more than one that comes whole.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import msgpack

from .errors import ProtocolError, TooLargeError, UnframeableError

__all__ = ["Chunk", "Framer"]

BUFFER_BYTES: Final = 4 * 1024
"""What a connection's unpacker begins with (its own default is a mebibyte each); it grows as needed."""


class Chunk(NamedTuple):
    """Whole messages, one behind the other: what lies together can be decoded together."""

    data: bytes
    ends: list[int]
    """Where each message ends in ``data``."""

    def messages(self) -> list[bytes]:
        """Each for itself.

        >>> Chunk(b"\\xc0\\x91\\xc0", [1, 3]).messages()
        [b'\\xc0', b'\\x91\\xc0']
        """
        return [self.data[start:end] for start, end in pairwise((0, *self.ends))]


class Framer:
    """Bytes in, whole messages out.

    >>> framer = Framer(message_bytes_max=100)
    >>> framer.feed(b"\\x93\\x02\\xa4pi")
    >>> framer.next_messages(10)
    []
    >>> framer.feed(b"ng\\xc0\\xc0")
    >>> framer.next_messages(10), framer.partial
    ([b'\\x93\\x02\\xa4ping\\xc0', b'\\xc0'], False)
    """

    def __init__(self, message_bytes_max: int) -> None:
        self._bytes_max = message_bytes_max
        # Its own bound never fires: what is kept here is bounded by feed() and by the reader that pauses.
        self._unpacker = msgpack.Unpacker(max_buffer_size=0, read_size=BUFFER_BYTES)
        self._data: bytes | bytearray = b""
        self._start = 0
        """Where in ``_data`` the next message begins."""
        self._offset = 0
        """Where in the stream ``_data`` begins."""
        self._exhausted = True
        """Whether no whole message is left in ``_data``."""
        self.fault: ProtocolError | None = None
        """Why nothing after the messages given out can be read."""

    @property
    def partial(self) -> bool:
        """Whether a message was begun and is not finished. Exact once ``next_messages`` gave less than asked."""
        return self._exhausted and self.fault is None and self.waiting_bytes > 0

    @property
    def pending(self) -> bool:
        """Whether whole messages may be left to be given out."""
        return not self._exhausted

    @property
    def waiting_bytes(self) -> int:
        """Bytes fed and not given out."""
        return len(self._data) - self._start

    def may_pass_by(self, data: bytes) -> bool:
        """Whether these bytes, if they are one whole message, need not be fed: nothing waits before them."""
        return self._start == len(self._data) and 0 < len(data) <= self._bytes_max and self.fault is None

    def feed(self, data: bytes) -> None:
        """Take bytes from the stream; after a fault they are dropped."""
        if self.fault is not None or not data:
            return
        self._unpacker.feed(data)
        if self._start == len(self._data):
            self._offset += len(self._data)
            self._data, self._start = data, 0
        else:
            if not isinstance(self._data, bytearray):
                self._data = bytearray(self._data)
            self._drop_given()
            self._data += data
        self._exhausted = False

    def _drop_given(self) -> None:
        if self._start:
            del self._data[: self._start]  # pyright: ignore[reportIndexIssue]  # made a bytearray by feed
            self._offset += self._start
            self._start = 0

    def next_messages(self, count_max: int) -> list[bytes]:
        """Up to ``count_max`` whole messages, in order."""
        return self.next_chunk(count_max).messages()

    def next_chunk(self, count_max: int) -> Chunk:
        """The same, uncut."""
        ends: list[int] = []
        if self._exhausted:
            return Chunk(b"", ends)
        data, first, offset = self._data, self._start, self._offset
        skip, tell, bytes_max = self._unpacker.skip, self._unpacker.tell, self._bytes_max
        offset += first
        start, end_of_data = 0, len(data) - first
        try:
            for _ in range(count_max):
                if start == end_of_data:
                    self._exhausted = True  # to find it out by an exception takes as long as ten messages
                    break
                skip()
                end = tell() - offset
                if end - start > bytes_max:
                    self._fail(TooLargeError(self._too_large(f"of {end - start} bytes")))
                    break
                ends.append(end)
                start = end
        except msgpack.OutOfData:
            self._exhausted = True
            if end_of_data - start > bytes_max:
                self._fail(TooLargeError(self._too_large("begun")))
        except msgpack.FormatError:
            self._fail(
                UnframeableError("a byte that begins no MessagePack value (0xc1); the connection is closed")
            )
        except msgpack.StackError:
            self._fail(UnframeableError("nested beyond 1,024 levels; the connection is closed"))
        except ValueError as error:  # msgpack's root for whatever else it finds
            self._fail(UnframeableError(f"not MessagePack: {error}; the connection is closed"))
        self._start = first + start
        return Chunk(bytes(data[first : self._start]), ends)

    def _too_large(self, what: str) -> str:
        return (
            f"a message {what} is larger than the {self._bytes_max} bytes allowed; send batches of fewer items. "
            "The connection is closed"
        )

    def _fail(self, fault: ProtocolError) -> None:
        self.fault = fault
        self._exhausted = True

    def head(self, bytes_max: int = 64) -> bytes:
        """The first bytes of the message that is not given out: enough to see whose it was."""
        return bytes(self._data[self._start : self._start + bytes_max])
