"""A model whose mailbox is full refuses what is for it, by name, and nothing else; nothing is half taken in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from handicapper.actors import Learner
from handicapper.actors.state.pool_row import POOL_ID
from handicapper.protocol.errors import BatchError, BusyError

from .helpers import (
    DEADLINE_SECONDS,
    eventually,
    held,
    model_ref,
    outcome,
    prediction,
    resolution,
    small_settings,
)

Open = Callable[..., Learner]
FULL = 'the mailbox of model "m" is full'
MESSAGES_MAX = 8


@pytest.fixture
def learner(open_learner: Open) -> Learner:
    """Models m and other, each with a pending prediction; k3 is predicted by both."""
    learner = open_learner(settings=small_settings(limits={"mailbox_messages_max": MESSAGES_MAX}))
    learner.record_predictions(
        [
            prediction(1),
            prediction(2, "other"),
            prediction(3),
            prediction(4, "other", market_id="k3", predicted_at=prediction(3).predicted_at),
        ]
    )
    return learner


@contextmanager
def full(learner: Learner, model: str = "m") -> Iterator[int]:
    """Fill a model's mailbox; gives how many outcomes were acknowledged."""
    eventually(lambda: model_ref(learner, model).cell.at_rest)
    with held(model_ref(learner, model)):
        acknowledged = 0
        while True:
            try:
                learner.record_outcome(outcome(1_000 + acknowledged, model))
            except BusyError:
                break
            acknowledged += 1
        assert acknowledged == MESSAGES_MAX
        yield acknowledged


def test_others_are_taken_in_every_form_while_one_is_full(learner: Learner) -> None:
    with full(learner):
        assert learner.record_outcome(outcome(10, "other")).scored == 1
        assert learner.record_prediction(prediction(11, "other")).seq > 0
        assert learner.process_signal(prediction(12, "other", confidence=0.99)).accepted
        assert learner.resolve_market(resolution(2)).scored == 1
        assert learner.record_outcome(outcome(13, "brand new")).scored == 1
        assert learner.pause("other").seq > 0
        assert learner.snapshot_nowait() is not None
        assert learner.report("other").n == 2
    eventually(lambda: model_ref(learner).cell.at_rest)
    assert learner.report("m").n == MESSAGES_MAX


def test_everything_for_the_full_one_is_refused_by_name_with_a_hint(learner: Learner) -> None:
    with full(learner):
        seq = learner.statistics().seq
        for refused in (
            lambda: learner.record_prediction(prediction(20)),
            lambda: learner.record_outcome(outcome(20)),
            lambda: learner.resolve_market(resolution(1)),
            lambda: learner.process_signal(prediction(20)),
            lambda: learner.pause("m"),
            lambda: learner.reset("m"),
        ):
            with pytest.raises(BusyError, match=FULL) as busy:
                refused()
            assert busy.value.retry_after_ms == 200
        assert learner.statistics().seq == seq
    eventually(lambda: model_ref(learner).cell.at_rest)
    assert learner.record_outcome(outcome(20)).scored == 1
    assert learner.resolve_market(resolution(1)).scored == 1


def test_resolution_that_touches_a_full_model_is_refused_as_a_whole(learner: Learner) -> None:
    with full(learner):
        with pytest.raises(BusyError, match=FULL):
            learner.resolve_market(resolution(3))
        assert learner.report("other").n == 0
        assert learner.statistics().predictions_pending == 4
    eventually(lambda: model_ref(learner).cell.at_rest)
    assert learner.resolve_market(resolution(3)).scored == 2


def test_revision_that_touches_a_full_model_is_refused_as_a_whole(learner: Learner) -> None:
    learner.resolve_market(resolution(3))
    revised = replace(resolution(3, "NO"), revision=1)
    with full(learner):
        with pytest.raises(BusyError, match=FULL):
            learner.resolve_market(revised)
        assert learner.report("other").accuracy == 1.0
    eventually(lambda: model_ref(learner).cell.at_rest)
    assert learner.resolve_market(revised).revised == 2


