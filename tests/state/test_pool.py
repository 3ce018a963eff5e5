"""The pool's state: what it is told of a market, and that every correction gives what the corrected history gives."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from handicapper.actors.state import pool_state
from handicapper.actors.state.entries import RulesInForce
from handicapper.actors.state.events import PoolRescored, PoolScored, RulesChanged
from handicapper.actors.state.pool_row import POOL_ID
from handicapper.actors.state.pool_state import PoolState
from handicapper.protocol.errors import InvalidValueError

from .samples import HOUR, T0, outcome, prediction, resolved, rules, state_bytes, through_disk
from .streams import Played, ones

MODELS = ("a", "b", "c", "d")


def told(played: Played) -> list[Any]:
    return [event for _, event in played.events.get(POOL_ID, [])]


def play(*inputs: Any, **in_force: Any) -> Played:
    played = Played(rules(**in_force))
    played.play(inputs, ones())
    return played


def markets(seed: int, count: int, far: float = 0.05) -> Iterator[Any]:
    """Markets of two to four models, resolved in turn; some revised soon, some long after, some void."""
    random, revisions = Random(seed), dict[str, int]()
    for number in range(count):
        market, now = f"k{number}", T0 + number * HOUR
        for model in random.sample(MODELS, random.randint(1, 4)):
            label = "YES" if random.random() < 0.8 else "NO"
            yield prediction(
                f"{market}-{model}",
                market,
                model,
                outcome=label,
                confidence=random.random(),
                predicted_at=now,
            )
        revisions[market] = 0
        yield resolved(market, random.choice(["YES", "NO"]), resolved_at=now + HOUR)
        if random.random() < 0.3:
            earliest = 0 if random.random() < far else max(number - 20, 0)
            market = f"k{random.randint(earliest, number)}"
            revisions[market] += 1
            ended: dict[str, Any] = random.choice(
                [{"winner": "YES"}, {"winner": "NO"}, {"void": True}, {"payouts": {"YES": 0.5, "NO": 0.5}}]
            )
            yield resolved(market, **ended, revision=revisions[market], resolved_at=now + 2 * HOUR)


# ------------------------------------------------------------------------ rows


def test_pool_is_told_of_a_market_once_with_each_models_last_forecast() -> None:
    played = play(
        prediction("1", "k", "b", confidence=0.6),
        prediction("2", "k", "a", outcome="NO", confidence=0.7),
        prediction("3", "k", "b", confidence=0.8),
        resolved("k", "NO"),
    )
    (row,) = told(played)
    assert [forecast[:3] for forecast in row.forecasts] == [("a", "NO", 0.7), ("b", "YES", 0.8)]
    assert row.payouts == (("NO", 1.0),)
    assert row.at_ns == T0 + HOUR
    assert played.states[POOL_ID].now.n == 1


def test_pool_learns_nothing_from_a_market_that_would_hold_it_up() -> None:
    """513 models that each name an outcome of their own: 263,169 probabilities; of 512 it does."""
    for count, told_of in ((512, 512), (513, 0)):
        said = [prediction(f"{m}", "k", f"m{m}", outcome=f"o{m}", confidence=0.5) for m in range(count)]
        played = play(*said, resolved("k", "o0"))
        (row,) = told(played)
        assert len(row.forecasts) == told_of
        assert played.states[POOL_ID].now.n == (1 if told_of else 0)


def test_pool_does_not_learn_from_what_one_model_forecast() -> None:
    played = play(prediction("1", "k", "a"), prediction("2", "k", "a"), resolved("k", "NO"))
    assert POOL_ID not in played.states


def test_pool_does_not_learn_from_what_was_recorded_after_the_resolution() -> None:
    late = prediction("3", "k", "c", predicted_at=T0)
    played = play(prediction("1", "k", "a"), prediction("2", "k", "b"), resolved("k"), late)
    (row,) = told(played)
    assert [forecast[0] for forecast in row.forecasts] == ["a", "b"]
    # Nor when the resolution is revised later: the pool would know more than it did when it was asked.
    played.play([resolved("k", "NO", revision=1)], ones())
    revised = told(played)[-1]
    assert isinstance(revised, PoolRescored)
    assert [forecast[0] for forecast in revised.new.forecasts] == ["a", "b"]
    assert revised.new.payouts == (("NO", 1.0),)


def test_pool_does_not_learn_from_trade_outcomes_alone() -> None:
    played = play(prediction("1", "k", "a"), prediction("2", "k", "b"), outcome("1", model_id="a"))
    assert told(played) == []
    played.play([resolved("k")], ones())
    assert len(told(played)) == 1


def test_forecast_that_does_not_count_for_its_model_does_not_for_the_pool() -> None:
    early = resolved("k", resolved_at=T0 - HOUR)
    before = [prediction(str(n), "k", model, predicted_at=T0 - 2 * HOUR) for n, model in enumerate("ab")]
    played = play(*before, prediction("3", "k", "c", predicted_at=T0), early)
    (row,) = told(played)
    assert [forecast[0] for forecast in row.forecasts] == ["a", "b"]


def test_void_market_teaches_nothing_until_it_is_revised() -> None:
    both = prediction("1", "k", "a"), prediction("2", "k", "b")
    played = play(*both, resolved("k", void=True, winner=None))
    assert played.states[POOL_ID].now.n == 0
    played.play([resolved("k", "YES", revision=1)], ones())
    assert played.states[POOL_ID].now.n == 1
    assert state_bytes(played.states[POOL_ID]) == state_bytes(played.corrected(POOL_ID))


def test_same_lesson_again_is_not_told_again() -> None:
    both = prediction("1", "k", "a"), prediction("2", "k", "b")
    played = play(*both, resolved("k"), resolved("k", revision=1))
    assert [type(event) for event in told(played)] == [PoolScored]


def test_pool_that_is_switched_off_is_told_of_nothing() -> None:
    both = prediction("1", "k", "a"), prediction("2", "k", "b")
    played = play(*both, resolved("k"), pool=None)
    assert POOL_ID not in played.states
    played.play([RulesInForce(rules())], ones())
    later = prediction("3", "j", "a"), prediction("4", "j", "b")
    played.play([*later, resolved("j")], ones())
    assert [event.row_id for event in told(played)] == [played.book.markets["j"].ordinal]


# ----------------------------------------------------------------- corrections


@pytest.mark.parametrize("disk", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_state_equals_a_fresh_fold_of_the_corrected_history(seed: int, disk: bool) -> None:
    """The counts assert that the stream was not a boring one."""
    played = Played(rules(), disk)
    played.play(markets(seed, 500), ones())
    state = played.states[POOL_ID]
    corrections = sum(isinstance(event, PoolRescored) for event in told(played))
    assert 0 < played.rebuilds < corrections
    assert state.now.n > 300
    assert state_bytes(state) == state_bytes(played.corrected(POOL_ID))
    assert state_bytes(state) == state_bytes(played.rebuilt(POOL_ID))


@pytest.mark.parametrize("seed", range(3))
def test_correction_long_ago_is_folded_again_from_the_whole_history(seed: int) -> None:
    played = Played(rules())
    played.play(markets(seed, 400, far=0.0), ones())
    before = played.rebuilds
    first = next(event for event in told(played) if isinstance(event, PoolScored) and event.payouts)
    market = next(each for each in played.book.markets.values() if each.ordinal == first.row_id)
    revision = max(ruling.resolution.revision for ruling in market.rulings) + 1
    split = {"YES": 0.25, "NO": 0.75}
    played.play([resolved(market.market_id, payouts=split, revision=revision)], ones())
    assert played.rebuilds == before + 1 + len(market.tickets), "the pool, and each of the market's models"


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_batches_do_not_matter(size: int) -> None:
    def sizes() -> Iterator[int]:
        while True:
            yield size

    one, other = Played(rules()), Played(rules())
    one.play(markets(5, 200), ones())
    other.play(markets(5, 200), sizes())
    assert state_bytes(one.states[POOL_ID]) == state_bytes(other.rebuilt(POOL_ID))


def test_rules_changed_on_the_way_leave_what_was_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_state, "CHECKPOINT_ROWS", 5)
    played = Played(rules())
    inputs = list(markets(6, 120, far=0.0))
    played.play(inputs[:200], ones())
    n = played.states[POOL_ID].now.n
    played.play([RulesInForce(rules(ema_alpha=0.3))], ones())
    assert played.states[POOL_ID].now.n == n
    played.play(inputs[200:], ones())
    assert state_bytes(played.states[POOL_ID]) == state_bytes(played.rebuilt(POOL_ID))


# ---------------------------------------------------------------------- faults


def row(number: int, confidence: float = 0.7) -> PoolScored:
    forecasts = ("a", "YES", confidence), ("b", "YES", 0.5)
    return PoolScored(number, T0 + number * HOUR, forecasts, (("YES", 1.0),))


def test_row_that_cannot_be_folded_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    state = PoolState(rules())
    state.apply([row(1)], 1)
    before, fold = state_bytes(state), pool_state.fold_row

    def breaks(statistics: Any, row: PoolScored, in_force: Any) -> None:
        fold(statistics, row, in_force)
        if row.row_id == 2:
            raise RuntimeError("poison")

    monkeypatch.setattr(pool_state, "fold_row", breaks)
    with pytest.raises(RuntimeError):
        state.apply([row(2)], 2)
    assert state_bytes(state) == before


def test_replay_that_overlaps_counts_once() -> None:
    state = PoolState(rules())
    state.apply([row(1)], 1)
    state.apply([row(1)], 1)
    assert (state.now.n, state.applied_seq) == (1, 1)


def test_unknown_event_is_refused_by_name() -> None:
    with pytest.raises(InvalidValueError, match="event"):
        PoolState(rules()).apply(["nonsense"], 1)  # pyright: ignore[reportArgumentType]


def test_record_brings_everything_back() -> None:
    state = PoolState(rules())
    for number in range(1, 200):
        state.apply([row(number, number / 200)], number)
    again = through_disk(state)
    for each in (state, again):
        each.apply([RulesChanged(rules()), row(200)], 200)
        each.check_invariants()
    assert state_bytes(again) == state_bytes(state)
