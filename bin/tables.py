"""Tables and key-value lists for people: rich on a terminal, plain aligned text everywhere else.

Plain text has no colour and no box characters, and is never cut or wrapped: its width follows from the
content alone, so that a pipe sees the same whatever the terminal is. On a terminal that is too narrow a
table is split into several, each with the first column again, instead of being cut.

Nothing is read as markup, and control characters are shown escaped: an id cannot paint the terminal.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import IO, NamedTuple

__all__ = ["Column", "Table", "fields_table", "printable", "render_plain", "show", "split_columns"]

_GAP = 2


class Column(NamedTuple):
    """A column: its heading, and whether its cells are numbers (aligned to the right)."""

    heading: str
    numeric: bool = True


class Table(NamedTuple):
    """A title (may be empty), columns, and rows of finished cells."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


def fields_table(title: str, fields: Sequence[tuple[str, str]]) -> Table:
    """A table of names and values, one a line."""
    return Table(title, (Column("field", numeric=False), Column("value", numeric=False)), fields)


def printable(text: str) -> str:
    r"""The text with everything that does not print escaped.

    >>> printable("elo\x1b[31m")
    'elo\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cell_width(text: str) -> int:
    """Columns the text takes on a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def render_plain(table: Table) -> str:
    """The table as aligned lines, without trailing blanks; ends with a newline.

    >>> table = Table("", [Column("model", numeric=False), Column("n")], [["elo", "12"], ["k29", "7"]])
    >>> print(render_plain(table), end="")
    model   n
    elo    12
    k29     7
    """
    rows = [[printable(cell) for cell in row] for row in table.rows]
    widths = _widths(table.columns, rows)
    lines = [table.title] if table.title else []
    for cells in ([column.heading for column in table.columns], *rows):
        padded = [
            " " * (width - cell_width(cell)) + cell
            if column.numeric
            else cell + " " * (width - cell_width(cell))
            for cell, width, column in zip(cells, widths, table.columns, strict=True)
        ]
        lines.append((" " * _GAP).join(padded).rstrip())
    return "\n".join(lines) + "\n"


def split_columns(widths: Sequence[int], width_max: int) -> list[list[int]]:
    """Groups of column indices that fit into ``width_max``, each starting with column 0.

    >>> split_columns([5, 4, 4, 4], 15)
    [[0, 1, 2], [0, 3]]
    """
    groups = [[0]]
    used = widths[0]
    for index in range(1, len(widths)):
        if used + widths[index] > width_max and len(groups[-1]) > 1:
            groups.append([0])
            used = widths[0]
        groups[-1].append(index)
        used += widths[index]
    return groups


def show(table: Table, stream: IO[str] | None = None) -> None:
    """Print the table to ``stream`` (standard output): rich if it is a terminal, else plain."""
    target = sys.stdout if stream is None else stream
    if target.isatty():
        _show_rich(table, target)
    else:
        target.write(render_plain(table))


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    return [
        max([cell_width(column.heading), *(cell_width(row[index]) for row in rows)])
        for index, column in enumerate(columns)
    ]


def _show_rich(table: Table, target: IO[str]) -> None:
    from rich import box  # lazily: a pipe never needs rich
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=target, highlight=False, markup=False, emoji=False)
    rows = [[printable(cell) for cell in row] for row in table.rows]
    # Two blanks of padding and one rule to each column.
    widths = [width + 3 for width in _widths(table.columns, rows)]
    make_text: Callable[[str], Text] = Text
    for part, indices in enumerate(split_columns(widths, console.width - 1)):
        shown = RichTable(title=Text(table.title) if table.title and part == 0 else None, box=box.ROUNDED)
        for index in indices:
            column = table.columns[index]
            shown.add_column(
                make_text(column.heading),
                justify="right" if column.numeric else "left",
                no_wrap=column.numeric,
                overflow="fold",
                style="bold" if index == 0 else "",
            )
        for row in rows:
            shown.add_row(*(make_text(row[index]) for index in indices))
        console.print(shown)
