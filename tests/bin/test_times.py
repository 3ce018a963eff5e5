from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.bin.times import format_time_ns, parse_time_ns

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(
    st.datetimes(
        datetime(1900, 1, 2),
        datetime(2199, 12, 30),
        timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    )
)
def test_parse_time_of_any_offset_equals_the_datetime_arithmetic(moment):
    expected = (moment - EPOCH) // timedelta(microseconds=1) * 1000
    assert parse_time_ns(moment.isoformat()) == expected


@given(st.integers(-(2**60), 2**62))
def test_format_time_reads_back_exactly(ns):
    assert parse_time_ns(format_time_ns(ns)) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-13-01T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:00:00+25:00",
        "2024-01-01T00:00:00.1234567890Z",
        "1899-12-31T23:59:59Z",
        "2200-01-02T00:00:00Z",
        "٢٠٢٤-01-01T00:00:00Z",
        "1704067200",
    ],
)
def test_parse_time_of_anything_else_says_what_was_expected(text):
    with pytest.raises(ValueError, match=r"ISO 8601|year 1900"):
        parse_time_ns(text)
