"""The cyclic garbage collector of a process that lives for months: it looks rarely, and at little each time.

What inputs leave behind is no cycle: at its own thresholds the collector takes some 8 % of the time at full load, to
find nothing. And a collection of everything looks through all that the models are made of, 14 objects each (outcomes
are none); nobody is served meanwhile. So what has survived one is not looked at again, once looking takes long.

Cycles that are there at such a time and are let go of later are kept for ever. What comes and goes must therefore be
none: connections let go of what refers to them at their end (``Session._let_go``).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["COLLECT_AFTER", "FREEZE_OBJECTS", "calm_collector"]

COLLECT_AFTER: Final = 4_000, 0, 0
"""New objects after which the youngest are looked through; and that the next time those that survived it are as well,
and the time after that all: 12,000 and what is not frozen are the most that is looked through at once."""

FREEZE_OBJECTS: Final = 4_000
"""That survived a collection of everything, beyond which they are not looked at again: some 2 ms of models."""


def calm_collector() -> Callable[[], None]:
    """Begin, with everything that is there now; returns what ends it."""
    gc.collect()
    gc.freeze()
    gc.collect()  # all is looked through when there is a quarter more than after the last time: more than nothing
    before = gc.get_threshold()
    gc.set_threshold(*COLLECT_AFTER)
    gc.callbacks.append(_freeze_what_survived)

    def end() -> None:
        gc.callbacks.remove(_freeze_what_survived)
        gc.set_threshold(*before)
        gc.unfreeze()

    return end


def _freeze_what_survived(phase: str, information: Mapping[str, Any]) -> None:
    """After a collection of everything: what is there is in use, so the next one need not look at it."""
    if phase == "stop" and information["generation"] == 2 and len(gc.get_objects(2)) >= FREEZE_OBJECTS:
        gc.freeze()
