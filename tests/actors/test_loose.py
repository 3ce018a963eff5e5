"""Trade outcomes without a prediction: kept small, shared a record, and found again whatever comes of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, verify_state
from handicapper.actors.archive import stored_markets
from handicapper.protocol.errors import ConflictError, StateDamagedError

from .conftest import Open
from .helpers import lesson_bytes, outcome, pattern, prediction, put, resolution, small_settings, take_over

COUNT = 200


def loose_records(learner: Learner) -> list[tuple[bytes, bytes]]:
    return list(learner._engine.store.loose_outcomes())


def archived(learner: Learner) -> list[int]:
    return [market.ordinal for market in stored_markets(learner._engine.store)]


@pytest.fixture
def saved(open_learner: Open) -> Learner:
    """A learner whose outcomes all left memory."""
    learner = open_learner()
    learner.record_outcomes(outcome(n, right=pattern(n)) for n in range(COUNT))
    learner.snapshot()
    assert learner.statistics().settled_in_memory == 0
    return learner


def test_many_outcomes_share_a_record_and_each_is_found(saved: Learner) -> None:
    assert len(loose_records(saved)) < COUNT / 32
    assert len(archived(saved)) == COUNT
    for n in (0, 1, 63, 64, 65, COUNT - 1):
        assert saved.record_outcome(outcome(n, right=pattern(n))).duplicate
        with pytest.raises(ConflictError):
            saved.record_outcome(outcome(n, right=not pattern(n)))
    assert not saved.record_outcome(outcome(COUNT)).duplicate


@pytest.mark.parametrize("restart", [False, True])
def test_what_is_said_later_is_as_if_it_had_been_said_at_once(
    restart: bool, saved: Learner, open_learner: Open, tmp_path: Path
) -> None:
    """A P&L, a prediction and a resolution that come after their outcomes left memory."""
    learner = saved
    if restart:
        learner.close()
        learner = open_learner()
    learner.record_outcome(outcome(5, right=pattern(5), pnl=Decimal("2.5")))
    learner.record_prediction(prediction(70, confidence=0.7))
    learner.resolve_market(resolution(70, "YES" if pattern(70) else "NO"))
    learner.snapshot()
    assert sorted(archived(learner)) == sorted(set(archived(learner))), "each is in one place"
    assert learner.record_outcome(outcome(5, right=pattern(5), pnl=Decimal("2.5"))).duplicate
    assert learner.record_prediction(prediction(70, confidence=0.7)).duplicate
    assert learner.verify().ok
    whole = lesson_bytes(learner)
    learner.close()
    assert verify_state(tmp_path / "state", small_settings()).ok
    learner = open_learner()
    assert lesson_bytes(learner) == whole
    assert learner.report("m").pnl == Decimal("2.5")


def test_model_is_rebuilt_from_records_that_outcomes_share(saved: Learner) -> None:
    """A revision too far back to be folded in place reads the whole history of the model."""
    saved.record_prediction(prediction(1_000))
    saved.resolve_market(resolution(1_000))
    saved.record_outcomes(outcome(n, right=pattern(n)) for n in range(COUNT, 2 * COUNT))
    saved.resolve_market(resolution(1_000, "NO", revision=1))
    assert saved.report("m").n == 2 * COUNT + 1
    assert saved.verify().ok


def test_damaged_record_refuses_what_is_in_it_and_is_named(saved: Learner) -> None:
    key, value = loose_records(saved)[1]
    put(saved, b"loose_outcomes", key, value[:-1] + bytes([value[-1] ^ 1]))
    inside, outside = int.from_bytes(key, "big") + 3, 3
    found: Any = saved.verify()
    assert [text for text in found.damaged if f"loose outcomes {int.from_bytes(key, 'big')}" in text]
    with pytest.raises(StateDamagedError, match="loose outcomes from"):
        saved.record_outcome(outcome(inside, right=pattern(inside)))
    assert saved.record_outcome(outcome(outside, right=pattern(outside))).duplicate
    put(saved, b"loose_outcomes", key, value)
    take_over(saved)
    assert saved.verify().ok
