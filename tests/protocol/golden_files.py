"""Golden bytes as files that can be read: the meaning in comments, the bytes in hexadecimal, a file for each method."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import msgpack

DIRECTORY = Path(__file__).parent / "golden"
BYTES_PER_LINE = 48


def read(name: str) -> dict[str, bytes]:
    """The bytes of each part of a file."""
    parts: dict[str, str] = {}
    part = ""
    for line in (DIRECTORY / f"{name}.txt").read_text().splitlines():
        if line.startswith("== "):
            part = line.removeprefix("== ")
            parts[part] = ""
        elif not line.startswith("#"):
            parts[part] += line
    return {part: bytes.fromhex(hexadecimal) for part, hexadecimal in parts.items()}


def write(name: str, parts: dict[str, bytes]) -> None:
    """Write a file of these parts."""
    lines: list[str] = []
    for part, data in parts.items():
        lines.append(f"== {part}")
        lines += textwrap.wrap(
            shown(msgpack.unpackb(data)), 116, initial_indent="# ", subsequent_indent="#   "
        )
        digits = data.hex()
        lines += [
            digits[start : start + 2 * BYTES_PER_LINE] for start in range(0, len(digits), 2 * BYTES_PER_LINE)
        ]
    DIRECTORY.mkdir(exist_ok=True)
    (DIRECTORY / f"{name}.txt").write_text("\n".join(lines) + "\n")


def names() -> set[str]:
    return {path.stem for path in DIRECTORY.glob("*.txt")}


def shown(value: Any) -> str:
    """A value like JSON; of long arrays of one thing only how many there are."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{shown(key)}: {shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        if len(value) > 1000:
            return f"[{len(value)} × {shown(value[0])}]"
        return "[" + ", ".join(map(shown, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "nil", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return '"' + value.replace('"', '\\"') + '"'
    return repr(value)
