"""Top-two Thompson sampling: half of the time the second best leads, so that it is tried too.

The models draw; the highest draw is the leader's. With the chance 1/2 it leads, and the draws rank. Else all draw
anew, until another model than the leader has the highest draw: those draws rank. Plain Thompson sampling, once it is
nearly sure, tries hardly anything but the best, and so learns slowly how sure it may be: this finds the best model of
several with fewer outcomes, and pays for it while it looks.

The recipe, for any language, in the terms of :mod:`.draws`:

1. The leader leads if the first bit of word 0 of the generator begun at ``k₀`` is 0.
2. Else round ``r`` = 0, 1, 2, … is draw ``2³² + r`` of every model that was drawn for. The first in which another
   model than the leader has the highest draw ranks.
3. There are at most 16 rounds, and no more than hold 16,384 draws, but one (:func:`rounds_of`). If the leader has the
   highest draw in all of them, the next highest of the last round comes first, and that round ranks the others.

Source: Russo (2016), *Simple Bayesian algorithms for best arm identification*, COLT; and (2020), Operations Research
68(6), with ``β = 1/2``; the bound on the rounds is ours.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import numpy as np

from .splitmix import Floats, word

__all__ = ["ROUNDS_BEGIN", "ROUNDS_MAX", "ROUND_DRAWS_MAX", "challenge", "leader_leads", "rounds_of"]

ROUNDS_BEGIN: Final = 2**32
"""Number of the draw that is round 0."""
ROUNDS_MAX: Final = 16
ROUND_DRAWS_MAX: Final = 16_384

_first_word = Struct("<Q8x").unpack


def leader_leads(key: bytes) -> bool:
    """Whether the highest draw leads in the selection of a :func:`.draws.draw_key`: a fair coin.

    >>> from .draws import draw_key
    >>> [leader_leads(draw_key(7, f"s-{number}")) for number in range(6)]
    [True, True, False, True, True, True]
    """
    return word(_first_word(key)[0], 0) < 2**63


def rounds_of(models: int) -> int:
    """How many rounds there are at most.

    >>> rounds_of(10), rounds_of(4_000), rounds_of(100_000)
    (16, 4, 1)
    """
    return max(min(ROUNDS_MAX, ROUND_DRAWS_MAX // models), 1)


def challenge(leader: int, rounds: Floats) -> tuple[int, int]:
    """(round that ranks, model that comes first) of draws of two models or more, a row a model and a column a round.

    >>> challenge(0, np.array([[0.9, 0.6], [0.8, 0.7], [0.1, 0.2]]))
    (1, 1)
    >>> challenge(0, np.array([[0.9, 0.8], [0.8, 0.3], [0.1, 0.4]]))
    (1, 2)
    """
    best = rounds.argmax(axis=0)
    others = np.flatnonzero(best != leader)
    if len(others):
        return int(others[0]), int(best[others[0]])
    last = rounds[:, -1].copy()
    last[leader] = -1.0
    return rounds.shape[1] - 1, int(last.argmax())
