"""Shared changes: what a model makes of one, what the book keeps of them, and how they are stored."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from handicapper.actors.learning.change import packed_change
from handicapper.actors.learning.changepoint import ChangePointFilter
from handicapper.actors.records import BookRecord, TaggedControl, encode
from handicapper.actors.state import book as book_module
from handicapper.actors.state import views
from handicapper.actors.state.book import SHARED_MAX, Book
from handicapper.actors.state.entries import (
    Entry,
    PauseModel,
    ResetModel,
    RulesInForce,
    SetPosterior,
    ShareChange,
)
from handicapper.actors.state.events import (
    ChangeShared,
    Paused,
    PosteriorSet,
    Rescored,
    Reset,
    RulesChanged,
    Scored,
)
from handicapper.actors.state.intake import Intake
from handicapper.actors.state.model_state import ModelState
from handicapper.actors.state.pool_row import POOL_ID
from handicapper.protocol.messages import SharedChangeReport

from .samples import HOUR, T0, outcome, prediction, resolved, rules, scored, state_bytes, through_disk
from .streams import Played, Stream, ones

CHANGING = rules(posterior="changepoint")
SHARING = rules(posterior="changepoint", shared_changes=True)


def rows(end: int = 100, rate: float = 0.8) -> list[Scored]:
    random = Random(5)
    return [scored(i + 1, float(random.random() < rate), 0.7, T0 + i * HOUR) for i in range(end)]


def played(told: list[Scored]) -> ModelState:
    state = ModelState("m", CHANGING)
    for row in told:
        assert not state.apply([row], row.row_id)
    return state


def shared(hour: int, by: str = "other", anew: bool = False) -> ChangeShared:
    return ChangeShared(T0 + hour * HOUR, by, anew)


# ---------------------------------------------------------------------- a model


def test_the_filter_restarts_and_the_report_says_when_and_by_whom() -> None:
    state = played(rows())
    found = ChangePointFilter(data=state.now.changes or b"")
    assert found.restart(T0 + 90 * HOUR)
    state.apply([shared(90)], 101)
    assert state.now.changes == found.tobytes()
    report = views.report(through_disk(state), T0 + 101 * HOUR)
    assert report.last_shared_change == SharedChangeReport(changed_at=T0 + 90 * HOUR, model_id="other")
    assert report.last_change is None
    assert packed_change(state.now.changes) is None, "nothing to tell"
    assert report.n == 100, "everything else is as it was"


def test_a_change_that_is_known_changes_nothing_but_no_earlier_row_is_corrected_in_place() -> None:
    """With the row corrected it may not be known any more: then the rebuild decides."""
    told = rows()
    state = played(told)
    state.apply([shared(90), shared(89, "third")], 101)
    assert state.shared == shared(90)
    changes = state.now.changes
    state.apply([shared(95, "third")], 102)
    assert (state.now.changes, state.shared) == (changes, shared(90)), (
        "dated before what it had seen at the first"
    )
    old = told[-1]
    assert state.apply([Rescored(100, old, scored(100, 1.0 - old.x, 0.7, old.at_ns))], 103)


def test_a_model_whose_evidence_ages_by_a_half_life_takes_no_notice() -> None:
    state = ModelState("m", rules())
    state.apply(rows(), 100)
    older = state.to_record().older_row
    state.apply([shared(90)], 101)
    assert (state.now.changes, state.shared, state.to_record().older_row) == (None, None, older)


def test_one_that_begins_anew_knows_nothing() -> None:
    state = played(rows())
    state.apply([shared(10, anew=True)], 101)
    assert (state.now.changes, state.shared) == (b"", shared(10, anew=True))


@pytest.mark.parametrize("event", [Reset(102), PosteriorSet("changepoint"), RulesChanged(rules())], ids=repr)
def test_what_ends_the_filter_ends_what_is_said_of_it(event: Any) -> None:
    state = played(rows())
    state.apply([shared(90)], 101)
    state.apply([event], 102)
    assert state.shared is None
    assert views.report(state, T0 + 101 * HOUR).last_shared_change is None


# ---------------------------------------------------------------------- the book


def book_of(*items: Any) -> Intake:
    intake = Intake(Book())
    intake.accept(RulesInForce(SHARING))
    for model in ("a", "b", "c"):
        intake.accept(outcome(f"p-{model}", model_id=model))
    for item in items:
        intake.accept(item)
    return intake


def share(hour: int, model: str = "a") -> ShareChange:
    return ShareChange(model, T0 + hour * HOUR, T0 + (hour + 9) * HOUR, 0.995)


def kept(intake: Intake, model: str) -> list[Any]:
    return [event for _, event in intake.book.controls[model]]


def test_every_model_is_told_but_the_one_that_found_it_and_the_pool() -> None:
    intake = book_of(prediction("q1", model_id="b"), prediction("q2", model_id="c"), resolved())
    assert POOL_ID in intake.book.controls
    intake.take()
    receipt = intake.accept(share(5))
    _, entries, out = intake.take()
    assert entries == [share(5)]
    event = ChangeShared(T0 + 5 * HOUR, "a")
    assert {model: delivery.events for model, delivery in out.finished()} == {"b": [event], "c": [event]}
    assert [kept(intake, model) for model in ("a", "b", POOL_ID)] == [[], [event], []]
    assert receipt.seq == intake.book.seq
    assert intake.book.shared_until_ns == T0 + 14 * HOUR
    intake.accept(share(1, "b"))
    assert intake.book.shared_until_ns == T0 + 14 * HOUR


def test_what_is_kept_of_shared_changes_is_bounded() -> None:
    intake = book_of(PauseModel("b", None, "r"))
    for hour in range(SHARED_MAX):
        intake.accept(share(hour))
    assert [event.anew for event in kept(intake, "b")[1:]] == [False] * SHARED_MAX
    intake.accept(share(50))
    assert kept(intake, "b") == [Paused(None, "r"), ChangeShared(T0 + 50 * HOUR, "a", anew=True)]
    intake.accept(share(60))
    assert [event.anew for event in kept(intake, "b")[1:]] == [True, False]


@pytest.mark.parametrize("entry", [ResetModel("b", "r"), SetPosterior("b", "changepoint")], ids=repr)
def test_where_the_filter_begins_anew_earlier_ones_are_not_kept(entry: Any) -> None:
    intake = book_of(share(1), share(20), entry)
    assert not any(isinstance(event, ChangeShared) for event in kept(intake, "b"))
    assert len(kept(intake, "c")) == 2


def test_sharing_follows_the_rules() -> None:
    intake = book_of()
    assert intake.book.sharing
    intake.accept(RulesInForce(CHANGING))
    assert not intake.book.sharing


# ---------------------------------------------------------------------- stored


def test_entries_and_controls_are_read_as_they_were_written() -> None:
    assert msgspec.msgpack.decode(encode(share(3)), type=Entry) == share(3)
    for event in (shared(4, anew=True), shared(5)):
        tagged = msgspec.msgpack.decode(encode(TaggedControl.of(7, event)), type=TaggedControl)
        assert (tagged.seq, tagged.kind, tagged.event()) == (7, "change_shared", event)


def test_records_of_before_there_were_any_are_read() -> None:
    old = [7, "paused", None, "holiday"]
    assert msgspec.convert(old, TaggedControl).event() == Paused(None, "holiday")
    assert msgspec.convert([9, [], {}], BookRecord).shared_until_ns == Book().shared_until_ns
    in_force = msgspec.to_builtins(rules())
    del in_force["shared_changes"]
    assert msgspec.convert(in_force, type(SHARING)) == rules()


# ---------------------------------------------------------------------- corrections


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shared_max", [2, SHARED_MAX])
def test_state_equals_a_fresh_fold_of_the_corrected_history(
    seed: int, shared_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far back is corrected, and although of many shared changes only the last few are kept."""
    monkeypatch.setattr(book_module, "SHARED_MAX", shared_max)
    found = Played(CHANGING)
    stream, random = Stream(Random(seed), control_share=0.002), Random(seed)
    for item in stream.inputs(700):
        found.play([item], ones())
        if random.random() < 0.03:
            found.play([stream._share(random.choice(["m0", "m1", "m2"]))], ones())
    assert found.rebuilds > 0
    told = [
        event for events in found.events.values() for _, event in events if isinstance(event, ChangeShared)
    ]
    assert {event.anew for event in told} == (
        {False, True} if shared_max == 2 else {False} | {e.anew for e in told}
    )
    assert any(state.shared for model, state in found.states.items() if isinstance(state, ModelState))
    for model_id, state in found.states.items():
        assert state_bytes(state) == state_bytes(found.corrected(model_id)), model_id
        assert state_bytes(state) == state_bytes(found.rebuilt(model_id)), model_id
