"""Who is measured, and how: runs by turns, every reply checked, every outcome counted at the end."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.msgpack import encode

from .outcomes import MODELS, Outcome, outcome_command, outcomes, request_of_array, request_of_map
from .peers import Redis, missing, start_daemon, start_naive, start_redis
from .window import MsgpackReplies, RedisReplies, Replies, Run, ask, connect, drive

__all__ = [
    "ALWAYS",
    "ALWAYS_MINIMAL",
    "ARRAYS",
    "EVERYSEC",
    "EVERYSEC_MINIMAL",
    "MAPS",
    "NAIVE",
    "NAIVE_WAL",
    "Contest",
    "Contestant",
    "Runs",
    "ask_daemon",
    "call",
    "contest",
]

ARRAYS, MAPS = "handicapper, array params", "handicapper, map params"
ALWAYS, EVERYSEC = "Redis always, same bookkeeping", "Redis everysec, same bookkeeping"
ALWAYS_MINIMAL, EVERYSEC_MINIMAL = "Redis always, minimal", "Redis everysec, minimal"
NAIVE, NAIVE_WAL = "asyncio + sqlite, commit each", "asyncio + sqlite, commit each, WAL"

Runs = dict[str, list[Run]]
"""Runs by contestant."""


@dataclass
class Contestant:
    """One way to record outcomes."""

    name: str
    path: str
    encode: Callable[[int, Outcome], bytes]
    replies: Callable[[], Replies]
    succeeded: Callable[[Any, int], bool]
    """Whether the reply to the request of this number says: recorded, for the first time."""
    slow: bool = False
    recorded: int = 0


@dataclass
class Contest:
    """Servers that are running; ``counters`` ask each how many outcomes it has counted, and from whom."""

    contestants: list[Contestant]
    counters: list[tuple[Sequence[Contestant], Callable[[], int]]]
    firsts: Iterator[int] = field(default_factory=lambda: itertools.count(0, 10_000_000))
    """First number of the outcomes of the next run: no two runs share a prediction."""

    def run(self, contestant: Contestant, depth: int, count: int) -> Run:
        """Record ``count`` new outcomes with ``depth`` in flight; every reply must be a success."""
        stream = outcomes(next(self.firsts), count)
        requests = [contestant.encode(number, o) for number, o in enumerate(stream)]
        replies = contestant.replies()
        with connect(contestant.path) as connection:
            run = drive(connection, requests, depth, replies)
        values = replies.values
        assert len(values) == count
        for number, reply in enumerate(values):
            assert contestant.succeeded(reply, number), (contestant.name, number, reply)
        contestant.recorded += count
        return run

    def measure(self, depth: int, count: int, slow_count: int, rounds: int) -> Runs:
        """Rounds in which each contestant runs once, after one of a tenth that is not kept.

        Who goes first changes from round to round, so that nobody always follows the same one.
        """
        order = self.contestants
        runs: Runs = {contestant.name: [] for contestant in order}
        for contestant in order:
            self.run(contestant, depth, max((slow_count if contestant.slow else count) // 10, 1))
        for turn in range(rounds):
            shift = turn * len(order) // rounds
            for contestant in order[shift:] + order[:shift]:
                size = slow_count if contestant.slow else count
                runs[contestant.name].append(self.run(contestant, depth, size))
        return runs

    def check_counts(self) -> None:
        """Every server has counted exactly what it acknowledged."""
        for contestants, counted in self.counters:
            recorded = sum(contestant.recorded for contestant in contestants)
            assert counted() == recorded, (contestants[0].name, recorded)


def call(msgid: int, method: str, params: Sequence[Any] = ()) -> bytes:
    """A MessagePack-RPC request."""
    return encode([0, msgid, method, params])


def ask_daemon(path: str, method: str, params: Sequence[Any] = ()) -> Any:
    """One request, its result."""
    replies = MsgpackReplies()
    with connect(path) as connection:
        ask(connection, call(0, method, params), replies)
    ((_, _, error, result),) = replies.values
    assert error is None, error
    return result


@contextlib.contextmanager
def contest(directory: Path, *, environment: Mapping[str, str] | None = None) -> Iterator[Contest]:
    """Start all servers that can be had here."""
    found = Contest([], [])
    with contextlib.ExitStack() as stack:
        path, _ = stack.enter_context(start_daemon(directory / "daemon", environment=environment))
        _enter_handicapper(found, path)
        if missing() is None:
            always = stack.enter_context(start_redis(directory / "always", "always"))
            _enter_redis(found, always, ALWAYS, ALWAYS_MINIMAL)
            everysec = stack.enter_context(start_redis(directory / "everysec", "everysec"))
            _enter_redis(found, everysec, EVERYSEC, EVERYSEC_MINIMAL)
        for name, journal_mode in ((NAIVE, "delete"), (NAIVE_WAL, "wal")):
            naive = stack.enter_context(start_naive(directory / f"naive-{journal_mode}", journal_mode))
            _enter_naive(found, name, *naive)
        yield found


def _receipt_scored(reply: Any, number: int) -> bool:
    kind, msgid, error, receipt = reply
    return kind == 1 and msgid == number and error is None and receipt.get("scored") == 1


def _enter_handicapper(found: Contest, path: str) -> None:
    both = [
        Contestant(name, path, encoded, MsgpackReplies, _receipt_scored)
        for name, encoded in ((ARRAYS, request_of_array), (MAPS, request_of_map))
    ]
    found.contestants += both
    found.counters.append((both, lambda: ask_daemon(path, "statistics")["scored"]))


def _enter_redis(found: Contest, redis: Redis, same: str, minimal: str) -> None:
    def contestant(name: str, script: str, prefix: str) -> Contestant:
        sha = redis.scripts[script]
        return Contestant(
            name,
            redis.path,
            lambda _, o: outcome_command(sha, prefix, o),
            RedisReplies,
            lambda reply, _: reply == 1,
        )

    def learned_from() -> int:
        states = [redis.ask("HGET", f"m:model-{m}", "s") for m in range(MODELS)]
        return sum(int(struct.unpack_from("<d", state)[0]) for state in states if state)

    whole, least = contestant(same, "outcome", ""), contestant(minimal, "outcome_minimal", "least:")
    found.contestants += (whole, least)
    found.counters += (([whole], learned_from), ([least], lambda: redis.ask("HLEN", "least:predictions")))


def _enter_naive(found: Contest, name: str, path: str, database: Path) -> None:
    def counted() -> int:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            return connection.execute("SELECT sum(n) FROM models").fetchone()[0]

    naive = Contestant(name, path, request_of_array, MsgpackReplies, _receipt_scored, slow=True)
    found.contestants.append(naive)
    found.counters.append(([naive], counted))
