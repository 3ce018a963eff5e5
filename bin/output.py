"""What a command prints: tables for people, or one JSON document."""

from __future__ import annotations

import sys
from math import isfinite
from typing import Any

import msgspec

from .tables import Table, show

__all__ = ["emit", "emit_json"]


def emit(as_json: bool, data: Any, *tables: Table) -> None:
    """Print ``data`` as JSON, or the tables with an empty line between them."""
    if as_json:
        emit_json(data)
        return
    for index, table in enumerate(tables):
        if index:
            sys.stdout.write("\n")
        show(table)


def emit_json(data: Any) -> None:
    """Print one indented JSON document: floats in full, ``Decimal`` as a string, infinity as ``"inf"``."""
    plain = _finite(msgspec.to_builtins(data))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(plain), indent=2).decode() + "\n")


def _finite(value: Any) -> Any:
    # JSON has no infinity, and msgspec would write null, which means "no data" here.
    if isinstance(value, float) and not isfinite(value):
        return repr(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
