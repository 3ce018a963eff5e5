"""Looks into large messages without making objects of what they hold.

The head of a map or an array says how many values follow, and what is too many is refused for its head alone.
Only what somebody is told of is read, and no more of it than is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from typing import Any, Final, NamedTuple

import msgpack
import msgspec
from msgspec import Raw

__all__ = [
    "DECODE_ERRORS",
    "LARGE_BYTES",
    "Field",
    "Part",
    "Said",
    "count_of",
    "fields_of",
    "generic",
    "is_array",
    "is_map",
]

LARGE_BYTES: Final = 16_384
"""Beyond it a message is looked into before it is decoded: what is smaller holds no more values than that."""

READ_BYTES_MAX: Final = 4_096
"""A map or an array of more bytes is not read whole to be told of."""

ENTRIES_READ_MAX: Final = 40
LEVELS_READ_MAX: Final = 4
"""Of such a one: more than an error's text has room for, and how deep."""


DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError)
"""What msgspec raises for bytes that are not what was asked for."""


class Said:
    """Something that errors show in these words."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __repr__(self) -> str:
        return self._words


def _ext(code: int, data: memoryview) -> Said:
    return Said(f"an extension of type {code} with {len(data)} bytes")


_generic = msgspec.msgpack.Decoder(ext_hook=_ext)


def generic(raw: Raw | bytes) -> Any:
    """The value as plain Python, for error texts; raises what msgspec raises."""
    return _generic.decode(raw)


_STRINGS: Final = frozenset((*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB))


def is_array(raw: bytes) -> bool:
    """Whether the value is an array."""
    return 0x90 <= raw[0] <= 0x9F or raw[0] in (0xDC, 0xDD)


def is_map(raw: bytes) -> bool:
    """Whether the value is a map."""
    return 0x80 <= raw[0] <= 0x8F or raw[0] in (0xDE, 0xDF)


def count_of(raw: bytes, at: int = 0) -> int | None:
    """How many pairs or elements the value that begins there says it has; None if it is no map and no array.

    >>> count_of(b"\\xdc\\x27\\x10"), count_of(b"\\x82"), count_of(b"\\xc0")
    (10000, 2, None)
    """
    head = raw[at]
    if 0x80 <= head <= 0x9F:
        return head & 15
    if 0xDC <= head <= 0xDF:
        return int.from_bytes(raw[at + 1 : at + (5 if head & 1 else 3)], "big")
    return None


class Field(NamedTuple):
    """An entry of a map or an array: its value lies from ``start`` to ``end``."""

    key: Any
    """The key of a map, where that is a string; else what it is in words. The index in an array."""
    key_start: int
    start: int
    entries: int | None
    """What :func:`count_of` says of the value."""
    end: int | None
    """None until it is asked for, but of the last one: to find it, the value has to be walked over."""


def _walker(raw: bytes) -> Any:
    """Reads as far as it is asked to go, and not all of it first."""
    return msgpack.Unpacker(
        BytesIO(raw), read_size=READ_BYTES_MAX, max_buffer_size=0, unicode_errors="replace"
    )


def fields_of(raw: bytes) -> Iterator[Field]:
    """The entries of a map or an array, in order; a value is walked over once the next entry is asked for.

    >>> [(field.key, field.entries) for field in fields_of(bytes.fromhex("82a16107a16292c0c0"))]
    [('a', None), ('b', 2)]

    Raises:
        ValueError: it cannot be walked over.

    """
    walker = _walker(raw)
    mapped = is_map(raw)
    count = walker.read_map_header() if mapped else walker.read_array_header()
    for index in range(count):
        key_start, key = walker.tell(), index
        if mapped:
            key = _key(walker, raw, key_start)
        start = walker.tell()
        last = index == count - 1
        yield Field(key, key_start, start, count_of(raw, start), len(raw) if last else None)
        if not last:
            walker.skip()


def _key(walker: Any, raw: bytes, at: int) -> Any:
    if raw[at] in _STRINGS:
        return walker.unpack()
    walker.skip()
    return Part(raw[at : walker.tell()]).read()


class _MapExcerpt(dict[Any, Any]):
    """The first pairs of a map, which says how many it has."""

    entries = 0

    def __len__(self) -> int:
        return self.entries


class _ArrayExcerpt(list[Any]):
    """The first elements of an array, likewise."""

    entries = 0

    def __len__(self) -> int:
        return self.entries


class Part:
    """A value of a message as bytes, opened only where somebody looks.

    >>> Part(bytes.fromhex("82a16107a16292c0c3"))["b"][1].read()
    True
    """

    __slots__ = ("raw",)

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def __getitem__(self, key: object) -> Part:
        """The part of it with that key or index.

        Raises:
            KeyError: there is none.

        """
        entries = count_of(self.raw)
        if entries is None:
            raise KeyError(key)
        if not is_map(self.raw):
            return self._element(key, entries)
        found = False
        start = 0
        for field in fields_of(self.raw):
            if found:
                return Part(self.raw[start : field.key_start])
            if field.key == key:
                if field.end is not None:
                    return Part(self.raw[field.start :])
                found, start = True, field.start
        raise KeyError(key)

    def _element(self, index: object, entries: int) -> Part:
        if not isinstance(index, int) or index >= entries:
            raise KeyError(index)
        walker = _walker(self.raw)
        walker.read_array_header()
        for _ in range(index):
            walker.skip()
        start = walker.tell()
        if index == entries - 1:
            return Part(self.raw[start:])
        walker.skip()
        return Part(self.raw[start : walker.tell()])

    def items(self) -> Iterator[tuple[Any, Part]]:
        """Its keys or indices, and what belongs to them; of a value that is no map and no array none."""
        if count_of(self.raw) is None:
            return
        before: Field | None = None
        for field in fields_of(self.raw):
            if before is not None:
                yield before.key, Part(self.raw[before.start : field.key_start])
            before = field
        if before is not None:
            yield before.key, Part(self.raw[before.start :])

    def read(self, levels: int = LEVELS_READ_MAX) -> Any:
        """The value; of a large map or array the first entries, and how many there are; in words if it cannot be read.

        >>> from .wording import shown
        >>> shown(Part(b"\\xdd\\x00\\x0f\\x42\\x40" + b"\\x07" * 1_000_000).read())
        '[7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,... (1000000 items)'
        """
        entries = count_of(self.raw)
        try:
            if entries is None or len(self.raw) <= READ_BYTES_MAX:
                return generic(self.raw)
            if not levels:
                return Said("...")
            return self._excerpt(entries, levels)
        except (*DECODE_ERRORS, ValueError, TypeError):
            return Said(f"something of {len(self.raw)} bytes that cannot be read")

    def _excerpt(self, entries: int, levels: int) -> Any:
        first = islice(self.items(), ENTRIES_READ_MAX)
        some: _MapExcerpt | _ArrayExcerpt
        if is_map(self.raw):
            some = _MapExcerpt(
                (key if isinstance(key, str) else repr(key), part.read(levels - 1)) for key, part in first
            )
        else:
            some = _ArrayExcerpt(part.read(levels - 1) for _, part in first)
        some.entries = entries
        return some
