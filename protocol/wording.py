"""How values are written in the texts of errors: as JSON has them, whoever reads it and in which language.

An error travels to clients that know nothing of Python, and the same text is read by those who embed the
learner. So it says ``nil`` (PROTOCOL.md's word), ``true`` and ``"0.58"``, and never ``None``, ``True`` or
``Decimal('0.58')``.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from math import isfinite, isnan
from typing import Final

from msgspec import Struct

__all__ = ["alternatives", "shown"]

CHARS_MAX: Final = 80
CHARS_KEPT: Final = 60
_BYTES_KEPT: Final = CHARS_KEPT // 2


def shown(value: object) -> str:
    """A value as JSON would have it, cut to 80 characters; takes time for those only, however large it is.

    >>> print(shown({"price": Decimal("0.58"), "void": True, "as_of": None, "odds": [1, float("inf")]}))
    {"price": "0.58", "void": true, "as_of": nil, "odds": [1, Infinity]}
    >>> print(shown("x" * 1000))
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx... (1000 characters)
    """
    try:
        text = ""
        for piece in _pieces(value):
            text += piece
            if len(text) > CHARS_MAX:
                return f"{text[:CHARS_KEPT]}...{_size(value)}"
    except Exception as error:  # noqa: BLE001  # a host's class with a broken __repr__
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__}: {error!s:.60})"
    return text


def alternatives(values: Iterable[object]) -> str:
    """Every value that would do.

    >>> print(alternatives(["proposed", "disputed", "final"]))
    "proposed", "disputed" or "final"
    """
    *most, last = map(shown, values)
    return f"{', '.join(most)} or {last}" if most else last


def _pieces(value: object) -> Iterator[str]:
    """The text, in pieces: who has read enough stops asking, so that depth and size are bounded alike."""
    if value is None:
        yield "nil"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, str):
        yield _quoted(str.__str__(value)[: CHARS_MAX + 1])
    elif isinstance(value, int | float):
        yield _number(value)
    elif isinstance(value, Decimal):
        yield f'"{value}"'
    elif isinstance(value, date):
        yield value.isoformat()
    elif isinstance(value, bytes | bytearray | memoryview):
        yield f"bytes 0x{bytes(value[: _BYTES_KEPT + 20]).hex()}"
    elif isinstance(value, Mapping):
        yield from _joined("{", ((*_pieces(key), ": ", item) for key, item in value.items()), "}")
    elif isinstance(value, list | tuple | set | frozenset):
        yield from _joined("[", ((item,) for item in value), "]")
    elif isinstance(value, Struct):
        yield f"a {type(value).__name__}"
    else:
        yield repr(value)


def _joined(start: str, entries: Iterable[tuple[object, ...]], end: str) -> Iterator[str]:
    """Entries with commas between them; the last of each is a value, what stands before it is text."""
    yield start
    for index, (*texts, item) in enumerate(entries):
        if index:
            yield ", "
        yield from map(str, texts)
        yield from _pieces(item)
    yield end


def _quoted(text: str) -> str:
    """A JSON string in which nothing moves a terminal's cursor or breaks a line."""
    quoted = json.dumps(text, ensure_ascii=False)
    if quoted.isprintable():
        return quoted
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in quoted)


def _number(value: float) -> str:
    if isinstance(value, int):
        try:
            return int.__repr__(value)
        except ValueError:  # Python writes no number of more than 4,300 digits
            return f"an integer of {value.bit_length()} bits"
    if isfinite(value):
        return float.__repr__(value)
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _size(value: object) -> str:
    """How much there is of something that is not shown whole."""
    if isinstance(value, str):
        return f" ({len(value)} characters)"
    if isinstance(value, bytes | bytearray | memoryview):
        return f" ({len(value)} bytes)"
    return f" ({len(value)} items)" if isinstance(value, Collection) else ""
