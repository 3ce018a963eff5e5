from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.bin.tables import Column, Table, cell_width, printable, render_plain, show, split_columns

TABLE = Table(
    "Title",
    [Column("model", numeric=False), Column("n"), Column("accuracy")],
    [["a_rather_long_model_name", "1", "0.5000"], ["k", "23456", "0.6123"]],
)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown_on_terminal(table: Table, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    show(table, stream)
    return stream.getvalue()


def test_plain_table_aligns_text_left_and_numbers_right():
    assert render_plain(TABLE) == (
        "Title\n"
        "model                         n  accuracy\n"
        "a_rather_long_model_name      1    0.5000\n"
        "k                         23456    0.6123\n"
    )


def test_plain_table_does_not_depend_on_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    show(TABLE, stream)
    assert stream.getvalue() == render_plain(TABLE)


def test_plain_table_without_rows_is_its_headings():
    assert render_plain(Table("", TABLE.columns, [])) == "model  n  accuracy\n"


def test_wide_and_combining_characters_are_aligned():
    assert (cell_width("abc"), cell_width("模型"), cell_width("e\u0301")) == (3, 4, 1)
    lines = render_plain(Table("", TABLE.columns, [["模型", "1", "2"], ["abcd", "1", "2"]])).splitlines()
    assert lines[1] == "模型   1         2"
    assert lines[2] == "abcd   1         2"


@given(st.text())
def test_printable_leaves_nothing_that_moves_the_cursor(text):
    assert printable(text).isprintable()


def test_a_wide_terminal_shows_one_table_in_full(monkeypatch):
    shown = shown_on_terminal(TABLE, 120, monkeypatch)
    assert shown.count("model") - shown.count("model_name") == 1
    for cell in ("a_rather_long_model_name", "23456", "0.6123", "Title"):
        assert cell in shown


def test_a_narrow_terminal_gets_several_tables_and_loses_no_figure(monkeypatch):
    shown = shown_on_terminal(TABLE, 42, monkeypatch)
    assert shown.count("a_rather_long_model_name") == 2
    for cell in ("23456", "0.5000", "0.6123", "accuracy"):
        assert cell in shown
    assert "…" not in shown


def test_markup_and_control_characters_in_a_cell_are_shown_not_obeyed(monkeypatch):
    table = Table("", TABLE.columns, [["[red]x[/red]\x1b[2J:smile:", "1", "2"]])
    for shown in (shown_on_terminal(table, 200, monkeypatch), render_plain(table)):
        assert "[red]x[/red]\\x1b[2J:smile:" in shown


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 80))
def test_split_columns_keeps_every_column_once_and_each_group_within_the_width(widths, width_max):
    groups = split_columns(widths, width_max)
    assert all(group[0] == 0 for group in groups)
    assert [index for group in groups for index in group[1:]] == list(range(1, len(widths)))
    for group in groups:
        assert sum(widths[index] for index in group) <= width_max or len(group) <= 2
