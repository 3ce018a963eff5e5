"""Exact reversal: whatever is corrected, however far back, in whatever batches, the state is bit for bit
the one that the corrected history gives.

``applied_seq`` is compared too: in every comparison both sides end with the same last input.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from handicapper.actors.records import encode
from handicapper.actors.state.entries import ExpirePredictions, ResetModel, RulesInForce
from handicapper.actors.state.model_state import CHECKPOINT_ROWS, ModelState
from handicapper.actors.state.pool_row import POOL_ID
from handicapper.actors.state.pool_state import PoolState
from handicapper.actors.state.rebuild import model_history
from handicapper.config import LearningRules
from handicapper.config.rules import Posterior

from .samples import HOUR, T0, outcome, prediction, resolved, rules, scored, state_bytes
from .streams import Played, Stream, ones

LONG = 1_500
FIRST = rules(calibration_window=30)
EVERY_POLICY = rules(
    calibration_window=30,
    recalibration_enabled=True,
    recalibration_memory_outcomes=200.0,
    recalibration_half_life_seconds=30 * 86_400.0,
    weight_policy="edge",
    size_rule="kelly",
)


def sizes(random: Random, most: int) -> Iterator[int]:
    while True:
        yield random.randint(1, most)


def stream(seed: int, n: int = LONG, **shares: float) -> list[object]:
    return list(Stream(Random(seed), **shares).inputs(n))


def play(
    inputs: list[object], batches: Iterator[int], disk: bool = False, first: LearningRules = FIRST
) -> Played:
    played = Played(first, disk)
    played.play(inputs, batches)
    return played


def bytes_of(played: Played) -> dict[str, bytes]:
    return {model_id: state_bytes(state) for model_id, state in played.states.items()}


@pytest.mark.parametrize("seed", range(6))
def test_state_after_a_random_stream_equals_a_fresh_fold_of_the_corrected_history(seed: int) -> None:
    """The counts assert that the stream was not a boring one."""
    played = play(stream(seed), ones())
    assert played.rebuilds > 0, "no correction lay too far back"
    assert played.rescored > played.rebuilds, "no correction was made in place"
    for model_id, state in played.states.items():
        assert state_bytes(state) == state_bytes(played.corrected(model_id)), model_id
        assert state_bytes(state) == state_bytes(played.rebuilt(model_id)), model_id


@pytest.mark.parametrize("seed", range(6))
def test_state_without_controls_corrects_in_place_and_far_back_alike(seed: int) -> None:
    """No rules change and no reset: the checkpoints trail the present all the way."""
    played = play(stream(seed, control_share=0.0), ones())
    assert 0 < played.rebuilds < played.rescored
    for model_id, state in played.states.items():
        assert state_bytes(state) == state_bytes(played.corrected(model_id)), model_id
        kept = state.rows if isinstance(state, PoolState) else state.history
        assert len(kept) <= 2 * CHECKPOINT_ROWS + 3 * 30


@pytest.mark.parametrize("posterior", ["half_life", "changepoint"])
@pytest.mark.parametrize("seed", range(6))
def test_state_with_every_policy_on_equals_a_fresh_fold_of_the_corrected_history(
    seed: int, posterior: Posterior
) -> None:
    inputs = stream(seed, control_share=0.0)
    first = replace(EVERY_POLICY, posterior=posterior)
    played = play(inputs, ones(), first=first)
    assert 0 < played.rebuilds < played.rescored
    for model_id, state in played.states.items():
        if isinstance(state, ModelState):
            assert state.now.recalibration is not None
            assert state.now.edge is not None
        assert state_bytes(state) == state_bytes(played.corrected(model_id)), model_id
        assert state_bytes(state) == state_bytes(played.rebuilt(model_id)), model_id
    batched = play(inputs, sizes(Random(seed), 150), disk=True, first=first)
    assert bytes_of(batched) == bytes_of(played)


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 20))
def test_state_after_a_short_stream_with_every_policy_on_equals_a_fresh_fold(
    seed: int, n: int, most: int
) -> None:
    """With controls that turn the policies off and on again."""
    inputs = stream(seed, n, control_share=0.15, reset_share=0.2)
    alone = play(inputs, ones(), first=EVERY_POLICY)
    batched = play(inputs, sizes(Random(seed), most), disk=True, first=EVERY_POLICY)
    assert bytes_of(alone) == bytes_of(batched)
    for model_id, state in alone.states.items():
        assert state_bytes(state) == state_bytes(alone.corrected(model_id))
        assert state_bytes(state) == state_bytes(alone.rebuilt(model_id))


@pytest.mark.parametrize("seed", range(4))
def test_state_is_the_same_under_any_split_into_batches(seed: int) -> None:
    inputs = stream(seed, 900)
    expected = bytes_of(play(inputs, ones()))
    for most in (7, 150, 10**6):
        played = play(inputs, sizes(Random(seed), most))
        assert bytes_of(played) == expected


@pytest.mark.parametrize("seed", range(3))
def test_state_stored_and_loaded_after_every_batch_goes_on_bit_for_bit(seed: int) -> None:
    inputs = stream(seed, 900)
    assert bytes_of(play(inputs, sizes(Random(seed), 5), disk=True)) == bytes_of(play(inputs, ones()))


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 20))
def test_state_after_a_short_stream_with_many_controls_equals_a_fresh_fold(
    seed: int, n: int, most: int
) -> None:
    inputs = stream(seed, n, control_share=0.25, reset_share=0.3)
    alone, batched = play(inputs, ones()), play(inputs, sizes(Random(seed), most), disk=True)
    assert bytes_of(alone) == bytes_of(batched)
    for model_id, state in alone.states.items():
        assert state_bytes(state) == state_bytes(alone.corrected(model_id))
        assert state_bytes(state) == state_bytes(alone.rebuilt(model_id))


@pytest.mark.parametrize("seed", range(3))
def test_tickets_of_a_model_given_in_any_order_rebuild_the_same_state(seed: int) -> None:
    played = play(stream(seed, 600), ones())
    markets = list(played.book.markets.values())
    Random(seed).shuffle(markets)
    played.book.markets = {market.market_id: market for market in markets}
    for model_id, state in played.states.items():
        assert len(model_history(model_id, markets)) > (2 if model_id == POOL_ID else 20)
        assert state_bytes(played.rebuilt(model_id)) == state_bytes(state)


@pytest.mark.parametrize(
    "back", [1, CHECKPOINT_ROWS - 1, CHECKPOINT_ROWS, CHECKPOINT_ROWS + 1, 2 * CHECKPOINT_ROWS]
)
@pytest.mark.parametrize("total", [130, 191, 192, 193, 250])
def test_revision_at_every_distance_from_a_checkpoint_equals_the_corrected_history(
    back: int, total: int
) -> None:
    """The edges of the two checkpoints: the row right before, at and right after each of them."""
    played, right = Played(FIRST), Played(FIRST)
    batches, late = ones(), resolved()
    for number in range(total):
        made = prediction(f"p{number}", f"k{number}", confidence=number % 11 / 10)
        wrong = number == total - back
        truth = "YES" if number * 7 % 3 else "NO"
        told = ("NO" if truth == "YES" else "YES") if wrong else truth
        at_ns = T0 + number * HOUR
        played.play([made, resolved(f"k{number}", told, resolved_at=at_ns)], batches)
        right.play([made, resolved(f"k{number}", truth, resolved_at=at_ns)], batches)
        if wrong:
            late = resolved(f"k{number}", truth, resolved_at=at_ns, revision=1)
    before = state_bytes(played.states["m"])
    played.play([late], batches)
    state, expected = played.states["m"], right.states["m"]
    assert state_bytes(state) != before
    state.applied_seq = expected.applied_seq  # the revision is one input more
    # A rebuilt or folded row keeps the ids of its own inputs, which are the same in both streams.
    assert state_bytes(state) == state_bytes(expected)


def test_revision_and_its_reversal_restore_the_state_bit_for_bit() -> None:
    played = Played(FIRST)
    for number in range(200):
        made = prediction(f"p{number}", f"k{number}", confidence=number % 11 / 10)
        played.play([made, resolved(f"k{number}", "YES" if number % 3 else "NO")], ones())
    for number in (199, 140, 3):
        before = played.states["m"].to_record()
        truth = "YES" if number % 3 else "NO"
        other = "NO" if number % 3 else "YES"
        played.play([resolved(f"k{number}", other, revision=1)], ones())
        assert played.states["m"].to_record().now != before.now
        played.play([resolved(f"k{number}", truth, revision=2)], ones())
        state = played.states["m"]
        state.applied_seq = before.applied_seq
        assert state.to_record() == before


def test_record_stays_as_it_was_made_while_states_go_on_from_it() -> None:
    rows = [scored(n, float(n % 3 != 0), n % 10 / 10, price=0.5) for n in range(1, 201)]
    state = ModelState("m", EVERY_POLICY)
    state.apply(rows[:150], 150)
    record = state.to_record()
    made, other = encode(record), ModelState.from_record(record, EVERY_POLICY)
    for each in (state, other):
        each.apply(rows[150:], 200)
        assert encode(record) == made
    assert state_bytes(state) == state_bytes(other) != made


def test_prediction_that_joins_its_trade_outcome_after_a_reset_is_counted_after_it() -> None:
    """Told live, the prediction is counted when it arrives; a rebuild must put it in the same place."""
    played = Played(FIRST)
    played.play([outcome("p1"), ResetModel("m", ""), prediction("p1")], ones())
    assert played.states["m"].tally.ungated == 1
    assert state_bytes(played.rebuilt("m")) == state_bytes(played.states["m"])


def test_predictions_that_expire_at_once_are_folded_in_the_order_of_a_rebuild() -> None:
    """The first made expires last, so that the order of expiry is the other one."""
    played = Played(FIRST)
    made = [prediction(f"p{n}", f"k{n}", expires_at=T0 + (9 - n) * HOUR) for n in range(5)]
    played.play([*made, ExpirePredictions(T0 + 20 * HOUR)], ones())
    assert state_bytes(played.rebuilt("m")) == state_bytes(played.states["m"])


def test_trade_outcomes_without_confidence_leave_no_growing_history() -> None:
    """Only the rows since the older checkpoint are needed: no calibration window reaches further back."""
    state = ModelState("m", rules())
    for number in range(1, 2_001):
        state.apply([scored(number, float(number % 2))], number)
    assert len(state.history) <= 2 * CHECKPOINT_ROWS


def test_rules_in_force_at_each_input_are_those_a_rebuild_folds_by() -> None:
    played = Played(FIRST)

    def some(start: int) -> list[object]:
        return [
            message
            for number in range(start, start + 80)
            for message in (
                prediction(f"p{number}", f"k{number}", confidence=0.9),
                resolved(f"k{number}", "YES" if number % 3 else "NO", resolved_at=T0 + number * HOUR),
            )
        ]

    played.play(some(0), ones())
    played.play([RulesInForce(rules(ema_alpha=0.9, enabled=False))], ones())
    played.play(some(100), ones())
    played.play([RulesInForce(rules(initial_threshold=0.5, relaxation_half_life_seconds=0.0))], ones())
    played.play(some(200), ones())
    before = played.rebuilds
    played.play([resolved("k5", "NO", resolved_at=T0 + 5 * HOUR, revision=1)], ones())
    assert played.rebuilds == before + 1
    assert state_bytes(played.states["m"]) == state_bytes(played.corrected("m"))
