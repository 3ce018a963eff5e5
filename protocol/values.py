"""Checks of single values: ids, labels, texts, times, probabilities, money, metadata; and what they allow.

Each check takes the name of the field, for the error, and returns the value, normalised where that loses
nothing, or raises :class:`~handicapper.protocol.errors.InvalidValueError`. The texts of what is expected
travel: they are in words that every caller understands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, Final, TypeVar, get_args

import msgspec

from .errors import InvalidValueError
from .messages import PosteriorKind, ResolutionStatus, SelectionMode
from .wording import alternatives, shown

__all__ = [
    "FORECASTS_MAX",
    "ID_BYTES_MAX",
    "ID_EXPECTED",
    "LABEL_BYTES_MAX",
    "LABEL_EXPECTED",
    "METADATA_BYTES_MAX",
    "METADATA_EXPECTED",
    "METADATA_VALUE_EXPECTED",
    "MODES",
    "MODE_EXPECTED",
    "MONEY_DIGITS_MAX",
    "MONEY_EXPECTED",
    "PAIR_BYTES_MIN",
    "PATH_BYTES_MAX",
    "PATH_EXPECTED",
    "PAYOUTS_EXPECTED",
    "PAYOUT_LABELS_MAX",
    "POSTERIORS",
    "POSTERIOR_EXPECTED",
    "PROBABILITY_EXPECTED",
    "REVISION_EXPECTED",
    "STATUSES",
    "STATUS_EXPECTED",
    "TEXT_BYTES_MAX",
    "TEXT_EXPECTED",
    "TIME_EXPECTED",
    "TIME_NS_MAX",
    "TIME_NS_MIN",
    "check_id",
    "check_label",
    "check_metadata",
    "check_mode",
    "check_money",
    "check_path",
    "check_posterior",
    "check_probability",
    "check_signed_money",
    "check_text",
    "check_time",
    "exact",
    "optional",
]

_T = TypeVar("_T")

ID_BYTES_MAX: Final = 256
LABEL_BYTES_MAX: Final = 64
TEXT_BYTES_MAX: Final = 1024
METADATA_BYTES_MAX: Final = 4096
PAIR_BYTES_MIN: Final = 2
"""Of a key and its value, in MessagePack."""
PAYOUT_LABELS_MAX: Final = 256
FORECASTS_MAX: Final = 10_000
"""Forecasts combined in one call."""
MONEY_DIGITS_MAX: Final = 18
"""Digits before and after the point; within these, products and sums of money stay exact."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TIME_NS_MIN: Final = (datetime(1900, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) * 1000
TIME_NS_MAX: Final = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) * 1000

# What is expected, in words that every caller understands: these texts travel.
_CHARACTERS: Final = "of UTF-8 without control characters"
ID_EXPECTED: Final = f"an id of 1 to {ID_BYTES_MAX} bytes {_CHARACTERS}"
LABEL_EXPECTED: Final = f"an outcome label of 1 to {LABEL_BYTES_MAX} bytes {_CHARACTERS}"
PATH_BYTES_MAX: Final = 4095
PATH_EXPECTED: Final = f"a path of 1 to {PATH_BYTES_MAX} bytes of UTF-8"
TEXT_EXPECTED: Final = f"a text of at most {TEXT_BYTES_MAX} bytes {_CHARACTERS}"
TIME_EXPECTED: Final = (
    "integer nanoseconds since 1970 UTC, from year 1900 to 2200 (multiply seconds by 1000000000)"
)
PROBABILITY_EXPECTED: Final = "a number from 0 to 1"
MONEY_EXPECTED: Final = (
    f'an exact amount: an integer or a decimal string such as "0.58", with at most {MONEY_DIGITS_MAX} digits on each '
    "side of the point (a float is not exact)"
)
REVISION_EXPECTED: Final = "a whole number from 0 to 2147483647"
PAYOUTS_EXPECTED: Final = f"a map of 1 to {PAYOUT_LABELS_MAX} outcome labels to payouts from 0 to 1"
METADATA_EXPECTED: Final = "a map of strings to strings, numbers, booleans or nil"
METADATA_VALUE_EXPECTED: Final = "a string, a number, a boolean or nil"
STATUSES: Final[tuple[str, ...]] = get_args(ResolutionStatus)
STATUS_EXPECTED: Final = alternatives(STATUSES)
MODES: Final[tuple[SelectionMode, ...]] = get_args(SelectionMode)
MODE_EXPECTED: Final = alternatives(MODES)
POSTERIORS: Final[tuple[PosteriorKind, ...]] = get_args(PosteriorKind)
POSTERIOR_EXPECTED: Final = alternatives(POSTERIORS)


