"""Checks of what enters: one function per input message, the same for a caller and for a socket.

Each returns the message, normalised where that loses nothing (an int confidence becomes a float, an
aware ``datetime`` becomes nanoseconds, a decimal string becomes ``Decimal``), or raises
:class:`~handicapper.protocol.errors.InvalidValueError` naming the field, its value and what to do.
The common case, a message that is right as it is, takes one pass of cheap comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any, Final, TypeVar, get_args

import msgspec

from .errors import InvalidValueError
from .messages import Input, MarketResolved, Prediction, ResolutionStatus, TradeOutcome
from .wording import alternatives, shown

__all__ = [
    "ID_BYTES_MAX",
    "ID_EXPECTED",
    "LABEL_BYTES_MAX",
    "LABEL_EXPECTED",
    "METADATA_BYTES_MAX",
    "METADATA_EXPECTED",
    "METADATA_VALUE_EXPECTED",
    "MONEY_EXPECTED",
    "PATH_BYTES_MAX",
    "PATH_EXPECTED",
    "PAYOUTS_EXPECTED",
    "PAYOUT_LABELS_MAX",
    "PROBABILITY_EXPECTED",
    "REVISION_EXPECTED",
    "STATUS_EXPECTED",
    "TEXT_BYTES_MAX",
    "TEXT_EXPECTED",
    "TIME_EXPECTED",
    "TIME_NS_MAX",
    "TIME_NS_MIN",
    "check_id",
    "check_input",
    "check_market_resolved",
    "check_path",
    "check_prediction",
    "check_text",
    "check_time",
    "check_trade_outcome",
]

_T = TypeVar("_T")

ID_BYTES_MAX: Final = 256
LABEL_BYTES_MAX: Final = 64
TEXT_BYTES_MAX: Final = 1024
METADATA_BYTES_MAX: Final = 4096
PATH_BYTES_MAX: Final = 4095
PAYOUT_LABELS_MAX: Final = 256
MONEY_DIGITS_MAX: Final = 18
"""Digits before and after the point; within these, products and sums of money stay exact."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TIME_NS_MIN: Final = (datetime(1900, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) * 1000
TIME_NS_MAX: Final = (datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) * 1000

# What is expected, in words that every caller understands: these texts travel.
_CHARACTERS: Final = "of UTF-8 without control characters"
ID_EXPECTED: Final = f"an id of 1 to {ID_BYTES_MAX} bytes {_CHARACTERS}"
LABEL_EXPECTED: Final = f"an outcome label of 1 to {LABEL_BYTES_MAX} bytes {_CHARACTERS}"
TEXT_EXPECTED: Final = f"a text of at most {TEXT_BYTES_MAX} bytes {_CHARACTERS}"
TIME_EXPECTED: Final = (
    "integer nanoseconds since 1970 UTC, from year 1900 to 2200 (multiply seconds by 1000000000)"
)
PROBABILITY_EXPECTED: Final = "a number from 0 to 1"
MONEY_EXPECTED: Final = (
    f'an exact amount: an integer or a decimal string such as "0.58", with at most {MONEY_DIGITS_MAX} digits on each '
    "side of the point (a float is not exact)"
)
PATH_EXPECTED: Final = f"a path of 1 to {PATH_BYTES_MAX} bytes of UTF-8"
REVISION_EXPECTED: Final = "a whole number from 0 to 2147483647"
PAYOUTS_EXPECTED: Final = f"a map of 1 to {PAYOUT_LABELS_MAX} outcome labels to payouts from 0 to 1"
METADATA_EXPECTED: Final = "a map of strings to strings, numbers, booleans or nil"
METADATA_VALUE_EXPECTED: Final = "a string, a number, a boolean or nil"
STATUSES: Final[tuple[str, ...]] = get_args(ResolutionStatus)
STATUS_EXPECTED: Final = alternatives(STATUSES)


