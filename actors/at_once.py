"""A selection among a few models in one go: each asked, drawn for and ranked, if all are idle, as they nearly always
are.

What is out of the ordinary is left to the general way (see :mod:`.selector`), which asks again: a question changes
nothing, and both ways give the same numbers.
"""

from __future__ import annotations

from typing import Any

from ..protocol.messages import ModelSample
from .learning.draws import beta_draw, words_of
from .model import ModelActor
from .ranking import Lineup
from .state.views import arm

__all__ = ["ranked_at_once"]


def ranked_at_once(
    lineup: Lineup, as_of: int, key: bytes
) -> tuple[tuple[ModelSample, ...], list[str]] | None:
    """(a draw from the Beta of each eligible model, highest first; who is not eligible), each model as of ``as_of``.
    None if a model is busy or raises, or if something else than a Beta is drawn from.
    """
    alpha_key, beta_key = words_of(key)
    draws: list[float] = []
    samples: list[ModelSample] = []
    ineligible: list[str] = []
    for name, first, second, cell, acquire, release, mail in lineup.seats:
        # As Cell.ask_idle, written out. Nothing is said of what is handled: no watchdog has time to look.
        if not acquire(False):
            return None
        try:
            actor = cell.actor
            if mail or cell._attention or type(actor) is not ModelActor:
                return None
            state: Any = actor.state
            found = arm(state, as_of)
        except Exception:  # noqa: BLE001 - the general way meets it again, and tells it
            return None
        finally:
            release()
            if mail or cell._attention:
                cell._schedule_if_needed()
        if found is None:
            ineligible.append(name)
            continue
        alpha, beta, sampled = found
        if sampled is not True:
            return None
        draw = beta_draw(first ^ alpha_key, second ^ beta_key, alpha, beta)
        if draw < 0.0:
            return None
        draws.append(draw)
        samples.append(ModelSample(model_id=name, sample=draw, alpha=alpha, beta=beta))
    order = sorted(range(len(draws)), key=draws.__getitem__, reverse=True)
    return tuple([samples[place] for place in order]), ineligible
