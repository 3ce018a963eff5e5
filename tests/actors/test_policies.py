"""What becomes of the learner when one of its own actors raises: each has a policy, stated in ``supervisor``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from handicapper.actors import Learner
from handicapper.actors.calls import Reply
from handicapper.actors.persister import Checkpoint, PersisterActor
from handicapper.actors.questions import selection_question
from handicapper.actors.selector import Scatter
from handicapper.actors.state.book import Book
from handicapper.actors.supervisor import SupervisorActor
from handicapper.protocol.errors import HandicapperError, RuntimeFaultError, StoreFailedError

from .helpers import (
    DEADLINE_SECONDS,
    POISON,
    disk_held,
    eventually,
    held,
    outcome,
    prediction,
    raising_fold,
    small_settings,
)

Open = Callable[..., Learner]


def breaking(error: str) -> Callable[..., Any]:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(error)

    return broken


@pytest.fixture
def learner(open_learner: Open) -> Learner:
    learner = open_learner()
    learner.record_outcomes(outcome(n) for n in range(10))
    return learner


def test_router_that_raises_accepts_nothing_more_says_why_and_answers_questions(
    learner: Learner, open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Book, "apply", breaking("the router broke"))
        with pytest.raises(
            RuntimeFaultError,
            match=r"failed: RuntimeError: the router broke; .*open the state directory again",
        ):
            learner.record_prediction(prediction(50, "new"))
    for refused in (
        lambda: learner.record_outcome(outcome(60)),
        lambda: learner.process_signal(prediction(60)),
        lambda: learner.pause("m"),
        learner.snapshot,
    ):
        with pytest.raises(RuntimeFaultError, match="the router broke"):
            refused()
    statistics = learner.statistics()
    assert statistics.state == "failed" and "the router broke" in (statistics.failure or "")
    assert learner.report("m").n == 10
    assert learner.thompson_sample().ranked
    with suppress(HandicapperError):
        learner.close()
    again = open_learner()
    assert (again.statistics().state, again.report("m").n) == ("accepting", 10)


def test_selector_that_raises_tells_whoever_asked_and_answers_the_next(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Scatter, "begin", breaking("the selector broke"))
        for refused in (lambda: learner.thompson_sample(2), learner.models, learner.reports):
            with pytest.raises(RuntimeError, match="the selector broke"):
                refused()
    assert [sample.model_id for sample in learner.thompson_sample().ranked] == ["m"]
    assert learner.statistics().state == "accepting"
    assert learner.record_outcome(outcome(60)).scored == 1


def test_question_that_raises_in_the_selector_costs_the_others_of_its_batch_nothing(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Scatter.begin

    def some_break(scatter: Scatter, message: Any) -> None:
        if getattr(message, "seed", None) == 13:
            raise RuntimeError("the selector broke")
        begin(scatter, message)

    monkeypatch.setattr(Scatter, "begin", some_break)
    engine = learner._engine
    replies: list[Reply[Any]] = []
    with held(engine.selector):
        for seed in (12, 13, 14):
            reply: Reply[Any] = Reply(engine.selector.cell)
            engine.ask(
                engine.selector,
                replace(selection_question(engine, 1, None, None, "s", seed, None, None), reply=reply),
                reply,
            )
            replies.append(reply)
    with pytest.raises(RuntimeError, match="the selector broke"):
        replies.pop(1).get(DEADLINE_SECONDS)
    assert [reply.get(DEADLINE_SECONDS).seed for reply in replies] == [12, 14]


def test_persister_that_raises_acknowledges_nothing_more_and_answers_everybody(
    learner: Learner, open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a write that failed, which the journal settles by itself: a defect."""
    persister = learner._engine.persister
    with monkeypatch.context() as patched:
        patched.setattr(PersisterActor, "_checkpoint", breaking("the persister broke"))
        persister.post(Checkpoint())
        eventually(lambda: learner.statistics().state == "failed")
        for refused in (lambda: learner.record_outcome(outcome(60)), learner.snapshot):
            with pytest.raises(StoreFailedError, match="the persister broke"):
                refused()
    assert "the persister broke" in (learner.statistics().failure or "")
    assert learner.report("m").n == 10
    with suppress(HandicapperError):
        learner.close()
    again = open_learner()
    assert again.record_outcome(outcome(60)).scored == 1
    assert again.report("m").n == 11


def test_persister_that_raises_with_inputs_in_hand_refuses_them(
    learner: Learner, open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(PersisterActor, "_commit", breaking("the persister broke"))
        with disk_held(learner):
            futures = [learner.record_outcome_nowait(outcome(n)) for n in range(20, 25)]
            eventually(lambda: len(learner._engine.persister.cell) > 0)
        for future in futures:
            with pytest.raises(StoreFailedError, match="the persister broke"):
                future.get(DEADLINE_SECONDS)
    with suppress(HandicapperError):
        learner.close()
    again = open_learner()
    assert [again.record_outcome(outcome(n)).duplicate for n in range(20, 25)] == [False] * 5
    assert again.report("m").n == 15


def test_supervisor_that_raises_gives_the_model_up_by_name_and_looks_after_the_next(
    open_learner: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = open_learner(settings=small_settings())
    learner.record_outcomes([outcome(1), outcome(2, "other")])
    with raising_fold(times=2):
        with monkeypatch.context() as patched:
            patched.setattr(SupervisorActor, "_rebuild_all", breaking("the supervisor broke"))
            learner.record_outcome(outcome(3, confidence=POISON))
            eventually(lambda: learner.statistics().models_failed == ("m",))
            assert "the supervisor broke" in learner._engine.roster.failed["m"]
        learner.record_outcome(outcome(4, "other", confidence=POISON))
        assert learner.report("other").n == 2
    assert learner.restart("m").restarted
    assert learner.report("m").n == 2
