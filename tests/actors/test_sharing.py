"""Shared changes in a learner: one model changes, the others restart; the same after crash, snapshot and correction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from handicapper.actors import DriftDetected, Learner, LearnerEvent
from handicapper.actors.learning.change import Change
from handicapper.actors.records import decode_chunk
from handicapper.actors.requests import ChangeFound
from handicapper.actors.router import RouterActor
from handicapper.actors.state.entries import ShareChange
from handicapper.config import ThompsonSampling
from handicapper.protocol.errors import StoreFullError

from .helpers import T0, copy_while_open, eventually, lesson_bytes, outcome, small_settings

Open = Callable[..., Learner]
HOUR = 3_600 * 10**9
END = 235
"""Hours: enough to be sure of a change at 200."""
AT = T0 + END * HOUR


def settings(shared: bool = True, posterior: Any = "changepoint") -> Any:
    return small_settings(thompson_sampling=ThompsonSampling(posterior=posterior, shared_changes=shared))


def hourly(model: str, rates: dict[int, float], hours: range) -> list[Any]:
    """An outcome an hour; ``rates`` says what the hit rate is from which hour on."""
    random, first = Random(model), 10_000 * (1 + ord(model[0]))
    chances = [rates[max(since for since in rates if since <= hour)] for hour in range(hours.stop)]
    right = [random.random() < chance for chance in chances]
    return [outcome(first + n, model, right[n], resolved_at=T0 + n * HOUR) for n in hours]


def both(hours: range) -> list[Any]:
    """``turncoat`` changes at 200, ``steady`` does not; another outcome of each in turn."""
    turncoat, steady = hourly("turncoat", {0: 0.9, 200: 0.1}, hours), hourly("steady", {0: 0.7}, hours)
    return [each for pair in zip(turncoat, steady, strict=True) for each in pair]


def teach(learner: Learner, hours: range) -> None:
    """In small batches; each waits until what came of the one before was shared."""
    rows = both(hours)
    for start in range(0, len(rows), 10):
        learner.record_outcomes(rows[start : start + 10])
        learner.reports()
        learner.statistics()


def shares(learner: Learner) -> list[ShareChange]:
    chunks = [decode_chunk(*record)[2] for record in learner._engine.store.read_journal(0)]
    return [entry for entries in chunks for entry in entries if isinstance(entry, ShareChange)]


def restarted(learner: Learner) -> None:
    eventually(lambda: learner.report("steady").last_shared_change is not None)


def test_what_one_model_finds_restarts_the_other_and_is_told_of_the_one_alone(open_learner: Open) -> None:
    learner = open_learner(settings=settings())
    heard: list[LearnerEvent] = []
    learner.watch(heard.append)
    teach(learner, range(END))
    restarted(learner)
    own, steady = learner.report("turncoat"), learner.report("steady", as_of=AT)
    assert own.last_change is not None
    assert own.last_shared_change is None, "it is not restarted by what it found"
    shared = steady.last_shared_change
    assert shared is not None
    assert (shared.model_id, shared.changed_at) == ("turncoat", own.last_change.changed_at)
    assert steady.last_change is None
    assert steady.effective_sample_size < 60 < 150 < learner_alone(open_learner).effective_sample_size
    learner.record_outcomes(hourly("steady", {0: 0.7}, range(END, 320)))
    assert [event.model_id for event in heard if isinstance(event, DriftDetected)] == ["turncoat"]
    assert len(shares(learner)) == 1
    assert learner.verify().differences == ()


def learner_alone(open_learner: Open) -> Any:
    """What is believed of ``steady`` where nothing is shared."""
    learner = open_learner("alone", settings=settings(shared=False))
    teach(learner, range(END))
    eventually(lambda: learner.report("turncoat").last_change is not None)
    report = learner.report("steady", as_of=AT)
    assert report.last_shared_change is None
    assert shares(learner) == []
    return report


def test_models_that_find_the_same_change_are_restarted_at_most_once(open_learner: Open) -> None:
    """Six find it within hours, most of them in the same batch."""
    learner = open_learner(settings=settings())
    names = ["a", "b", "c", "d", "e", "f"]
    rows = [hourly(name, {0: 0.9, 200: 0.1}, range(400)) for name in names]
    together = [each for hour in zip(*rows, strict=True) for each in hour]
    learner.record_outcomes(together[: 200 * len(names)])
    learner.record_outcomes(together[200 * len(names) : 230 * len(names)])
    eventually(lambda: len(shares(learner)) > 0)
    learner.record_outcomes(together[230 * len(names) :])
    learner.reports()
    assert len(shares(learner)) == 1
    assert len({learner.report(name).last_shared_change for name in names}) <= 2


def test_state_is_the_same_after_a_crash_a_snapshot_and_a_restart(open_learner: Open, tmp_path: Path) -> None:
    learner = open_learner(settings=settings())
    teach(learner, range(END))
    restarted(learner)
    teach(learner, range(END, 270))
    expected = [lesson_bytes(learner, model) for model in ("steady", "turncoat")]
    copy_while_open(tmp_path / "state", tmp_path / "crashed")
    crashed = open_learner("crashed", settings=settings())
    assert [lesson_bytes(crashed, model) for model in ("steady", "turncoat")] == expected
    learner.snapshot()
    learner.close()
    again = open_learner(settings=settings())
    assert again.statistics().snapshot_seq > 0
    assert [lesson_bytes(again, model) for model in ("steady", "turncoat")] == expected
    assert again._engine.router.cell.actor.book.shared_until_ns == shares(again)[0].detected_ns
    assert again.verify().differences == ()
    again.backup(tmp_path / "backup")
    from_backup = open_learner("backup", settings=settings())
    assert [lesson_bytes(from_backup, model) for model in ("steady", "turncoat")] == expected


@pytest.mark.parametrize("saved", [False, True])
def test_an_old_outcome_corrected_later_gives_what_a_fresh_fold_gives(
    open_learner: Open, saved: bool
) -> None:
    """Far back, before the restart, and between the change and the restart: the model is rebuilt with it."""
    learner = open_learner(settings=settings())
    for hours in (range(200), range(200, END)):
        teach(learner, hours)
    restarted(learner)
    predicted = hourly("steady", {0: 0.7}, range(END, END + 1))
    learner.record_outcomes(predicted)
    if saved:
        learner.snapshot()
    steady = hourly("steady", {0: 0.7}, range(END))
    before = lesson_bytes(learner, "steady")
    for hour in (5, 205, 209):
        learner.record_prediction(
            prediction_id=steady[hour].prediction_id,
            model_id="steady",
            market_id=f"late-{hour}",
            outcome="YES",
            confidence=0.6,
            predicted_at=T0 - HOUR,
        )
        winner = "NO" if steady[hour].actual_outcome == "YES" else "YES"
        learner.resolve_market(
            market_id=f"late-{hour}", winner=winner, resolved_at=steady[hour].resolved_at, revision=1
        )
    assert learner.verify().differences == ()
    assert lesson_bytes(learner, "steady") != before
    assert learner.report("steady").last_shared_change is not None


def test_settings_turn_sharing_on_and_off_while_it_runs(open_learner: Open) -> None:
    learner = open_learner(settings=settings(shared=False))
    change = learner.apply_settings(settings(shared=True))
    assert change.applied == ("thompson_sampling.shared_changes",)
    assert learner._engine.router.cell.actor.book.sharing
    learner.apply_settings(settings(shared=False))
    teach(learner, range(END))
    eventually(lambda: learner.report("turncoat").last_change is not None)
    assert shares(learner) == []


def test_models_of_another_posterior_are_left_alone(open_learner: Open) -> None:
    learner = open_learner(settings=settings(posterior="half_life"))
    learner.record_outcomes(both(range(1)))
    learner.set_posterior("turncoat", "changepoint")
    teach(learner, range(1, END))
    eventually(lambda: len(shares(learner)) == 1)
    assert learner.report("steady").last_shared_change is None
    assert learner.verify().differences == ()


def test_what_cannot_be_journaled_is_logged(open_learner: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Any] = []
    learner = open_learner(settings=settings())
    learner.record_outcomes(both(range(3)))

    def full(_: RouterActor) -> None:
        raise StoreFullError("no room")

    monkeypatch.setattr(RouterActor, "_ready", full)
    monkeypatch.setattr("handicapper.actors.router._log.error", lambda *a, **k: logged.append((a, k)))
    seq = learner._engine.router.cell.actor.book.seq
    learner._engine.router.post(ChangeFound("turncoat", Change(T0, T0 + HOUR, 0.8, 0.2, 0.99)))
    eventually(lambda: len(logged) == 1)
    ((told,), fields) = logged[0]
    assert (told, fields["model"], fields["error"]) == ("change not shared", "turncoat", "STORE_FULL no room")
    assert learner._engine.router.cell.actor.book.seq == seq
