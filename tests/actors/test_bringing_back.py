"""Models given up, brought back by an operator: rebuilt from their whole history, with a clean slate."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

import pytest

from handicapper.actors import Learner, ModelRestarted
from handicapper.actors import supervisor as supervisor_module
from handicapper.protocol.errors import ClosedError, InvalidValueError, ModelFailedError, UnknownModelError
from handicapper.protocol.messages import RestartReceipt

from .helpers import (
    DEADLINE_SECONDS,
    POISON,
    eventually,
    held,
    lesson_bytes,
    outcome,
    pattern,
    prediction,
    raising_fold,
    small_settings,
)

Open = Callable[..., Learner]


def told(number: int, model: str = "bad", poisonous: bool = False) -> Any:
    return outcome(number, model, right=pattern(number), confidence=POISON if poisonous else 0.7)


def never_failed(learner: Learner, count: int) -> None:
    """The same inputs in a learner whose model never raised."""
    learner.record_outcomes(told(number) for number in range(5))
    learner.record_outcomes(told(number, "good") for number in range(9_000, 9_005))
    learner.record_outcomes(told(number, poisonous=number in (5, 6)) for number in range(5, count))


@pytest.fixture
def learner(open_learner: Open) -> Learner:
    learner = open_learner(settings=small_settings(supervision={"restarts_max": 1}))
    learner.record_outcomes(told(number) for number in range(5))
    learner.record_outcomes(told(number, "good") for number in range(9_000, 9_005))
    return learner


def give_up(learner: Learner, first: int = 5) -> None:
    """Two poisonous outcomes: one restart, then the end."""
    for number in (first, first + 1):
        learner.record_outcome(told(number, poisonous=True))
        eventually(
            lambda: (
                (
                    learner._engine.roster.status_of("bad") != "restarting"
                    and learner._engine.roster.refs["bad"].cell.at_rest
                )
                or "bad" in learner._engine.roster.failed
            )
        )
    eventually(lambda: learner.statistics().models_failed == ("bad",))


def test_model_given_up_is_brought_back_with_what_came_meanwhile(
    learner: Learner, open_learner: Open
) -> None:
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with raising_fold():
        give_up(learner)
        learner.record_outcomes(told(number) for number in range(7, 40))
        learner.pause("bad", reason="given up")
        with pytest.raises(ModelFailedError):
            learner.report("bad")
        learner.watch(events.put)
    receipt = learner.restart("bad")
    assert receipt == RestartReceipt(model_id="bad", restarted=True, applied_seq=learner.statistics().seq)
    assert events.get(timeout=DEADLINE_SECONDS) == ModelRestarted("bad")
    assert learner.statistics().models_failed == ()
    assert {s.model_id: s.status for s in learner.models()} == {"bad": "running", "good": "running"}
    reference = open_learner("reference")
    never_failed(reference, 40)
    reference.pause("bad", reason="given up")
    assert lesson_bytes(learner, "bad") == lesson_bytes(reference, "bad")
    learner.record_outcome(told(40))
    assert learner.report("bad").n == 41
    assert learner.verify().ok


def test_inputs_that_come_while_it_is_brought_back_are_counted_in_order(
    learner: Learner, open_learner: Open
) -> None:
    with raising_fold():
        give_up(learner)
    reply = learner.restart_nowait("bad")
    learner.record_outcomes(told(number) for number in range(7, 300))
    assert reply.get(DEADLINE_SECONDS).restarted
    learner.record_outcomes(told(number) for number in range(300, 400))
    reference = open_learner("reference")
    never_failed(reference, 400)
    assert lesson_bytes(learner, "bad") == lesson_bytes(reference, "bad")


def test_what_still_cannot_be_folded_is_set_aside(learner: Learner) -> None:
    with raising_fold():
        give_up(learner)
        assert learner.restart("bad").restarted
        assert learner.report("bad").n == 5
        poison = [letter for letter in learner.dead_letters() if letter.reason.startswith("poison")]
        assert len(poison) == 2
        assert all("the fold broke" in letter.reason and "Scored {" in letter.message for letter in poison)


def test_restarts_are_counted_anew_after_it_was_brought_back(learner: Learner) -> None:
    with raising_fold():
        give_up(learner)
        learner.restart("bad")
        learner.record_outcome(told(20, poisonous=True))
        eventually(lambda: learner.report("bad").n == 5 and learner.statistics().restarts == 2)
        assert learner.statistics().models_failed == ()
        learner.record_outcome(told(21, poisonous=True))
        eventually(lambda: learner.statistics().models_failed == ("bad",))
        assert learner.restart("bad").restarted


def test_healthy_model_is_left_alone_and_an_unknown_one_refused_by_name(learner: Learner) -> None:
    expected = RestartReceipt(model_id="good", restarted=False, applied_seq=0)
    assert learner.restart("good") == expected
    with pytest.raises(UnknownModelError, match='"nobody"'):
        learner.restart("nobody")
    with pytest.raises(InvalidValueError, match="model_id"):
        learner.restart("")
    learner.close()
    with pytest.raises(ClosedError):
        learner.restart("good")


def test_two_operators_get_the_same_restart(learner: Learner) -> None:
    with raising_fold():
        give_up(learner)
    with held(learner._engine.router):
        replies = [learner.restart_nowait("bad") for _ in range(2)]
        eventually(lambda: learner._engine.supervisor.cell.handling is not None)
    results = [reply.get(DEADLINE_SECONDS) for reply in replies]
    assert results[0].restarted
    assert learner.report("bad").n == 7


def test_model_that_cannot_be_rebuilt_stays_given_up_and_says_why(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raising_fold():
        give_up(learner)

    def rebuild_model(*_: Any) -> Any:
        raise RuntimeError("history unreadable")

    with monkeypatch.context() as patched:
        patched.setattr(supervisor_module, "rebuild_model", rebuild_model)
        with pytest.raises(ModelFailedError, match="history unreadable"):
            learner.restart("bad")
    assert learner.statistics().models_failed == ("bad",)
    assert learner.restart("bad").restarted
    assert learner.report("bad").n == 7


def test_signals_of_a_model_brought_back_are_gated_again(learner: Learner) -> None:
    with raising_fold():
        give_up(learner)
        assert learner.process_signal(prediction(50, "bad", confidence=0.99)).reason == "failed"
    learner.restart("bad")
    assert learner.process_signal(prediction(51, "bad", confidence=0.99)).accepted


def test_a_thousand_letters_survive_a_kill_in_the_middle(open_learner: Open) -> None:
    """A flood into one model, which dies on a message in the middle of its mail."""
    learner, reference = open_learner(), open_learner("reference")
    learner.record_outcome(told(0))
    count = 1_000
    with raising_fold(times=1) as raised:
        cell = learner._engine.roster.refs["bad"].cell
        eventually(lambda: cell.at_rest)
        with held(learner._engine.roster.refs["bad"]):
            for n in range(1, count):
                assert learner.record_outcome(told(n, poisonous=n == count // 2)).scored == 1
            assert len(cell) == count - 1
        assert learner.report("bad").n == count
    assert len(raised) == 1 and learner.statistics().restarts == 1
    reference.record_outcomes(told(n, poisonous=n == count // 2) for n in range(count))
    assert lesson_bytes(learner, "bad") == lesson_bytes(reference, "bad")
