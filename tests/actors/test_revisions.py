"""Corrected resolutions: near ones are folded again in place, far ones rebuild the model from its history."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, verify_state
from handicapper.config import Thresholds

from .helpers import (
    T0,
    copy_while_open,
    held,
    lesson_bytes,
    model_ref,
    outcome,
    pattern,
    prediction,
    resolution,
    small_settings,
    teach,
)

Open = Callable[..., Learner]
ROWS = 400


def _right(number: int, corrected: int | None) -> bool:
    return pattern(number) != (number == corrected)


def _teach(learner: Learner, corrected: int | None = None, snapshots: bool = False) -> None:
    """ROWS predictions, then their resolutions in pieces, one of them already as it will be corrected."""
    learner.record_predictions(
        prediction(n, confidence=0.5 + n % 40 / 100, price=Decimal("0.5"), size=Decimal(2))
        for n in range(ROWS)
    )
    for start in range(0, ROWS, 100):
        learner.resolve_markets(
            resolution(n, "YES" if _right(n, corrected) else "NO") for n in range(start, start + 100)
        )
        if snapshots:
            learner.snapshot()


@pytest.mark.parametrize("corrected", [0, 7, 150, 271, 272, ROWS - 65, ROWS - 1])
@pytest.mark.parametrize("snapshots", [False, True])
def test_revision_however_far_back_equals_a_learner_that_was_told_right_at_first(
    open_learner: Open, corrected: int, snapshots: bool, tmp_path: Path
) -> None:
    """Bit for bit: EMA, threshold and window depend on the order, so nothing less than folding again will do."""
    learner, reference = open_learner(), open_learner("reference")
    _teach(learner, snapshots=snapshots)
    receipt = learner.resolve_market(
        resolution(corrected, "YES" if _right(corrected, corrected) else "NO", revision=1)
    )
    assert (receipt.scored, receipt.revised) == (0, 1)
    _teach(reference, corrected)
    for it in (learner, reference):
        it.record_outcomes(outcome(n, right=pattern(n), confidence=0.66) for n in range(ROWS, ROWS + 10))
    assert learner.report("m", as_of=T0).pnl == reference.report("m", as_of=T0).pnl
    assert _lesson(learner) == _lesson(reference)
    assert learner.statistics().models_failed == ()
    copy_while_open(tmp_path / "state", tmp_path / "crashed")
    assert _lesson(open_learner("crashed")) == _lesson(reference)
    learner.close()
    assert verify_state(tmp_path / "state").ok


def _lesson(learner: Learner) -> dict[str, Any]:
    """All that is served and stored but the row ids, which count the extra input."""
    report = learner.report("m", as_of=T0)
    state = learner._ask("m", lambda state, _: state, None, 30.0)
    rows = [state.history[n][1:] for n in range(state.history.first, state.history.end)]
    shown = {name: getattr(report, name) for name in report.__struct_fields__ if name != "applied_seq"}
    return {
        "report": shown,
        "now": repr(state.now),
        "newer": repr(state.newer),
        "older": repr(state.older),
        "rows": repr(rows),
        "tally": repr(state.to_record().tally),
    }


def test_revision_far_back_is_no_failure_and_uses_up_no_restart(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(supervision={"restarts_max": 0}))
    _teach(learner)
    for number in range(8):
        learner.resolve_market(resolution(number, "NO" if pattern(number) else "YES", revision=1))
    assert learner.report("m").n == ROWS
    now = learner.statistics()
    assert (now.models_failed, now.restarts, now.dead_letters) == ((), 0, 0)


def test_revision_to_void_and_back_leaves_no_trace(open_learner: Open) -> None:
    learner = open_learner()
    teach(learner, "m", range(20))
    before = lesson_bytes(learner)
    learner.resolve_market(resolution(9, None, void=True, revision=1))
    assert learner.report("m").n == 19
    learner.resolve_market(resolution(9, "YES" if pattern(9) else "NO", revision=2))
    assert lesson_bytes(learner) == before


def test_revision_while_its_model_is_being_rebuilt_keeps_the_order(open_learner: Open) -> None:
    learner, reference = open_learner(), open_learner("reference")
    for it in (learner, reference):
        _teach(it)
    corrections = [resolution(n, "NO" if pattern(n) else "YES", revision=1) for n in (3, 5, 390, 4)]
    with held(model_ref(learner)):
        for correction in corrections:
            learner.resolve_market(correction)
        learner.record_outcomes(outcome(n, confidence=0.6) for n in range(ROWS, ROWS + 50))
    for correction in corrections:
        reference.resolve_market(correction)
        reference.report("m")
    reference.record_outcomes(outcome(n, confidence=0.6) for n in range(ROWS, ROWS + 50))
    assert lesson_bytes(learner) == lesson_bytes(reference)


def test_revision_reverses_the_bare_threshold_rule_exactly(open_learner: Open) -> None:
    rules = small_settings(
        min_predictions_for_adaptation=0,
        thresholds=Thresholds(adjustment_rate=0.05, relaxation_half_life_hours=0.0),
    )
    learner, reference = open_learner(settings=rules), open_learner("reference", settings=rules)
    _teach(learner)
    _teach(reference, corrected=100)
    learner.resolve_market(resolution(100, "YES" if _right(100, 100) else "NO", revision=1))
    assert _lesson(learner) == _lesson(reference)
