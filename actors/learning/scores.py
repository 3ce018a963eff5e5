"""Proper scores of a probability forecast, and where a Brier score comes from.

Both scores are losses: 0 is perfect, and honest probabilities minimise their expectation, also for an
outcome ``x`` inside (0, 1) such as a split resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, log1p
from typing import Final, NamedTuple

from .calibration import FIELDS

__all__ = ["LOG_LOSS_CLIP", "MurphyDecomposition", "brier_loss", "log_loss", "murphy_decomposition"]


LOG_LOSS_CLIP: Final = 1e-6
"""Confidences nearer to 0 or 1 than this count as this."""


def brier_loss(confidence: float, x: float) -> float:
    """Squared error ``(c − x)²``, in [0, 1]; its mean is the Brier score.

    Source: Brier (1950), *Verification of forecasts expressed in terms of probability*, Monthly Weather
    Review 78(1), for one event (half of his two-category sum).

    >>> brier_loss(0.8, 1.0), brier_loss(0.8, 0.5)
    (0.04, 0.09)
    """
    difference = confidence - x
    return difference * difference


def log_loss(confidence: float, x: float, clip: float = LOG_LOSS_CLIP) -> float:
    """Logarithmic score in nats: ``−(x ln c + (1 − x) ln(1 − c))``, with c kept in [clip, 1 − clip].

    The clip bounds the loss of one prediction that was certain and wrong (13.8 at 1e-6): one such
    miss would otherwise make the mean infinite for ever.

    Source: Good (1952), *Rational decisions*, J. Royal Statistical Society B 14(1).

    >>> log_loss(0.8, 1.0), log_loss(0.8, 0.5), log_loss(0.0, 1.0)
    (0.223144, 0.916291, 13.815511)
    """
    if confidence < clip:
        confidence = clip
    elif confidence > 1.0 - clip:
        confidence = 1.0 - clip
    # A plain hit or miss leaves one of the two terms, bit for bit.
    if x == 1.0:
        return -log(confidence)
    if x == 0.0:
        return -log1p(-confidence)
    return -(x * log(confidence) + (1.0 - x) * log1p(-confidence))


class MurphyDecomposition(NamedTuple):
    """The parts of a Brier score over binned forecasts. They sum to it:

    ``brier = brier_reliability − brier_resolution + brier_uncertainty
    + within_bin_variance − within_bin_covariance``
    """

    brier: float
    """Mean of (c − x)², computed on its own and not from the parts."""
    brier_reliability: float
    """Σ nₖ(c̄ₖ − x̄ₖ)²/n: how far the bins are off; 0 is calibrated."""
    brier_resolution: float
    """Σ nₖ(x̄ₖ − x̄)²/n: how well the bins tell cases apart; more is better."""
    brier_uncertainty: float
    """Variance of the outcomes, x̄(1 − x̄) where they are 0 or 1: not the forecaster's doing."""
    within_bin_variance: float
    """Σ(c − c̄ₖ)²/n: spread of the confidences inside the bins."""
    within_bin_covariance: float
    """2Σ(c − c̄ₖ)(x − x̄ₖ)/n: how far that spread follows the outcomes."""


def murphy_decomposition(sums: Sequence[float], sum_x_squared: float) -> MurphyDecomposition | None:
    """Decompose the Brier score of the predictions in ``sums`` (see :mod:`.calibration`).

    ``sum_x_squared`` is Σx² over the same predictions; where outcomes are only 0 or 1 that is Σx. The
    three classical parts alone add up only if all confidences in a bin are equal; the two within-bin
    terms close the gap, so that the parts always sum to the score. None without data.

    Source: Murphy (1973), *A new vector partition of the probability score*, J. Applied Meteorology
    12(4); Stephenson, Coelho & Jolliffe (2008), *Two extra components in the Brier score
    decomposition*, Weather and Forecasting 23(4).

    >>> from handicapper.actors.learning.calibration import bins_of
    >>> murphy_decomposition(bins_of([0.9, 0.8, 0.2], [1.0, 0.0, 0.0], bins=2), 1.0)
    MurphyDecomposition(brier=0.23, brier_reliability=0.095, brier_resolution=0.0555556,
        brier_uncertainty=0.2222222, within_bin_variance=0.00166667, within_bin_covariance=0.0333333)
    """
    total = sum(sums[::FIELDS])
    if total == 0.0:
        return None
    mean_x = sum(sums[2::FIELDS]) / total
    reliability = resolution = variance = covariance = 0.0
    for start in range(0, len(sums), FIELDS):
        n, sum_c, sum_x, sum_cc, sum_cx = sums[start : start + FIELDS]
        if n > 0.0:
            reliability += (sum_c - sum_x) ** 2 / n
            resolution += n * (sum_x / n - mean_x) ** 2
            variance += sum_cc - sum_c * sum_c / n
            covariance += 2.0 * (sum_cx - sum_c * sum_x / n)
    brier = sum(sums[3::FIELDS]) - 2.0 * sum(sums[4::FIELDS]) + sum_x_squared
    return MurphyDecomposition(
        brier=brier / total,
        brier_reliability=reliability / total,
        brier_resolution=resolution / total,
        brier_uncertainty=sum_x_squared / total - mean_x * mean_x,
        within_bin_variance=variance / total,
        within_bin_covariance=covariance / total,
    )
