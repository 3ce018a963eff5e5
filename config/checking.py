"""Check a whole tree of settings against the schema and report every problem, not only the first.

The source is either a mapping (what a TOML file decodes to) or a struct somebody built in Python; both are
walked alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from msgspec import UNSET

from .schema import KeySchema, TableSchema
from .wording import hint_for_value, shown, unknown_problem

__all__ = ["build_table"]


def build_table(table: TableSchema, source: object, problems: list[str]) -> Any:
    """Build ``table.struct`` from ``source``; append every problem found to ``problems``.

    The result is only of use if there were none. Whole numbers become floats where the setting is a float,
    and minus zero becomes zero, so that equal settings have equal bits.
    """
    entries = _entries(table, source)
    if entries is None:
        problems.append(
            f"{table.path or 'the settings'} was {shown(source, with_type=True)}; {_wanted(table)}"
        )
        return table.struct()
    fields: dict[str, Any] = {}
    for name, value in entries.items():
        if name in table.tables:
            fields[name] = build_table(table.tables[name], value, problems)
        elif name not in table.keys:
            problems.append(unknown_problem(table, name))
        else:
            # UNSET marks a key already complained about: it takes no part in the comparisons below.
            fields[name] = _check_key(table.keys[name], value, problems)
    problems.extend(_order_problems(table, fields))
    return table.struct(**{name: value for name, value in fields.items() if value is not UNSET})


def _entries(table: TableSchema, source: object) -> Mapping[Any, object] | None:
    if isinstance(source, Mapping):
        return source
    if isinstance(source, table.struct):
        return {name: getattr(source, name) for name in source.__struct_fields__}
    return None


def _wanted(table: TableSchema) -> str:
    if not table.path:
        return f"expected a mapping with the table {next(iter(table.tables))}"
    return f"expected a table: write [{table.path}] and the keys below it"


def _check_key(key: KeySchema, value: object, problems: list[str]) -> Any:
    """The value as the struct holds it, or UNSET if it is not allowed."""
    if value is None and key.optional:
        return None
    checked = _typed(key, value)
    if checked is not UNSET and _within(key, checked):
        return checked
    said = shown(value, with_type=checked is UNSET)
    problems.append(f"{key.path} was {said}; expected {key.allowed} ({hint_for_value(key, value)})")
    return UNSET


def _typed(key: KeySchema, value: object) -> Any:
    """The value with the type of the key, or UNSET if it has another. A boolean is not a number."""
    match key.kind:
        case "boolean":
            return value if isinstance(value, bool) else UNSET
        case "integer":
            return int(value) if isinstance(value, int) and not isinstance(value, bool) else UNSET
        case "number":
            if isinstance(value, bool) or not isinstance(value, int | float):
                return UNSET
            # Adding zero turns minus zero into zero.
            return _as_float(value) + 0.0
        case "string" | "choice":
            return str(value) if isinstance(value, str) else UNSET


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        # An integer beyond the largest float, in a setting that may be infinite, means what inf means.
        return math.inf if value > 0 else -math.inf


def _within(key: KeySchema, value: Any) -> bool:
    match key.kind:
        case "boolean":
            return True
        case "choice":
            return value in key.choices
        case "string":
            return key.pattern is None or re.search(key.pattern, value) is not None
        case "integer" | "number":
            # Asked so that NaN, which compares false with everything, fails.
            above = value > key.minimum if key.minimum_excluded else value >= key.minimum
            return above and (key.maximum is None or value <= key.maximum)


def _order_problems(table: TableSchema, fields: dict[str, Any]) -> Iterator[str]:
    values = {name: fields.get(name, table.keys[name].default) for name in table.ascending}
    usable = [name for name in table.ascending if values[name] is not UNSET]
    for low, high in pairwise(usable):
        if values[low] > values[high]:
            told = " and ".join(
                f"{name} was {values[name]}{'' if name in fields else ' (its default)'}"
                for name in (low, high)
            )
            chain = " <= ".join(table.ascending)
            yield f"{table.path}: {told}; expected {chain} (lower {low} or raise {high})"
