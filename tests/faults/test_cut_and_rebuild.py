"""A model that is rebuilt while its part of a snapshot is waited for: it is ahead of the cut then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.config import Thresholds

from ..actors.helpers import (
    DEADLINE_SECONDS,
    POISON,
    copy_while_open,
    held,
    lesson_bytes,
    model_ref,
    outcome,
    raising_fold,
    small_settings,
)

OTHER = small_settings(ema_alpha=0.3, thresholds=Thresholds(initial_threshold=0.7))


def rules_of(learner: Learner) -> Any:
    return learner._ask("m", lambda state, _: state.rules, None, DEADLINE_SECONDS)


@pytest.mark.parametrize("settings", [OTHER, None])
def test_model_rebuilt_ahead_of_a_cut_follows_the_rules_in_force_after_a_crash(
    tmp_path: Path, settings: Any
) -> None:
    with Learner(tmp_path / "state", small_settings()) as learner:
        learner.record_outcome(outcome(1, confidence=0.7))
        with raising_fold(times=1):
            with held(model_ref(learner)):
                learner.record_outcome(outcome(2, confidence=POISON))
                snapshot = learner.snapshot_nowait()
                # Journaled and told after the cut; the rebuild knows it, the snapshot's rules do not.
                learner.apply_settings(OTHER)
            assert snapshot.get(DEADLINE_SECONDS).seq == 3
        copy = copy_while_open(tmp_path / "state", tmp_path / "copy")
        rules, lessons = rules_of(learner), lesson_bytes(learner)
        assert rules.ema_alpha == 0.3
        with Learner(copy, settings) as again:
            assert rules_of(again) == rules
            assert lesson_bytes(again) == lessons
            for each in (learner, again):
                each.record_outcome(outcome(3, confidence=0.7))
            assert lesson_bytes(again) == lesson_bytes(learner)
