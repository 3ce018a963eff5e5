"""Watching a learner: who learned something, who was paused, reset, restarted or given up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from handicapper.actors import (
    Learner,
    ModelFailed,
    ModelPaused,
    ModelPosteriorSet,
    ModelReset,
    ModelRestarted,
    ModelResumed,
    ParametersTouched,
)
from handicapper.protocol.errors import UnknownModelError

from .helpers import (
    DEADLINE_SECONDS,
    POISON,
    T0,
    copy_while_open,
    eventually,
    outcome,
    pattern,
    prediction,
    raising_fold,
    resolution,
    small_settings,
    teach,
)

Open = Callable[..., Learner]


class Heard:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if type(event) is kind]

    def take(self) -> list[Any]:
        events, self.events = self.events, []
        return events


@pytest.fixture
def learner(open_learner: Open) -> Learner:
    """Driven by whoever waits, so that a batch is what a test sends at once, and is told when a call returns."""
    return open_learner(wake=lambda: None)


def send(learner: Learner, *inputs: Any) -> None:
    """One batch."""
    learner.record_each_nowait(inputs).get(DEADLINE_SECONDS)


def test_batch_tells_once_which_models_learned_from_it(learner: Learner) -> None:
    heard = Heard()
    learner.watch(heard)
    send(learner, *(prediction(n, f"m{n}") for n in range(4)))
    assert heard.take() == []
    send(
        learner, resolution(0), resolution(1, "NO"), prediction(10, "m9"), outcome(20, "x"), outcome(21, "x")
    )
    assert heard.take() == [ParametersTouched(frozenset({"m0", "m1", "x"}))]
    send(learner, resolution(0))
    assert heard.take() == []
    send(learner, resolution(0, "NO", revision=1))
    assert heard.take() == [ParametersTouched(frozenset({"m0"}))]
    send(learner, resolution(2, None, void=True))
    assert heard.take() == []


def test_whoever_asks_on_hearing_has_the_news_in_the_answer(learner: Learner) -> None:
    """EMA by hand; the question is put by the listener, in the router's own turn."""
    answers: list[Any] = []
    learner.watch(lambda event: answers.append(learner.get_adaptive_params_nowait("m")))
    ema, expected = 0.5, []
    for number in range(50):
        learner.record_outcome(outcome(number, right=pattern(number)))
        ema = 0.1 * pattern(number) + 0.9 * ema
        expected.append(ema)
    found = [answer.get(DEADLINE_SECONDS).ema_accuracy for answer in answers]
    assert found == pytest.approx(expected, rel=1e-12)


def test_pauses_resumptions_and_resets_are_told_also_when_they_change_nothing(learner: Learner) -> None:
    learner.record_outcome(outcome(1))
    heard = Heard()
    learner.watch(heard)
    learner.pause("m", until=T0, reason="cold")
    learner.pause("m", until=T0, reason="cold")
    learner.resume("m")
    learner.resume("m")
    learner.pause("m")
    learner.reset("m", "new season")
    learner.set_posterior("m", "changepoint")
    learner.set_posterior("m", "changepoint")
    controls = [event for event in heard.events if type(event) is not ParametersTouched]
    assert controls == [
        ModelPaused("m", T0, "cold"),
        ModelPaused("m", T0, "cold"),
        ModelResumed("m"),
        ModelResumed("m"),
        ModelPaused("m", None, ""),
        ModelReset("m", "new season"),
        ModelPosteriorSet("m", "changepoint"),
        ModelPosteriorSet("m", "changepoint"),
    ]
    # What the posterior is may change the weight; a pause changes no parameter.
    assert heard.of(ParametersTouched) == [ParametersTouched(frozenset({"m"}))] * 3
    heard.take()
    with pytest.raises(UnknownModelError):
        learner.pause("nobody")
    assert heard.take() == []


def test_rules_that_change_touch_every_model(learner: Learner) -> None:
    learner.record_outcomes([outcome(1, "a"), outcome(2, "b")])
    heard = Heard()
    learner.watch(heard)
    learner.apply_settings(small_settings(ema_alpha=0.4))
    assert heard.events == [ParametersTouched(frozenset({"a", "b"}))]


