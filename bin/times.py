"""Event times as text: ISO 8601 with an offset, exact to the nanosecond."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ..protocol.values import TIME_NS_MAX, TIME_NS_MIN

__all__ = ["TIME_EXPECTED", "format_time_ns", "parse_time_ns"]

TIME_EXPECTED = "an ISO 8601 time with Z or an offset, such as 2019-10-30T16:00:00Z"

_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?(?:([Zz])|([+-])(\d{2}):?(\d{2}))",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time_ns(text: str) -> int:
    """Nanoseconds since the Unix epoch of an ISO 8601 time that names its offset.

    A time without an offset is refused, because guessing the zone moves every outcome by hours. So is
    anything before the year 1900 or from 2200 on, which no message may carry.

    >>> parse_time_ns("2010-04-04T16:00:00Z")
    1270396800000000000
    >>> parse_time_ns("1970-01-01T01:00:00.000000001+01:00")
    1

    Raises:
        ValueError: with what was expected.
    """
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError(TIME_EXPECTED)
    fraction, sign, offset_hours, offset_minutes = found.group(7, 9, 10, 11)
    try:
        year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{TIME_EXPECTED} ({error})") from None
    since = moment - _EPOCH
    if sign is not None:
        if int(offset_hours) > 23 or int(offset_minutes) > 59:
            raise ValueError(f"{TIME_EXPECTED} (the offset is out of range)")
        offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
        since = since - offset if sign == "+" else since + offset
    seconds = since.days * 86_400 + since.seconds
    ns = seconds * 1_000_000_000 + (int(fraction.ljust(9, "0")) if fraction else 0)
    if not TIME_NS_MIN <= ns <= TIME_NS_MAX:
        raise ValueError("a time from year 1900 to 2200")
    return ns


def format_time_ns(ns: int) -> str:
    """The same time as ISO 8601 in UTC, with as many decimals as it needs.

    >>> format_time_ns(1270396800000000000), format_time_ns(1500000000)
    ('2010-04-04T16:00:00Z', '1970-01-01T00:00:01.5Z')
    """
    seconds, fraction = divmod(ns, 1_000_000_000)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if fraction:
        text += f".{fraction:09d}".rstrip("0")
    return text + "Z"
