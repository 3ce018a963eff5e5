from __future__ import annotations

import decimal
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.pnl import add_money, subtract_money, trade_pnl

money = st.decimals(-(10**18), 10**18, allow_nan=False, allow_infinity=False, places=18)
sizes = st.decimals(0, 10**18, allow_nan=False, allow_infinity=False, places=18)
prices = st.decimals(0, 1, allow_nan=False, allow_infinity=False, places=18)


def exact(payout: float) -> Fraction:
    return Fraction(repr(payout))


@given(sizes, prices, st.floats(0.0, 1.0), st.none() | sizes)
def test_pnl_of_any_trade_equals_rational_arithmetic(
    size: Decimal, price: Decimal, payout: float, fee: Decimal | None
) -> None:
    expected = Fraction(size) * (exact(payout) - Fraction(price)) - (Fraction(fee) if fee is not None else 0)
    assert Fraction(trade_pnl(size, price, payout, fee)) == expected


@given(st.lists(money, max_size=40))
def test_money_added_and_taken_away_again_is_exactly_zero(amounts: list[Decimal]) -> None:
    total = Decimal(0)
    for amount in amounts:
        total = add_money(total, amount)
    assert Fraction(total) == sum((Fraction(amount) for amount in amounts), Fraction(0))
    for amount in amounts:
        total = subtract_money(total, amount)
    assert total == 0


@given(sizes, prices, st.floats(0.0, 1.0), money)
def test_pnl_of_any_payout_can_be_summed_exactly(
    size: Decimal, price: Decimal, payout: float, total: Decimal
) -> None:
    profit = trade_pnl(size, price, payout)
    assert subtract_money(add_money(total, profit), profit) == total


@pytest.mark.parametrize("payout", [5e-324, 2.2250738585072014e-308, 1 - 2**-53])
def test_pnl_of_the_smallest_and_longest_payouts_is_exact(payout: float) -> None:
    size, price = Decimal("999999999999999999.999999999999999999"), Decimal("0.999999999999999999")
    expected = Fraction(size) * (exact(payout) - Fraction(price)) - Fraction(size)
    assert Fraction(trade_pnl(size, price, payout, size)) == expected


def test_pnl_takes_a_payout_by_its_shortest_decimal() -> None:
    assert str(trade_pnl(Decimal(1), Decimal(0), 0.1)) == "0.1"


def test_pnl_ignores_and_leaves_alone_the_context_of_the_host() -> None:
    with decimal.localcontext(decimal.Context(prec=2)) as host:
        assert trade_pnl(Decimal("1234567.89"), Decimal("0.123"), 1.0) == Decimal("1082716.03953")
        assert not host.flags[decimal.Inexact]


def test_money_that_cannot_be_exact_is_refused_and_not_rounded() -> None:
    with pytest.raises(decimal.Inexact):
        add_money(Decimal("1e300"), Decimal("1e-300"))


def test_money_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(decimal.InvalidOperation):
        subtract_money(Decimal("Infinity"), Decimal("Infinity"))
