"""Actors whose handlers do not return: reported by name, worked around where that can be, not waited for twice."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from typing import Any

import pytest

from handicapper.actors import ActorRecovered, ActorStuck, Learner
from handicapper.actors.runtime.clock import ManualClock
from handicapper.protocol.errors import BusyError

from .helpers import (
    DEADLINE_SECONDS,
    POISON,
    T0,
    eventually,
    model_ref,
    outcome,
    prediction,
    small_settings,
)
from .stuck import stuck_fold

Open = Callable[..., Learner]
AFTER_SECONDS = 10.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now_ns=T0 + 10**18)


@pytest.fixture
def learner(open_learner: Open, clock: ManualClock) -> Learner:
    """Its timers never fire by themselves: the clock stands."""
    learner = open_learner(
        clock=clock, settings=small_settings(supervision={"stuck_after_secs": AFTER_SECONDS})
    )
    learner.record_outcomes([outcome(1), outcome(2, "other")])
    return learner


def look(learner: Learner, clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    learner._engine.vigil.look()


def test_stuck_model_is_named_in_statistics_models_log_and_to_who_watches(
    learner: Learner, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    learner.watch(lambda event: told.put(event) if isinstance(event, ActorStuck | ActorRecovered) else None)
    with stuck_fold() as stuck, caplog.at_level(logging.WARNING, "handicapper"):
        learner.record_outcome(outcome(3, confidence=POISON))
        stuck.wait_entered()
        look(learner, clock, 0.0)
        assert learner.statistics().stuck == ()
        look(learner, clock, AFTER_SECONDS)
        (found,) = learner.statistics().stuck
        assert (found.actor, found.message, found.seconds) == ("model/m", "Delivery", AFTER_SECONDS)
        assert told.get_nowait() == ActorStuck("model/m", "Delivery", AFTER_SECONDS)
        statuses = {summary.model_id: summary.status for summary in learner.models()}
        assert statuses == {"m": "stuck", "other": "running"}
        (record,) = [r for r in caplog.records if "stuck" in r.getMessage()]
        assert "model/m" in record.getMessage() and "stuck.py" in record.getMessage()
        stuck.release()
        eventually(lambda: model_ref(learner).cell.at_rest)
        look(learner, clock, 1.0)
    assert told.get_nowait() == ActorRecovered("model/m", AFTER_SECONDS + 1.0)
    assert told.empty()
    assert learner.statistics().stuck == ()
    assert [summary.status for summary in learner.models()] == ["running", "running"]
    assert learner.report("m").n == 2


def test_others_learn_answer_and_trade_while_a_model_is_stuck(
    learner: Learner, clock: ManualClock, open_learner: Open
) -> None:
    with stuck_fold() as stuck:
        learner.record_outcome(outcome(3, confidence=POISON))
        stuck.wait_entered()
        look(learner, clock, 0.0)
        look(learner, clock, AFTER_SECONDS)
        learner.record_outcomes(outcome(n, "other") for n in range(10, 200))
        # Nobody helps: the one worker of the pool is held up, and its stand-in does the work.
        eventually(lambda: model_ref(learner, "other").cell.at_rest)
        assert learner.report("other").n == 191
        assert learner.process_signal(prediction(500, "other", confidence=0.99)).accepted
        selection = learner.thompson_sample()
        assert [sample.model_id for sample in selection.ranked] == ["other"]
        assert selection.missing == ("m",)
        with pytest.raises(BusyError, match="model/m has been handling a Delivery for 10 s"):
            learner.report("m")
        decision = learner.process_signal(prediction(501, confidence=0.99))
        assert (decision.accepted, decision.reason) == (False, "not_answering")
        learner.record_outcome(outcome(4))
    reference = open_learner("reference")
    reference.record_outcomes([outcome(1), outcome(3, confidence=POISON)])
    reference.record_prediction(prediction(501, confidence=0.99))
    reference.record_outcome(outcome(4))
    look(learner, clock, 1.0)
    assert learner.report("m").n == 3
    assert learner.report("m", as_of=T0).posterior_alpha == reference.report("m", as_of=T0).posterior_alpha
    eventually(lambda: not learner._engine.pool._sparing)


def test_signals_of_a_model_that_does_not_answer_are_waited_for_once(learner: Learner) -> None:
    """Every one of them would hold up everybody for as long."""
    with stuck_fold() as stuck:
        learner.record_outcome(outcome(3, confidence=POISON))
        stuck.wait_entered()
        first = learner.process_signal(prediction(10, confidence=0.99))
        waiting = len(model_ref(learner).cell)
        later = [learner.process_signal(prediction(n, confidence=0.99)) for n in range(11, 30)]
        # One letter each, which tells the model of its recorded signal: it was not asked again.
        assert len(model_ref(learner).cell) == waiting + len(later)
        for decision in (first, *later):
            assert (decision.accepted, decision.reason) == (False, "not_answering")
        assert learner.process_signal(prediction(30, "other", confidence=0.99)).accepted
    eventually(lambda: model_ref(learner).cell.at_rest)
    assert learner.process_signal(prediction(31, confidence=0.99)).accepted
    assert learner.report("m").rejected == 20


def test_snapshots_and_closing_do_not_wait_for_a_stuck_model(
    learner: Learner, clock: ManualClock, open_learner: Open
) -> None:
    """It is rebuilt from the journal at the next opening."""
    with stuck_fold() as stuck:
        learner.record_outcome(outcome(3, confidence=POISON))
        stuck.wait_entered()
        begun = learner.snapshot_nowait()  # it asks the model, before anybody knows
        look(learner, clock, 0.0)
        look(learner, clock, AFTER_SECONDS)
        assert begun.get(DEADLINE_SECONDS).models == 1
        learner.record_outcome(outcome(4, "other"))
        assert learner.snapshot(timeout=DEADLINE_SECONDS).models == 1
        stuck.release()
    learner.close()
    assert {s.model_id: s.n for s in open_learner().models()} == {"m": 2, "other": 2}


def test_stuck_router_is_named(learner: Learner, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can stand in for it; that it is stuck is seen from outside."""
    from handicapper.actors.state.book import Book

    from .stuck import Stuck

    stuck, real = Stuck(), Book.apply

    def apply(self: Any, *arguments: Any) -> Any:
        stuck.hold()
        return real(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Book, "apply", apply)
        future = learner.record_prediction_nowait(prediction(5, "new"))
        stuck.wait_entered()
        look(learner, clock, 0.0)
        look(learner, clock, AFTER_SECONDS)
        assert [(s.actor, s.message) for s in learner.statistics().stuck] == [("router", "Submit")]
        stuck.release()
        assert future.get(DEADLINE_SECONDS).seq > 0


def test_watching_can_be_turned_off(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(supervision={"stuck_after_secs": 0.0}))
    assert [handle.callback for _, _, handle in learner._engine.timers._heap] == [
        learner._engine._snapshot_due
    ]
    assert learner.statistics().stuck == ()


def test_timers_thread_notices_by_itself(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(supervision={"stuck_after_secs": 0.04}))
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    learner.record_outcome(outcome(1))
    learner.watch(lambda event: told.put(event) if isinstance(event, ActorStuck | ActorRecovered) else None)
    with stuck_fold() as stuck:
        learner.record_outcome(outcome(3, confidence=POISON))
        stuck.wait_entered()
        event = told.get(timeout=DEADLINE_SECONDS)
        assert isinstance(event, ActorStuck) and event.actor == "model/m" and event.seconds >= 0.04
        stuck.release()
        assert isinstance(told.get(timeout=DEADLINE_SECONDS), ActorRecovered)