def check_id(field: str, value: object) -> str:
    """Return the id: 1 to 256 bytes of UTF-8 without control characters."""
    return _text(field, value, ID_BYTES_MAX, ID_EXPECTED)


def check_text(field: str, value: object) -> str:
    """Return a free text of at most 1024 bytes without control characters; may be empty."""
    return "" if value == "" else _text(field, value, TEXT_BYTES_MAX, TEXT_EXPECTED)


def check_mode(field: str, value: object) -> SelectionMode | None:
    """Return the mode of a selection; None stays.

    >>> check_mode("mode", "mean")
    'mean'
    """
    if value is None:
        return None
    if not isinstance(value, str) or value not in MODES:
        raise InvalidValueError(field, value, f"{MODE_EXPECTED} or nil")
    return exact(value)  # pyright: ignore[reportReturnType]  # one of them


def check_posterior(field: str, value: object) -> PosteriorKind | None:
    """Return how evidence is to age; None stays.

    >>> check_posterior("posterior", "changepoint")
    'changepoint'
    """
    if value is None:
        return None
    if not isinstance(value, str) or value not in POSTERIORS:
        raise InvalidValueError(field, value, f"{POSTERIOR_EXPECTED} or nil")
    return exact(value)  # pyright: ignore[reportReturnType]  # one of them


def check_path(field: str, value: object) -> str:
    """Return a path as text; the object of another library that stands for one will do.

    >>> from pathlib import PurePosixPath
    >>> check_path("dest", PurePosixPath("/var/backups/monday"))
    '/var/backups/monday'
    """
    spelled = getattr(type(value), "__fspath__", None)
    path = value if spelled is None else spelled(value)
    if not isinstance(path, str) or not path or "\0" in path:
        raise InvalidValueError(field, value, PATH_EXPECTED)
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        raise InvalidValueError(field, path, PATH_EXPECTED) from None
    if length > PATH_BYTES_MAX:
        raise InvalidValueError(field, path, PATH_EXPECTED)
    return path