def test_pool_that_is_full_has_only_markets_of_several_models_refused(learner: Learner) -> None:
    shared = range(100, 101 + MESSAGES_MAX)
    learner.record_predictions(
        [prediction(n + offset, model, market_id=f"k{n}", predicted_at=prediction(n).predicted_at)
         for n in shared for model, offset in (("m", 1_000), ("other", 2_000))]
    )  # fmt: skip
    learner.resolve_market(resolution(3))
    eventually(lambda: model_ref(learner, POOL_ID).cell.at_rest)
    with held(model_ref(learner, POOL_ID)):
        for number in shared[:-1]:
            learner.resolve_market(resolution(number))
        with pytest.raises(BusyError, match=r'the mailbox of model "\(pool\)" is full'):
            learner.resolve_market(resolution(shared[-1]))
        assert learner.resolve_market(resolution(1)).scored == 1, "one model alone forecast it"
        assert learner.record_outcome(outcome(5_000)).scored == 1
    eventually(lambda: model_ref(learner, POOL_ID).cell.at_rest)
    assert learner.resolve_market(resolution(shared[-1])).scored == 2
    assert learner.pool().n == len(shared) + 1


def test_bulk_calls_refuse_the_items_of_the_full_one_and_take_the_others(learner: Learner) -> None:
    with full(learner):
        models = ["other", "m", "other", "third", "m"]
        with pytest.raises(BatchError) as refused:
            learner.record_outcomes(outcome(30 + n, model) for n, model in enumerate(models))
        assert [index for index, _ in refused.value.result.errors] == [1, 4]
        assert all(isinstance(error, BusyError) for _, error in refused.value.result.errors)
        with pytest.raises(BatchError) as resolved:
            learner.resolve_markets([resolution(1), resolution(2), resolution(3), resolution(99)])
        assert [index for index, _ in resolved.value.result.errors] == [0, 2]
        with pytest.raises(BatchError) as gated:
            learner.process_signals(
                prediction(40 + n, model, confidence=0.99) for n, model in enumerate(models)
            )
        assert [index for index, _ in gated.value.result.errors] == [1, 4]
        assert [decision.model_id for decision in gated.value.decisions] == ["other", "other", "third"]


def test_what_was_recorded_before_is_still_a_duplicate(learner: Learner) -> None:
    signal = prediction(50, confidence=0.99)
    learner.process_signal(signal)
    with full(learner):
        assert learner.record_prediction(prediction(1)).duplicate
        assert learner.record_outcome(outcome(1_000)).duplicate
        assert learner.process_signal(signal).duplicate


def test_new_rules_are_taken_although_they_go_to_the_full_one_too(learner: Learner) -> None:
    with full(learner):
        assert learner.apply_settings(replace(learner.settings, ema_alpha=0.5)).applied == ("ema_alpha",)


def test_flood_into_one_model_loses_nothing_and_refuses_no_other(open_learner: Open) -> None:
    """Of the flood what was acknowledged counts, and of the other everything."""
    learner = open_learner(settings=small_settings(limits={"mailbox_messages_max": 8}))
    learner.record_outcomes([outcome(0), outcome(1, "other")])
    acknowledged: list[int] = [0]
    busy = threading.Event()

    def flood() -> None:
        for number in range(2, 400, 2):
            if _taken(learner, outcome(number)):
                acknowledged.append(number)
            else:
                busy.set()

    flooding = threading.Thread(target=flood)
    eventually(lambda: model_ref(learner).cell.at_rest)
    with held(model_ref(learner)):
        flooding.start()
        assert busy.wait(DEADLINE_SECONDS)
        assert all(learner.record_outcome(outcome(n, "other")).scored for n in range(3, 400, 2))
        flooding.join()
    eventually(lambda: model_ref(learner).cell.at_rest)
    assert learner.report("m").n == len(acknowledged) == 9
    assert learner.report("other").n == 200
    eventually(lambda: _taken(learner, outcome(400)))
    reference = open_learner("reference")
    reference.record_outcomes(outcome(number) for number in [*acknowledged, 400])
    as_of = outcome(400).resolved_at
    now, then = learner.report("m", as_of=as_of), reference.report("m", as_of=as_of)
    assert (now.n, now.posterior_alpha, now.ema_accuracy) == (then.n, then.posterior_alpha, then.ema_accuracy)


def _taken(learner: Learner, message: Any) -> bool:
    try:
        return learner.record_outcome(message).seq > 0
    except BusyError:
        return False
