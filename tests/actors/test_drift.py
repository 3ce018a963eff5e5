"""The change-point policy in a learner: selections that can be computed again, and drift that is told once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from handicapper.actors import DriftDetected, Learner, ParametersTouched
from handicapper.actors.learning.changepoint import ChangePointFilter
from handicapper.actors.learning.draws import draw_key, mixture_draws, stream_of, stream_seeds, streams_of
from handicapper.config import ThompsonSampling
from handicapper.protocol.errors import DeadlineExceededError, InvalidValueError, UnknownModelError

from .helpers import DEADLINE_SECONDS, T0, copy_while_open, eventually, outcome, prediction, small_settings

Open = Callable[..., Learner]
HOUR = 3_600 * 10**9
SETTINGS = small_settings(thompson_sampling=ThompsonSampling(posterior="changepoint", seed=7))


def turned(model: str = "m", end: int = 260) -> list[Any]:
    """Outcomes, one an hour, of a model that is right in four of five cases, and after 200 in one of five."""
    random = Random(4)
    return [
        outcome(n, model, random.random() < (0.8 if n < 200 else 0.2), resolved_at=T0 + n * HOUR)
        for n in range(end)
    ]


def test_drift_is_told_once_and_not_again_after_a_restart(open_learner: Open, tmp_path: Path) -> None:
    heard: list[Any] = []

    def listen(event: Any) -> None:
        if isinstance(event, DriftDetected):
            heard.append(event)

    learner = open_learner(settings=SETTINGS)
    learner.watch(listen)
    rows = turned()
    for start in range(0, len(rows), 20):
        learner.record_outcomes(rows[start : start + 20])
    report = learner.report("m")
    eventually(lambda: len(heard) == 1)
    (event,) = heard
    assert event.model_id == "m"
    assert abs(event.changed_at - (T0 + 200 * HOUR)) <= 15 * HOUR
    assert event.detected_at > event.changed_at
    assert (event.before, event.after) == (pytest.approx(0.8, abs=0.1), pytest.approx(0.2, abs=0.2))
    assert 0.99 <= event.probability <= 1.0
    assert report.last_change is not None
    assert report.last_change.changed_at == event.changed_at
    learner.close()
    again = open_learner(settings=SETTINGS)
    again.watch(listen)
    assert again.report("m").last_change == report.last_change
    again.record_outcome(outcome(999, "m", False, resolved_at=T0 + 261 * HOUR))
    assert again.verify().differences == ()
    assert len(heard) == 1


ASKED: dict[str, Callable[[Learner], Any]] = {
    "report": lambda learner: learner.report("m").model_id == "m",
    "reports": lambda learner: [report.model_id for report in learner.reports()] == ["m"],
    "get_adaptive_params": lambda learner: learner.get_adaptive_params("m").adapted,
    "thompson_sample": lambda learner: learner.thompson_sample(timeout=DEADLINE_SECONDS).missing == (),
    "models": lambda learner: [model.n > 200 for model in learner.models()] == [True],
    "pool": lambda learner: learner.pool().n == 0,
    "statistics": lambda learner: learner.statistics().models == 1,
}


@pytest.mark.parametrize("name", ASKED)
def test_a_listener_that_asks_about_the_model_that_drifted_is_answered(open_learner: Open, name: str) -> None:
    """It does not wait for the model that has the news."""
    learner = open_learner(settings=SETTINGS)
    heard: list[tuple[bool, float]] = []

    def listen(event: Any) -> None:
        if isinstance(event, DriftDetected):
            begun = time.monotonic()
            heard.append((ASKED[name](learner), time.monotonic() - begun))

    learner.watch(listen)
    learner.record_outcomes(turned())
    eventually(lambda: len(heard) == 1)
    ((right, seconds),) = heard
    assert right
    assert seconds < DEADLINE_SECONDS / 4


CHANGING: dict[str, Callable[[Learner], Any]] = {
    "record_outcome": lambda learner: learner.record_outcome(outcome(900, "late")),
    "record_outcomes": lambda learner: learner.record_outcomes([outcome(900, "late")]),
    "process_signal": lambda learner: learner.process_signal(prediction(900, "late")),
    "pause": lambda learner: learner.pause("m"),
    "snapshot": lambda learner: learner.snapshot(),
}


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("kind", [DriftDetected, ParametersTouched])
def test_a_listener_that_waits_for_a_change_is_told_at_once_that_it_cannot(
    open_learner: Open, name: str, kind: type
) -> None:
    """And the change takes effect after it has returned, as it does with the nowait form."""
    learner = open_learner(settings=SETTINGS)
    heard: list[float] = []

    def listen(event: Any) -> None:
        if type(event) is kind and not heard:
            begun = time.monotonic()
            with pytest.raises(DeadlineExceededError, match="before the listener that waits for it returns"):
                CHANGING[name](learner)
            heard.append(time.monotonic() - begun)

    learner.watch(listen)
    learner.record_outcomes(turned())
    eventually(lambda: len(heard) == 1)
    assert heard[0] < DEADLINE_SECONDS / 4
    statistics = learner.statistics
    taken_effect: dict[str, Callable[[], bool]] = {
        "record_outcome": lambda: statistics().outcomes == 261,
        "record_outcomes": lambda: statistics().outcomes == 261,
        "process_signal": lambda: statistics().predictions == 1,
        "pause": lambda: learner.report("m").paused,
        "snapshot": lambda: statistics().snapshot_seq > 0,
    }
    eventually(taken_effect[name])


def test_a_past_selection_can_be_computed_from_the_outcomes_alone(open_learner: Open) -> None:
    learner = open_learner(settings=SETTINGS)
    rows = turned() + [outcome(1_000 + n, "steady", n % 3 > 0, resolved_at=T0 + n * HOUR) for n in range(260)]
    learner.record_outcomes(rows)
    at = T0 + 300 * HOUR
    chosen = learner.thompson_sample(3, selection_id="s-1", seed=7, as_of=at)
    assert learner.thompson_sample(3, selection_id="s-1", seed=7, as_of=at) == chosen
    one = learner.thompson_sample(selection_id="s-1", seed=7, as_of=at)
    for model in ("m", "steady"):
        found = ChangePointFilter()
        for row in rows:
            if row.model_id == model:
                found.add(float(row.actual_outcome == "YES"), row.resolved_at)
        seeds = stream_seeds(draw_key(7, "s-1"), streams_of([stream_of(model)]))
        expected = mixture_draws(seeds, [found.mixture(at)], 3)[0].tolist()
        (sample,) = [ranked for ranked in chosen.ranked if ranked.model_id == model]
        assert list(sample.samples) == expected
        assert [ranked.sample for ranked in one.ranked if ranked.model_id == model] == expected[:1]
    assert chosen.ranked[0].model_id == "steady"


def test_a_posterior_that_is_set_survives_crash_snapshot_and_restart(
    open_learner: Open, tmp_path: Path
) -> None:
    learner = open_learner(settings=small_settings())
    rows = turned()
    learner.record_outcomes(rows[:100])
    learner.set_posterior("m", "half_life")
    learner.set_posterior("m", "changepoint")
    learner.record_outcomes(rows[100:])
    at = T0 + 300 * HOUR
    report = learner.report("m", as_of=at)
    assert (report.posterior, report.posterior_set) == ("changepoint", "changepoint")
    assert report.last_change is not None
    found = ChangePointFilter()
    for row in rows[100:]:
        found.add(float(row.actual_outcome == "YES"), row.resolved_at)
    assert report.posterior_mean == pytest.approx(found.mean(at), rel=1e-12)
    copy_while_open(tmp_path / "state", tmp_path / "crashed")
    crashed = open_learner("crashed", settings=small_settings())
    assert crashed.report("m", as_of=at) == report
    learner.snapshot()
    learner.close()
    again = open_learner(settings=small_settings())
    assert again.report("m", as_of=at) == report
    assert again.verify().differences == ()
    again.set_posterior("m", None)
    assert again.report("m", as_of=at).last_change is None


def test_a_posterior_is_set_of_models_that_are_known_and_to_what_there_is(learner: Learner) -> None:
    seq = learner.record_outcome(outcome(1)).seq
    with pytest.raises(UnknownModelError):
        learner.set_posterior("nobody", "changepoint")
    for wrong in ("window", 1, b"changepoint"):
        with pytest.raises(InvalidValueError, match="posterior was") as refused:
            learner.set_posterior("m", wrong)  # type: ignore[arg-type]
        assert refused.value.field == "posterior"
    assert learner.set_posterior_nowait("m", "changepoint").get(DEADLINE_SECONDS).seq == seq + 1
