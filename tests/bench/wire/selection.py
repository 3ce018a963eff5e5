"""Selection over the socket: every model's draw, ranked, against Redis gathering the same posteriors."""

from __future__ import annotations

import contextlib
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contest import call
from .outcomes import T0, outcome_command, outcomes, request_of_array, resp
from .peers import missing, start_daemon, start_redis
from .window import MsgpackReplies, RedisReplies, Replies, ask, connect, drive

__all__ = ["BEST", "GATHER", "OURS", "PING", "RANKED", "measure_selection"]

OURS = "handicapper thompson_sample, ranked"
PING = "handicapper ping"
GATHER = "Redis Lua, posteriors only"
BEST = "Redis Lua, draws, the best"
RANKED = "Redis Lua, draws, ranked"

OUTCOMES_PER_MODEL = 5
AS_OF = T0 + 10**15
BLOCKS = 41
"""Blocks of calls, all contestants by turns in each: short, because a core that sleeps between calls, as it may do for
seconds, makes each of them three times as long, whoever answers."""


@dataclass
class Question:
    """One way to select."""

    connection: socket.socket
    request: bytes
    replies: Callable[[], Replies]
    length: Callable[[Any], int]
    """How many models a reply holds."""
    models: int


def measure_selection(
    directory: Path, models: int, calls: int, *, environment: Mapping[str, str] | None = None
) -> dict[str, list[float]]:
    """Median seconds of a call in each of ``BLOCKS`` blocks, by contestant; ``calls`` in each, one at a time, one
    connection."""
    medians: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        path, _ = stack.enter_context(start_daemon(directory / "daemon", environment=environment))
        ours = stack.enter_context(connect(path))
        questions = {OURS: _ours(ours, models), PING: _ping(ours)}
        if missing() is None:
            redis = stack.enter_context(start_redis(directory / "redis", "everysec"))
            theirs = stack.enter_context(connect(redis.path))
            questions |= _theirs(theirs, redis.scripts, models)
        for _ in range(BLOCKS):
            for name, question in questions.items():
                medians.setdefault(name, []).append(_median_seconds(question, calls))
    return medians


def _ours(connection: socket.socket, models: int) -> Question:
    taught = enumerate(outcomes(0, models * OUTCOMES_PER_MODEL, models))
    drive(connection, [request_of_array(n, o) for n, o in taught], 256, MsgpackReplies())
    request = call(0, "thompson_sample", [1, AS_OF])
    return Question(connection, request, MsgpackReplies, lambda reply: len(reply[3]["ranked"]), models)


def _ping(connection: socket.socket) -> Question:
    """The least that any call takes."""
    return Question(connection, call(0, "ping", []), MsgpackReplies, lambda _: 0, 0)


def _theirs(
    connection: socket.socket, scripts: Mapping[str, str], models: int
) -> Iterator[tuple[str, Question]]:
    taught = outcomes(0, models * OUTCOMES_PER_MODEL, models)
    drive(connection, [outcome_command(scripts["outcome"], "", o) for o in taught], 256, RedisReplies())
    for name, wanted, answered in ((GATHER, "gather", models), (BEST, "best", 1), (RANKED, "ranked", models)):
        request = resp("EVALSHA", scripts["selection"], "0", str(AS_OF), "7", wanted)
        yield name, Question(connection, request, RedisReplies, lambda reply: len(reply) // 2, answered)


def _median_seconds(question: Question, calls: int) -> float:
    replies, times = question.replies(), []
    for _ in range(calls):
        began = time.perf_counter()
        ask(question.connection, question.request, replies)
        times.append(time.perf_counter() - began)
    assert {question.length(reply) for reply in replies.values} == {question.models}
    return statistics.median(times)
