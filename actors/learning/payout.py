"""From a market's payouts to the outcome of a prediction."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["outcome_value"]


def outcome_value(payouts: Mapping[str, float], label: str) -> float:
    """The outcome ``x`` of having predicted ``label``: the payout of exactly this label, else 0.

    Labels match exactly; a market that lists no payout for a label pays it nothing.

    >>> outcome_value({"YES": 1.0}, "YES"), outcome_value({"YES": 1.0}, "Yes")
    (1.0, 0.0)
    >>> outcome_value({"home": 0.5, "away": 0.5}, "away")
    0.5
    """
    return payouts.get(label, 0.0)
