"""Actors in general: thousands of pykka actors run by a handful of threads.

``latch`` and ``future``
    one-shot flags and replies that cost nothing until a thread has to sleep on them;
``mailbox`` and ``cell``
    the queue in front of an actor, and the thing that takes an actor's turn;
``dispatcher``
    who takes turns: worker threads, and callers that wait anyway ("helping");
``actor`` and ``ref``
    what a user subclasses, and what a user sends to;
``failure`` and ``supervision``
    what happens after a handler raised; starting in order, stopping in reverse;
``gather`` and ``everyone``
    one message to many actors, one deadline, and the names of those that did not answer;
``timers``, ``clock``, ``dead_letters``
    time as an argument, and mail that nobody could handle.

Nothing here knows what the actors are for.
"""

from __future__ import annotations

from .actor import PooledActor, ping
from .clock import Clock, ManualClock, SystemClock
from .dead_letters import DeadLetter, DeadLetters
from .dispatcher import Dispatcher
from .everyone import NO_REPLY, Asked, ask_all, ask_busy, ask_idle
from .failure import Failure, FailureHandler
from .future import LeanFuture
from .gather import Gather, Gathered, scatter, scatter_gather
from .latch import Latch
from .ref import PooledRef
from .supervision import RestartDecision, RestartIntensity, start_in_order, stop_in_reverse
from .timers import TimerHandle, Timers

__all__ = [
    "NO_REPLY",
    "Asked",
    "Clock",
    "DeadLetter",
    "DeadLetters",
    "Dispatcher",
    "Failure",
    "FailureHandler",
    "Gather",
    "Gathered",
    "Latch",
    "LeanFuture",
    "ManualClock",
    "PooledActor",
    "PooledRef",
    "RestartDecision",
    "RestartIntensity",
    "SystemClock",
    "TimerHandle",
    "Timers",
    "ask_all",
    "ask_busy",
    "ask_idle",
    "ping",
    "scatter",
    "scatter_gather",
    "start_in_order",
    "stop_in_reverse",
]