def test_restarted_and_failed_models_are_told_by_name(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(supervision={"restarts_max": 1}))
    learner.record_outcome(outcome(0))
    heard = Heard()
    learner.watch(heard)
    with raising_fold():
        learner.record_outcome(outcome(1, confidence=POISON))
        eventually(lambda: bool(heard.of(ModelRestarted)))
        learner.record_outcome(outcome(2, confidence=POISON))
        eventually(lambda: bool(heard.of(ModelFailed)))
    assert heard.of(ModelRestarted) == [ModelRestarted("m")]
    (failed,) = heard.of(ModelFailed)
    assert failed.model_id == "m"
    assert "the fold broke" in failed.reason


def test_rebuild_for_a_correction_of_the_distant_past_is_no_restart(learner: Learner) -> None:
    teach(learner, "m", range(300))
    heard = Heard()
    learner.watch(heard)
    learner.resolve_market(resolution(3, "NO" if pattern(3) else "YES", revision=1))
    assert learner.report("m").n == 300
    assert heard.events == [ParametersTouched(frozenset({"m"}))]


def test_replay_at_opening_is_not_told_and_a_learner_that_nobody_watches_tells_nothing(
    open_learner: Open, tmp_path: Any
) -> None:
    learner = open_learner()
    teach(learner, "m", range(20))
    learner.pause("m")
    copy_while_open(tmp_path / "state", tmp_path / "copy")
    again = open_learner("copy")
    assert again.statistics().replayed > 0
    heard = Heard()
    again.watch(heard)
    again.record_prediction(prediction(100))
    again.close()
    assert heard.events == []


def test_pause_before_anybody_watched_is_not_told_later(learner: Learner) -> None:
    learner.record_outcome(outcome(1))
    unwatch = learner.watch(lambda _: None)
    learner.pause("m")
    unwatch()
    learner.pause("m")
    heard = Heard()
    learner.watch(heard)
    learner.record_outcome(outcome(2))
    assert heard.events == [ParametersTouched(frozenset({"m"}))]


def test_whoever_stops_watching_hears_no_more_and_the_others_do(learner: Learner) -> None:
    first, second = Heard(), Heard()
    unwatch = learner.watch(first)
    again = learner.watch(first)
    learner.watch(second)
    learner.record_outcome(outcome(1))
    unwatch()
    unwatch()
    learner.record_outcome(outcome(2))
    assert (len(first.events), len(second.events)) == (3, 2)
    again()
    learner.record_outcome(outcome(3))
    assert (len(first.events), len(second.events)) == (3, 3)


def test_listener_that_raises_is_logged_and_hears_the_next(
    learner: Learner, caplog: pytest.LogCaptureFixture
) -> None:
    heard, after = Heard(), Heard()

    def listener(event: Any) -> None:
        heard(event)
        raise RuntimeError("the listener broke")

    learner.watch(listener)
    learner.watch(after)
    with caplog.at_level(logging.ERROR, "handicapper"):
        for number in range(3):
            assert learner.record_outcome(outcome(number)).scored == 1
    assert len(heard.events) == len(after.events) == 3
    assert "the listener broke" in caplog.text
    assert learner.statistics().state == "accepting"


def test_watching_and_unwatching_from_many_threads_disturbs_nobody(learner: Learner) -> None:
    heard = Heard()
    learner.watch(heard)

    def come_and_go() -> None:
        for _ in range(200):
            learner.watch(lambda _: None)()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(30):
        learner.record_outcome(outcome(number))
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert len(heard.events) == 30
    assert len(learner._engine.watchers.listeners) == 1


def test_learner_with_threads_of_its_own_tells_too(open_learner: Open) -> None:
    learner = open_learner()
    heard = Heard()
    learner.watch(heard)
    learner.record_outcome(outcome(1))
    learner.pause("m", reason="cold")
    eventually(lambda: len(heard.events) == 2)
    assert heard.events == [ParametersTouched(frozenset({"m"})), ModelPaused("m", None, "cold")]


def test_models_touched_by_proposed_resolutions_follow_the_rules(open_learner: Open) -> None:
    for rules, touched in ((small_settings(), []), (small_settings(learn_on="proposed"), ["m"])):
        learner = open_learner(str(len(touched)), settings=rules, wake=lambda: None)
        learner.record_prediction(prediction(1))
        heard = Heard()
        learner.watch(heard)
        learner.resolve_market(resolution(1, status="proposed"))
        assert [sorted(event.model_ids) for event in heard.events] == [touched] * len(touched)
