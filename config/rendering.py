"""Settings for people: one row a key for documentation, and TOML in which every key is explained."""

from __future__ import annotations

import textwrap
from importlib import resources
from typing import Any, NamedTuple

from .schema import KeySchema, Kind, TableSchema, document_schema, toml_value
from .settings import Settings, SettingsDocument

__all__ = ["SettingDoc", "describe_settings", "settings_to_dict", "settings_to_toml", "shipped_toml"]

COMMENT_COLUMNS = 100


class SettingDoc(NamedTuple):
    """What there is to say about one key."""

    key: str
    """Dotted path."""
    type: Kind
    default: Any
    """None: absent."""
    range: str
    """The allowed values, in words."""
    doc: str


def describe_settings() -> list[SettingDoc]:
    """Every key in the order of the file, from the same source the checks use.

    >>> describe_settings()[1][:4]
    ('online_learning.ema_alpha', 'number', 0.1, 'a number above 0, up to 1')
    """
    return [
        SettingDoc(key.path, key.kind, key.default, key.allowed, key.doc)
        for table in document_schema().walk()
        for key in table.keys.values()
    ]


def settings_to_dict(settings: Settings) -> dict[str, Any]:
    """The mapping :func:`settings_from_dict` reads back to equal settings; absent keys are left out.

    >>> settings_to_dict(Settings())["online_learning"]["limits"]["dead_letters_max"]
    1000
    """
    return _table_to_dict(document_schema(), SettingsDocument(online_learning=settings))


def _table_to_dict(table: TableSchema, values: Any) -> dict[str, Any]:
    keys = {name: getattr(values, name) for name in table.keys}
    below = {name: _table_to_dict(sub, getattr(values, name)) for name, sub in table.tables.items()}
    return {name: value for name, value in keys.items() if value is not None} | below


def settings_to_toml(settings: Settings) -> str:
    """The settings, already checked, as TOML with a comment on every table and key.

    ``parse_settings`` reads it back to equal settings. The shipped file is this text of the defaults.
    """
    parts: list[str] = []
    _render_table(document_schema().tables["online_learning"], settings, parts)
    return "\n\n".join(parts) + "\n"


def _render_table(table: TableSchema, values: Any, parts: list[str]) -> None:
    parts.append(f"{_comment(table.doc)}\n[{table.path}]")
    parts.extend(_render_key(key, getattr(values, key.name)) for key in table.keys.values())
    for name, below in table.tables.items():
        _render_table(below, getattr(values, name), parts)


def _render_key(key: KeySchema, value: Any) -> str:
    default = "absent" if key.default is None else toml_value(key.default)
    line = f"{key.name} = {toml_value(key.example if value is None else value)}"
    if value is None:
        line = f"# {line}"
    return "\n".join((_comment(key.doc), _comment(f"Allowed: {key.allowed}. Default: {default}."), line))


def _comment(text: str) -> str:
    flat = " ".join(text.split())
    return textwrap.fill(
        flat, COMMENT_COLUMNS, initial_indent="# ", subsequent_indent="# ", break_long_words=False
    )


def shipped_toml() -> str:
    """The text of the ``online_learning.toml`` that comes with the package: all defaults, explained."""
    return (
        resources.files(__package__ or "handicapper.config")
        .joinpath("online_learning.toml")
        .read_text("utf-8")
    )
