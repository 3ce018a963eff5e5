"""The shipped TOML and the documentation say what the structs say."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import msgspec

from handicapper.config import (
    Settings,
    default_settings,
    describe_settings,
    parse_settings,
    settings_to_dict,
    settings_to_toml,
    shipped_toml,
)


def struct_keys(struct: msgspec.Struct, path: str) -> dict[str, Any]:
    """Every leaf of a struct, read without the code under test."""
    leaves: dict[str, Any] = {}
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        below = f"{path}.{name}"
        leaves |= struct_keys(value, below) if isinstance(value, msgspec.Struct) else {below: value}
    return leaves


def toml_keys(table: dict[str, Any], path: str) -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for name, value in table.items():
        below = f"{path}.{name}"
        leaves |= toml_keys(value, below) if isinstance(value, dict) else {below: value}
    return leaves


def test_shipped_toml_states_exactly_the_defaults() -> None:
    assert parse_settings(shipped_toml()) == default_settings()


def test_shipped_toml_is_the_rendered_defaults() -> None:
    """If not: write settings_to_toml(default_settings()) over config/online_learning.toml."""
    assert shipped_toml() == settings_to_toml(default_settings())


def test_shipped_toml_has_every_key_of_the_structs() -> None:
    """A key whose default is to be absent stands there as a comment that can be uncommented."""
    uncommented = re.sub(r"(?m)^# (?=[a-z_]+ = )", "", shipped_toml())

    stated = toml_keys(tomllib.loads(uncommented)["online_learning"], "online_learning")

    assert stated.keys() == struct_keys(Settings(), "online_learning").keys()
    assert parse_settings(uncommented).thresholds.relaxation_half_life_hours == 168.0
    assert parse_settings(uncommented).server.tcp == "127.0.0.1:4242"


def test_shipped_toml_explains_every_key_and_table_right_above_it() -> None:
    lines = shipped_toml().splitlines()
    for number, line in enumerate(lines):
        if line.startswith("["):
            assert lines[number - 1].startswith("# ")
        elif " = " in line and not line.startswith("#"):
            comment = ""
            for above in reversed(lines[:number]):
                if not above.startswith("# "):
                    break
                comment = f"{above[2:]} {comment}"
            assert "Allowed: " in comment
            assert "Default: " in comment
            assert not comment.startswith("Allowed: "), f"{line} has no explanation"


def test_shipped_toml_fits_a_terminal() -> None:
    assert max(map(len, shipped_toml().splitlines())) <= 100


def test_describe_settings_lists_every_key_with_its_default() -> None:
    described = {row.key: row.default for row in describe_settings()}

    assert described == struct_keys(Settings(), "online_learning")


def test_describe_settings_has_a_range_and_a_sentence_for_every_key() -> None:
    for row in describe_settings():
        assert row.range, row.key
        assert row.doc.endswith("."), row.key
        assert row.type in ("boolean", "integer", "number", "string", "choice")


def test_settings_to_dict_leaves_absent_keys_out() -> None:
    thresholds = settings_to_dict(default_settings())["online_learning"]["thresholds"]

    assert "relaxation_half_life_hours" not in thresholds
    assert thresholds["max_threshold"] == 0.90
