"""Loose outcomes whose journal records are damaged: they are kept there and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from handicapper.actors import Learner
from handicapper.actors.records import encode, number_key, seal
from handicapper.protocol.errors import StateDamagedError

from ..actors.helpers import (
    copy_while_open,
    outcome,
    pattern,
    prediction,
    resolution,
    small_settings,
    take_over,
)
from .test_damage_records import change, rows

COUNT = 200


def _damage(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    return key, value[:-1] + bytes([value[-1] ^ 1])


def directory(tmp_path: Path, then: Callable[[Learner], object]) -> Path:
    """What a crash leaves: outcomes in the archive, predictions of others between them, more since the snapshot."""
    with Learner(tmp_path / "state", small_settings()) as learner:
        learner.record_prediction(prediction(1_000))
        learner.resolve_market(resolution(1_000))
        learner.record_outcomes(outcome(n, right=pattern(n)) for n in range(COUNT // 2))
        learner.record_predictions(prediction(2_000 + n, "other") for n in range(10))
        learner.record_outcomes(outcome(n, right=pattern(n)) for n in range(COUNT // 2, COUNT))
        learner.snapshot()
        then(learner)
        take_over(learner)
        return copy_while_open(tmp_path / "state", tmp_path / "copy")


def revise(learner: Learner) -> None:
    """Of what lies too far back to be folded again in place: the model is rebuilt."""
    learner.resolve_market(resolution(1_000, "NO", revision=1))
    assert learner.report("m").n == COUNT + 1


def test_damaged_record_between_those_with_outcomes_does_not_stand_in_the_way(tmp_path: Path) -> None:
    path = directory(tmp_path, revise)
    change(path, "journal", number_key(COUNT // 2 + 4), _damage)
    with Learner(path, small_settings()) as learner:
        assert learner.report("m").n == COUNT + 1
        assert learner.record_outcome(outcome(COUNT - 1, right=pattern(COUNT - 1))).duplicate


def test_damaged_record_that_a_rebuild_wants_is_kept_when_its_loss_is_accepted(tmp_path: Path) -> None:
    path = directory(tmp_path, revise)
    key = number_key(4)
    value = dict(rows(path, "journal"))[key]
    change(path, "journal", key, _damage)
    with pytest.raises(StateDamagedError, match="journal record 4"):
        Learner(path, small_settings())
    with Learner(path, small_settings(), accept_loss=True) as learner:
        assert learner.report("m").n == COUNT // 2 + 1
    kept = dict(rows(path, "quarantine"))[b"journal/" + key]
    assert kept.endswith(_damage(key, value)[1])


def test_model_is_rebuilt_between_an_accepted_loss_and_the_next_snapshot(tmp_path: Path) -> None:
    """What the archive says until then is of the time before the loss."""
    path = directory(tmp_path, lambda _: None)
    change(path, "model_learning_stats", b"m", _damage)
    change(path, "journal", number_key(4), _damage)
    with Learner(path, small_settings(), accept_loss=True) as learner:
        learner.record_outcomes(outcome(n, right=pattern(n)) for n in range(COUNT, 2 * COUNT))
        learner.resolve_market(resolution(1_000, "NO", revision=1))
        assert learner.report("m").n == COUNT // 2 + COUNT + 1
        assert not learner.record_outcome(outcome(3, right=pattern(3))).duplicate


def test_record_that_the_archive_is_wrong_about_stays_in_the_journal(tmp_path: Path) -> None:
    """It is no outcome, and whole: what is derived again comes from the journal, which therefore loses nothing."""
    path = directory(tmp_path, revise)
    key, _ = rows(path, "loose_outcomes")[0]
    wrong = seal(key, encode([(2, COUNT // 2 + 3)]))
    change(path, "loose_outcomes", key, lambda key, _: (key, wrong))
    journaled = rows(path, "journal")
    with Learner(path, small_settings()) as learner:
        assert learner.report("m").n == COUNT + 1
    assert rows(path, "journal")[: len(journaled)] == journaled
    with Learner(path, small_settings()) as learner:
        assert learner.verify().ok
