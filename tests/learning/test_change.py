"""The head of a packed filter: what is read back is what was put in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.change import (
    HEADER_BYTES,
    Change,
    pack_header,
    packed_change,
    unpack_counts,
)

times = st.integers(-(2**62), 2**62)
rates = st.floats(0.0, 1.0)
changes = st.builds(Change, times.filter(lambda at: at != -1), times, rates, rates, rates)


@given(st.integers(0, 50), times, times, st.none() | changes)
def test_head_brings_everything_back(hypotheses: int, as_of: int, watched: int, last: Change | None) -> None:
    head = pack_header(hypotheses, as_of, watched, last)
    assert len(head) == HEADER_BYTES
    assert unpack_counts(head + b"hypotheses") == (hypotheses, as_of, watched)
    assert packed_change(head + b"hypotheses") == last


@pytest.mark.parametrize("data", [None, b""])
def test_filter_that_is_not_there_has_told_of_nothing(data: bytes | None) -> None:
    assert packed_change(data) is None
