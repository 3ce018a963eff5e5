"""PROTOCOL.md tells whoever reads nothing else what the structs and errors hold: every field of every result with its
type, every field of the params, every code that can travel."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from msgspec import Struct

from handicapper.protocol import errors
from handicapper.protocol.messages import Receipt
from handicapper.protocol.methods import METHODS

DOCUMENT = (Path(__file__).parents[2] / "protocol" / "PROTOCOL.md").read_text()

SAID_ELSEWHERE = {
    "hello": {"client", "protocol", "errors", "token"},
    "combine": {"predictions", "outcomes"},
    "thompson_sample": {"mode"},
    "set_posterior": {"posterior"},
    "backup": {"dest"},
    "replay_dead_letters": {"ids"},
    "subscribe": {"topics", "interval_ms"},
}
"""Params that the table of methods, or the text behind it, explains."""

NEVER_SENT = {
    *("BAD_CALL", "UNAVAILABLE", "PROTOCOL_ERROR", "STATE_ERROR"),  # roots of others
    *("SETTINGS_INVALID", "STATE_LOCKED", "STATE_SCHEMA"),  # no daemon comes up
    *("BATCH_PARTIAL", "CONNECTION_LOST"),  # made by the clients
}


def section(title: str) -> str:
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def structs_in(kind: Any) -> Iterator[type[Struct]]:
    """The structs that a type is made of, each before those it holds."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        yield kind
        for info in msgspec.structs.fields(kind):
            yield from structs_in(info.type)
    for part in get_args(kind):
        yield from structs_in(part)


RESULTS = list(dict.fromkeys(each for method in METHODS.values() for each in structs_in(method.result)))

SCALARS: dict[Any, str] = {
    int: "integer", float: "float", str: "string", bool: "boolean", Decimal: "money", Exception: "error",
    Any: "anything", type(None): "nil",
}  # fmt: skip


def wire_type(name: str, kind: Any) -> str:
    """The type as the document writes it."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(wire_type(name, part) for part in parts)
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in parts)
    if origin is list or (origin is tuple and parts[-1] is Ellipsis):
        return f"array of {wire_type(name, parts[0])}"
    if origin is tuple:
        return f"[{', '.join(wire_type(name, part) for part in parts)}]"
    if origin is dict:
        return f"map of {wire_type(name, parts[1])}"
    if isinstance(kind, type) and issubclass(kind, Struct):
        return f"`{kind.__name__}`"
    if kind is int and (name in ("at", "as_of", "paused_until") or name.endswith("_at")):
        return "time"
    return SCALARS[kind]


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_result_is_told_with_its_type(kind: type[Struct]) -> None:
    table = section("Results").partition(f"\n**`{kind.__name__}`**")[2].partition("\n**")[0]
    told = re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE)
    assert told == [(info.name, wire_type(info.name, info.type)) for info in msgspec.structs.fields(kind)]


def test_no_other_result_is_told() -> None:
    told = re.findall(r"^\*\*`(\w+)`\*\*", section("Results"), re.MULTILINE)
    assert told == [kind.__name__ for kind in RESULTS]
    assert Receipt in RESULTS


def test_every_field_of_the_params_is_explained() -> None:
    explained = set(
        re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|(.*?)\|", section("Params"), re.MULTILINE)))
    )
    taken: set[str] = set()
    for method in METHODS.values():
        names = {info.name for info in msgspec.structs.fields(method.params)}
        if method.item_of is None:
            taken |= names - SAID_ELSEWHERE.get(method.name, set())
    assert explained == taken


def test_every_error_that_can_travel_is_told() -> None:
    told = set(
        re.findall(r"`([A-Z_]+)`", " ".join(re.findall(r"^\|(.*?)\|", section("Errors"), re.MULTILINE)))
    )
    codes = {
        kind.code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.HandicapperError)
    }
    assert told == codes - NEVER_SENT
