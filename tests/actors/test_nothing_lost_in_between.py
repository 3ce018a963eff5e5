"""What may go wrong between an input and its place: each of these once lost, doubled or wedged something."""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from handicapper.actors import Learner, verify_state
from handicapper.actors.persister import JournalBatch, PersisterActor
from handicapper.actors.runtime.future import LeanFuture
from handicapper.actors.state.id_index import fingerprint
from handicapper.protocol.errors import BusyError, StateDamagedError, StoreFailedError
from handicapper.protocol.messages import MarketResolved, Prediction

from .helpers import (
    DEADLINE_SECONDS,
    eventually,
    held,
    model_ref,
    outcome,
    pattern,
    prediction,
    resolution,
    small_settings,
    teach,
)

Open = Callable[..., Learner]


class Side(enum.StrEnum):
    YES = "YES"
    NO = "NO"

    def __str__(self) -> str:
        return f"Side.{self.name}"


class Text(str):
    """A str that msgpack will not write."""


class MyPrediction(Prediction, frozen=True, kw_only=True):
    """A caller's own subclass, with a field of its own."""

    note: str = ""


def _flip_last_bit(state: Path, table: bytes) -> None:
    """Flip a bit in the first record of a table."""
    with (
        lmdb.open(str(state), max_dbs=8, map_size=1 << 28) as env,
        env.begin(write=True) as txn,
        txn.cursor(db=env.open_db(table, txn=txn)) as cursor,
    ):
        assert cursor.first()
        key, value = bytes(cursor.key()), bytearray(cursor.value())
        value[-1] ^= 1
        assert cursor.put(key, bytes(value))


def test_deliveries_beyond_a_full_mailbox_are_in_the_next_snapshot(
    open_learner: Open, tmp_path: Path
) -> None:
    """An acknowledged outcome that waited outside the mailbox was in no snapshot's cut, and not after it."""
    learner = open_learner(settings=small_settings(limits={"mailbox_messages_max": 4}))
    learner.record_outcome(outcome(0))
    acknowledged = 1
    eventually(lambda: model_ref(learner).cell.at_rest)
    with held(model_ref(learner)), pytest.raises(BusyError, match='mailbox of model "m"'):
        while True:
            learner.record_outcome(outcome(acknowledged))
            acknowledged += 1
    assert acknowledged > 4
    eventually(lambda: len(model_ref(learner).cell) == 0)
    assert learner.report("m").n == acknowledged
    learner.snapshot()
    learner.close()
    assert open_learner().report("m").n == acknowledged


def test_subclasses_of_messages_and_strings_are_recorded_as_what_they_say(open_learner: Open) -> None:
    learner = open_learner()
    mine = MyPrediction(
        prediction_id=Text("p1"),
        model_id="m",
        market_id="k1",
        outcome=Side.YES,
        confidence=0.7,
        predicted_at=prediction(1).predicted_at,
        metadata={"side": Side.NO},
        note="x",
    )
    learner.record_prediction(mine)
    status: Any = Text("final")
    resolved = MarketResolved(
        market_id="k1",
        winner=Side.YES,
        status=status,
        source=Text("feed"),
        resolved_at=resolution(1).resolved_at,
    )
    assert learner.resolve_market(resolved).scored == 1
    assert learner.report("m").accuracy == 1.0
    learner.close()
    assert open_learner().report("m").n == 1


def test_ids_of_one_fingerprint_in_one_batch_are_both_found_again(open_learner: Open) -> None:
    """Found by search for this hash; the index only points, the market decides."""
    first, second = _colliding_ids()
    assert fingerprint(first) == fingerprint(second)
    learner = open_learner()
    both = [outcome(1, prediction_id=first), outcome(2, prediction_id=second)]
    learner.record_outcomes(both)
    learner.snapshot()
    again = learner.record_outcomes(both)
    assert (again.accepted, again.duplicates, learner.report("m").n) == (0, 2, 2)


def _colliding_ids() -> tuple[str, str]:
    """Two printable ids whose numbers differ by a multiple of the hash's prime."""
    from handicapper.actors.state.id_index import PRIME

    for factor in range(1, 5_000):
        rest, digits = factor * PRIME, list[int]()
        while rest:
            digit = (rest + 128) % 256 - 128
            digits.append(digit)
            rest = (rest - digit) // 256
        if len(digits) <= 12 and all(abs(digit) <= 60 for digit in digits):
            low = [48 if digit >= 0 else 48 - digit for digit in digits]
            high = [base + digit for base, digit in zip(low, digits, strict=True)]
            return bytes(high).decode(), bytes(low).decode()
    raise AssertionError("no collision found")


def test_damaged_settled_market_refuses_only_what_is_about_it(open_learner: Open, tmp_path: Path) -> None:
    learner = open_learner()
    teach(learner, "m", range(50))
    learner.close()
    _flip_last_bit(tmp_path / "state", b"settled_markets")
    learner = open_learner()
    good = [prediction(number) for number in range(100, 200)]
    result = learner.record_predictions([*good, prediction(0)], on_error="return")
    assert (result.accepted, [index for index, _ in result.errors]) == (100, [100])
    assert isinstance(result.errors[0][1], StateDamagedError)


def test_model_that_cannot_be_rebuilt_for_a_damaged_market_comes_back_from_the_journal(
    open_learner: Open, tmp_path: Path
) -> None:
    learner = open_learner()
    teach(learner, "m", range(50))
    learner.close()
    _flip_last_bit(tmp_path / "state", b"settled_markets")
    learner = open_learner()
    learner.record_outcomes(outcome(number) for number in range(1_000, 1_200))
    learner.resolve_market(resolution(20, "NO" if pattern(20) else "YES", revision=1))
    eventually(lambda: learner.statistics().models_failed == ("m",))
    learner.close()
    learner = open_learner()
    assert learner.report("m").n == 250
    assert "settled_markets" in learner.statistics().quarantined[0]
    learner.snapshot()
    learner.close()
    assert verify_state(tmp_path / "state", small_settings()).ok


def test_damaged_index_is_written_anew_by_the_next_snapshot(open_learner: Open, tmp_path: Path) -> None:
    learner = open_learner()
    learner.record_outcomes(outcome(number) for number in range(50))
    learner.close()
    _flip_last_bit(tmp_path / "state", b"index")
    learner = open_learner()
    assert learner.statistics().replayed > 0
    learner.close()
    learner = open_learner()
    assert learner.statistics().replayed == 0
    assert learner.record_outcomes(outcome(number) for number in range(50)).duplicates == 50
    learner.close()
    assert verify_state(tmp_path / "state", small_settings()).ok


def test_persister_refuses_to_write_a_gap_into_the_journal(open_learner: Open) -> None:
    """Whatever made an input go missing before it: acknowledging what comes after would hide it."""
    learner = open_learner()
    learner.record_outcome(outcome(0))
    persister = learner._engine.persister
    assert isinstance(persister.cell.actor, PersisterActor)
    reply: LeanFuture[str] = LeanFuture()
    told: list[StoreFailedError] = []
    beyond = learner.statistics().durable_seq + 2
    persister.tell(JournalBatch(beyond, 0, [prediction(1)], [(reply, "acknowledged")], told.append))
    with pytest.raises(StoreFailedError, match=f"input {beyond - 1} was not handed to the journal"):
        reply.get(timeout=DEADLINE_SECONDS)
    assert len(told) == 1
    with pytest.raises(StoreFailedError):
        learner.record_outcome(outcome(2))
    learner.close()
    assert open_learner().report("m").n == 1
