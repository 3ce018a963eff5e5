"""Models whose fold or gate raises: rebuilt in order, poison set aside, given up loudly, brought back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.actors.state import views
from handicapper.actors.state.book import Book
from handicapper.protocol.errors import HandicapperError, ModelFailedError

from .helpers import (
    DEADLINE_SECONDS,
    POISON,
    T0,
    copy_while_open,
    eventually,
    held,
    lesson_bytes,
    model_ref,
    outcome,
    pattern,
    prediction,
    raising_fold,
    resolution,
    small_settings,
    teach,
)

Open = Callable[..., Learner]


def _told(number: int, model: str = "m", poisonous: bool = False) -> Any:
    return outcome(number, model, right=pattern(number), confidence=POISON if poisonous else 0.7)


def test_model_that_fails_once_is_rebuilt_with_nothing_lost(open_learner: Open) -> None:
    learner, reference = open_learner(), open_learner("reference")
    with raising_fold(times=1) as raised:
        for number in range(150):
            learner.record_outcome(_told(number, poisonous=number == 100))
        learner.report("m")
    assert len(raised) == 1
    for number in range(150):
        reference.record_outcome(_told(number, poisonous=number == 100))
    assert lesson_bytes(learner) == lesson_bytes(reference)
    assert learner.statistics().restarts == 1
    assert learner.dead_letters() == []


def test_mail_that_comes_while_a_model_is_down_is_handled_in_order_afterwards(open_learner: Open) -> None:
    learner, reference = open_learner(), open_learner("reference")
    learner.record_outcome(_told(0))
    with raising_fold(times=1), held(learner._engine.supervisor):
        learner.record_outcome(_told(1, poisonous=True))
        eventually(lambda: model_ref(learner).cell.failure is not None)
        assert [s.status for s in learner.models(timeout=0.05)] == ["restarting"]
        learner.record_outcomes(_told(number) for number in range(2, 90))
        learner.pause("m", reason="down")
        assert len(model_ref(learner).cell) > 0
    for number in range(90):
        reference.record_outcome(_told(number, poisonous=number == 1))
    reference.pause("m", reason="down")
    assert lesson_bytes(learner) == lesson_bytes(reference)
    assert learner.models()[0].status == "running"


def test_model_rebuilt_from_disk_and_memory_equals_one_that_never_failed(open_learner: Open) -> None:
    """Part of its history was moved to disk by snapshots, part is in memory, with controls between."""
    learner, reference = open_learner(), open_learner("reference")
    with raising_fold(times=1):
        for it in (learner, reference):
            teach(it, "m", range(100))
            it.snapshot()
            it.pause("m", until=T0)
            teach(it, "m", range(100, 180))
            it.snapshot()
            teach(it, "m", range(180, 200))
            it.record_outcome(_told(500, poisonous=it is learner))
            if it is learner:
                assert it.report("m").n == 201
    assert learner.statistics().restarts == 1
    reference.close()
    reference = open_learner("reference2")
    teach(reference, "m", range(100))
    reference.pause("m", until=T0)
    teach(reference, "m", range(100, 180))
    teach(reference, "m", range(180, 200))
    reference.record_outcome(_told(500, poisonous=True))
    assert lesson_bytes(learner) == lesson_bytes(reference)


def test_event_that_always_raises_becomes_a_dead_letter_and_the_others_count(open_learner: Open) -> None:
    learner, reference = open_learner(), open_learner("reference")
    with raising_fold():
        for number in range(40):
            learner.record_outcome(_told(number, poisonous=number == 20))
        assert learner.report("m").n == 39
    letters = learner.dead_letters()
    assert letters
    assert {letter.recipient for letter in letters} == {"model/m"}
    assert any("poison" in letter.reason for letter in letters)
    assert learner.statistics().models_failed == ()
    for number in range(40):
        if number != 20:
            reference.record_outcome(_told(number))
    poisoned, clean = learner.report("m", as_of=T0), reference.report("m", as_of=T0)
    for field in (
        "n",
        "accuracy",
        "ema_accuracy",
        "posterior_alpha",
        "posterior_beta",
        "confidence_threshold",
        "calibration",
        "weight",
    ):
        assert getattr(poisoned, field) == getattr(clean, field), field


def test_event_that_raised_until_the_release_was_mended_counts_after_reopening(open_learner: Open) -> None:
    """The journal has it: only a model that was saved with it set aside goes on without."""
    learner = open_learner()
    with raising_fold():
        learner.record_outcomes(_told(number, poisonous=number == 5) for number in range(10))
        assert learner.report("m").n == 9
    directory = learner._engine.directory.path
    copy_while_open(directory, directory.parent / "mended")
    assert open_learner("mended").report("m").n == 10


def _failed_model(open_learner: Open) -> Learner:
    """Model "bad" raised once more often than it may be restarted; "good" never did."""
    learner = open_learner(settings=small_settings(supervision={"restarts_max": 2}))
    learner.record_outcomes(_told(number, "good") for number in range(100, 120))
    learner.record_outcomes(_told(number, "bad") for number in range(5))
    for number in range(5, 8):
        learner.record_outcome(_told(number, "bad", poisonous=True))
        turn = number - 4
        eventually(lambda turn=turn: learner.statistics().restarts >= min(turn, 2))
    eventually(lambda: learner.statistics().models_failed == ("bad",))
    return learner


def test_model_that_fails_too_often_is_given_up_by_name_and_the_others_go_on(open_learner: Open) -> None:
    with raising_fold():
        learner = _failed_model(open_learner)
        for refused in (lambda: learner.report("bad"), lambda: learner.get_adaptive_params("bad")):
            with pytest.raises(ModelFailedError, match="bad"):
                refused()
        decision = learner.process_signal(prediction(50, "bad", confidence=0.99))
        assert (decision.accepted, decision.reason, decision.size_multiplier) == (False, "failed", 0.0)
        selection = learner.thompson_sample()
        assert ([s.model_id for s in selection.ranked], selection.missing) == (["good"], ("bad",))
        assert learner.thompson_sample(models=["bad"]).missing == ("bad",)
        assert [(s.model_id, s.status) for s in learner.models()] == [("bad", "failed"), ("good", "running")]
        assert [report.model_id for report in learner.reports()] == ["good"]
        learner.record_outcomes(_told(number, "good") for number in range(120, 130))
        assert learner.report("good").n == 30


def test_model_given_up_is_back_after_reopening_with_all_that_was_acknowledged(open_learner: Open) -> None:
    with raising_fold():
        learner = _failed_model(open_learner)
        assert learner.record_outcome(_told(8, "bad")).scored == 1
        assert learner.record_outcome(_told(8, "bad")).duplicate
        learner.snapshot()
        learner.record_outcome(_told(9, "bad"))
        learner.close()
    again = open_learner()
    reference = open_learner("reference")
    reference.record_outcomes(_told(number, "good") for number in range(100, 120))
    for number in range(10):
        reference.record_outcome(_told(number, "bad", poisonous=number in (5, 6, 7)))
    assert again.statistics().models_failed == ()
    assert lesson_bytes(again, "bad") == lesson_bytes(reference, "bad")
    assert lesson_bytes(again, "good") == lesson_bytes(reference, "good")


def test_model_that_may_not_be_restarted_at_all_fails_at_once(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(supervision={"restarts_max": 0}))
    with raising_fold():
        learner.record_outcome(_told(1, poisonous=True))
        eventually(lambda: learner.statistics().models_failed == ("m",))
    assert learner.statistics().restarts == 0


def test_signal_of_a_model_whose_gate_raises_is_refused_and_recorded(
    open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal is never left without an answer, nor is its place in flight kept."""
    learner = open_learner()
    learner.record_predictions([prediction(1), prediction(2, "other")])
    real = views.decide_gate

    def decide_gate(state: Any, *signal: Any) -> Any:
        if state.model_id == "m":
            raise RuntimeError("the gate broke")
        return real(state, *signal)

    with monkeypatch.context() as patched:
        patched.setattr(views, "decide_gate", decide_gate)
        signals = [prediction(3, confidence=0.99), prediction(4, "other", confidence=0.99)]
        decisions = learner.process_signals(signals, timeout=DEADLINE_SECONDS)
    assert [(d.accepted, d.reason) for d in decisions] == [(False, "restarting"), (True, "accepted")]
    assert learner.statistics().in_flight == 0
    assert [letter.recipient for letter in learner.dead_letters()] == ["model/m"]
    assert learner.process_signal(prediction(5, confidence=0.99)).accepted
    learner.resolve_market(resolution(3))
    assert (learner.report("m").n, learner.report("m").shadow) == (1, 1)


