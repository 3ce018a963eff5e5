"""What is wrong with params that cannot be decoded: which field, what it was, and what was expected.

msgspec says where, in its own words. The words here are those of :mod:`.params`, which describes its types,
so that a client is told of the field and not of Python's types.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Raw, Struct
from msgspec import inspect as types

from .errors import InvalidValueError
from .parts import DECODE_ERRORS, LARGE_BYTES, Part, Said, generic, is_map
from .wording import alternatives, shown

__all__ = ["explained", "is_too_many", "list_fields"]

_PATH = re.compile(r"^(?P<said>.*?)(?: - at (?P<key>`key` in )?`(?P<path>[^`]*)`)?$", re.DOTALL)
_ABSENT = re.compile(r"missing required field `(?P<field>[^`]*)`")
_TOO_SHORT = re.compile(r"Expected `array` of at least length (?P<least>\d+), got (?P<length>\d+)")
_TOO_MANY = re.compile(r"Expected `(object|array)` of length <= ")
_STEP = re.compile(r"\.[^.\[]+|\[[^\]]*\]")
_SECRET: Final = frozenset({"token"})
_BYTES_SHOWN: Final = 40


_MISSING: Final = Said("missing")
_HIDDEN: Final = Said("something else")


_decode_items = msgspec.msgpack.Decoder(list[Raw]).decode
_decode_values = msgspec.msgpack.Decoder(dict[str, Raw]).decode


def explained(raw: bytes, error: Exception, kind: type[Struct], as_array: bool, at: str) -> InvalidValueError:
    """The error with the field, its value and what was expected; ``at`` stands before the field's name."""
    match = _PATH.match(str(error))
    said, path = (match["said"], match["path"] or "") if match else (str(error), "")
    expected = _expected_of(kind)
    fields = tuple(expected)
    if absent := _ABSENT.search(said):
        name = absent["field"]
        return InvalidValueError(at + name, _MISSING, f"{_described(expected[name])} (it is required)")
    if as_array and not path and (short := _TOO_SHORT.search(said)):
        name = fields[min(int(short["length"]), len(fields) - 1)]
        least = f"at least {short['least']} elements: {', '.join(fields)}"
        return InvalidValueError(at + name, _MISSING, least)
    try:
        value = _opened(raw, error)
    except DECODE_ERRORS:
        name, part = _unreadable(raw, as_array, expected)
        return InvalidValueError(
            at + name, part, "valid MessagePack with strings in UTF-8 and plain map keys"
        )
    place = _place(path, value, expected)
    if match is not None and match["key"]:
        return _wrong_key(place, fields, at)
    if isinstance(place.value, Part):
        place = place._replace(value=place.value.read())
    if place.name in _SECRET:
        place = place._replace(value=_HIDDEN)
    if not place.name:  # what cannot be said of a field is said of the whole
        return InvalidValueError(at.rstrip(".") or "params", place.value, _whole(fields))
    told = _too_many_told(place.kind) if is_too_many(error) else None
    return InvalidValueError(at + place.name, place.value, told or _described(place.kind))


def is_too_many(error: Exception) -> bool:
    """Whether a map or an array was refused for the number of its entries."""
    return _TOO_MANY.match(str(error)) is not None


def _opened(raw: bytes, error: Exception) -> Any:
    """The params as far as they have to be looked at to tell of the error; raises what msgspec raises."""
    if len(raw) <= LARGE_BYTES:
        return generic(raw)
    if not isinstance(error, msgspec.ValidationError):
        raise error
    return Part(raw)


def _whole(fields: tuple[str, ...]) -> str:
    if not fields:
        return "nothing: nil, an empty map or an empty array"
    return f"a map or an array of: {', '.join(fields)}"


def _wrong_key(place: _Place, fields: tuple[str, ...], at: str) -> InvalidValueError:
    key = next((key for key, _ in _items(place.value) if not isinstance(key, str)), _HIDDEN)
    if place.name:
        return InvalidValueError(
            f"key of {at}{place.name}", key, "a string: the keys of this map are strings"
        )
    whole = at.rstrip(".") or "params"
    names = ", ".join(fields) or "there are none"
    return InvalidValueError(f"key of {whole}", key, f"a string, the name of a field: {names}")


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    """The pairs of a map, of any other value none; those of a part as parts."""
    if isinstance(value, Part):
        return value.items() if is_map(value.raw) else ()
    return value.items() if isinstance(value, dict) else ()


