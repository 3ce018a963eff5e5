"""What the messages about settings are made of: the offending value, and the hint what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from .schema import KeySchema, TableSchema, document_schema, toml_value

__all__ = ["hint_for_value", "quote_key", "shown", "unknown_problem"]

SHOWN_CHARACTERS_MAX = 80
SHOWN_BITS_MAX = 256


def shown(value: object, *, with_type: bool) -> str:
    """The value as a message shows it, shortened; ``with_type`` when the type is what is wrong.

    >>> shown("abc", with_type=True), shown(1.5, with_type=False), shown([1], with_type=True)
    ("the string 'abc'", '1.5', 'the array [1]')
    """
    if isinstance(value, int) and value.bit_length() > SHOWN_BITS_MAX:
        # Python refuses to print integers of many thousand digits.
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, Mapping):
        return "None" if value is None else "a table"
    text = _printed(value)
    if len(text) > SHOWN_CHARACTERS_MAX:
        text = f"{text[:60]}... ({len(text)} characters)"
    return f"the {_type_name(value)} {text}" if with_type else text


def _printed(value: object) -> str:
    if isinstance(value, bool):
        return toml_value(value)
    try:
        return repr(value)
    except (ValueError, RecursionError):
        # An array that holds such an integer, or itself.
        return "(cannot be printed)"


def _type_name(value: object) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", tuple: "array"}
    return names.get(type(value), type(value).__name__)


def quote_key(name: object) -> str:
    """A key as TOML writes it: bare where it may be.

    >>> quote_key("ema_alpha"), quote_key("ema alpha")
    ('ema_alpha', "'ema alpha'")
    """
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name):
        return name
    return shown(name, with_type=False)


def hint_for_value(key: KeySchema, value: object) -> str:
    """What to do about a value of ``key`` that is not allowed."""
    if isinstance(value, str):
        if key.kind == "choice":
            close = difflib.get_close_matches(value.strip().lower(), key.choices, n=1)
            if close:
                return f"did you mean {toml_value(close[0])}?"
        elif key.kind != "string" and _reads_as(key, value):
            return "write it without quotes"
    if key.kind == "integer" and isinstance(value, float) and value.is_integer():
        return f"write {int(value)} without a decimal point" if abs(value) < 2**53 else "write a whole number"
    default = "absent" if key.default is None else toml_value(key.default)
    return f"change it, or leave it out for the default, {default}"


def _reads_as(key: KeySchema, text: str) -> bool:
    if key.kind == "boolean":
        return text in ("true", "false")
    try:
        (int if key.kind == "integer" else float)(text)
    except ValueError:
        return False
    return True


def unknown_problem(table: TableSchema, name: object) -> str:
    """The problem with a key or table nobody knows, and the most likely one that was meant.

    >>> unknown_problem(document_schema().tables["online_learning"], "ema_alhpa")
    'online_learning.ema_alhpa is not a setting; did you mean ema_alpha?'
    """
    path = f"{table.path}.{quote_key(name)}" if table.path else quote_key(name)
    return f"{path} is not a setting; {_suggestion(table, name if isinstance(name, str) else '')}"


def _suggestion(table: TableSchema, name: str) -> str:
    wanted = name.strip().lower().replace("-", "_")[:SHOWN_CHARACTERS_MAX]
    tables = [other for other in document_schema().walk() if other.path]
    paths = [(key.name, key.path) for other in tables for key in other.keys.values()]
    paths += [(other.path.rpartition(".")[2], f"[{other.path}]") for other in tables]
    siblings = (*table.keys, *table.tables)
    if wanted in siblings:
        return f"did you mean {wanted}?"
    namesakes = [path for leaf, path in paths if leaf == wanted]
    if namesakes:
        return f"did you mean {' or '.join(namesakes)}?"
    if close := difflib.get_close_matches(wanted, siblings, n=1):
        return f"did you mean {close[0]}?"
    elsewhere = dict(paths)
    if close := difflib.get_close_matches(wanted, elsewhere, n=1, cutoff=0.75):
        return f"did you mean {elsewhere[close[0]]}?"
    below = (f"[{sub.path}]" for sub in table.tables.values())
    return f"allowed here: {', '.join((*table.keys, *below))}"
