"""Profit and loss, exact to the last digit.

Money is ``Decimal`` and is only ever added, subtracted and multiplied, in a context of its own whose
precision no valid input can exhaust: size and price with 18 digits before and 18 after the point need
at most 36 digits each, and the shortest decimal of any float payout at most 341 after the point. The
host's own decimal context is neither read nor changed. Inexact results are trapped, so that a digit
cannot be lost in silence.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
)
from functools import reduce

__all__ = ["add_money", "multiply_money", "normalize_money", "subtract_money", "sum_money", "trade_pnl"]

# Precision is an upper bound and costs nothing until digits exist: short sums stay fast.
_EXACT = Context(
    prec=500,
    rounding=ROUND_HALF_EVEN,
    traps=[DivisionByZero, FloatOperation, Inexact, InvalidOperation, Overflow],
)
_ZERO = Decimal(0)
_ONE = Decimal(1)


def _decimal(payout: float) -> Decimal:
    """The shortest decimal that reads back as this float: 0.1 is one tenth, not its binary neighbour."""
    if payout == 1.0:
        return _ONE
    if payout == 0.0:
        return _ZERO
    return Decimal(repr(float(payout)))


def trade_pnl(size: Decimal, price: Decimal, payout: float, fee: Decimal | None = None) -> Decimal:
    """``size × (payout − price) − fee``, exact, in the unit of the payout.

    Raises:
        decimal.Inexact: the result needs more than 500 digits.

    >>> trade_pnl(Decimal("10"), Decimal("0.62"), 1.0, Decimal("0.05"))
    Decimal('3.75')
    >>> trade_pnl(Decimal("10"), Decimal("0.62"), 0.1)
    Decimal('-5.20')
    """
    gross = _EXACT.multiply(size, _EXACT.subtract(_decimal(payout), price))
    return gross if fee is None else _EXACT.subtract(gross, fee)


def add_money(a: Decimal, b: Decimal) -> Decimal:
    """``a + b``, exact.

    >>> add_money(Decimal("123456789012345678.9"), Decimal("1e-18"))
    Decimal('123456789012345678.900000000000000001')
    """
    return _EXACT.add(a, b)


def sum_money(amounts: Iterable[Decimal]) -> Decimal:
    """The sum of amounts, exact; 0 of none.

    >>> sum_money([Decimal("0.1"), Decimal("0.20")])
    Decimal('0.30')
    """
    return reduce(_EXACT.add, amounts, _ZERO)


def subtract_money(a: Decimal, b: Decimal) -> Decimal:
    """``a − b``, exact.

    >>> subtract_money(Decimal("0.3"), Decimal("0.1"))
    Decimal('0.2')
    """
    return _EXACT.subtract(a, b)


def multiply_money(a: Decimal, b: Decimal) -> Decimal:
    """``a × b``, exact.

    >>> multiply_money(Decimal("10"), Decimal("0.62"))
    Decimal('6.20')
    """
    return _EXACT.multiply(a, b)


def normalize_money(a: Decimal) -> Decimal:
    """The same amount without trailing zeros, so that equal amounts have equal digits.

    >>> normalize_money(Decimal("6.20")), normalize_money(Decimal("0.00"))
    (Decimal('6.2'), Decimal('0'))
    """
    return _EXACT.normalize(a)
