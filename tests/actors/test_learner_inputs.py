"""Recording predictions, resolutions and outcomes: one, many, waiting or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.protocol.errors import (
    BatchError,
    ClosedError,
    ConflictError,
    DeadlineExceededError,
    InvalidValueError,
    PredictedAfterResolutionError,
    StaleRevisionError,
)
from handicapper.protocol.messages import Prediction, Receipt

from .helpers import (
    DEADLINE_SECONDS,
    SECOND,
    SOON_SECONDS,
    T0,
    disk_held,
    outcome,
    prediction,
    resolution,
    small_settings,
)


def test_record_prediction_given_fields_and_struct_records_the_same(learner: Learner) -> None:
    first = learner.record_prediction(
        prediction_id="p1",
        model_id="m",
        market_id="k1",
        outcome="YES",
        confidence=0.7,
        predicted_at=T0 + 60 * SECOND,
    )
    again = learner.record_prediction(prediction(1))
    assert first.duplicate is False
    assert again == Receipt(seq=first.seq, duplicate=True)


def test_record_prediction_given_struct_and_fields_is_refused(learner: Learner) -> None:
    with pytest.raises(InvalidValueError, match="either a Prediction or its fields"):
        learner.record_prediction(prediction(1), model_id="x")


def test_record_prediction_with_a_misspelt_field_is_refused_by_name(learner: Learner) -> None:
    with pytest.raises(InvalidValueError, match="probability"):
        learner.record_prediction(
            prediction_id="p1", model_id="m", market_id="k", outcome="Y", probability=0.7
        )


def test_record_prediction_with_changed_content_is_a_conflict_that_names_the_field(learner: Learner) -> None:
    learner.record_prediction(prediction(1))
    with pytest.raises(ConflictError, match=r"confidence 0\.7 != 0\.8"):
        learner.record_prediction(prediction(1, confidence=0.8))
    assert learner.statistics().predictions_pending == 1


def test_record_prediction_after_its_market_resolved_is_refused(learner: Learner) -> None:
    learner.resolve_market(resolution(1))
    with pytest.raises(PredictedAfterResolutionError):
        learner.record_prediction(prediction(2, market_id="k1"))


def test_resolve_market_scores_every_prediction_of_every_model(learner: Learner) -> None:
    learner.record_predictions(
        prediction(n, model, market_id="final", outcome=label, predicted_at=T0)
        for n, (model, label) in enumerate([("a", "HOME"), ("a", "AWAY"), ("b", "DRAW"), ("b", "HOME")])
    )
    receipt = learner.resolve_market(market_id="final", winner="HOME", resolved_at=T0 + SECOND)
    assert receipt.scored == 4
    assert [(s.model_id, s.n) for s in learner.models()] == [("a", 2), ("b", 2)]
    assert learner.report("a").accuracy == 0.5


def test_resolve_market_before_its_prediction_waits_for_it(learner: Learner) -> None:
    assert learner.resolve_market(resolution(1)).waiting is True
    receipt = learner.record_prediction(prediction(1))
    assert receipt.scored == 1
    assert learner.report("m").n == 1


def test_resolve_market_with_a_lower_revision_is_stale_and_changes_nothing(learner: Learner) -> None:
    learner.record_prediction(prediction(1))
    learner.resolve_market(resolution(1, "YES", revision=2))
    with pytest.raises(StaleRevisionError):
        learner.resolve_market(resolution(1, "NO", revision=1))
    assert learner.report("m").accuracy == 1.0


def test_resolve_market_void_settles_and_teaches_nothing(learner: Learner) -> None:
    learner.record_prediction(prediction(1))
    receipt = learner.resolve_market(resolution(1, None, void=True))
    assert (receipt.scored, learner.statistics().predictions_pending, learner.report("m").n) == (0, 0, 0)


def test_record_outcome_without_prediction_teaches_accuracy_and_no_calibration(learner: Learner) -> None:
    assert learner.record_outcome(outcome(1)).scored == 1
    report = learner.report("m")
    assert (report.n, report.accuracy, report.calibration.count) == (1, 1.0, 0)


def test_record_outcome_and_resolution_of_one_prediction_count_once(learner: Learner) -> None:
    learner.record_prediction(prediction(1))
    learner.record_outcome(outcome(1))
    assert learner.resolve_market(resolution(1)).scored == 0
    assert learner.report("m").n == 1


def test_record_outcome_that_contradicts_the_resolution_is_refused(learner: Learner) -> None:
    learner.record_prediction(prediction(1))
    learner.resolve_market(resolution(1, "YES"))
    with pytest.raises(ConflictError):
        learner.record_outcome(outcome(1, right=False))
    assert learner.report("m").accuracy == 1.0


# ------------------------------------------------------------------------ bulk


def test_bulk_forms_take_generators_and_count_what_became_of_them(learner: Learner) -> None:
    predicted = learner.record_predictions(prediction(n) for n in range(100))
    assert (predicted.total, predicted.accepted, predicted.duplicates) == (100, 100, 0)
    resolved = learner.resolve_markets(resolution(n) for n in range(50, 150))
    assert (resolved.accepted, resolved.scored) == (100, 50)
    told = learner.record_outcomes(outcome(n) for n in range(60))
    assert (told.accepted, told.scored, told.duplicates) == (60, 50, 0)
    assert learner.report("m").n == 100


def test_bulk_longer_than_one_journal_piece_keeps_the_order_and_the_indices(
    open_learner: Callable[..., Learner],
) -> None:
    learner = open_learner(settings=_pieces_of(7))
    items: list[Any] = [prediction(n, confidence=2.0 if n % 10 == 3 else 0.7) for n in range(40)]
    result = learner.record_predictions(items, on_error="return")
    assert [index for index, _ in result.errors] == [3, 13, 23, 33]
    assert (result.total, result.accepted) == (40, 36)
    resolved = learner.resolve_markets(resolution(n, "YES" if n % 2 else "NO") for n in range(40))
    assert resolved.scored == 36


def test_bulk_with_refused_items_raises_and_records_the_others(learner: Learner) -> None:
    learner.record_prediction(prediction(2))
    items = [prediction(1), prediction(2, confidence=0.1), prediction(3, model=""), prediction(4)]
    with pytest.raises(BatchError) as refused:
        learner.record_predictions(items)
    result = refused.value.result
    assert [(index, type(error)) for index, error in result.errors] == [
        (1, ConflictError),
        (2, InvalidValueError),
    ]
    assert (result.total, result.accepted) == (4, 2)
    assert learner.statistics().predictions_pending == 3


def test_bulk_with_on_error_return_returns_what_raise_would_carry(learner: Learner) -> None:
    result = learner.record_outcomes([outcome(1), outcome(1, right=False), outcome(1)], on_error="return")
    assert (result.accepted, result.duplicates, len(result.errors)) == (1, 1, 1)
    assert result.errors[0][0] == 1


def test_bulk_with_another_on_error_is_refused(learner: Learner) -> None:
    with pytest.raises(InvalidValueError, match="on_error"):
        learner.record_outcomes([], on_error="ignore")  # type: ignore[arg-type]


def test_bulk_of_nothing_is_an_empty_result(learner: Learner) -> None:
    assert learner.record_predictions([]).total == 0
    assert learner.record_predictions_nowait([]).get(DEADLINE_SECONDS).total == 0
    assert learner.process_signals([]) == []


def test_bulk_from_a_generator_that_raises_keeps_what_was_sent_before(
    open_learner: Callable[..., Learner],
) -> None:
    learner = open_learner(settings=_pieces_of(10))

    def broken() -> Iterator[Prediction]:
        yield from (prediction(n) for n in range(25))
        raise OSError("the feed broke")

    with pytest.raises(OSError, match="the feed broke"):
        learner.record_predictions(broken())
    result = learner.record_predictions(prediction(n) for n in range(30))
    assert (result.accepted, result.duplicates) == (10, 20)


def test_record_takes_all_kinds_mixed_in_their_order(learner: Learner) -> None:
    result = learner.record(
        [prediction(1), resolution(1), outcome(2), prediction(3), resolution(3, "NO"), outcome(4, "other")]
    )
    assert (result.accepted, result.scored) == (6, 4)
    assert [(s.model_id, s.n) for s in learner.models()] == [("m", 3), ("other", 1)]


def test_record_of_something_else_is_refused_by_index(learner: Learner) -> None:
    result = learner.record([prediction(1), "prediction"], on_error="return")  # type: ignore[list-item]
    assert [(index, error.code) for index, error in result.errors] == [(1, "INVALID_VALUE")]  # type: ignore[attr-defined]


# -------------------------------------------------------------------- not waiting


def test_nowait_forms_give_what_the_waiting_ones_return(learner: Learner) -> None:
    futures = [
        learner.record_prediction_nowait(prediction(1)),
        learner.resolve_market_nowait(resolution(1)),
        learner.record_outcome_nowait(outcome(2)),
    ]
    receipts = [future.get(DEADLINE_SECONDS) for future in futures]
    assert [receipt.scored for receipt in receipts] == [0, 1, 1]
    assert [receipt.seq for receipt in receipts] == sorted(receipt.seq for receipt in receipts)
    bulk = [
        learner.record_predictions_nowait(prediction(n) for n in range(10, 20)),
        learner.resolve_markets_nowait(resolution(n) for n in range(10, 20)),
        learner.record_outcomes_nowait(outcome(n) for n in range(20, 30)),
    ]
    assert [future.get(DEADLINE_SECONDS).accepted for future in bulk] == [10, 10, 10]
    assert learner.report("m").n == 22


def test_nowait_single_that_is_refused_raises_from_get(learner: Learner) -> None:
    learner.record_prediction(prediction(1))
    future = learner.record_prediction_nowait(prediction(1, confidence=0.9))
    with pytest.raises(ConflictError):
        future.get(DEADLINE_SECONDS)


def test_nowait_bulk_with_invalid_and_refused_items_names_both_by_index(learner: Learner) -> None:
    learner.record_prediction(prediction(1))
    items = [prediction(5, confidence=7.0), prediction(2), prediction(1, confidence=0.9), prediction(3)]
    result = learner.record_predictions_nowait(items).get(DEADLINE_SECONDS)
    assert [(index, type(error)) for index, error in result.errors] == [
        (0, InvalidValueError),
        (2, ConflictError),
    ]
    assert (result.total, result.accepted) == (4, 2)


def test_nowait_does_not_wait_for_the_disk(learner: Learner) -> None:
    with disk_held(learner):
        future = learner.record_prediction_nowait(prediction(1))
        with pytest.raises(DeadlineExceededError):
            future.get(SOON_SECONDS)
    assert future.get(DEADLINE_SECONDS).seq > 0


# ---------------------------------------------------------------------- deadlines


def _calls(learner: Learner) -> dict[str, Callable[[float], Any]]:
    return {
        "record_prediction": lambda t: learner.record_prediction(prediction(1), timeout=t),
        "record_predictions": lambda t: learner.record_predictions([prediction(2)], timeout=t),
        "resolve_market": lambda t: learner.resolve_market(resolution(3), timeout=t),
        "resolve_markets": lambda t: learner.resolve_markets([resolution(4)], timeout=t),
        "record_outcome": lambda t: learner.record_outcome(outcome(5), timeout=t),
        "record_outcomes": lambda t: learner.record_outcomes([outcome(6)], timeout=t),
        "record": lambda t: learner.record([outcome(7)], timeout=t),
        "process_signal": lambda t: learner.process_signal(prediction(8), timeout=t),
        "process_signals": lambda t: learner.process_signals([prediction(9)], timeout=t),
        "pause": lambda t: learner.pause("known", timeout=t),
        "resume": lambda t: learner.resume("known", timeout=t),
        "reset": lambda t: learner.reset("known", timeout=t),
        "snapshot": lambda t: learner.snapshot(timeout=t),
    }


CALLS = sorted(_calls(None))  # type: ignore[arg-type]


@pytest.mark.parametrize("call", CALLS)
def test_call_that_changes_something_past_its_timeout_raises_and_may_be_repeated(
    learner: Learner, call: str
) -> None:
    """Nothing becomes durable while the persister is held; afterwards the same call succeeds."""
    learner.record_outcome(outcome(0, "known"))
    with disk_held(learner), pytest.raises(DeadlineExceededError):
        _calls(learner)[call](SOON_SECONDS)
    before = learner.statistics().seq
    assert _calls(learner)[call](DEADLINE_SECONDS) is not None
    controls = ("pause", "resume", "reset")
    assert learner.statistics().seq == before + (call in controls)


@pytest.mark.parametrize(
    "call", [*CALLS, "get_adaptive_params", "thompson_sample", "models", "report", "reports", "statistics"]
)
def test_any_call_after_close_raises_closed(learner: Learner, call: str) -> None:
    learner.record_outcome(outcome(0, "known"))
    calls = _calls(learner) | {
        "get_adaptive_params": lambda t: learner.get_adaptive_params("known", timeout=t),
        "thompson_sample": lambda t: learner.thompson_sample(timeout=t),
        "models": lambda t: learner.models(timeout=t),
        "report": lambda t: learner.report("known", timeout=t),
        "reports": lambda t: learner.reports(timeout=t),
        "statistics": lambda _: learner.statistics(),
    }
    learner.close()
    with pytest.raises(ClosedError):
        calls[call](DEADLINE_SECONDS)


def _pieces_of(inputs: int) -> Any:
    return small_settings(limits={"batch_inputs_max": inputs})
