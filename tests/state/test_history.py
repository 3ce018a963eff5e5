from __future__ import annotations

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.state.history import ROW_BYTES, History, Row

rows = st.tuples(
    st.integers(0, 12),
    st.integers(-(2**62), 2**62),
    *[st.floats(0, 1) | st.just(nan)] * 3,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), rows),
        st.tuples(st.just("replace"), st.integers(0, 30), rows),
        st.tuples(st.just("drop"), st.integers(0, 30)),
        st.tuples(st.just("store")),
    ),
    max_size=60,
)


@given(steps)
def test_history_behaves_as_a_list_that_forgets_its_head(todo: list[tuple[object, ...]]) -> None:
    history, every, first = History(), list[Row](), 0
    for step in todo:
        match step:
            case ("append", row):
                history.append(row)  # pyright: ignore[reportArgumentType]
                every.append(row)  # pyright: ignore[reportArgumentType]
            case ("replace", int(number), row) if first <= number < len(every):
                history.replace(number, row)  # pyright: ignore[reportArgumentType]
                every[number] = row  # pyright: ignore[reportCallIssue, reportArgumentType]
            case ("drop", int(number)) if number <= len(every):
                history.drop_before(number)
                first = max(first, number)
            case ("store",):
                history = History(history.first, history.tobytes())
        assert (history.first, history.end, len(history)) == (first, len(every), len(every) - first)
        assert [repr(history[n]) for n in range(first, len(every))] == [repr(row) for row in every[first:]]
        for row_id in range(13):
            found = [n for n in range(first, len(every)) if every[n][0] == row_id]
            assert history.find(row_id) == (found[-1] if found else None)


def test_dropped_row_is_an_error_and_never_another_row() -> None:
    history = History()
    for number in range(5):
        history.append((number, 0, 1.0, 0.5, nan))
    history.drop_before(3)
    with pytest.raises(IndexError, match="row 2 was dropped"):
        history[2]
    assert len(history.tobytes()) == 2 * ROW_BYTES == 80
