"""record_each_nowait: many inputs, mixed, one reply with a receipt or an error for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from handicapper.actors import Learner
from handicapper.actors.store import Store
from handicapper.protocol.errors import (
    BusyError,
    ClosedError,
    ConflictError,
    HandicapperError,
    InvalidValueError,
    PredictedAfterResolutionError,
    StaleRevisionError,
    StoreFailedError,
)
from handicapper.protocol.messages import Input, Receipt

from .helpers import (
    DEADLINE_SECONDS,
    copy_while_open,
    disk_held,
    lesson_bytes,
    outcome,
    pattern,
    prediction,
    resolution,
    small_settings,
)

Open = Callable[..., Learner]


def record_each(learner: Learner, inputs: Sequence[Input]) -> list[Receipt | HandicapperError]:
    return learner.record_each_nowait(inputs).get(DEADLINE_SECONDS)


def test_each_input_gets_its_receipt_or_its_error_in_its_place(learner: Learner) -> None:
    results = record_each(
        learner,
        [
            prediction(1),
            prediction(2, confidence=1.5),
            resolution(1),
            prediction(1),
            prediction(1, confidence=0.9),
            outcome(3, "other"),
            "nonsense",  # pyright: ignore[reportArgumentType]
            prediction(4, market_id="k1", predicted_at=prediction(100).predicted_at),
            resolution(1, "NO"),
            resolution(1, "NO", revision=1),
            resolution(1, "YES", status="proposed"),
            resolution(9, "YES"),
        ],
    )
    kinds = [type(result) for result in results]
    assert kinds == [
        Receipt,
        InvalidValueError,
        Receipt,
        Receipt,
        ConflictError,
        Receipt,
        InvalidValueError,
        PredictedAfterResolutionError,
        ConflictError,
        Receipt,
        StaleRevisionError,
        Receipt,
    ]
    receipts: list[Any] = [result for result in results if isinstance(result, Receipt)]
    assert [r.seq for r in receipts] == [2, 3, 2, 4, 5, 6]
    assert [(r.duplicate, r.scored, r.revised, r.waiting) for r in receipts] == [
        (False, 0, 0, False),
        (False, 1, 0, False),
        (True, 0, 0, False),
        (False, 1, 0, False),
        (False, 0, 1, False),
        (False, 0, 0, True),
    ]
    assert "confidence was 1.5" in str(results[1])


def test_it_gives_and_learns_what_single_calls_do(open_learner: Open) -> None:
    """Every kind of input, duplicates, conflicts and revisions among them, one call against one each."""
    inputs: list[Input] = []
    for number in range(120):
        model = f"m{number % 3}"
        money = {"price": Decimal("0.55"), "size": Decimal(10)} if number % 2 else {}
        inputs.append(prediction(number, model, confidence=0.5 + number % 40 / 100, **money))
        if number % 5 == 0:
            inputs.append(outcome(number, model, right=pattern(number), pnl=Decimal("1.5")))
        else:
            inputs.append(resolution(number, "YES" if pattern(number) else "NO"))
        if number % 7 == 0:
            inputs.append(prediction(number, model, confidence=0.11))
            inputs.append(inputs[-2])
        if number % 11 == 0:
            inputs.append(resolution(number, "NO" if pattern(number) else "YES", revision=1))
        inputs.append(outcome(1000 + number, model, right=pattern(number), confidence=0.6))
    together, single = open_learner(), open_learner("single")
    results = [
        result
        for start in range(0, len(inputs), 50)
        for result in record_each(together, inputs[start : start + 50])
    ]
    for item, result in zip(inputs, results, strict=True):
        try:
            expected: Any = single.record_nowait([item]).get(DEADLINE_SECONDS)
        except HandicapperError as error:
            expected = error
        if expected.errors:
            assert str(result) == str(expected.errors[0][1])
        else:
            assert isinstance(result, Receipt)
            assert (result.seq, result.duplicate, result.scored, result.revised) == (
                expected.seq,
                bool(expected.duplicates),
                expected.scored,
                expected.revised,
            )
    for model in ("m0", "m1", "m2"):
        assert lesson_bytes(together, model) == lesson_bytes(single, model)
    ours, theirs = together.statistics(), single.statistics()
    for field in (
        "seq",
        "predictions",
        "resolutions",
        "outcomes",
        "duplicates",
        "refused",
        "scored",
        "revised",
    ):
        assert getattr(ours, field) == getattr(theirs, field), field


def test_values_are_normalised_as_in_single_calls(learner: Learner) -> None:
    odd = replace(prediction(1), confidence=1, price="0.5")  # pyright: ignore[reportArgumentType]
    (receipt,) = record_each(learner, [odd])
    assert isinstance(receipt, Receipt)
    assert learner.record_prediction(prediction(1, confidence=1.0, price=Decimal("0.5"))).duplicate


def test_no_inputs_give_no_results(learner: Learner) -> None:
    assert record_each(learner, []) == []
    assert learner.statistics().in_flight == 0


def test_only_invalid_inputs_give_only_errors_and_nothing_is_journaled(learner: Learner) -> None:
    seq = learner.statistics().seq
    results = record_each(learner, [prediction(n, confidence=-1.0) for n in range(5)])
    assert [type(result) for result in results] == [InvalidValueError] * 5
    statistics = learner.statistics()
    assert (statistics.seq, statistics.in_flight) == (seq, 0)


def test_everything_is_durable_when_the_reply_comes(learner: Learner, tmp_path: Path) -> None:
    results = record_each(learner, [outcome(n) for n in range(300)])
    copy = copy_while_open(tmp_path / "state", tmp_path / "copy")
    with Learner(copy, small_settings()) as again:
        repeated = record_each(again, [outcome(n) for n in range(300)])
        assert [(r.seq, r.duplicate) for r in repeated] == [(r.seq, True) for r in results]  # pyright: ignore


def test_what_was_moved_to_disk_is_still_known(open_learner: Open) -> None:
    learner = open_learner()
    first = record_each(learner, [*(outcome(n) for n in range(50)), prediction(100), resolution(100)])
    learner.close()
    learner = open_learner()
    again = record_each(learner, [*(outcome(n) for n in range(60)), prediction(100), resolution(100, "NO")])
    assert [r.duplicate for r in again[:60]] == [True] * 50 + [False] * 10  # pyright: ignore
    assert [r.seq for r in again[:50]] == [r.seq for r in first[:50]]  # pyright: ignore
    assert again[60].duplicate  # pyright: ignore
    assert isinstance(again[61], ConflictError)


def test_more_than_the_bound_allows_is_busy_at_once_and_nothing_is_sent(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(limits={"in_flight_inputs_max": 10}))
    with disk_held(learner):
        reply = learner.record_each_nowait([outcome(n) for n in range(8)])
        with pytest.raises(BusyError, match="8 inputs are in flight"):
            learner.record_each_nowait([outcome(n) for n in range(8, 12)])
        assert learner.statistics().in_flight == 8
    assert len(reply.get(DEADLINE_SECONDS)) == 8
    assert learner.report("m").n == 8


def test_write_that_fails_is_raised_by_the_reply(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    def append(*_: Any) -> None:
        raise StoreFailedError("no space left on this device")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "append", append)
        with pytest.raises(StoreFailedError, match="no space"):
            record_each(learner, [outcome(1), outcome(2)])
    with pytest.raises(StoreFailedError, match="no space"):
        record_each(learner, [outcome(3)])


def test_closed_learner_takes_nothing(learner: Learner) -> None:
    learner.close()
    with pytest.raises(ClosedError):
        learner.record_each_nowait([outcome(1)])


def test_models_beyond_the_bound_are_refused_in_their_places(open_learner: Open) -> None:
    learner = open_learner(settings=small_settings(limits={"models_max": 2, "pending_predictions_max": 3}))
    inputs = [outcome(1, "a"), prediction(2, "b"), outcome(3, "c"), prediction(4, "d"), outcome(5, "a")]
    results = record_each(learner, inputs)
    assert [isinstance(result, BusyError) for result in results] == [False, False, True, True, False]
    results = record_each(learner, [prediction(n, "a") for n in range(10, 14)])
    assert [isinstance(result, BusyError) for result in results] == [False, False, True, True]
