"""When to restart, when to give up; starting in order and stopping in reverse.

The vocabulary and the rule are Erlang/OTP's (*Supervision Principles*, "Maximum Restart Intensity"): more than
``restarts_max`` restarts within ``period_seconds`` and the supervisor gives up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import pykka

from .actor import ping
from .ref import PooledRef

__all__ = ["RestartDecision", "RestartIntensity", "start_in_order", "stop_in_reverse"]


class RestartDecision(NamedTuple):
    """What to do about a failure, and what to remember until the next."""

    restart: bool
    """``False``: give up."""
    restarts: tuple[float, ...]
    """Monotonic times of the restarts within the period, this one included. Pass it in at the next failure."""


class RestartIntensity(NamedTuple):
    """At most ``restarts_max`` restarts within any ``period_seconds``. Pure: time is an argument.

    >>> intensity = RestartIntensity(restarts_max=2, period_seconds=60.0)
    >>> first = intensity.decide((), now=100.0)
    >>> second = intensity.decide(first.restarts, now=110.0)
    >>> second
    RestartDecision(restart=True, restarts=(100.0, 110.0))
    >>> intensity.decide(second.restarts, now=159.0).restart
    False
    >>> intensity.decide(second.restarts, now=160.0)
    RestartDecision(restart=True, restarts=(110.0, 160.0))
    """

    restarts_max: int
    period_seconds: float

    def decide(self, restarts: tuple[float, ...], now: float) -> RestartDecision:
        """Decide about a failure at monotonic time ``now``, given the ``restarts`` remembered so far."""
        recent = tuple(at for at in restarts if now - at < self.period_seconds)
        if len(recent) >= self.restarts_max:
            return RestartDecision(False, recent)
        return RestartDecision(True, (*recent, now))


def start_in_order(
    starters: Iterable[Callable[[], PooledRef[Any]]],
    *,
    start_timeout: float,
    stop_timeout: float,
) -> list[PooledRef[Any]]:
    """Start one actor after the other, each only when the one before answers a ping.

    If one does not start within ``start_timeout`` seconds, those started are stopped in reverse (``stop_timeout``
    seconds in all) and its error is raised: what its starter raised, ``pykka.ActorDeadError`` naming the
    exception of its ``on_start``, or ``pykka.Timeout``.
    """
    started: list[PooledRef[Any]] = []
    try:
        for starter in starters:
            ref = starter()
            started.append(ref)
            ping(ref, start_timeout)
    except BaseException:
        stop_in_reverse(started, timeout=stop_timeout)
        raise
    return started


def stop_in_reverse(refs: Sequence[PooledRef[Any]], *, timeout: float) -> list[PooledRef[Any]]:
    """Stop actors, the last started first, each once it has handled what it was sent.

    ``timeout`` seconds are shared by all. Those that do not make it are stopped hard, without waiting further,
    and returned.
    """
    deadline = time.monotonic() + timeout
    late: list[PooledRef[Any]] = []
    for ref in reversed(refs):
        try:
            ref.stop(timeout=max(0.0, deadline - time.monotonic()))
        except pykka.Timeout:
            ref.stop(block=False, hard=True)
            late.append(ref)
    return late
