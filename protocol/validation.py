"""Checks of what enters: one function per input message, the same for a caller and for a socket.

Those of single values are in :mod:`.values`; those that arguments of calls need are found here, too.

Each returns the message, normalised where that loses nothing (an int confidence becomes a float, an
aware ``datetime`` becomes nanoseconds, a decimal string becomes ``Decimal``), or raises
:class:`~handicapper.protocol.errors.InvalidValueError` naming the field, its value and what to do.
The common case, a message that is right as it is, takes one pass of cheap comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from .errors import InvalidValueError
from .messages import Forecast, Input, MarketResolved, Prediction, TradeOutcome
from .values import (
    ID_BYTES_MAX,
    LABEL_BYTES_MAX,
    MONEY_DIGITS_MAX,
    PAYOUT_LABELS_MAX,
    PAYOUTS_EXPECTED,
    REVISION_EXPECTED,
    STATUS_EXPECTED,
    STATUSES,
    TIME_NS_MAX,
    TIME_NS_MIN,
    check_id,
    check_label,
    check_metadata,
    check_mode,
    check_money,
    check_path,
    check_posterior,
    check_probability,
    check_signed_money,
    check_text,
    check_time,
    exact,
    optional,
)
from .wording import shown

__all__ = [
    "check_forecast",
    "check_forecasts",
    "check_id",
    "check_input",
    "check_market_resolved",
    "check_mode",
    "check_outcomes",
    "check_path",
    "check_posterior",
    "check_prediction",
    "check_text",
    "check_time",
    "check_trade_outcome",
]


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
    price = optional(check_money, "price", p.price)
    if price is not None and price > 1:
        raise InvalidValueError("price", price, "the price of a claim that pays 1, from 0 to 1")
    # Built anew: a subclass would be journaled under its own tag, layout and fields.
    return Prediction(
        prediction_id=check_id("prediction_id", p.prediction_id),
        model_id=check_id("model_id", p.model_id),
        market_id=check_id("market_id", p.market_id),
        outcome=check_label("outcome", p.outcome),
        confidence=check_probability("confidence", p.confidence),
        predicted_at=predicted_at,
        expires_at=expires_at,
        price=price,
        size=optional(check_money, "size", p.size),
        fee=optional(check_money, "fee", p.fee),
        metadata=optional(check_metadata, "metadata", p.metadata),
    )


def check_forecast(field: str, given: object) -> Forecast:
    """Return what a forecast, or the forecast in a prediction, says; or raise InvalidValueError naming ``field``.

    >>> try:
    ...     check_forecast("predictions[2]", Forecast(model_id="m", outcome="YES", confidence=1.2))
    ... except InvalidValueError as error:
    ...     print(error)
    INVALID_VALUE predictions[2].confidence was 1.2; expected a number from 0 to 1
    """
    if not isinstance(given, Forecast | Prediction):
        raise InvalidValueError(field, given, "a Forecast or a Prediction")
    return Forecast(
        model_id=check_id(f"{field}.model_id", given.model_id),
        outcome=check_label(f"{field}.outcome", given.outcome),
        confidence=check_probability(f"{field}.confidence", given.confidence),
    )


def check_forecasts(field: str, given: Sequence[Forecast], first: int = 0) -> Sequence[Forecast]:
    """The same of forecasts next to each other, of which the first is number ``first`` of ``field``; fast where all are
    right.

    >>> try:
    ...     check_forecasts("predictions", [Forecast(model_id="m", outcome="YES", confidence=1.2)], 7)
    ... except InvalidValueError as error:
    ...     print(error)
    INVALID_VALUE predictions[7].confidence was 1.2; expected a number from 0 to 1
    """
    return [
        each
        if _is_id(each.model_id)
        and _is_label(each.outcome)
        and type(each.confidence) is float
        and 0.0 <= each.confidence <= 1.0
        else check_forecast(f"{field}[{index}]", each)
        for index, each in enumerate(given, first)
    ]


def check_outcomes(outcomes: object) -> frozenset[str]:
    """Return the labels of outcomes given, or raise InvalidValueError."""
    if isinstance(outcomes, str) or not isinstance(outcomes, Iterable):
        raise InvalidValueError("outcomes", outcomes, "several outcome labels, such as a list of them")
    labels = frozenset(check_label("outcomes", label) for label in outcomes)
    if len(labels) > PAYOUT_LABELS_MAX:
        raise InvalidValueError("outcomes", len(labels), f"at most {PAYOUT_LABELS_MAX} outcome labels")
    return labels


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
        status=exact(r.status),  # pyright: ignore[reportArgumentType]  # one of the three
        revision=r.revision,
        source=optional(check_text, "source", r.source),
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
        predicted_outcome=check_label("predicted_outcome", o.predicted_outcome),
        actual_outcome=check_label("actual_outcome", o.actual_outcome),
        resolved_at=check_time("resolved_at", o.resolved_at),
        confidence=optional(check_probability, "confidence", o.confidence),
        pnl=optional(check_signed_money, "pnl", o.pnl),
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


def _payouts(resolution: MarketResolved) -> dict[str, float] | None:
    if resolution.winner is not None:
        return {check_label("winner", resolution.winner): 1.0}
    payouts: object = resolution.payouts
    if payouts is None:
        return None
    if not isinstance(payouts, Mapping) or not 0 < len(payouts) <= PAYOUT_LABELS_MAX:
        raise InvalidValueError("payouts", payouts, PAYOUTS_EXPECTED)
    return {
        check_label("key of payouts", label): check_probability(f"payouts[{shown(label)}]", value)
        for label, value in payouts.items()
    }
