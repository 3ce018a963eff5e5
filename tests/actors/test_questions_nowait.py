"""Questions that do not wait: answered in place where that is possible, and never before inputs sent earlier."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.actors.state import views
from handicapper.config import ThompsonSampling
from handicapper.protocol.errors import (
    BusyError,
    ClosedError,
    HandicapperError,
    InvalidValueError,
    ModelFailedError,
)

from .helpers import (
    DEADLINE_SECONDS,
    POISON,
    SOON_SECONDS,
    T0,
    eventually,
    held,
    model_ref,
    outcome,
    pattern,
    prediction,
    raising_fold,
    small_settings,
    teach,
)

Open = Callable[..., Learner]


def test_answers_are_those_of_the_waiting_forms(learner: Learner) -> None:
    for place, model in enumerate("abc"):
        teach(learner, model, range(place * 100, place * 100 + 40))
    at = T0 + 10**15
    for model in "abcx":
        expected = learner.get_adaptive_params(model, as_of=at)
        assert learner.get_adaptive_params_nowait(model, as_of=at).get(DEADLINE_SECONDS) == expected
    arguments: dict[str, Any] = {"as_of": at, "selection_id": "s", "seed": 3, "models": ["a", "b", "x"]}
    for n in (1, 7):
        expected_selection = learner.thompson_sample(n, **arguments)
        assert learner.thompson_sample_nowait(n, **arguments).get(DEADLINE_SECONDS) == expected_selection


def test_idle_models_answer_in_place(learner: Learner) -> None:
    teach(learner, "m", range(20))
    eventually(lambda: learner._engine.router.cell.at_rest and model_ref(learner).cell.at_rest)
    assert learner.get_adaptive_params_nowait("m").is_set()
    assert learner.get_adaptive_params_nowait("nobody").get(0) is None
    assert learner.thompson_sample_nowait().is_set()


def test_question_waits_for_inputs_that_were_sent_before_it(open_learner: Open) -> None:
    """The router is held with the inputs in its mailbox; the question comes behind them, and sees them."""
    learner = open_learner(settings=small_settings(min_predictions_for_adaptation=5))
    learner.record_outcome(outcome(0))
    with held(learner._engine.router):
        recorded = learner.record_each_nowait([outcome(n) for n in range(1, 10)])
        params = learner.get_adaptive_params_nowait("m")
        selection = learner.thompson_sample_nowait(as_of=outcome(9).resolved_at)
        assert not (params.is_set() or selection.is_set())
    found = params.get(DEADLINE_SECONDS)
    assert found is not None
    assert found.adapted
    (sample,) = selection.get(DEADLINE_SECONDS).ranked
    assert sample.alpha > 10.9
    assert len(recorded.get(DEADLINE_SECONDS)) == 9


def test_question_waits_behind_what_its_model_was_told(learner: Learner) -> None:
    learner.record_outcome(outcome(0))
    with held(model_ref(learner)):
        learner.record_each_nowait([outcome(n) for n in range(1, 20)]).get(DEADLINE_SECONDS)
        params = learner.get_adaptive_params_nowait("m")
        selection = learner.thompson_sample_nowait(timeout=DEADLINE_SECONDS)
        assert not (params.is_set() or selection.is_set())
    found = params.get(DEADLINE_SECONDS)
    assert found is not None
    assert found.adapted
    assert len(selection.get(DEADLINE_SECONDS).ranked) == 1


def test_many_inputs_and_questions_by_turns_are_each_seen(learner: Learner) -> None:
    """EMA by hand: each question sees at least what was recorded before it."""
    ema, expected, replies = 0.5, [], []
    learner.record_outcome(outcome(0))
    ema = 0.1 + 0.9 * ema
    for number in range(1, 300):
        learner.record_each_nowait([outcome(number, right=pattern(number))])
        ema = 0.1 * pattern(number) + 0.9 * ema
        expected.append(ema)
        replies.append(learner.get_adaptive_params_nowait("m"))
    position = 0
    for index, reply in enumerate(replies):
        found = reply.get(DEADLINE_SECONDS)
        assert found is not None
        position = max(position, index)
        while expected[position] != pytest.approx(found.ema_accuracy, rel=1e-12):
            position += 1


def test_selection_names_models_that_do_not_answer_in_time(learner: Learner) -> None:
    teach(learner, "quick", range(5))
    teach(learner, "slow", range(5, 10))
    with held(model_ref(learner, "slow")):
        reply = learner.thompson_sample_nowait(timeout=SOON_SECONDS)
        selection = reply.get(DEADLINE_SECONDS)
    assert ([s.model_id for s in selection.ranked], selection.missing) == (["quick"], ("slow",))


def test_failed_model_is_told_by_the_reply_only(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(supervision={"restarts_max": 0}))
    with raising_fold():
        learner.record_outcome(outcome(1, confidence=POISON))
        eventually(lambda: learner.statistics().models_failed == ("m",))
    with pytest.raises(ModelFailedError, match='"m" was given up'):
        learner.get_adaptive_params_nowait("m").get(DEADLINE_SECONDS)
    assert learner.thompson_sample_nowait().get(DEADLINE_SECONDS).missing == ("m",)


def test_question_that_waits_for_a_model_that_is_given_up_is_told_that(open_learner: Open) -> None:
    """It had been put when the model failed, and came back with the model's mail."""
    learner = open_learner(settings=small_settings(supervision={"restarts_max": 0}))
    learner.record_outcome(outcome(0))
    with raising_fold(), held(learner._engine.supervisor):
        learner.record_outcome(outcome(1, confidence=POISON))
        eventually(lambda: model_ref(learner).cell.failure is not None)
        reply = learner.get_adaptive_params_nowait("m")
        assert not reply.is_set()
    with pytest.raises(ModelFailedError, match='"m" was given up'):
        reply.get(DEADLINE_SECONDS)
    assert isinstance(reply.exception(), ModelFailedError)


