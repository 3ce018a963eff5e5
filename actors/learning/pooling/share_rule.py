"""Shares: exponential weights with fixed share, moved only between models that forecast the same event.

A model's **weight** has mean 1 over all models: a new one enters with 1, the share 1/n, and an event moves
weight only among the models present at it. So an absent model neither gains nor loses, whoever was
present was compared like with like, and the sum of the weights stays the number of models. Weights are
kept as logarithms.

Source: Vovk (1990), *Aggregating strategies*, COLT (exponential weights; with log loss and rate 1 they
are Bayes' rule); Herbster & Warmuth (1998), *Tracking the best expert*, Machine Learning 32 (fixed share);
Freund, Schapire, Singer & Warmuth (1997), *Using and combining predictors that specialize*, STOC
(sleeping experts).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import Final, NamedTuple

from .forms import softmax

__all__ = ["LOG_WEIGHT_FLOOR", "ShareRule", "share_update"]

LOG_WEIGHT_FLOOR: Final = -40.0
"""No weight falls below e⁻⁴⁰: whatever happened, a model can come back and its share is above 0."""


class ShareRule(NamedTuple):
    """How fast weights follow."""

    rate: float
    """What a nat of log loss costs: 1 is Bayes' rule, less is slower and mixes more."""
    decay: float
    """Factor on the log weights, per event of a model: 1 never forgets."""
    sharing: float
    """The part of the weight present that is dealt out evenly again after an event."""


def share_update(log_weights: Sequence[float], scores: Sequence[float], rule: ShareRule) -> list[float]:
    """The log weights of those present after an event at which model ``i`` had the log score ``scores[i]``.

    ``vᵢ ∝ wᵢ^decay · e^(rate·scoreᵢ)``, then ``(1 − sharing)·vᵢ + sharing/n``, scaled so that the sum of
    the weights present is what it was. A score is log probability of what happened: minus the log loss.

    >>> share_update([0.0, 0.0], [log(0.8), log(0.2)], ShareRule(1.0, 1.0, 0.0))
    [0.470004, -0.916291]
    >>> [exp(w) for w in share_update([0.0, 0.0], [log(0.8), log(0.2)], ShareRule(1.0, 1.0, 0.1))]
    [1.54, 0.46]
    """
    rate, decay, sharing = rule
    present = sum([exp(w) for w in log_weights])
    posterior = softmax([decay * w + rate * s for w, s in zip(log_weights, scores, strict=True)])
    kept, dealt = (1.0 - sharing) * present, sharing * present / len(posterior)
    smallest = _FLOOR_WEIGHT
    return [log(max(kept * v + dealt, smallest)) for v in posterior]


_FLOOR_WEIGHT: Final = exp(LOG_WEIGHT_FLOOR)
