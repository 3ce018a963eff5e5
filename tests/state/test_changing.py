"""The change-point policy in a model's state: corrections, rules, what is shown and what is drawn from."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from handicapper.actors.learning.changepoint import ChangePointFilter
from handicapper.actors.learning.mixture import Mixture
from handicapper.actors.records import encode
from handicapper.actors.state import views
from handicapper.actors.state.events import UNKNOWN, PosteriorSet, Rescored, Reset, RulesChanged, Scored
from handicapper.actors.state.history import History
from handicapper.actors.state.model_state import CHECKPOINT_ROWS, ModelState
from handicapper.config import LearningRules

from .samples import HOUR, T0, rules, scored, state_bytes, taught, through_disk

CHANGING = rules(posterior="changepoint")
SINCE_CHECKPOINT = 300 % CHECKPOINT_ROWS
"""How many of :func:`turned`'s rows there are since the last checkpoint."""


def turned(
    seed: int = 1, before: float = 0.8, after: float = 0.3, at: int = 200, end: int = 300
) -> list[Scored]:
    """Rows, one an hour, of a model whose hit rate changes."""
    random = Random(seed)
    return [
        scored(i + 1, float(random.random() < (before if i < at else after)), 0.7, T0 + i * HOUR)
        for i in range(end)
    ]


def played(rows: list[Scored]) -> ModelState:
    state = ModelState("m", CHANGING)
    for row in rows:
        assert not state.apply([row], row.row_id)
    return state


def test_the_default_policy_keeps_no_filter() -> None:
    state = taught(rules(), [(1.0, 0.7)] * 20)
    assert state.now.changes is state.older.statistics().changes is None
    assert views.report(state, T0).last_change is None


def test_batches_of_any_size_fold_to_the_same_bytes() -> None:
    rows = turned()
    one_by_one, random = played(rows), Random(3)
    state, start = ModelState("m", CHANGING), 0
    while start < len(rows):
        end = start + random.randint(1, 90)
        state.apply(rows[start:end], rows[min(end, len(rows)) - 1].row_id)
        start = end
        state = through_disk(state)
    assert state_bytes(state) == state_bytes(one_by_one)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("back", [1, 5, SINCE_CHECKPOINT])
def test_a_corrected_outcome_gives_the_state_of_the_corrected_history(back: int, stored: bool) -> None:
    """And both go on alike, over the next checkpoints."""
    rows, later = turned(), turned(end=500)[300:]
    state = played(rows)
    if stored:
        state = through_disk(state)
    old = rows[-back]
    new = scored(old.row_id, 1.0 - old.x, old.confidence, old.at_ns)
    assert not state.apply([Rescored(old.row_id, old, new)], len(rows) + 1)
    fresh = played([new if row is old else row for row in rows])
    fresh.applied_seq = state.applied_seq
    assert state_bytes(state) == state_bytes(fresh)
    for row in later:
        state.apply([row], row.row_id + 1)
        fresh.apply([row], row.row_id + 1)
        assert state_bytes(state) == state_bytes(fresh)


def test_beside_a_filter_an_outcome_from_before_the_only_checkpoint_needs_a_rebuild() -> None:
    rows = turned()
    state, halving = played(rows), ModelState("m", rules_of_half_life())
    halving.apply(rows, rows[-1].row_id)
    assert state.newer is state.older
    for back, rebuild in ((SINCE_CHECKPOINT, False), (SINCE_CHECKPOINT + 1, True)):
        old = rows[-back]
        corrected = Rescored(old.row_id, old, scored(old.row_id, 1.0 - old.x, old.confidence, old.at_ns))
        seq = len(rows) + back
        assert state.apply([corrected], seq) is rebuild
        assert not halving.apply([corrected], seq)