def test_model_that_raises_when_asked_raises_from_the_reply(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(learner, "m", range(5))

    def draw(*_: Any) -> Any:
        raise ZeroDivisionError("the view broke")

    monkeypatch.setattr(views, "params", draw)
    reply = learner.get_adaptive_params_nowait("m")
    with pytest.raises(ZeroDivisionError, match="the view broke"):
        reply.get(DEADLINE_SECONDS)


@pytest.mark.parametrize(
    "ask",
    [
        lambda learner: learner.get_adaptive_params_nowait(""),
        lambda learner: learner.get_adaptive_params_nowait(7),
        lambda learner: learner.get_adaptive_params_nowait("m", as_of=1.5),
        lambda learner: learner.get_adaptive_params_nowait("m", as_of=datetime(2024, 1, 1)),
        lambda learner: learner.thompson_sample_nowait(0),
        lambda learner: learner.thompson_sample_nowait(True),
        lambda learner: learner.thompson_sample_nowait(seed=-1),
        lambda learner: learner.thompson_sample_nowait(models="m"),
        lambda learner: learner.thompson_sample_nowait(models=[""]),
        lambda learner: learner.thompson_sample_nowait(selection_id="a\nb"),
    ],
)
def test_wrong_arguments_are_raised_at_once(learner: Learner, ask: Callable[[Learner], Any]) -> None:
    with pytest.raises(InvalidValueError):
        ask(learner)


def test_questions_to_a_closed_learner_are_refused_and_those_under_way_answered(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(supervision={"stop_timeout_secs": SOON_SECONDS}))
    learner.record_outcome(outcome(0))
    model_ref(learner).cell.suspend()
    reply = learner.get_adaptive_params_nowait("m")
    with suppress(HandicapperError):  # the model is in its way
        learner.close()
    with pytest.raises(ClosedError):
        reply.get(DEADLINE_SECONDS)
    assert isinstance(reply.exception(), ClosedError)
    for ask in (learner.get_adaptive_params_nowait, learner.thompson_sample_nowait):
        with pytest.raises(ClosedError):
            ask("m" if ask == learner.get_adaptive_params_nowait else 1)  # pyright: ignore


def test_full_mailbox_of_the_router_is_busy_at_once(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(limits={"mailbox_messages_max": 4}))
    learner.record_outcome(outcome(0))
    with held(learner._engine.router):
        replies = [learner.record_outcome_nowait(outcome(n)) for n in range(1, 5)]
        for ask in (lambda: learner.get_adaptive_params_nowait("m"), learner.thompson_sample_nowait):
            with pytest.raises(BusyError, match="mailbox of router"):
                ask()
    assert [reply.get(DEADLINE_SECONDS).scored for reply in replies] == [1] * 4
    assert learner.record_prediction(prediction(50)).seq


def test_seed_and_deadline_default_to_the_settings(open_learner: Open) -> None:
    settings = small_settings(thompson_sampling=ThompsonSampling(seed=77, gather_deadline_ms=20))
    learner = open_learner(settings=settings)
    learner.record_outcome(outcome(1))
    assert learner.thompson_sample_nowait().get(DEADLINE_SECONDS).seed == 77
    with held(model_ref(learner)):
        assert learner.thompson_sample_nowait().get(DEADLINE_SECONDS).missing == ("m",)
