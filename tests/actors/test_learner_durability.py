"""What a call returned is on the disk: the files as they are at that moment hold it, without a close."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, verify_state

from .helpers import (
    HOUR,
    T0,
    copy_while_open,
    lesson_bytes,
    model_record,
    outcome,
    pattern,
    prediction,
    resolution,
    small_settings,
    teach,
)

Open = Callable[..., Learner]


CALLS: dict[str, Callable[[Learner], Any]] = {
    "record_prediction": lambda it: it.record_prediction(prediction(100)),
    "record_predictions": lambda it: it.record_predictions(prediction(n) for n in range(100, 120)),
    "resolve_market": lambda it: it.resolve_market(resolution(50)),
    "resolve_markets": lambda it: it.resolve_markets(resolution(n) for n in range(50, 60)),
    "record_outcome": lambda it: it.record_outcome(outcome(200)),
    "record_outcomes": lambda it: it.record_outcomes(outcome(n) for n in range(200, 220)),
    "process_signal": lambda it: it.process_signal(prediction(100)),
    "process_signals": lambda it: it.process_signals(prediction(n) for n in range(100, 120)),
    "pause": lambda it: it.pause("m", T0 + HOUR, "looks odd"),
    "reset": lambda it: it.reset("m"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("snapshot_before", [False, True])
def test_state_found_right_after_the_call_returned_equals_the_live_one(
    open_learner: Open, tmp_path: Path, call: str, snapshot_before: bool
) -> None:
    live = open_learner()
    teach(live, "m", range(40))
    live.record_predictions(prediction(n) for n in range(50, 60))
    if snapshot_before:
        live.snapshot()
    CALLS[call](live)
    copy = copy_while_open(tmp_path / "state", tmp_path / "copy")
    found = open_learner("copy")
    assert model_record(found) == model_record(live)
    assert found.reports(as_of=T0 + HOUR) == live.reports(as_of=T0 + HOUR)
    was, now = live.statistics(), found.statistics()
    assert (now.seq, now.predictions_pending, now.markets_open) == (
        was.seq,
        was.predictions_pending,
        was.markets_open,
    )
    found.close()
    assert verify_state(copy).ok


def test_everything_repeated_after_the_crash_is_a_duplicate(open_learner: Open, tmp_path: Path) -> None:
    live = open_learner()
    teach(live, "m", range(30))
    live.record_outcomes(outcome(n) for n in range(100, 110))
    copy_while_open(tmp_path / "state", tmp_path / "copy")
    found = open_learner("copy")
    before = model_record(found)
    again = found.record_predictions(prediction(n, confidence=0.5 + n % 40 / 100) for n in range(30))
    resolved = found.resolve_markets(resolution(n, "YES" if pattern(n) else "NO") for n in range(30))
    outcomes = found.record_outcomes(outcome(n) for n in range(100, 110))
    assert [result.duplicates for result in (again, resolved, outcomes)] == [30, 30, 10]
    assert model_record(found) == before


def test_pending_predictions_after_a_crash_still_count_when_they_resolve(
    open_learner: Open, tmp_path: Path
) -> None:
    live = open_learner()
    live.record_predictions(prediction(n) for n in range(20))
    live.snapshot()
    live.record_predictions(prediction(n) for n in range(20, 40))
    copy_while_open(tmp_path / "state", tmp_path / "copy")
    found = open_learner("copy")
    assert found.statistics().predictions_pending == 40
    found.resolve_markets(resolution(n) for n in range(40))
    assert (found.report("m").n, found.statistics().predictions_pending) == (40, 0)


def test_decay_is_applied_once_however_often_it_is_opened(open_learner: Open, tmp_path: Path) -> None:
    """Twelve closings, openings and looks leave the posterior where a learner that stayed open has it."""
    reference = open_learner("reference")
    at = T0 + 100 * HOUR
    for number in range(12):
        teach(reference, "m", range(number, number + 1))
        with Learner(tmp_path / "often", small_settings()) as often:
            teach(often, "m", range(number, number + 1))
            often.report("m", as_of=at)
    often = open_learner("often")
    assert lesson_bytes(often) == lesson_bytes(reference)
    assert often.report("m", as_of=at).posterior_alpha == reference.report("m", as_of=at).posterior_alpha


def test_journal_alone_gives_the_state_bit_for_bit(open_learner: Open, tmp_path: Path) -> None:
    learner = open_learner()
    teach(learner, "a", range(150))
    teach(learner, "b", range(200, 300))
    learner.pause("a")
    learner.snapshot()
    learner.reset("b")
    teach(learner, "b", range(300, 350))
    learner.close()
    report = verify_state(tmp_path / "state")
    assert (report.ok, report.differences, report.damaged, report.models) == (True, (), (), 2)
