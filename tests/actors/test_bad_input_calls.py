"""Calls with a wrong argument or at a wrong time: an error by name, and nothing else changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.protocol.errors import (
    ClosedError,
    DeadlineExceededError,
    HandicapperError,
    InvalidValueError,
    UnknownModelError,
)
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

from .bad_input import (
    BAD_IDS,
    BAD_TIMES,
    OUTCOME,
    PREDICTION,
    RESOLUTION,
    filled_learner,
    nothing_changes,
    shown,
)


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Learner]:
    with filled_learner(tmp_path / "state") as opened:
        yield opened


def test_unknown_model_is_named_and_not_made(learner: Learner) -> None:
    with nothing_changes(learner):
        assert learner.get_adaptive_params("nobody") is None
        for call in (learner.report, learner.pause, learner.resume, learner.reset):
            with pytest.raises(UnknownModelError, match="nobody"):
                call("nobody")


@pytest.mark.parametrize("value", BAD_IDS, ids=shown)
def test_bad_model_id_is_refused_by_every_question_and_control(value: Any, learner: Learner) -> None:
    with nothing_changes(learner):
        for call in (
            learner.report, learner.pause, learner.resume, learner.reset, learner.get_adaptive_params,
        ):  # fmt: skip
            with pytest.raises(InvalidValueError, match="model_id"):
                call(value)


@pytest.mark.parametrize("value", [value for value in BAD_TIMES if value is not None], ids=shown)
def test_bad_time_is_refused_by_every_question_and_by_pause(value: Any, learner: Learner) -> None:
    with nothing_changes(learner):
        with pytest.raises(InvalidValueError, match="until"):
            learner.pause("elo", until=value)
        for call in (learner.models, learner.reports, learner.thompson_sample):
            with pytest.raises(InvalidValueError, match="as_of"):
                call(as_of=value)
        for ask in (learner.report, learner.get_adaptive_params):
            with pytest.raises(InvalidValueError, match="as_of"):
                ask("elo", as_of=value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"n": 0}, {"n": -1}, {"n": 1.5}, {"n": True}, {"n": 10**9}, {"n": "1"}, {"n": None}, {"seed": -1},
        {"seed": 2**64}, {"seed": 1.0}, {"seed": "x"}, {"seed": True}, {"selection_id": ""},
        {"selection_id": "\ud800"}, {"selection_id": 7}, {"models": [""]}, {"models": [7]}, {"models": 7},
        {"models": "elo"},
    ],
    ids=shown,
)  # fmt: skip
def test_selection_with_a_bad_argument_is_refused_by_name(
    arguments: dict[str, Any], learner: Learner
) -> None:
    with nothing_changes(learner), pytest.raises(InvalidValueError):
        learner.thompson_sample(**arguments)


@pytest.mark.parametrize("reason", ["x" * 1025, "a\nb", "\ud800", 7, None], ids=shown)
def test_bad_reason_is_refused(reason: Any, learner: Learner) -> None:
    with nothing_changes(learner):
        with pytest.raises(InvalidValueError, match="reason"):
            learner.pause("elo", reason=reason)
        with pytest.raises(InvalidValueError, match="reason"):
            learner.reset("elo", reason=reason)


def test_bad_on_error_is_refused(learner: Learner) -> None:
    with nothing_changes(learner), pytest.raises(InvalidValueError, match="on_error"):
        learner.record([], on_error="ignore")  # pyright: ignore[reportArgumentType]


def _calls(learner: Learner) -> list[Callable[[], Any]]:
    prediction, resolution = Prediction(**PREDICTION), MarketResolved(**RESOLUTION)
    outcome = TradeOutcome(**OUTCOME)
    return [
        lambda: learner.record_prediction(prediction),
        lambda: learner.record_prediction_nowait(prediction),
        lambda: learner.record_predictions([prediction]),
        lambda: learner.record_predictions_nowait([prediction]),
        lambda: learner.resolve_market(resolution),
        lambda: learner.resolve_market_nowait(resolution),
        lambda: learner.resolve_markets([resolution]),
        lambda: learner.resolve_markets_nowait([resolution]),
        lambda: learner.record_outcome(outcome),
        lambda: learner.record_outcome_nowait(outcome),
        lambda: learner.record_outcomes([outcome]),
        lambda: learner.record_outcomes_nowait([outcome]),
        lambda: learner.record([prediction, resolution]),
        lambda: learner.process_signal(prediction),
        lambda: learner.process_signals([prediction]),
        lambda: learner.process_signals_nowait([prediction]),
        lambda: learner.get_adaptive_params("elo"),
        lambda: learner.get_adaptive_params("nobody"),
        learner.thompson_sample,
        learner.models,
        lambda: learner.report("elo"),
        lambda: learner.report("nobody"),
        learner.reports,
        learner.statistics,
        lambda: learner.pause("elo"),
        lambda: learner.resume("elo"),
        lambda: learner.reset("elo"),
        learner.snapshot,
    ]


def test_learner_used_after_close_says_so_in_every_call(learner: Learner) -> None:
    learner.close()
    for call in _calls(learner):
        with pytest.raises(ClosedError):
            call()
    learner.close()


def test_learner_used_after_a_fork_says_so_and_the_parent_goes_on(learner: Learner) -> None:
    """The child has none of the threads: every call is refused at once, none hangs, close() does no harm."""
    with nothing_changes(learner):
        pid = os.fork()
        if pid == 0:
            wrong = 0
            for call in _calls(learner):
                try:
                    call()
                    wrong += 1
                except ClosedError as error:
                    wrong += "fork" not in str(error)
                except BaseException:  # noqa: BLE001  # whatever else it is, it is wrong
                    wrong += 1
            learner.close()
            os._exit(min(wrong, 100))
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    assert learner.record_prediction(Prediction(**PREDICTION)).seq


def test_timeout_of_zero_is_a_deadline_error_or_an_answer_and_repeating_is_safe(learner: Learner) -> None:
    """The call may take effect all the same: then the next one is told that it is a duplicate."""
    recorded = 0
    for number in range(20):
        prediction = Prediction(**{**PREDICTION, "prediction_id": f"t{number}"})
        try:
            learner.record_prediction(prediction, timeout=0)
        except DeadlineExceededError as error:
            assert "repeating an input is safe" in str(error)
        learner.record_prediction(prediction)
        assert learner.record_prediction(prediction).duplicate
        recorded += 1
    assert learner.statistics().predictions == 4 + recorded
    for call in (learner.models, learner.snapshot, learner.reports):
        try:
            call(timeout=0)
        except DeadlineExceededError as error:
            assert error.code == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("timeout", [-1, -1e300, 1e300])
def test_absurd_timeout_is_an_error_by_name_or_harmless(timeout: float, learner: Learner) -> None:
    """Never another exception than ours, and the learner goes on."""
    for call in (
        lambda: learner.record_prediction(Prediction(**PREDICTION), timeout=timeout),
        lambda: learner.record_predictions([Prediction(**PREDICTION)], timeout=timeout),
        lambda: learner.report("elo", timeout=timeout),
        lambda: learner.models(timeout=timeout),
        lambda: learner.thompson_sample(timeout=timeout),
        lambda: learner.snapshot(timeout=timeout),
    ):
        try:
            call()
        except HandicapperError as error:
            assert error.code in ("INVALID_VALUE", "DEADLINE_EXCEEDED", "BUSY"), error
    assert learner.record_prediction(Prediction(**{**PREDICTION, "prediction_id": "after"})).seq
    assert learner.statistics().in_flight == 0