def check_prediction(prediction: Prediction) -> Prediction:
    """Return the prediction, normalised, or raise InvalidValueError.

    >>> try:
    ...     check_prediction(Prediction(prediction_id="p", model_id="m", market_id="k", outcome="YES",
    ...                                 confidence=1.2, predicted_at=0))
    ... except InvalidValueError as error:
    ...     print(error)
    INVALID_VALUE confidence was 1.2; expected a number from 0 to 1
    """
    p = prediction
    if (
        type(p) is Prediction
        and _are_names(p.prediction_id, p.model_id, p.market_id, p.outcome, ID_BYTES_MAX)
        and type(p.confidence) is float
        and 0.0 <= p.confidence <= 1.0
        and type(p.predicted_at) is int
        and TIME_NS_MIN <= p.predicted_at <= TIME_NS_MAX
        and (p.price is None or (_is_plain_money(p.price) and p.price <= 1))
        and (p.size is None or _is_plain_money(p.size))
        and p.fee is None
        and p.expires_at is None
        and p.metadata is None
    ):
        return p
    if not isinstance(p, Prediction):
        raise InvalidValueError("prediction", p, "a Prediction")
    predicted_at = check_time("predicted_at", p.predicted_at)
    expires_at = None if p.expires_at is None else check_time("expires_at", p.expires_at)
    if expires_at is not None and expires_at < predicted_at:
        raise InvalidValueError("expires_at", expires_at, f"a time not before predicted_at ({predicted_at})")
    price = _optional(_money, "price", p.price)
    if price is not None and price > 1:
        raise InvalidValueError("price", price, "the price of a claim that pays 1, from 0 to 1")
    # Built anew: a subclass would be journaled under its own tag, layout and fields.
    return Prediction(
        prediction_id=check_id("prediction_id", p.prediction_id),
        model_id=check_id("model_id", p.model_id),
        market_id=check_id("market_id", p.market_id),
        outcome=_label("outcome", p.outcome),
        confidence=_probability("confidence", p.confidence),
        predicted_at=predicted_at,
        expires_at=expires_at,
        price=price,
        size=_optional(_money, "size", p.size),
        fee=_optional(_money, "fee", p.fee),
        metadata=_optional(_metadata, "metadata", p.metadata),
    )


def check_market_resolved(resolution: MarketResolved) -> MarketResolved:
    """Return the resolution with ``winner`` written out as payouts, or raise InvalidValueError.

    >>> check_market_resolved(MarketResolved(market_id="k", resolved_at=0, winner="YES")).payouts
    {'YES': 1.0}
    """
    r = resolution
    if (
        type(r) is MarketResolved
        and _is_id(r.market_id)
        and r.winner is not None
        and _is_label(r.winner)
        and r.payouts is None
        and r.void is False
        and type(r.resolved_at) is int
        and TIME_NS_MIN <= r.resolved_at <= TIME_NS_MAX
        and type(r.revision) is int
        and 0 <= r.revision < 2**31
        and type(r.status) is str
        and r.status in STATUSES
        and r.source is None
    ):
        return MarketResolved(
            market_id=r.market_id,
            resolved_at=r.resolved_at,
            payouts={r.winner: 1.0},
            status=r.status,
            revision=r.revision,
        )
    if not isinstance(r, MarketResolved):
        raise InvalidValueError("resolution", r, "a MarketResolved")
    market_id = r.market_id if _is_id(r.market_id) else check_id("market_id", r.market_id)
    resolved_at = check_time("resolved_at", r.resolved_at)
    if type(r.revision) is not int or not 0 <= r.revision < 2**31:
        raise InvalidValueError("revision", r.revision, REVISION_EXPECTED)
    if not isinstance(r.status, str) or r.status not in STATUSES:
        raise InvalidValueError("status", r.status, STATUS_EXPECTED)
    if type(r.void) is not bool:
        raise InvalidValueError("void", r.void, "true or false")
    given = (r.payouts is not None) + (r.winner is not None) + r.void
    payouts = _payouts(r)
    if given != 1 and not (r.winner is not None and r.payouts == {r.winner: 1.0} and not r.void):
        all_three = {"payouts": r.payouts, "winner": r.winner, "void": r.void}
        raise InvalidValueError("payouts, winner, void", all_three, "exactly one of the three")
    return MarketResolved(
        market_id=market_id,
        resolved_at=resolved_at,
        payouts=payouts,
        void=r.void,
        status=_exact(r.status),  # pyright: ignore[reportArgumentType]  # one of the three
        revision=r.revision,
        source=_optional(check_text, "source", r.source),
    )


def check_trade_outcome(outcome: TradeOutcome) -> TradeOutcome:
    """Return the outcome, normalised, or raise InvalidValueError.

    >>> try:
    ...     check_trade_outcome(TradeOutcome(prediction_id="p", model_id="", predicted_outcome="YES",
    ...                                      actual_outcome="NO", resolved_at=0))
    ... except InvalidValueError as error:
    ...     print(error)
    INVALID_VALUE model_id was ""; expected an id of 1 to 256 bytes of UTF-8 without control characters
    """
    o = outcome
    if (
        type(o) is TradeOutcome
        and _are_names(o.prediction_id, o.model_id, o.predicted_outcome, o.actual_outcome, LABEL_BYTES_MAX)
        and type(o.resolved_at) is int
        and TIME_NS_MIN <= o.resolved_at <= TIME_NS_MAX
        and (o.confidence is None or (type(o.confidence) is float and 0.0 <= o.confidence <= 1.0))
        and (o.pnl is None or (type(o.pnl) is Decimal and o.pnl.is_finite() and _few_digits(o.pnl)))
    ):
        return o
    if not isinstance(o, TradeOutcome):
        raise InvalidValueError("outcome", o, "a TradeOutcome")
    return TradeOutcome(
        prediction_id=check_id("prediction_id", o.prediction_id),
        model_id=check_id("model_id", o.model_id),
        predicted_outcome=_label("predicted_outcome", o.predicted_outcome),
        actual_outcome=_label("actual_outcome", o.actual_outcome),
        resolved_at=check_time("resolved_at", o.resolved_at),
        confidence=_optional(_probability, "confidence", o.confidence),
        pnl=_optional(_signed_money, "pnl", o.pnl),
    )


