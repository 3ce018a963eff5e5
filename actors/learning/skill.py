"""Skill: how much better than a reference, such as the market's own price."""

from __future__ import annotations

__all__ = ["skill_score"]


def skill_score(score: float | None, reference_score: float | None) -> float | None:
    """``1 − score / reference_score`` for losses: 1 is perfect, 0 as good as the reference.

    Below 0 is worse than the reference. None where either score is missing, and where the reference
    is perfect: nothing can be said about a share of no loss.

    Source: Murphy (1988), *Skill scores based on the mean square error and their relationships to the
    correlation coefficient*, Monthly Weather Review 116(12).

    >>> skill_score(0.18, 0.20), skill_score(0.25, 0.20), skill_score(0.1, 0.0)
    (0.1, -0.25, None)
    """
    if score is None or reference_score is None or reference_score == 0.0:
        return None
    return 1.0 - score / reference_score
