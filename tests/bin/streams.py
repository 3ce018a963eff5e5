"""CSV texts for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

from handicapper.bin.rows import COLUMNS

HEADER = ",".join(COLUMNS)


def hour(number: int) -> str:
    """The time of an hour of January 2024, counted from its start."""
    return f"2024-01-{1 + number // 24:02d}T{number % 24:02d}:00:00Z"


def line(
    event: str = "e1",
    predicted: str = hour(0),
    resolved: str = hour(5),
    model: str = "elo",
    label: str = "YES",
    confidence: str = "0.6",
    price: str = "0.5",
    actual: str = "YES",
) -> str:
    return ",".join((event, predicted, resolved, model, label, confidence, price, actual))


def text(lines: Sequence[str], header: str = HEADER) -> str:
    return "\n".join((header, *lines)) + "\n"
