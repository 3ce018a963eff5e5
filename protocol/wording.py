"""How values are written in the texts of errors: as JSON has them, whoever reads it and in which language.

An error travels to clients that know nothing of Python, and the same text is read by those who embed the
learner. So it says ``nil`` (PROTOCOL.md's word), ``true`` and ``"0.58"``, and never ``None``, ``True`` or
``Decimal('0.58')``. The same holds for the messages that dead letters show.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from math import isfinite, isnan
from typing import Final, NamedTuple

from msgspec import Struct

__all__ = ["alternatives", "plain", "shown", "written_out"]

CHARS_MAX: Final = 80
CHARS_CUT: Final = 20
"""What is too long loses so many of the characters allowed, for the words that say how long it is."""


class _Scope(NamedTuple):
    """How much is written."""

    chars_max: int
    fields: bool
    """Of a struct its fields, too."""


def shown(value: object) -> str:
    """A value as JSON would have it, cut to 80 characters; takes time for those only, however large it is.

    >>> print(shown({"price": Decimal("0.58"), "void": True, "as_of": None, "odds": [1, float("inf")]}))
    {"price": "0.58", "void": true, "as_of": nil, "odds": [1, Infinity]}
    >>> print(shown("x" * 1000))
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx... (1000 characters)
    """
    return _written(value, _Scope(CHARS_MAX, fields=False))


def written_out(message: object, chars_max: int) -> str:
    """A message with what it holds, as :func:`shown` has values: of a struct the fields that are not nil.

    >>> from .messages import TradeOutcome
    >>> outcome = TradeOutcome(prediction_id="p", model_id="elo", predicted_outcome="YES", actual_outcome="NO",
    ...                        resolved_at=0, pnl=Decimal("-1.50"))
    >>> print(written_out(outcome, 60))
    TradeOutcome {"prediction_id": "p", "mod...
    >>> print(written_out([outcome], 200))
    [TradeOutcome {"prediction_id": "p", "model_id": "elo", "predicted_outcome": "YES", "actual_outcome": "NO",
    "resolved_at": 0, "pnl": "-1.50"}]
    """
    return _written(message, _Scope(chars_max, fields=True))


def plain(text: str, chars_max: int) -> str:
    """A text without quotes around it, cut, in which nothing moves a terminal's cursor or breaks a line.

    >>> print(plain("disk" + chr(10) + "full", 80), plain("x" * 100, 30))
    disk\\nfull xxxxxxxxxx... (100 characters)
    """
    kept = _printable(str.__str__(text)[: chars_max + 1])
    return kept if len(kept) <= chars_max else f"{kept[: chars_max - CHARS_CUT]}...{_size(text)}"


def _written(value: object, scope: _Scope) -> str:
    try:
        text = ""
        for piece in _pieces(value, scope):
            text += piece
            if len(text) > scope.chars_max:
                return f"{text[: scope.chars_max - CHARS_CUT]}...{_size(value)}"
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


def _pieces(value: object, scope: _Scope) -> Iterator[str]:
    """The text, in pieces: who has read enough stops asking, so that depth and size are bounded alike."""
    if value is None:
        yield "nil"
    elif isinstance(value, bool):
        yield "true" if value else "false"
    elif isinstance(value, str):
        yield _quoted(str.__str__(value)[: scope.chars_max + 1])
    elif isinstance(value, int | float):
        yield _number(value)
    elif isinstance(value, Decimal):
        yield f'"{value}"'
    elif isinstance(value, date):
        yield value.isoformat()
    elif isinstance(value, bytes | bytearray | memoryview):
        yield f"bytes 0x{bytes(value[: scope.chars_max // 2]).hex()}"
    elif isinstance(value, Mapping):
        yield from _joined(
            "{", ((*_pieces(key, scope), ": ", item) for key, item in value.items()), "}", scope
        )
    elif isinstance(value, list | tuple | set | frozenset):
        yield from _joined("[", ((item,) for item in value), "]", scope)
    elif isinstance(value, Struct):
        yield from _struct(value, scope)
    elif callable(value) or type(value).__repr__ is object.__repr__:  # an address says nothing to anybody
        yield f"a {type(value).__name__}"
    else:
        yield repr(value)


def _struct(value: Struct, scope: _Scope) -> Iterator[str]:
    name = type(value).__name__
    if not scope.fields:
        yield f"a {name}"
        return
    held = ((field, getattr(value, field)) for field in value.__struct_fields__)
    entries = ((f'"{field}": ', item) for field, item in held if item is not None)
    yield from _joined(f"{name} {{", entries, "}", scope)


def _joined(start: str, entries: Iterable[tuple[object, ...]], end: str, scope: _Scope) -> Iterator[str]:
    """Entries with commas between them; the last of each is a value, what stands before it is text."""
    yield start
    for index, (*texts, item) in enumerate(entries):
        if index:
            yield ", "
        yield from map(str, texts)
        yield from _pieces(item, scope)
    yield end


def _quoted(text: str) -> str:
    """A JSON string in which nothing moves a terminal's cursor or breaks a line."""
    return _printable(json.dumps(text, ensure_ascii=False))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


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
