"""Selections among idle models, which go a shorter way: the numbers are those of the long one, and so is
all else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from handicapper.actors import Learner, selector
from handicapper.actors.learning.gamma import FEW
from handicapper.config import ThompsonSampling
from handicapper.protocol.errors import ClosedError, InvalidValueError

from .helpers import (
    DEADLINE_SECONDS,
    POISON,
    T0,
    eventually,
    held,
    model_ref,
    outcome,
    prediction,
    raising_fold,
    small_settings,
    teach,
)

Open = Callable[..., Learner]
AT = T0 + 10**15


@contextmanager
def _long_way() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selector, "ranked_at_once", lambda *_: None)
        yield


def _idle(learner: Learner) -> Learner:
    roster = learner._engine.roster
    eventually(
        lambda: (
            learner._engine.router.cell.at_rest
            and all(ref.cell.at_rest and not ref.cell._attention for ref in roster.refs.values())
        )
    )
    return learner


@pytest.fixture
def taught(learner: Learner) -> Learner:
    for place in range(FEW):
        teach(learner, f"m{place:02}", range(place * 100, place * 100 + 5 + 3 * place))
    return _idle(learner)


@pytest.mark.parametrize("models", [None, ["m03", "m01", "nobody"], ["m00"], []])
def test_the_short_way_gives_what_the_long_one_does(taught: Learner, models: list[str] | None) -> None:
    for seed in range(300):
        arguments: dict[str, Any] = {"as_of": AT, "selection_id": "s", "seed": seed, "models": models}
        found = taught.thompson_sample_at_once(**arguments)
        assert found is not None
        with _long_way():
            assert taught.thompson_sample_at_once(**arguments) is None
            assert taught.thompson_sample(**arguments) == found
        assert taught.thompson_sample(**arguments) == found
        assert taught.thompson_sample_nowait(**arguments).get(DEADLINE_SECONDS) == found


def test_defaults_are_those_of_any_selection(taught: Learner) -> None:
    first, second = taught.thompson_sample_at_once(), taught.thompson_sample_at_once()
    assert first is not None
    assert second is not None
    assert first.selection_id != second.selection_id
    assert first.seed == taught.settings.thompson_sampling.seed
    assert first.mode == "thompson"


def test_who_is_not_eligible_or_given_up_is_named(open_learner: Open) -> None:
    sampling = ThompsonSampling(min_samples_for_eligibility=3)
    settings = small_settings(thompson_sampling=sampling, supervision={"restarts_max": 0})
    learner = open_learner(settings=settings)
    for place, model in enumerate(["old", "paused", "young", "gone"]):
        teach(learner, model, range(place * 100, place * 100 + (2 if model == "young" else 9)))
    learner.pause("paused")
    with raising_fold():
        learner.record_outcome(outcome(999, "gone", confidence=POISON))
        eventually(lambda: "gone" in learner._engine.roster.failed)
    found = _idle(learner).thompson_sample_at_once(as_of=AT, seed=1, selection_id="s")
    assert found is not None
    assert [sample.model_id for sample in found.ranked] == ["old"]
    assert found.ineligible == ("paused", "young")
    assert found.missing == ("gone",)
    with _long_way():
        assert learner.thompson_sample(as_of=AT, seed=1, selection_id="s") == found


def test_a_busy_model_is_left_to_the_long_way_and_nothing_stays_locked(taught: Learner) -> None:
    with held(model_ref(taught, "m05")):
        assert taught.thompson_sample_at_once() is None
        assert taught.thompson_sample(timeout=0.05).missing == ("m05",)
    assert _idle(taught).thompson_sample_at_once() is not None


class _Pause:
    """In the place of a pause: does something when it is asked how long it lasts, and is over."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action

    @property
    def until_ns(self) -> int:
        self._action()
        return 0


