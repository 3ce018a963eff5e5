"""Settings from a file, a text, a mapping or Python, each checked whole before anything uses it."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..protocol.errors import SettingsError
from .checking import build_table
from .schema import document_schema
from .settings import Settings

__all__ = ["check_settings", "default_settings", "load_settings", "parse_settings", "settings_from_dict"]

FILE_BYTES_MAX = 1024 * 1024
# Python converts no decimal of more digits to an integer (sys.int_info.default_max_str_digits).
DIGITS_TOO_MANY = re.compile(r"[0-9][0-9_]{4300,}")


def default_settings() -> Settings:
    """The settings in force where nothing is set.

    >>> default_settings().ema_alpha
    0.1
    """
    return Settings()


def load_settings(path: str | os.PathLike[str]) -> Settings:
    """The settings in a TOML file.

    Raises ``SettingsError``, whose ``problems`` lists everything that is wrong: the file cannot be read, is
    not UTF-8 or not TOML, or keys are unknown, of the wrong type, or out of range.
    """
    source = os.fsdecode(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise SettingsError(
            ["the file does not exist; name an existing one, or none for defaults"], source
        ) from None
    except IsADirectoryError:
        raise SettingsError(["this is a directory; name the TOML file in it"], source) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            [f"the file cannot be read: {reason}; check the path and permissions"], source
        ) from error
    if len(content) > FILE_BYTES_MAX:
        raise SettingsError([f"the file is larger than {FILE_BYTES_MAX} bytes; is it the right one?"], source)
    try:
        # Some editors put a byte order mark in front.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"line {line} is not UTF-8 (byte 0x{content[error.start]:02x}); save the file as UTF-8"
        raise SettingsError([problem], source) from None
    return parse_settings(text, source=source)


def parse_settings(text: str, source: str = "settings") -> Settings:
    """The settings in a TOML text; ``source`` says in errors where it came from. Raises ``SettingsError``.

    >>> parse_settings("[online_learning]\\nema_alpha = 0.2").ema_alpha
    0.2
    >>> parse_settings("[online_learning]\\nema_alpha = 2", source="my.toml")
    Traceback (most recent call last):
        ...
    handicapper.protocol.errors.SettingsError: SETTINGS_INVALID my.toml: online_learning.ema_alpha was 2;
    expected a number above 0, up to 1 (change it, or leave it out for the default, 0.1)
    """
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise SettingsError(["the TOML is nested too deeply; settings need two levels"], source) from None
    except ValueError as error:
        # TOMLDecodeError is one; a bare one is an integer with too many digits.
        raise SettingsError([_syntax_problem(text, str(error))], source) from None
    return settings_from_dict(document, source)


def _syntax_problem(text: str, said: str) -> str:
    """The words of tomllib, with the place in front in every case."""
    text = text.replace("\r\n", "\n")
    if place := re.search(r" \(at (line \d+, column \d+)\)$", said):
        return f"{place[1]} is not valid TOML: {said[: place.start()]}"
    if said.endswith(" (at end of document)"):
        what = said.removesuffix(" (at end of document)")
        return f"{_place(text, len(text))}, the end, is not valid TOML: {what}"
    digits = DIGITS_TOO_MANY.search(text)
    where = _place(text, digits.start()) if digits else "a number"
    return f"{where} is not valid TOML: too many digits"


def _place(text: str, offset: int) -> str:
    line_start = text.rfind("\n", 0, offset) + 1
    return f"line {text.count(chr(10), 0, offset) + 1}, column {offset - line_start + 1}"


def settings_from_dict(document: Mapping[str, Any], source: str = "settings") -> Settings:
    """The settings in a mapping shaped like the TOML document. Raises ``SettingsError``.

    A missing table or key takes its defaults; so does an empty document.

    >>> settings_from_dict({"online_learning": {"limits": {"models_max": 7}}}).limits.models_max
    7
    """
    problems: list[str] = []
    built = build_table(document_schema(), document, problems)
    if problems:
        raise SettingsError(problems, source)
    return built.online_learning


def check_settings(settings: Settings, source: str = "settings") -> Settings:
    """The same settings, checked: for those constructed in Python, which msgspec does not check.

    Whole numbers given for floats come back as floats. Raises ``SettingsError``.

    >>> check_settings(Settings(decay_half_life_hours=24)).decay_half_life_hours
    24.0
    """
    problems: list[str] = []
    built = build_table(document_schema().tables["online_learning"], settings, problems)
    if problems:
        raise SettingsError(problems, source)
    return built
