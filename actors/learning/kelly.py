"""Kelly's stake on a claim with a price, and what such stakes would have made of a bettor's wealth.

A claim that pays 1 costs ``price``; a model says that it pays with probability ``p``. Kelly's bettor puts the
fraction of the wealth on it that makes its logarithm grow fastest if the model is right. The log-wealth then is
evidence for the model against the price: where the price is fair, a bettor's wealth of 1 ever becomes W or more with
a chance of at most 1/W (Ville's inequality), whatever the model says.

Source: Kelly (1956), *A new interpretation of information rate*, Bell System Technical Journal 35(4); fractions of
it: MacLean, Ziemba & Blazenko (1992), *Growth versus security in dynamic investment analysis*, Management Science
38(11); wealth as evidence: Shafer & Vovk (2019), *Game-Theoretic Foundations for Probability and Finance*, and
Shafer (2021), *Testing by betting*, JRSS A 184(2).
"""

from __future__ import annotations

from math import log1p

__all__ = ["bet_log_growth", "kelly_fraction", "kelly_size"]


def kelly_fraction(probability: float, price: float) -> float:
    """``max((p − price)/(1 − price), 0)``: the share of the wealth Kelly puts on a claim; 0 at a price of 1.

    The claim is only bought, never sold: below its price nothing is staked. Both are in [0, 1].

    >>> kelly_fraction(0.6, 0.5), kelly_fraction(0.5, 0.6), kelly_fraction(1.0, 0.5), kelly_fraction(1.0, 1.0)
    (0.2, 0.0, 1.0, 0.0)
    """
    return (probability - price) / (1.0 - price) if probability > price else 0.0


def kelly_size(probability: float, price: float, fraction: float, weight: float) -> float:
    """The share of the bankroll to stake: Kelly's, times a fraction of it, times the model's weight; at most 1.

    >>> kelly_size(0.6, 0.5, 0.25, 1.0), kelly_size(0.6, 0.5, 0.25, 2.0), kelly_size(0.99, 0.5, 1.0, 2.0)
    (0.05, 0.1, 1.0)
    """
    return min(kelly_fraction(probability, price) * fraction * weight, 1.0)


def bet_log_growth(probability: float, price: float, x: float, fraction: float, most: float) -> float | None:
    """What one outcome adds to the log-wealth of a fractional Kelly bettor; None where nothing is staked.

    With f the share staked, ``ln(1 + f·(x/price − 1))`` for a claim that paid x, clipped to ±``most``: no single
    outcome may count for more. There is no bet at a price of 0 either, at which no claim is for sale.

    >>> bet_log_growth(0.6, 0.5, 1.0, 0.25, 0.25), bet_log_growth(0.6, 0.5, 0.0, 0.25, 0.25)
    (0.04879016, -0.05129329)
    >>> bet_log_growth(0.9, 0.01, 1.0, 0.25, 0.25), bet_log_growth(0.5, 0.6, 1.0, 0.25, 0.25)
    (0.25, None)
    """
    if price <= 0.0 or probability <= price:
        return None
    staked = fraction * (probability - price) / (1.0 - price)
    factor = staked * (x / price - 1.0)
    if factor <= -1.0:  # all was staked, and lost
        return -most
    return min(max(log1p(factor), -most), most)