def check_time(field: str, value: object) -> int:
    """Return an event time in ns; an aware datetime is converted exactly.

    >>> check_time("at", datetime(2024, 1, 1, tzinfo=UTC))
    1704067200000000000
    >>> try:
    ...     check_time("at", datetime(2024, 1, 1))
    ... except InvalidValueError as error:
    ...     print(error.expected)
    an aware datetime (add tzinfo=UTC) or integer nanoseconds
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidValueError(field, value, "an aware datetime (add tzinfo=UTC) or integer nanoseconds")
        given, value = value, (value - EPOCH) // timedelta(microseconds=1) * 1000
        if not TIME_NS_MIN <= value <= TIME_NS_MAX:
            raise InvalidValueError(field, given, TIME_EXPECTED)
    if type(value) is not int or not TIME_NS_MIN <= value <= TIME_NS_MAX:
        raise InvalidValueError(field, value, TIME_EXPECTED)
    return value


def optional(check: Callable[[str, object], _T], field: str, value: object) -> _T | None:
    """The checked value, or None if there is none."""
    return None if value is None else check(field, value)


def _text(field: str, value: object, bytes_max: int, expected: str) -> str:
    if not isinstance(value, str):
        raise InvalidValueError(field, value, expected)
    value = exact(value)
    if not value or len(value) > bytes_max:
        raise InvalidValueError(field, value, expected)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidValueError(field, value, expected) from None
    if size > bytes_max:
        raise InvalidValueError(field, value, expected)
    # What is printable has none of them, and tells so at once; the other way round there are odd spaces.
    if not value.isprintable() and any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value):
        raise InvalidValueError(field, value, expected)
    return value


def exact(value: str) -> str:
    """The characters of a str or of a subclass (an enum's ``str()`` gives its name instead)."""
    return value if type(value) is str else str.__str__(value)


def check_label(field: str, value: object) -> str:
    """Return the outcome label: 1 to 64 bytes of UTF-8 without control characters."""
    return _text(field, value, LABEL_BYTES_MAX, LABEL_EXPECTED)


def check_probability(field: str, value: object) -> float:
    """Return a number from 0 to 1 as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidValueError(field, value, PROBABILITY_EXPECTED)
    return float(value)


def check_signed_money(field: str, value: object) -> Decimal:
    """Return an exact amount, which may be negative."""
    if isinstance(value, float):
        raise InvalidValueError(field, value, f'{MONEY_EXPECTED}; write "{value}"')
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise InvalidValueError(field, value, MONEY_EXPECTED)
    try:
        money = Decimal(value)
    except InvalidOperation:
        raise InvalidValueError(field, value, MONEY_EXPECTED) from None
    if not money.is_finite():
        raise InvalidValueError(field, value, MONEY_EXPECTED)
    exponent = money.as_tuple().exponent
    if money.adjusted() >= MONEY_DIGITS_MAX or (isinstance(exponent, int) and exponent < -MONEY_DIGITS_MAX):
        raise InvalidValueError(field, value, f"{MONEY_EXPECTED}; round it first")
    return money


def check_money(field: str, value: object) -> Decimal:
    """Return an exact amount that is not negative."""
    money = check_signed_money(field, value)
    if money < 0:
        raise InvalidValueError(field, value, "an amount that is not negative")
    return money


def check_metadata(field: str, value: object) -> dict[str, Any]:
    """Return a copy in plain types, at most 4096 bytes when encoded."""
    if not isinstance(value, Mapping):
        raise InvalidValueError(field, value, METADATA_EXPECTED)
    least = len(value) * PAIR_BYTES_MIN
    if least > METADATA_BYTES_MAX:  # told without looking at each: a message has room for 100,000
        expected = f"at most {METADATA_BYTES_MAX} bytes when encoded, not {least} or more"
        raise InvalidValueError(field, value, expected)
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidValueError(f"key of {field}", key, "a string")
        if not isinstance(item, str | int | float | bool | None):
            raise InvalidValueError(f"{field}[{shown(key)}]", item, METADATA_VALUE_EXPECTED)
        if isinstance(item, float) and not isfinite(item):
            raise InvalidValueError(f"{field}[{shown(key)}]", item, "a finite number")
    copy = {exact(key): _plain(item) for key, item in value.items()}
    try:
        size = len(msgspec.msgpack.encode(copy))
    except (UnicodeEncodeError, OverflowError, TypeError):
        raise InvalidValueError(
            field, value, f"{METADATA_EXPECTED}, of valid UTF-8 and at most 64 bits"
        ) from None
    if size > METADATA_BYTES_MAX:
        raise InvalidValueError(field, value, f"at most {METADATA_BYTES_MAX} bytes when encoded, not {size}")
    return copy


def _plain(item: Any) -> Any:
    """A subclass's value as the plain type that the journal can hold."""
    if item is None or isinstance(item, bool):
        return item
    if isinstance(item, str):
        return exact(item)
    return int(item) if isinstance(item, int) else float(item)
