"""Params from bytes: fast where they are right, with a named error where they are not.

The fast path takes exactly the known fields. Whatever it refuses goes the slow way: unknown fields are
skipped, depth is counted, and an error names the field, its value and what was expected.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from .errors import TooDeepError, TooLargeError
from .explaining import explained, is_too_many, list_fields
from .limits import WireLimits
from .params import array_form, strict_form
from .parts import DECODE_ERRORS, LARGE_BYTES, count_of, fields_of, generic, is_array, is_map

__all__ = ["DECODE_ERRORS", "ParamsDecoder", "check_depth", "check_items", "generic", "is_array", "one_map"]

ITEMS_MAX: Final = WireLimits().batch_items_max
UNKNOWN_FIELDS_MAX: Final = 1_000
"""Of the params of one large message: each is looked up by its name."""

_NIL: Final = 0xC0
_EMPTY_MAP: Final = b"\x80"


class ParamsDecoder:
    """Decodes the params of one method, as map or as array."""

    def __init__(self, kind: type[Struct], depth_max: int, items_max: int = ITEMS_MAX) -> None:
        array = array_form(kind)
        self.kind = kind
        self._depth_max = depth_max
        self._items_max = items_max
        self._lists = list_fields(kind)
        # Indexed by "is an array".
        self.fast: tuple[Callable[[Any], Any], ...] = (
            msgspec.msgpack.Decoder(strict_form(kind)).decode,
            msgspec.msgpack.Decoder(strict_form(array)).decode,
        )
        self._tolerant: tuple[Callable[[Any], Any], ...] = (
            msgspec.msgpack.Decoder(kind).decode,
            msgspec.msgpack.Decoder(array).decode,
        )

    def decode(self, raw: Raw | bytes, at: str = "") -> Any:
        """The params; ``at`` stands before the names of fields in errors.

        Raises:
            InvalidValueError: a field is missing or of the wrong type.
            TooDeepError: they are nested too deeply.

        """
        raw = one_map(bytes(raw))
        as_array = is_array(raw)
        if len(raw) > LARGE_BYTES:
            self._check_counts(raw, as_array, at)
        try:
            return self.fast[as_array](raw)
        except DECODE_ERRORS as error:
            if is_too_many(error):  # for the number alone: how deep they are, nobody looked
                raise explained(raw, error, self.kind, as_array, at) from None
            check_depth(raw, self._depth_max, around=1)
        if len(raw) > LARGE_BYTES:
            raw = self._without_unknown(raw, as_array)
        try:
            return self._tolerant[as_array](raw)
        except DECODE_ERRORS as error:
            raise explained(raw, error, self.kind, as_array, at) from None

    def _check_counts(self, raw: bytes, as_array: bool, at: str) -> None:
        """Raise TooLargeError if there are more fields or, in a list, elements than allowed: all would be looked up or
        become objects."""
        names = self.kind.__struct_fields__
        if is_map(raw) and (count_of(raw) or 0) > len(names) + UNKNOWN_FIELDS_MAX:
            raise TooLargeError(
                f"more than {UNKNOWN_FIELDS_MAX} fields that are unknown in one message; leave them out"
            )
        if not self._lists:
            return
        with suppress(ValueError):  # of what cannot be walked over the decoder says what is wrong
            for field in fields_of(raw):
                if as_array and field.key >= len(names):
                    return
                name = names[field.key] if as_array else field.key
                if name in self._lists and field.entries is not None:
                    check_items(f"{at}{name}", field.entries, self._items_max)

    def _without_unknown(self, raw: bytes, as_array: bool) -> bytes:
        """The params without fields that are not known: those are not walked over again then."""
        names = self.kind.__struct_fields__
        kept: list[tuple[int, int]] = []
        start: int | None = None
        with suppress(ValueError):  # of what cannot be walked over the decoder says what is wrong
            for field in fields_of(raw):
                if start is not None:
                    kept.append((start, field.key_start))
                unknown = isinstance(field.key, str) and field.key not in names
                start = None if unknown else field.key_start
                if as_array and field.key == len(names):
                    start = None
                    break
            if start is not None:
                kept.append((start, len(raw)))
            if len(kept) < (count_of(raw) or 0):
                head = (b"\xdc" if as_array else b"\xde") + len(kept).to_bytes(2, "big")
                return head + b"".join([raw[start:end] for start, end in kept])
        return raw


def one_map(raw: bytes) -> bytes:
    """``[{…}]`` as ``{…}``, nil as no fields."""
    if raw[0] == _NIL:
        return _EMPTY_MAP
    if raw[0] == 0x91 and len(raw) > 1 and (0x80 <= raw[1] <= 0x8F or raw[1] in (0xDE, 0xDF)):
        return raw[1:]
    return raw


_NO_CONTAINERS: Final = bytes(set(range(256)) - set(range(0x80, 0xA0)) - set(range(0xDC, 0xE0)))
_WALK_VALUES_MAX: Final = 5_000
"""Values looked at one by one, about 3 ms; a message that is right is not looked at in this way."""


def check_depth(raw: bytes, depth_max: int, around: int = 0) -> None:
    """Raise TooDeepError if maps and arrays lie deeper within each other than ``depth_max``.

    ``around``: how many there are around ``raw``. What would take too long to tell is a TooLargeError.

    >>> check_depth(b"\\x91\\x91\\xc0", 2)
    >>> check_depth(b"\\x91\\x91\\x90", 2)
    Traceback (most recent call last):
        ...
    handicapper.protocol.errors.TooDeepError: TOO_DEEP nested deeper than 2 maps and arrays; send it flatter
    """
    if len(raw.translate(None, _NO_CONTAINERS)) + around <= depth_max:
        return  # not even that many heads
    open_items = [1]
    position, end, walked = 0, len(raw), 0
    while position < end:
        walked += 1
        if walked > _WALK_VALUES_MAX:
            raise TooLargeError(
                f"more than {_WALK_VALUES_MAX} values in a message with fields that are unknown or of the wrong "
                "type; leave out the former, mend the latter, or send fewer items"
            )
        while open_items and open_items[-1] == 0:
            open_items.pop()
        if not open_items:
            return
        open_items[-1] -= 1
        items, size = _item(raw, position)
        position += size
        if items >= 0:
            open_items.append(items)
            if len(open_items) + around > depth_max + 1:
                raise TooDeepError(f"nested deeper than {depth_max} maps and arrays; send it flatter")


_FIXED = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9} | {
    0xD4 + power: 2 + 2**power for power in range(5)
}
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXT = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def _item(raw: bytes, at: int) -> tuple[int, int]:
    """(items inside, or -1 for a scalar; bytes of its head, or of all of a scalar)."""
    byte = raw[at]
    if 0x80 <= byte <= 0x8F:
        return 2 * (byte & 15), 1
    if 0x90 <= byte <= 0x9F:
        return byte & 15, 1
    if byte in _CONTAINERS:
        width, factor = _CONTAINERS[byte]
        return factor * int.from_bytes(raw[at + 1 : at + 1 + width], "big"), 1 + width
    if 0xA0 <= byte <= 0xBF:
        return -1, 1 + (byte & 31)
    if byte in _SIZED:
        width = _SIZED[byte]
        return -1, 1 + width + int.from_bytes(raw[at + 1 : at + 1 + width], "big")
    if byte in _EXT:
        width = _EXT[byte]
        return -1, 2 + width + int.from_bytes(raw[at + 1 : at + 1 + width], "big")
    return -1, _FIXED.get(byte, 1)


def check_items(field: str, count: int, items_max: int) -> None:
    """Raise TooLargeError if a batch has more items than allowed."""
    if count > items_max:
        raise TooLargeError(
            f"{field} has {count} items, at most {items_max} are allowed; send several batches"
        )
