"""Values of every kind that MessagePack can carry, and which of them a field takes. Written from PROTOCOL.md alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..inputs import T0
from ..wire import Raw, pack, pairs

TIME_NS_MIN, TIME_NS_MAX = -2_208_988_800_000_000_000, 7_258_118_400_000_000_000
"""Years 1900 to 2200."""


class _Unreadable:
    """Stands for bytes that are no value of a field of ours."""


UNREADABLE = _Unreadable()


@dataclass(frozen=True)
class Animal:
    """One value: its bytes, and what they mean."""

    name: str
    data: Raw
    value: Any


def _plain(*values: Any) -> list[Animal]:
    return [Animal(f"{value!r:.30}", Raw(pack(value)), value) for value in values]


def _raw(**encoded: str) -> list[Animal]:
    return [Animal(name, Raw(bytes.fromhex(data)), UNREADABLE) for name, data in encoded.items()]


ZOO: list[Animal] = [
    *_plain(None, True, False, 0, 1, -1, 5, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), T0),
    *_plain(0.5, 1.0, 1.5, -0.5, math.nan, math.inf, -math.inf, 1e308, 5e-324),
    *_plain("", "x", "YES", "0.5", "-1", "1e400", "NaN", "sNaN", "Infinity", "one", "1" * 19, "0." + "1" * 19),
    *_plain("x" * 64, "x" * 65, "x" * 256, "x" * 257, "ü" * 32, "ü" * 33, "ü" * 129, "x" * 1025, "x" * 70_000),
    *_plain("a\nb", "a\0b", "\x7f", "\x85", "final", "pair", "drift"),
    *_plain(b"", b"x", b"\xff" * 300),
    *_plain([], [1], ["x"], [None], ["x"] * 3, [[]], [{}], {}, {"x": 1}, {"x": 0.5}, {"x": [1]}, {"x": "y"}, [1, 0]),
    Animal("{1: 1}", Raw(pack({1: 1})), UNREADABLE),
    Animal("{nil: 1}", Raw(pack({None: 1})), UNREADABLE),
    Animal("{[]: 1}", pairs([([], 1)]), UNREADABLE),
    Animal("{'x': nan}", Raw(pack({"x": math.nan})), UNREADABLE),
    Animal("{'x': 1, 'x': 2}", pairs([("x", 1), ("x", 0)]), {"x": 0}),
    Animal("0.5 as float32", Raw(bytes.fromhex("ca3f000000")), 0.5),
    Animal("nan as float32", Raw(bytes.fromhex("ca7fc00000")), math.nan),
    Animal("1 as uint64", Raw(bytes.fromhex("cf0000000000000001")), 1),
    Animal("1 as int64", Raw(bytes.fromhex("d30000000000000001")), 1),
    Animal("'x' as str32", Raw(bytes.fromhex("db0000000178")), "x"),
    *_raw(
        invalid_utf8="a2fffe", cut_utf8="a1c3", surrogate="a3eda080", overlong="a2c080",
        ext1="d40500", ext_of_nothing="c70005", timestamp32="d6ff65900000", timestamp64="d7ff0000000065900000",
        timestamp96="c70cff000000000000000065900000",
    ),
]  # fmt: skip
"""Every one can be framed; whether a field takes it is another matter."""


def _text(least: int, most: int) -> Callable[[Any], bool]:
    def taken(value: Any) -> bool:
        return (
            isinstance(value, str)
            and least <= len(value.encode()) <= most
            and not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value)
        )

    return taken


def _integer(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _probability(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _money(least: float, most: float) -> Callable[[Any], bool]:
    def taken(value: Any) -> bool:
        if type(value) is int:
            return least <= value <= most and abs(value) < 10**18
        return value in ("0.5", "-1") and least <= float(value) <= most

    return taken


def _one_of(*values: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in values


def _map_of(taken: Callable[[Any], bool], least: int) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, dict) and len(value) >= least and all(taken(item) for item in value.values())
    )


def _list_of(taken: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(taken(item) for item in value)


def _scalar(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, str | int | bool)
        or (type(value) is float and math.isfinite(value))
    )


def _anything(value: Any) -> bool:
    return True


_ID, _TIME = _text(1, 256), _integer(TIME_NS_MIN, TIME_NS_MAX)
_DECIMAL_MAX = 10**18

FIELDS: dict[str, Callable[[Any], bool]] = {
    "prediction_id": _ID, "model_id": _ID, "market_id": _ID, "selection_id": _ID,
    "outcome": _text(1, 64), "winner": _text(1, 64), "predicted_outcome": _text(1, 64), "actual_outcome": _text(1, 64),
    "confidence": _probability, "predicted_at": _TIME, "resolved_at": _TIME, "expires_at": _TIME, "as_of": _TIME,
    "until": _TIME, "price": _money(0, 1), "size": _money(0, _DECIMAL_MAX), "fee": _money(0, _DECIMAL_MAX),
    "pnl": _money(-_DECIMAL_MAX, _DECIMAL_MAX), "metadata": _map_of(_scalar, 0), "payouts": _map_of(_probability, 1),
    "void": lambda value: value is True, "status": _one_of("proposed", "disputed", "final"),
    "revision": _integer(0, 2**31 - 1), "source": _text(0, 1024), "reason": _text(0, 1024),
    "n": _integer(1, 100_000), "seed": _integer(0, 2**64 - 1), "interval_ms": _integer(1, 3_600_000),
    "models": _list_of(_ID), "model_ids": _list_of(_ID), "topics": _list_of(_one_of("parameters", "models", "drift")),
    "predictions": _list_of(_anything), "resolutions": _list_of(_anything), "outcomes": _list_of(_anything),
    "mode": _one_of("thompson", "mean", "top_two"), "posterior": _one_of("half_life", "changepoint"),
    "samples": _list_of(lambda value: value in ({}, [], None)),
    "client": lambda value: isinstance(value, str), "errors": _one_of("pair", "text"),
    "protocol": lambda value: value == [1, 0],
    "token": lambda value: isinstance(value, str),
    "ids": _list_of(_integer(0, 2**64 - 1)),
    "dest": lambda value: False,  # among these there is no absolute path
}  # fmt: skip
"""What each field takes, nil apart: nil is taken where it is the default."""

OF_METHOD: dict[tuple[str, str], Callable[[Any], bool]] = {
    ("combine", "predictions"): lambda value: (
        False
    ),  # among these there is no forecast, and it takes one at least
    ("combine", "outcomes"): _list_of(_text(1, 64)),
}
"""The same of fields that are others in one method."""