_CHECKS: Final[dict[type, Callable[[Any], Input]]] = {
    Prediction: check_prediction,
    MarketResolved: check_market_resolved,
    TradeOutcome: check_trade_outcome,
}


def check_input(message: Input) -> Input:
    """Check a message of any of the three input types; anything else raises InvalidValueError."""
    check = _CHECKS.get(type(message))
    if check is None:
        raise InvalidValueError("input", message, "a Prediction, MarketResolved or TradeOutcome")
    return check(message)


def check_id(field: str, value: object) -> str:
    """Return the id: 1 to 256 bytes of UTF-8 without control characters."""
    return _text(field, value, ID_BYTES_MAX, ID_EXPECTED)


def check_text(field: str, value: object) -> str:
    """Return a free text of at most 1024 bytes without control characters; may be empty."""
    return "" if value == "" else _text(field, value, TEXT_BYTES_MAX, TEXT_EXPECTED)


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


def _is_id(value: Any) -> bool:
    """Fast yes for the usual id; a no only means that the slow path decides."""
    return type(value) is str and 0 < len(value) <= ID_BYTES_MAX and value.isascii() and value.isprintable()


def _is_label(value: Any) -> bool:
    return (
        type(value) is str and 0 < len(value) <= LABEL_BYTES_MAX and value.isascii() and value.isprintable()
    )


def _are_names(id_a: Any, id_b: Any, name_c: Any, name_d: Any, bytes_max_c: int) -> bool:
    """The same of two ids, a third name of at most so many bytes, and a label: twice as fast as one by one."""
    return (
        type(id_a) is str
        and type(id_b) is str
        and type(name_c) is str
        and type(name_d) is str
        and 0 < len(id_a) <= ID_BYTES_MAX
        and 0 < len(id_b) <= ID_BYTES_MAX
        and 0 < len(name_c) <= bytes_max_c
        and 0 < len(name_d) <= LABEL_BYTES_MAX
        and (joined := f"{id_a}{id_b}{name_c}{name_d}").isascii()
        and joined.isprintable()
    )


def _is_plain_money(value: Any) -> bool:
    return type(value) is Decimal and value.is_finite() and value >= 0 and _few_digits(value)


def _few_digits(value: Decimal) -> bool:
    """Whether the written form alone shows at most 18 digits on each side of the point."""
    text = str(value)
    return len(text) <= MONEY_DIGITS_MAX and "E" not in text


def _optional(check: Callable[[str, object], _T], field: str, value: object) -> _T | None:
    return None if value is None else check(field, value)


def _text(field: str, value: object, bytes_max: int, expected: str) -> str:
    if not isinstance(value, str):
        raise InvalidValueError(field, value, expected)
    value = _exact(value)
    if not value or len(value) > bytes_max:
        raise InvalidValueError(field, value, expected)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidValueError(field, value, expected) from None
    if size > bytes_max or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value):
        raise InvalidValueError(field, value, expected)
    return value


def _exact(value: str) -> str:
    """The characters of a str or of a subclass (an enum's ``str()`` gives its name instead)."""
    return value if type(value) is str else str.__str__(value)


def _label(field: str, value: object) -> str:
    return _text(field, value, LABEL_BYTES_MAX, LABEL_EXPECTED)


def _probability(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidValueError(field, value, PROBABILITY_EXPECTED)
    return float(value)


def _signed_money(field: str, value: object) -> Decimal:
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


def _money(field: str, value: object) -> Decimal:
    money = _signed_money(field, value)
    if money < 0:
        raise InvalidValueError(field, value, "an amount that is not negative")
    return money


def _payouts(resolution: MarketResolved) -> dict[str, float] | None:
    if resolution.winner is not None:
        return {_label("winner", resolution.winner): 1.0}
    payouts: object = resolution.payouts
    if payouts is None:
        return None
    if not isinstance(payouts, Mapping) or not 0 < len(payouts) <= PAYOUT_LABELS_MAX:
        raise InvalidValueError("payouts", payouts, PAYOUTS_EXPECTED)
    return {
        _label("key of payouts", label): _probability(f"payouts[{shown(label)}]", value)
        for label, value in payouts.items()
    }


def _metadata(field: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidValueError(field, value, METADATA_EXPECTED)
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidValueError(f"key of {field}", key, "a string")
        if not isinstance(item, str | int | float | bool | None):
            raise InvalidValueError(f"{field}[{shown(key)}]", item, METADATA_VALUE_EXPECTED)
        if isinstance(item, float) and not isfinite(item):
            raise InvalidValueError(f"{field}[{shown(key)}]", item, "a finite number")
    copy = {_exact(key): _plain(item) for key, item in value.items()}
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
        return _exact(item)
    return int(item) if isinstance(item, int) else float(item)
