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
from .helpers import (
    DEADLINE_SECONDS,
    disk_held,
    eventually,
    lesson_bytes,
    model_ref,
    outcome,
    pattern,
    prediction,
    put,
    resolution,
    small_settings,
    take_over,
    turn_over,
)

COUNT = 200


def loose_records(learner: Learner) -> list[tuple[bytes, bytes]]:
    return list(learner._engine.store.loose_outcomes())


def archived(learner: Learner) -> list[int]:
    return [market.ordinal for market in stored_markets(learner._engine.store)]


def let_go(learner: Learner) -> None:
    """Have what was acknowledged in the journal only: the router lets go of it at the end of its next turn."""
    learner.record_outcome(outcome(10 * COUNT))
    turn_over(learner)


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
    key, value = loose_records(saved)[0]
    put(saved, b"loose_outcomes", key, value[:-1] + bytes([value[-1] ^ 1]))
    found: Any = saved.verify()
    assert [text for text in found.damaged if f"loose outcomes {int.from_bytes(key, 'big')}" in text]
    with pytest.raises(StateDamagedError, match="loose outcomes from"):
        saved.record_outcome(outcome(3, right=pattern(3)))
    assert not saved.record_outcome(outcome(COUNT)).duplicate
    put(saved, b"loose_outcomes", key, value)
    take_over(saved)
    assert saved.record_outcome(outcome(3, right=pattern(3))).duplicate
    assert saved.verify().ok


@pytest.mark.parametrize("in_memory", [False, True])
def test_damaged_journal_record_refuses_what_is_in_it_and_is_named(
    in_memory: bool, open_learner: Open
) -> None:
    """The outcomes are there and nowhere else, also while memory knows which they are."""
    learner = open_learner()
    for start in (0, 50):
        learner.record_outcomes(outcome(n, right=pattern(n)) for n in range(start, start + 50))
        if not in_memory:
            learner.snapshot()
    key, _ = max(learner._engine.store.read_journal(0))
    let_go(learner)
    take_over(learner)
    value = dict(learner._engine.store.records("journal"))[key]
    put(learner, b"journal", key, value[:-1] + bytes([value[-1] ^ 1]))
    with pytest.raises(StateDamagedError, match=f"journal record {int.from_bytes(key, 'big')}"):
        learner.record_outcome(outcome(77, right=pattern(77)))
    assert learner.record_outcome(outcome(7, right=pattern(7))).duplicate
    assert not learner.record_outcome(outcome(COUNT)).duplicate
    put(learner, b"journal", key, value)
    assert learner.record_outcome(outcome(77, right=pattern(77))).duplicate
    take_over(learner)
    assert learner.verify().ok


def test_outcome_is_told_apart_before_and_after_its_batch_is_journaled(open_learner: Open) -> None:
    """What comes with its repeat in one batch is compared with what waits to be journaled, later with the journal."""
    learner = open_learner()
    told = [outcome(n, right=pattern(n)) for n in range(300)]
    contrary = outcome(299, right=not pattern(299))
    result = learner.record_outcomes([*told, *told, contrary], on_error="return")
    assert (result.accepted, result.duplicates, len(result.errors)) == (300, 300, 1)
    book = learner._engine.router.cell.actor.book  # pyright: ignore[reportOptionalMemberAccess]
    let_go(learner)
    assert all(book.loose.away(each.prediction_id) for each in told)
    again = learner.record_outcomes([*reversed(told), contrary], on_error="return")
    assert (again.duplicates, len(again.errors)) == (300, 1)
    turn_over(learner)
    assert not book.loose.found, "what was read back is not kept"


def test_outcome_that_is_not_durable_yet_is_told_apart_all_the_same(open_learner: Open) -> None:
    """The journal cannot give it, so memory has to."""
    learner = open_learner()
    learner.record_outcome(outcome(COUNT))
    with disk_held(learner):
        told = [outcome(n, right=pattern(n)) for n in range(50)]
        first = learner.record_each_nowait(told)
        turn_over(learner)
        again = learner.record_each_nowait([*told, outcome(7, right=not pattern(7))])
        turn_over(learner)
    assert not any(receipt.duplicate for receipt in first.get(DEADLINE_SECONDS))
    *repeated, contrary = again.get(DEADLINE_SECONDS)
    assert [receipt.seq for receipt in repeated] == [receipt.seq for receipt in first.get(0)]
    assert all(receipt.duplicate for receipt in repeated)
    assert isinstance(contrary, ConflictError)


def test_model_is_rebuilt_with_outcomes_that_are_not_durable_yet(saved: Learner) -> None:
    """Some are in the archive, some in memory by their numbers, some are nowhere but there."""
    saved.record_prediction(prediction(1_000))
    saved.resolve_market(resolution(1_000))
    saved.record_outcomes(outcome(n, right=pattern(n)) for n in range(COUNT, 2 * COUNT))
    cell = model_ref(saved).cell
    before = cell.actor
    with disk_held(saved):
        saved.record_each_nowait([outcome(n, right=pattern(n)) for n in range(2 * COUNT, 3 * COUNT)])
        turn_over(saved)
        revised = saved.record_each_nowait([resolution(1_000, "NO", revision=1)])
        eventually(lambda: cell.actor is not before)
    assert revised.get(DEADLINE_SECONDS)[0].revised == 1
    assert saved.report("m").n == 3 * COUNT + 1
    assert saved.verify().ok


def test_joined_outcomes_leave_gaps_in_the_record_of_the_rest(saved: Learner) -> None:
    """Every other outcome gets its prediction: the others are found still, whatever number of spans that makes."""
    for n in range(0, COUNT, 2):
        saved.record_prediction(prediction(n))
    saved.snapshot()
    assert sorted(archived(saved)) == sorted(set(archived(saved))), "each is in one place"
    for n in (1, 3, COUNT - 1):
        assert saved.record_outcome(outcome(n, right=pattern(n))).duplicate
    for n in (0, 2, COUNT - 2):
        assert saved.record_prediction(prediction(n)).duplicate
    assert saved.verify().ok
