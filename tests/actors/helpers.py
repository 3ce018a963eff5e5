"""Small inputs, small settings, and ways to look into and to hold a learner."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from handicapper.actors import Learner
from handicapper.actors.persister import Checkpoint
from handicapper.actors.records import encode
from handicapper.actors.runtime.cell import Ping
from handicapper.actors.state import model_state
from handicapper.actors.state.model_state import ModelRecord
from handicapper.config import Limits, Persistence, Settings, Supervision
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

T0 = 1_700_000_000_000_000_000
SECOND = 10**9
HOUR = 3_600 * SECOND
DEADLINE_SECONDS = 60.0
"""Far beyond anything expected: reached only when something is broken."""
POISON = 0.123
"""Confidence of the events that are made to raise: nothing else marks a model's row."""
SOON_SECONDS = 0.05
"""A deadline that is meant to pass, because what is waited for is held."""


def small_settings(
    persistence: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    supervision: dict[str, Any] | None = None,
    **learning: Any,
) -> Settings:
    """Defaults, with no snapshot but those a test asks for, and little memory."""
    kept = {"save_interval_secs": 86_400.0, "initial_map_mib": 4, "idempotency_filter_mib": 1}
    return Settings(
        persistence=Persistence(**(kept | (persistence or {}))),
        limits=Limits(**(limits or {})),
        supervision=Supervision(**(supervision or {})),
        **learning,
    )


def prediction(number: int, model: str = "m", **fields: Any) -> Prediction:
    """Prediction ``p<number>`` of market ``k<number>``, made ``number`` minutes after T0."""
    known: dict[str, Any] = {
        "prediction_id": f"p{number}",
        "model_id": model,
        "market_id": f"k{number}",
        "outcome": "YES",
        "confidence": 0.7,
        "predicted_at": T0 + number * 60 * SECOND,
    }
    return Prediction(**(known | fields))


def resolution(number: int, winner: str | None = "YES", **fields: Any) -> MarketResolved:
    """Market ``k<number>`` resolved half a minute after its prediction."""
    known: dict[str, Any] = {
        "market_id": f"k{number}",
        "resolved_at": T0 + number * 60 * SECOND + 30 * SECOND,
    }
    if winner is not None:
        known["winner"] = winner
    return MarketResolved(**(known | fields))


def outcome(number: int, model: str = "m", right: bool = True, **fields: Any) -> TradeOutcome:
    """Trade outcome of prediction ``p<number>``."""
    known: dict[str, Any] = {
        "prediction_id": f"p{number}",
        "model_id": model,
        "predicted_outcome": "YES",
        "actual_outcome": "YES" if right else "NO",
        "resolved_at": T0 + number * 60 * SECOND + 30 * SECOND,
    }
    return TradeOutcome(**(known | fields))


def pattern(number: int) -> bool:
    """A fixed irregular sequence of right and wrong."""
    return (number * 7919 + number // 3) % 5 < 3


def teach(learner: Learner, model: str, numbers: range) -> None:
    """Predict and resolve, one market each."""
    learner.record_predictions(prediction(n, model, confidence=0.5 + n % 40 / 100) for n in numbers)
    learner.resolve_markets(resolution(n, "YES" if pattern(n) else "NO") for n in numbers)


def copy_while_open(directory: Path, copy: Path) -> Path:
    """What a machine that lost power right now would find: the files, without the locks."""
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("LOCK", "lock.mdb"))
    return copy


def model_record(learner: Learner, model: str = "m") -> ModelRecord:
    """A model's whole state, once it has handled what it was told."""
    return learner._ask(model, lambda state, _: state.to_record(), None, DEADLINE_SECONDS)


def lesson_bytes(learner: Learner, model: str = "m") -> bytes:
    """A model's whole state but for the number of its last input: equal bytes are equal states."""
    return encode(replace(model_record(learner, model), applied_seq=0))


@contextmanager
def held(ref: Any) -> Iterator[None]:
    """Hold an actor: it takes mail and no turn."""
    ref.cell.suspend()
    try:
        yield
    finally:
        ref.cell.resume()


def put(learner: Learner, table: bytes, key: bytes, value: bytes) -> None:
    """Write a record behind the learner's back."""
    store = learner._engine.store
    with store._env.begin(write=True) as txn:
        txn.put(key, value, db=store._tables[table])


def turn_over(learner: Learner) -> None:
    """The router's turn is over: an input is answered before that."""
    learner._engine.router.ask(Ping(), timeout=DEADLINE_SECONDS)


def take_over(learner: Learner) -> None:
    """All of the journal is in the store's environment, and nothing in its log only."""
    learner._engine.persister.ask(Checkpoint(), timeout=DEADLINE_SECONDS)


@contextmanager
def disk_held(learner: Learner) -> Iterator[None]:
    """Nothing becomes durable: the router leaves all commits to the persister, and that is held."""
    persister = learner._engine.persister
    journal = persister.cell.actor.journal
    journal._not_here_until = float("inf")
    with held(persister):
        yield
    journal._not_here_until = 0.0


def model_ref(learner: Learner, model: str = "m") -> Any:
    """The ref of a model's actor."""
    return learner._engine.roster.refs[model]


def eventually(condition: Callable[[], bool]) -> None:
    """Spin, yielding the GIL, until something becomes true that no event announces."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "condition never became true"
        time.sleep(0)


@contextmanager
def raising_fold(times: float = float("inf"), poison: float = POISON) -> Iterator[list[int]]:
    """Let the fold of every row with the poisonous confidence raise, the first ``times`` times."""
    real = model_state.fold_rows
    raised: list[int] = []

    def fold_rows(statistics: Any, rows: Any, *arguments: Any) -> None:
        for row in rows:
            if row[3] == poison and len(raised) < times:
                raised.append(row[0])
                raise RuntimeError("the fold broke")
        real(statistics, rows, *arguments)

    model_state.fold_rows = fold_rows
    try:
        yield raised
    finally:
        model_state.fold_rows = real