def test_signal_of_a_model_that_is_being_rebuilt_is_refused_and_recorded(open_learner: Open) -> None:
    learner = open_learner()
    learner.record_outcome(_told(0))
    with raising_fold(times=1), held(learner._engine.supervisor):
        learner.record_outcome(_told(1, poisonous=True))
        eventually(lambda: model_ref(learner).cell.failure is not None)
        decision = learner.process_signal(prediction(9, confidence=0.99))
    assert (decision.accepted, decision.reason) == (False, "restarting")
    again = learner.process_signal(prediction(9, confidence=0.99))
    assert (again.accepted, again.reason, again.duplicate) == (False, "restarting", True)
    learner.resolve_market(resolution(9))
    assert (learner.report("m").n, learner.report("m").shadow) == (3, 1)


def test_model_stopped_behind_the_routers_back_does_not_cost_the_others_their_mail(
    open_learner: Open,
) -> None:
    """A model may stop between the look at the list of failed ones and the telling."""
    learner, reference = open_learner(), open_learner("reference")
    for it in (learner, reference):
        it.record_outcomes([_told(0, "gone"), _told(1, "other")])
    assert model_ref(learner, "gone").stop(timeout=DEADLINE_SECONDS)
    for it in (learner, reference):
        it.record_outcomes([_told(2, "gone"), _told(3, "other")])
    assert lesson_bytes(learner, "other") == lesson_bytes(reference, "other")