def test_mail_that_comes_while_a_model_is_asked_is_handled(taught: Learner) -> None:
    state, cell = model_ref(taught, "m00").cell.actor.state, model_ref(taught, "m00").cell

    def send() -> None:
        state.pause = None
        taught.record_outcome_nowait(outcome(5_000, "m00"))
        eventually(lambda: len(cell) > 0)  # it cannot take its turn now: it is being asked

    state.pause = _Pause(send)
    assert taught.thompson_sample_at_once() is not None
    eventually(lambda: taught.report("m00").n == 5 + 1)


def test_what_raises_is_told_by_the_long_way(taught: Learner) -> None:
    def fail() -> None:
        raise RuntimeError("cannot say")

    state = model_ref(taught, "m02").cell.actor.state
    state.pause = _Pause(fail)
    assert taught.thompson_sample_at_once() is None
    assert taught.thompson_sample().missing == ("m02",)
    state.pause = None
    assert _idle(taught).thompson_sample_at_once() is not None


@pytest.mark.parametrize("plain", [{"n": 2}, {"mode": "mean"}, {"mode": "top_two"}])
def test_what_is_not_plain_is_left_to_the_long_way(taught: Learner, plain: dict[str, Any]) -> None:
    assert taught.thompson_sample_at_once(**plain) is None


def test_many_models_are_drawn_for_together(taught: Learner) -> None:
    """So they are if there are more than a few; some of them are not eligible."""
    for place in range(FEW):
        teach(taught, f"n{place:02}", range(5_000 + place * 100, 5_000 + place * 100 + 5))
    taught.pause("n03")
    taught.pause("m00")
    for seed in range(100):
        arguments: dict[str, Any] = {"as_of": AT, "selection_id": "s", "seed": seed}
        found = _idle(taught).thompson_sample_at_once(**arguments)
        assert found is not None
        assert len(found.ranked) == 2 * FEW - 2
        assert found.ineligible == ("m00", "n03")
        with _long_way():
            assert taught.thompson_sample(**arguments) == found


def test_more_than_are_asked_without_a_look_at_the_clock_are_left_to_the_long_way(
    taught: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selector, "AT_ONCE_MAX", FEW - 1)
    assert taught.thompson_sample_at_once() is None
    assert taught.thompson_sample_at_once(models=["m00"]) is not None


def test_mixtures_are_left_to_the_long_way(taught: Learner) -> None:
    taught.set_posterior("m00", "changepoint")
    teach(taught, "m00", range(5_000, 5_010))
    assert _idle(taught).thompson_sample_at_once() is None
    assert taught.thompson_sample_at_once(models=["m01"]) is not None


def test_shapes_below_1_are_left_to_the_long_way(open_learner: Open) -> None:
    sampling = ThompsonSampling(prior_alpha=0.1, prior_beta=1.0, min_samples_for_eligibility=0)
    learner = open_learner(settings=small_settings(thompson_sampling=sampling))
    for number in range(3):
        learner.record_outcome(outcome(number, "wrong", right=False))
        learner.record_outcome(outcome(10 + number, "right"))
    soon = outcome(13).resolved_at
    assert _idle(learner).thompson_sample_at_once(models=["right"], as_of=soon) is not None
    assert learner.thompson_sample_at_once(as_of=soon) is None
    assert len(learner.thompson_sample(as_of=soon).ranked) == 2


def test_inputs_sent_before_are_waited_for(taught: Learner) -> None:
    with held(taught._engine.router):
        reply = taught.record_prediction_nowait(prediction(7_000, "m00"))
        assert taught.thompson_sample_at_once() is None
    reply.get(DEADLINE_SECONDS)
    assert _idle(taught).thompson_sample_at_once() is not None


def test_bad_arguments_and_a_closed_learner_are_named(taught: Learner) -> None:
    with pytest.raises(InvalidValueError, match="n was 0"):
        taught.thompson_sample_at_once(0)
    taught.close()
    with pytest.raises(ClosedError):
        taught.thompson_sample_at_once()
