"""The settings as data, read from the annotations of the structs.

A :class:`TableSchema` is a table of the TOML file with its keys and sub-tables; a :class:`KeySchema` is one
key with its type, bounds, default and meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import msgspec
from msgspec import inspect

from .settings import SettingsDocument

__all__ = ["KeySchema", "Kind", "TableSchema", "document_schema", "number_text", "toml_value"]

Kind = Literal["boolean", "integer", "number", "string", "choice"]


def number_text(number: float) -> str:
    """A bound as people write it: ``1`` for 1.0, ``0.001`` for 0.001.

    >>> number_text(1e6), number_text(0.001)
    ('1000000', '0.001')
    """
    return str(int(number)) if number == int(number) else repr(number)


def toml_value(value: bool | int | float | str) -> str:
    """A checked value in TOML syntax.

    >>> toml_value(True), toml_value(168.0), toml_value("final"), toml_value(float("inf"))
    ('true', '168.0', '"final"', 'inf')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    # No string that passes the checks has a character TOML would want escaped.
    return f'"{value}"' if isinstance(value, str) else repr(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySchema:
    """One key of a table: its type, default, allowed values and meaning."""

    path: str
    """Dotted, such as ``online_learning.thresholds.min_threshold``."""
    name: str
    kind: Kind
    default: Any
    """None: absent."""
    doc: str
    optional: bool = False
    example: Any = None
    """For the TOML, where the default is to be absent."""
    minimum: float = 0
    minimum_excluded: bool = False
    """Whether the minimum itself is outside the range."""
    maximum: float | None = None
    """None: no bound, and inf is allowed."""
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    pattern_meaning: str = ""

    @property
    def allowed(self) -> str:
        """The allowed values in words, to follow "expected"."""
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "choice":
            return " or ".join(toml_value(choice) for choice in self.choices)
        if self.kind == "string":
            return self.pattern_meaning
        noun = "a whole number" if self.kind == "integer" else "a number"
        low = number_text(self.minimum)
        if self.maximum is None:
            return f"{noun} above {low}, or inf" if self.minimum_excluded else f"{noun} from {low} up, or inf"
        high = number_text(self.maximum)
        return (
            f"{noun} above {low}, up to {high}" if self.minimum_excluded else f"{noun} from {low} to {high}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSchema:
    """One table: what it may hold, and the struct it becomes."""

    path: str
    """Dotted; empty for the document itself."""
    struct: type[msgspec.Struct]
    doc: str
    keys: dict[str, KeySchema]
    tables: dict[str, TableSchema]
    ascending: tuple[str, ...]

    def walk(self) -> Iterator[TableSchema]:
        """This table and all below it, in the order of the file."""
        yield self
        for table in self.tables.values():
            yield from table.walk()


@cache
def document_schema() -> TableSchema:
    """The schema of the whole document, whose only table is ``online_learning``."""
    return _table(inspect.type_info(SettingsDocument), "")


def _table(info: inspect.Type, path: str) -> TableSchema:
    assert isinstance(info, inspect.StructType)
    keys: dict[str, KeySchema] = {}
    tables: dict[str, TableSchema] = {}
    for field in info.fields:
        below = f"{path}.{field.name}" if path else field.name
        if isinstance(field.type, inspect.StructType):
            tables[field.name] = _table(field.type, below)
        else:
            keys[field.name] = _key(field, below)
    return TableSchema(
        path=path,
        struct=info.cls,
        doc=(info.cls.__doc__ or "").split("\n\n")[0],
        keys=keys,
        tables=tables,
        ascending=getattr(info.cls, "ascending", ()),
    )


def _key(field: inspect.Field, path: str) -> KeySchema:
    annotated = field.type
    optional = isinstance(annotated, inspect.UnionType)
    if isinstance(annotated, inspect.UnionType):
        annotated = next(t for t in annotated.types if not isinstance(t, inspect.NoneType))
    assert isinstance(annotated, inspect.Metadata), f"{path} has no description"
    published = annotated.extra_json_schema or {}
    extra = annotated.extra or {}
    return KeySchema(
        path=path,
        name=field.name,
        default=field.default,
        doc=published["description"],
        optional=optional,
        example=next(iter(published.get("examples", ())), None),
        **_constraints(annotated.type, extra),
    )


def _constraints(value_type: inspect.Type, extra: dict[str, Any]) -> dict[str, Any]:
    match value_type:
        case inspect.BoolType():
            return {"kind": "boolean"}
        case inspect.LiteralType(values=values):
            return {"kind": "choice", "choices": values}
        case inspect.StrType(pattern=pattern):
            return {"kind": "string", "pattern": pattern, "pattern_meaning": extra["expected"]}
        case inspect.IntType(gt=gt, ge=ge, le=le) | inspect.FloatType(gt=gt, ge=ge, le=le):
            assert gt is not None or ge is not None, "a number needs a lower bound"
            return {
                "kind": "integer" if isinstance(value_type, inspect.IntType) else "number",
                "minimum": ge if gt is None else gt,
                "minimum_excluded": gt is not None,
                "maximum": extra.get("le", le),
            }
    raise AssertionError(f"no setting can have the type {value_type}")
