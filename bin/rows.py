"""One CSV input to rows: every field parsed and checked, every problem named with file, line and column.

The same times, prices and confidences recur many thousands of times in a stream, so each column keeps a
bounded memo from text to value; only a text not seen lately is parsed.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

from ..protocol.errors import InvalidValueError
from ..protocol.messages import Prediction
from ..protocol.values import ID_BYTES_MAX, LABEL_BYTES_MAX, check_id
from .errors import InputDataError, InputUnreadableError
from .times import parse_time_ns

__all__ = ["COLUMNS", "Row", "read_rows"]

_T = TypeVar("_T")

COLUMNS = (
    "event_id",
    "predicted_at",
    "resolved_at",
    "model_id",
    "outcome_label",
    "confidence",
    "price",
    "actual",
)

_NUMBER = re.compile(r"\s*\+?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?\s*", re.ASCII)
_SIZE_STEP = Decimal("1e-12")
_MEMO_ENTRIES_MAX = 50_000


class Row(NamedTuple):
    """One line of a stream: what a model said, and how that ended (None: not known)."""

    predicted_at: int
    prediction: Prediction
    resolved_at: int | None
    actual: str | None
    source: str
    line: int


class _FieldError(Exception):
    """A field is wrong; the reader adds file and line."""

    def __init__(self, column: str, text: str, expected: str) -> None:
        shown = repr(text if len(text) <= 80 else text[:60] + "...")
        super().__init__(f"was {shown}; expected {expected}")
        self.column = column


class _Memo(dict[str, _T], Generic[_T]):
    """Text to value of one column. A hit costs one dict look-up and calls no Python."""

    def __init__(self, column: str, parse: Callable[[str], _T]) -> None:
        super().__init__()
        self._column = column
        self._parse = parse

    def __missing__(self, text: str) -> _T:
        try:
            value = self._parse(text)
        except ValueError as error:
            raise _FieldError(self._column, text, str(error)) from None
        if len(self) >= _MEMO_ENTRIES_MAX:
            self.clear()
        self[text] = value
        return value


def _confidence(text: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else -1.0
    if not 0.0 <= value <= 1.0:
        raise ValueError("a number from 0 to 1")
    return value


def _resolved_at(text: str) -> int | None:
    return parse_time_ns(text.strip()) if text else None


def _id(text: str) -> str:
    try:
        return check_id("id", text)
    except InvalidValueError as error:
        raise ValueError(error.expected) from None


def _joined(event_id: str, model_id: str) -> str:
    """The prediction id. Up to 64 characters it cannot be too long, whatever they are."""
    joined = f"{event_id}/{model_id}"
    if len(joined) > 64 and len(joined.encode()) > ID_BYTES_MAX:
        raise _FieldError(
            "event_id", event_id, f"an id that with the model's takes under {ID_BYTES_MAX} bytes"
        )
    return joined


def _label(text: str) -> str:
    if not 0 < len(text.encode()) <= LABEL_BYTES_MAX or not text.isprintable():
        raise ValueError(f"an outcome label of 1 to {LABEL_BYTES_MAX} bytes without control characters")
    return text


def _actual(text: str) -> str | None:
    return _label(text) if text else None


def _price_and_size(stake: Decimal) -> Callable[[str], tuple[Decimal | None, Decimal | None]]:
    """Parser of a price into (price, claims the stake buys at it), to 12 decimals of a claim."""

    def parse(text: str) -> tuple[Decimal | None, Decimal | None]:
        if not text:
            return None, None
        price = Decimal(text.strip()) if _NUMBER.fullmatch(text) else Decimal(0)
        if not 0 < price <= 1:
            raise ValueError("a price above 0 and at most 1, or nothing")
        exponent = price.as_tuple().exponent
        if isinstance(exponent, int) and exponent < -18:
            raise ValueError("a price with at most 18 decimals")
        size = stake / price
        if size.adjusted() >= 15:
            raise ValueError(f"a price at which the stake of {stake} buys fewer than 10**15 claims")
        return price, size.quantize(_SIZE_STEP)

    return parse


def read_rows(lines: Iterable[str], source: str, stake: Decimal = Decimal(1)) -> Iterator[Row]:
    """Yield the rows of one CSV input, in file order.

    The first line names the columns, in any order; columns not in :data:`COLUMNS` are ignored. An empty
    ``price`` means none; an event whose ``resolved_at`` and ``actual`` are both empty is not resolved.
    ``size`` becomes stake / price claims, so that every priced row risks the same stake.

    >>> header = "event_id,predicted_at,resolved_at,model_id,outcome_label,confidence,price,actual"
    >>> line = "e1,2024-01-01T00:00:00Z,2024-01-02T00:00:00Z,elo,YES,0.6,0.4,NO"
    >>> row = next(read_rows([header, line], "a.csv"))
    >>> row.prediction.prediction_id, row.prediction.size, row.actual
    ('e1/elo', Decimal('2.500000000000'), 'NO')

    Raises:
        InputDataError: A line is wrong, or earlier than the line before it (at file, line and column).
        InputUnreadableError: The input cannot be read any further.
    """
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, None)
        yield from _parse_rows(reader, _positions(header, source), len(header or ()), source, stake)
    except csv.Error as error:
        raise InputDataError(f"not a CSV line: {error}", source, reader.line_num) from None
    except UnicodeDecodeError as error:
        raise InputDataError(f"not UTF-8: {error.reason}", source, reader.line_num + 1) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputDataError(f"damaged gzip data: {error}", source, reader.line_num + 1) from None
    except OSError as error:
        raise InputUnreadableError(f"cannot read {source}: {error.strerror or error}") from error


def _parse_rows(reader: Any, positions: list[int], width: int, source: str, stake: Decimal) -> Iterator[Row]:
    """Parse the lines after the header. ``reader`` is a ``csv.reader``, whose type has no public name."""
    event_at, predicted_at_at, resolved_at_at, model_at, label_at, confidence_at, price_at, actual_at = (
        positions
    )
    times = _Memo("predicted_at", lambda text: parse_time_ns(text.strip()))
    resolved_times = _Memo("resolved_at", _resolved_at)
    event_ids, model_ids = _Memo("event_id", _id), _Memo("model_id", _id)
    labels, actuals = _Memo("outcome_label", _label), _Memo("actual", _actual)
    confidences, prices = _Memo("confidence", _confidence), _Memo("price", _price_and_size(stake))
    latest = latest_line = 0
    for fields in reader:
        line: int = reader.line_num
        if len(fields) != width:
            if not fields:
                continue
            raise InputDataError(f"has {len(fields)} fields; the header has {width}", source, line)
        try:
            event_id, model_id = event_ids[fields[event_at]], model_ids[fields[model_at]]
            predicted_at = times[fields[predicted_at_at]]
            resolved_at, actual = resolved_times[fields[resolved_at_at]], actuals[fields[actual_at]]
            price, size = prices[fields[price_at]]
            prediction = Prediction(
                prediction_id=_joined(event_id, model_id),
                model_id=model_id,
                market_id=event_id,
                outcome=labels[fields[label_at]],
                confidence=confidences[fields[confidence_at]],
                predicted_at=predicted_at,
                price=price,
                size=size,
            )
        except _FieldError as error:
            raise InputDataError(str(error), source, line, error.column) from None
        if predicted_at < latest and latest_line:
            problem = (
                f"was {fields[predicted_at_at]!r}, earlier than line {latest_line}; sort by predicted_at"
            )
            raise InputDataError(problem, source, line, "predicted_at")
        latest, latest_line = predicted_at, line
        if resolved_at is None or actual is None or resolved_at <= predicted_at:
            _check_resolution(fields[resolved_at_at], fields[actual_at], resolved_at, source, line)
        yield Row(predicted_at, prediction, resolved_at, actual, source, line)


def _check_resolution(resolved: str, actual: str, resolved_at: int | None, source: str, line: int) -> None:
    """Refuse half a resolution and one that is not after its prediction; both empty is an open event."""
    if resolved_at is not None and actual:
        problem = f"was {resolved!r}; expected a time after predicted_at: anything else is look-ahead"
        raise InputDataError(problem, source, line, "resolved_at")
    if resolved_at is not None or actual:
        column = "resolved_at" if resolved_at is None else "actual"
        problem = (
            f"was ''; expected both resolved_at and actual, or neither (here {resolved!r} and {actual!r})"
        )
        raise InputDataError(problem, source, line, column)


def _positions(header: list[str] | None, source: str) -> list[int]:
    """Index of each of :data:`COLUMNS` in the header."""
    if header is None:
        raise InputDataError(f"is empty; expected a header line with {', '.join(COLUMNS)}", source)
    names = [name.strip() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        extra = [name for name in names if name not in COLUMNS]
        said = [f"{name}{_similar(name, extra)}" for name in missing]
        found = ", ".join(name or "''" for name in names[:20])
        raise InputDataError(f"the header has no column {', '.join(said)}; it has {found}", source, 1)
    for name in COLUMNS:
        if names.count(name) > 1:
            raise InputDataError(
                f"the header has the column {name} {names.count(name)} times", source, 1, name
            )
    return [names.index(name) for name in COLUMNS]


def _similar(name: str, candidates: list[str]) -> str:
    close = difflib.get_close_matches(name, candidates, n=1)
    return f" (is it {close[0]!r}?)" if close else ""