@pytest.mark.parametrize("kept", [300, 320, 340])
def test_a_record_with_two_filters_of_an_earlier_release_goes_on_as_if_there_had_been_one(kept: int) -> None:
    """It kept its checkpoints 64 rows apart, as without a filter, and the rows since the older one."""
    rows = turned(end=400)
    state, before = played(rows[:kept]), played(rows[: (kept // CHECKPOINT_ROWS - 1) * CHECKPOINT_ROWS])
    now, older = state.to_record(), before.to_record()
    assert older.older_row == now.newer_row - CHECKPOINT_ROWS
    first = older.older_row - 50
    history = History()
    history.extend([(r.row_id, r.at_ns, r.x, r.confidence, r.price) for r in rows[:kept]])
    history.drop_before(first)
    record = replace(
        now,
        older=older.older,
        older_row=older.older_row,
        history_first=first,
        history=history.tobytes(),
    )
    loaded = ModelState.from_record(record, CHANGING)
    assert state_bytes(loaded) == state_bytes(state) != encode(record)
    for row in rows[kept:]:
        loaded.apply([row], row.row_id)
        state.apply([row], row.row_id)
    assert state_bytes(loaded) == state_bytes(state) == state_bytes(played(rows))


def test_report_says_when_from_what_to_what_and_how_surely() -> None:
    state = played(turned())
    change = views.report(state, T0 + 300 * HOUR).last_change
    assert change is not None
    assert abs(change.changed_at - (T0 + 200 * HOUR)) <= 20 * HOUR
    assert change.changed_at < change.detected_at <= T0 + 250 * HOUR
    assert change.before == pytest.approx(0.8, abs=0.1)
    assert change.after < 0.5
    assert 0.99 <= change.probability <= 1.0


def test_what_is_shown_is_the_mixtures_mean_and_an_interval_about_it() -> None:
    rows = turned()
    state, found = played(rows), ChangePointFilter()
    for row in rows:
        found.add(row.x, row.at_ns)
    at = T0 + 320 * HOUR
    report = views.report(state, at)
    assert report.posterior_mean == pytest.approx(found.mean(at), rel=1e-12)
    assert report.posterior_low < 0.3 < report.posterior_high < 0.5
    weighted = views.params(played_by("posterior", rows), at).weight
    assert weighted == pytest.approx(
        1 + 2 * (report.posterior_mean - 0.5) * shrunk(report.effective_sample_size)
    )


def played_by(policy: str, rows: list[Scored]) -> ModelState:
    state = ModelState("m", rules(posterior="changepoint", weight_policy=policy))
    state.apply(rows, rows[-1].row_id)
    return state


def shrunk(size: float) -> float:
    return size / (size + CHANGING.weight_shrinkage)


def test_an_arm_is_a_mixture_unless_sampling_or_learning_is_off() -> None:
    rows = turned()
    at = T0 + 300 * HOUR
    arm = views.arm(played(rows), at)
    assert arm is not None
    assert isinstance(arm[2], Mixture)
    for changes, mean in (
        ({"sampling_enabled": False}, arm[0] / (arm[0] + arm[1])),
        ({"enabled": False}, 0.5),
    ):
        state = ModelState("m", rules(posterior="changepoint", **changes))
        state.apply(rows, rows[-1].row_id)
        alpha, beta, _ = views.arm(state, at) or (0.0, 0.0, False)
        assert alpha / (alpha + beta) == pytest.approx(mean)


def test_the_filter_begins_and_ends_with_the_rules_and_a_reset_empties_it() -> None:
    state = taught(rules(), [(1.0, 0.7)] * 20)
    state.apply([RulesChanged(CHANGING)], 21)
    assert state.now.changes == b""
    half_life = views.posterior(taught(rules(), [(1.0, 0.7)] * 20), T0 + 20 * HOUR)
    assert views.posterior(state, T0 + 20 * HOUR) == half_life
    state.apply([scored(22, 0.0, 0.7, T0 + 20 * HOUR)], 22)
    assert sum(views.posterior(state, T0 + 20 * HOUR)) < 4
    state.apply([Reset(23)], 23)
    assert state.now.changes == state.older.statistics().changes == b""
    state.apply([RulesChanged(rules())], 24)
    assert state.now.changes is None


def test_a_posterior_that_is_set_holds_whatever_the_rules_say_until_it_is_left_to_them() -> None:
    rows = turned()
    state = ModelState("m", rules())
    state.apply(rows[:100], rows[99].row_id)
    state.apply([PosteriorSet("changepoint")], 101)
    assert state.now.changes == b""
    state = through_disk(state)
    for seq, row in enumerate(rows[100:200], 102):
        state.apply([row], seq)
    found = ChangePointFilter()
    for row in rows[100:200]:
        found.add(row.x, row.at_ns)
    assert state.now.changes == found.tobytes(), "it begins at the input that set it"
    report = views.report(state, T0 + 300 * HOUR)
    assert (report.posterior, report.posterior_set) == ("changepoint", "changepoint")
    state.apply([RulesChanged(rules(ema_alpha=0.3))], 300)
    assert state.now.changes == found.tobytes()
    state.apply([Reset(301)], 301)
    assert state.now.changes == b""
    state.apply([PosteriorSet(None)], 302)
    assert state.now.changes is None
    report = views.report(state, T0 + 300 * HOUR)
    assert (report.posterior, report.posterior_set) == ("half_life", None)


def test_a_half_life_that_is_set_has_all_the_evidence_at_once() -> None:
    rows = turned()
    state, halving = played(rows), ModelState("m", rules_of_half_life())
    halving.apply(rows, rows[-1].row_id)
    state.apply([PosteriorSet("half_life")], 1_000)
    at = T0 + 310 * HOUR
    assert views.posterior(state, at) == views.posterior(halving, at) != views.posterior(played(rows), at)
    state.apply([RulesChanged(CHANGING)], 1_001)
    assert state.now.changes is None
    assert views.report(state, at).posterior == "half_life"


def rules_of_half_life() -> LearningRules:
    return rules(posterior="half_life")


def test_setting_what_is_set_begins_the_filter_anew() -> None:
    """Only the last of them is kept for a rebuild, so that what went before must not count."""
    rows = turned()
    state = played(rows)
    state.apply([PosteriorSet("changepoint")], 1_000)
    assert state.now.changes == b""
    assert state.older.statistics().changes == state.newer.statistics().changes == b""


def test_what_teaches_nothing_leaves_the_filter_as_it_was() -> None:
    rows = turned()
    state = played(rows)
    known = state.now.changes
    state.apply([scored(1_000, UNKNOWN, 0.7, T0 + 400 * HOUR)], 1_000)
    assert state.now.changes == known