def test_router_that_fails_half_way_saves_nothing_of_what_it_did_not_acknowledge(
    open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the input sent again after reopening would be a duplicate of one nobody learned from."""
    learner = open_learner()
    learner.record_predictions([prediction(1), prediction(2)])
    real = Book._settle

    def settle(self: Any, market: Any, *arguments: Any) -> Any:
        receipt = real(self, market, *arguments)
        if market.market_id == "k2":
            raise RuntimeError("half applied")
        return receipt

    with monkeypatch.context() as patched:
        patched.setattr(Book, "_settle", settle)
        with held(learner._engine.router):
            futures = [learner.resolve_market_nowait(resolution(n)) for n in (1, 2)]
        for future in futures:
            with pytest.raises(HandicapperError, match="half applied"):
                future.get(DEADLINE_SECONDS)
    assert learner.statistics().state == "failed"
    with pytest.raises(HandicapperError, match="half applied"):
        learner.record_outcome(outcome(5))
    with suppress(HandicapperError):  # it may say once more why it failed
        learner.close()
    again = open_learner()
    assert [again.resolve_market(resolution(n)).scored for n in (1, 2)] == [1, 1]
    assert again.report("m").n == 2


def test_event_set_aside_leaves_no_trace_in_the_calibration_window(open_learner: Open) -> None:
    """The window slides past the place of the poison as if it had never been there."""
    rules = small_settings(calibration_window=10)
    learner, reference = open_learner(settings=rules), open_learner("reference", settings=rules)
    with raising_fold():
        learner.record_outcomes(_told(number, poisonous=number == 20) for number in range(60))
        assert learner.report("m").n == 59
    reference.record_outcomes(_told(number) for number in range(60) if number != 20)
    poisoned, clean = learner.report("m", as_of=T0), reference.report("m", as_of=T0)
    assert poisoned.recent_calibration == clean.recent_calibration
    assert poisoned.confidence_threshold == clean.confidence_threshold
    assert poisoned.pnl == clean.pnl
