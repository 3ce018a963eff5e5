"""Looking after the learner: says loudly that it has failed, and tells the service manager while it has not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ...actors.log import get_logger
from ...protocol.errors import ClosedError
from .sdnotify import ServiceManager

if TYPE_CHECKING:
    from ...actors import Learner

__all__ = ["look_after"]

LOOK_SECONDS: Final = 1.0

_log = get_logger("daemon")


async def look_after(learner: Learner, manager: ServiceManager) -> None:
    """Look once a second, or more often if a watchdog wants that; until cancelled.

    A learner that is degraded (its disk is full) goes on by itself once it can. One that has failed is not
    restarted here: it answers questions still, and whatever was wrong with the disk would be wrong with the next
    one. A watchdog is no longer told that all is well, so that the service manager, which knows when to give up,
    decides. A loop that is stuck cannot tell it either; that is logged by the learner's own watchdog, which has a
    thread.
    """
    told = ""
    interval = _interval(learner, manager)
    pulse = learner.expect_pulse("event loop")
    try:
        while True:
            pulse.beat()
            state, reason = _state_of(learner)
            if state in ("accepting", "degraded"):
                manager.alive()
            if state != told:
                _tell(manager, state, reason, again=told != "")
                told = state
            await asyncio.sleep(interval)
    finally:
        pulse.end()


def _interval(learner: Learner, manager: ServiceManager) -> float:
    watchdog, stuck_after = manager.watchdog_seconds, learner.settings.supervision.stuck_after_secs
    bounds = [LOOK_SECONDS]
    if watchdog is not None:
        bounds.append(watchdog / 2)
    if stuck_after > 0:
        bounds.append(stuck_after / 4)
    return min(bounds)


def _tell(manager: ServiceManager, state: str, reason: str | None, again: bool) -> None:
    """Say that the state has changed."""
    if state == "accepting":
        if again:
            _log.warning("the learner accepts inputs again")
            manager.status("accepting again")
    elif state == "degraded":
        _log.error("the learner is degraded: no input is accepted for now", reason=reason)
        manager.status(f"DEGRADED, answering questions only: {reason}")
    else:
        _log.critical("the learner has failed: no input is accepted any more", reason=reason)
        manager.status(f"FAILED, answering questions only: {reason}")


def _state_of(learner: Learner) -> tuple[str, str | None]:
    try:
        statistics = learner.statistics()
    except ClosedError as error:
        return "closed", str(error)
    return statistics.state, statistics.failure
