"""Asking all models from a thread that waits for the answer, a few at a time.

The models answer in that thread, where they are idle. Where an event loop runs the learner, its thread needs the
interpreter for every message it reads: a thread that computes leaves it only when it must, every few milliseconds,
so this one steps aside by itself after every few models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import Any

from .runtime.dispatcher import Dispatcher
from .runtime.everyone import NO_REPLY, Asked, ask_all
from .runtime.gather import Gather, Gathered
from .runtime.ref import PooledRef

__all__ = ["ask_in_pieces"]


def ask_in_pieces(
    dispatcher: Dispatcher,
    refs: Mapping[str, PooledRef[Any]],
    message: Any,
    timeout: float,
    size: int,
    pause: Callable[[], object],
) -> Gathered[str, Any]:
    """Ask each the same and wait for what they say, ``timeout`` seconds at most; keys are in order.

    ``pause`` is called between pieces of ``size``. Never raises for what an actor did: look at ``errors`` and
    ``missing``.
    """
    deadline = monotonic() + timeout
    names = sorted(refs)
    values: dict[str, Any] = {}
    errors: dict[str, BaseException] = {}
    busy: list[Gather[int, Any]] = []

    def keep(piece: list[str], asked: Asked) -> None:
        replies = zip(piece, asked.replies, strict=False)
        values.update({name: reply for name, reply in replies if reply is not NO_REPLY})
        errors.update({piece[place]: error for place, error in asked.errors.items()})

    for start in range(0, len(names), size):
        if start:
            pause()
        piece = names[start : start + size]
        cells = [refs[name].cell for name in piece]
        gather = ask_all(dispatcher, cells, message, partial(keep, piece), deadline)
        if gather is not None:
            busy.append(gather)
    for gather in busy:
        gather.wait(max(deadline - monotonic(), 0.0), dispatcher)
    return Gathered(
        {name: values[name] for name in names if name in values},
        {name: errors[name] for name in names if name in errors},
        tuple(name for name in names if name not in values and name not in errors),
    )
