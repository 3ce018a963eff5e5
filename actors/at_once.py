"""A selection in one go: every model asked, drawn for and ranked, if all are idle, as they nearly always are.

What is out of the ordinary is left to the general way (see :mod:`.selector`), which asks again: a question changes
nothing, and both ways give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any, Final, TypeAlias

from ..protocol.messages import ModelSample
from .learning.draws import beta_draw, beta_draws, stream_seeds, words_of
from .learning.gamma import FEW
from .learning.selection import rank
from .model import ModelActor
from .ranking import Lineup
from .runtime.cell import NOT_IDLE, Cell
from .state.views import arm

__all__ = ["AT_ONCE_MAX", "Found", "ranked_at_once"]

AT_ONCE_MAX: Final = 1_024
"""More are asked in parts, with a look at the clock between them."""

Found: TypeAlias = tuple[tuple[ModelSample, ...], list[str]]
"""(a draw from the Beta of each eligible model, highest first; who is not eligible)."""


def ranked_at_once(lineup: Lineup, as_of: int, key: bytes) -> Found | None:
    """A draw for every model as of ``as_of``, in the selection of ``key`` (see :func:`.learning.draws.draw_key`). None
    if a model is busy or raises, or if something else than a Beta is drawn from.
    """
    if len(lineup.names) <= FEW:
        return _few(lineup, as_of, key)
    return _many(lineup, as_of, key)


def _few(lineup: Lineup, as_of: int, key: bytes) -> Found | None:
    alpha_key, beta_key = words_of(key)
    draws: list[float] = []
    samples: list[ModelSample] = []
    ineligible: list[str] = []
    for name, first, second, cell, acquire, release, mail, _ in lineup.seats:
        found = _ask(cell, acquire, release, mail, as_of)
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


def _many(lineup: Lineup, as_of: int, key: bytes) -> Found | None:
    places: list[int] = []
    alphas: list[float] = []
    betas: list[float] = []
    ineligible: list[str] = []
    for place, (name, _, _, cell, acquire, release, mail, _) in enumerate(lineup.seats):
        found = _ask(cell, acquire, release, mail, as_of)
        if found is None:
            ineligible.append(name)
            continue
        alpha, beta, sampled = found
        if sampled is not True:
            return None
        places.append(place)
        alphas.append(alpha)
        betas.append(beta)
    words, names = lineup.words, lineup.names
    if ineligible:
        words, names = words[:, places], [names[place] for place in places]
    draws: list[float] = beta_draws(stream_seeds(key, words), alphas, betas, 1)[:, 0].tolist()
    order = rank(range(len(draws)), draws.__getitem__)
    samples = [
        ModelSample(model_id=names[place], sample=draws[place], alpha=alphas[place], beta=betas[place])
        for place in order
    ]
    return tuple(samples), ineligible


_NOTHING: Final = (0.0, 0.0, NOT_IDLE)


def _ask(
    cell: Cell,
    acquire: Callable[[bool], bool],
    release: Callable[[], None],
    mail: Sized,
    as_of: int,
) -> tuple[float, float, Any] | None:
    """:func:`.state.views.arm` of an idle model, as ``Cell.ask_idle`` asks, written out; ``_NOTHING`` if it is to be
    asked in the general way. Nothing is said of what is handled: no watchdog has time to look."""
    if not acquire(False):
        return _NOTHING
    try:
        actor = cell.actor
        if mail or cell._attention or type(actor) is not ModelActor:
            return _NOTHING
        state: Any = actor.state
        return arm(state, as_of)
    except Exception:  # noqa: BLE001 - the general way meets it again, and tells it
        return _NOTHING
    finally:
        release()
        if mail or cell._attention:
            cell._schedule_if_needed()