def _unreadable(raw: bytes, as_array: bool, expected: dict[str, types.Type]) -> tuple[str, bytes]:
    """(field, bytes) of the first value that cannot be decoded, by itself."""
    try:
        parts = dict(zip(expected, _decode_items(raw), strict=False)) if as_array else _decode_values(raw)
    except DECODE_ERRORS:
        return "params", raw[:_BYTES_SHOWN]
    for name, part in parts.items():
        if len(raw) > LARGE_BYTES and isinstance(_item_type(expected.get(name)), types.RawType | None):
            continue  # nobody decoded it: it is not at fault
        try:
            generic(part)
        except DECODE_ERRORS:
            return name, bytes(part)[:_BYTES_SHOWN]
    return "params", raw[:_BYTES_SHOWN]


# ------------------------------------------------------------------- where


class _Place(NamedTuple):
    """What a path points at: its name, the value there, and its type (None: not known)."""

    name: str
    value: Any
    kind: types.Type | None


def _place(path: str, value: Any, expected: dict[str, types.Type]) -> _Place:
    """The place that ``$.a[1]`` or ``$[0]`` names, as far as the value has it."""
    place = _Place("", value, None)
    fields = tuple(expected)
    for step in _STEP.findall(path):
        if step == "[...]":  # a value of a map, which one msgspec does not say
            return _misfit(place)
        key: Any = step.strip(".[]")
        if step.startswith("["):
            key = int(key)
            named = fields[key] if not place.name and key < len(fields) else f"[{key}]"
        else:
            named = f".{key}" if place.name else key
        inner = expected.get(named) if not place.name else _item_type(place.kind)
        try:
            value = place.value[key]
        except (KeyError, IndexError, TypeError):
            return _Place(place.name + named, place.value, inner)
        place = _Place(place.name + named, value, inner)
    return place


def _misfit(place: _Place) -> _Place:
    """The first value of a map that is not of the type of its values."""
    inner = _item_type(place.kind)
    if inner is not None:
        for key, part in _items(place.value):
            item = part.read() if isinstance(part, Part) else part
            if not _fits(item, inner):
                return _Place(f"{place.name}[{shown(key)}]", item, inner)
    return place


def _item_type(kind: types.Type | None) -> types.Type | None:
    kind = _bare(kind)
    if isinstance(kind, types.DictType):
        return kind.value_type
    if isinstance(kind, types.ListType):
        return kind.item_type
    return kind.item_types[0] if isinstance(kind, types.TupleType) else None


def _bare(kind: types.Type | None) -> types.Type | None:
    """Without its description, and without its nil."""
    if isinstance(kind, types.Metadata):
        return _bare(kind.type)
    if isinstance(kind, types.UnionType):
        some = [each for each in kind.types if not isinstance(each, types.NoneType)]
        return _bare(some[0]) if len(some) == 1 else kind
    return kind


_SCALARS: Final[dict[type, tuple[tuple[type, ...], str]]] = {
    types.StrType: ((str,), "a string"),
    types.IntType: ((int,), "an integer"),
    types.FloatType: ((int, float), "a number"),
    types.BoolType: ((bool,), "a boolean"),
    types.NoneType: ((type(None),), "nil"),
}
"""(types of the values, what it is called) of what a map's values may be."""


def _fits(value: Any, kind: types.Type) -> bool:
    if isinstance(kind, types.Metadata):
        return _fits(value, kind.type)
    if isinstance(kind, types.UnionType):
        return any(_fits(value, each) for each in kind.types)
    return type(value) in _SCALARS.get(type(kind), ((), ""))[0]


# ------------------------------------------------------------ what was expected


@cache
def _expected_of(kind: type[Struct]) -> dict[str, types.Type]:
    """The type of each field, in order."""
    info = types.type_info(kind)
    assert isinstance(info, types.StructType), "params are structs"
    return {field.name: field.type for field in info.fields}


def list_fields(kind: type[Struct]) -> frozenset[str]:
    """The names of the fields that are lists of any length."""
    return frozenset(
        name for name, field in _expected_of(kind).items() if isinstance(_bare(field), types.ListType)
    )


def _too_many_told(kind: types.Type | None) -> str | None:
    """What is to be said of too many entries, if that is something else than what the map or array has to be."""
    if isinstance(kind, types.UnionType):
        return next(filter(None, map(_too_many_told, kind.types)), None)
    return (kind.extra or {}).get("too many") if isinstance(kind, types.Metadata) else None


def _described(kind: types.Type | None) -> str:
    """What a value of the type is, in words."""
    if isinstance(kind, types.Metadata):
        told = (kind.extra_json_schema or {}).get("description")
        return told if isinstance(told, str) else _described(kind.type)
    if isinstance(kind, types.LiteralType):
        return alternatives(kind.values)
    if isinstance(kind, types.UnionType):
        # Nil comes last, whatever order msgspec keeps.
        some = sorted(kind.types, key=lambda each: isinstance(each, types.NoneType))
        *most, last = map(_described, some)
        return f"{', '.join(most)} or {last}"
    return "something else" if kind is None else _SCALARS.get(type(kind), ((), "something else"))[1]
