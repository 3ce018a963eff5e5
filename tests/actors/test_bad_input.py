"""Bad input of every kind: an error by name, through every door, and nothing else changed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from handicapper.actors import Learner
from handicapper.actors.records import encode
from handicapper.protocol.errors import (
    BatchError,
    ClosedError,
    ConflictError,
    DeadlineExceededError,
    HandicapperError,
    InvalidValueError,
    PredictedAfterResolutionError,
    StaleRevisionError,
    UnknownModelError,
)
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

PREDICTION: dict[str, Any] = {
    "prediction_id": "new", "model_id": "elo", "market_id": "open", "outcome": "YES", "confidence": 0.6,
    "predicted_at": 20, "price": Decimal("0.5"), "size": Decimal(1),
}  # fmt: skip
RESOLUTION: dict[str, Any] = {"market_id": "open", "winner": "YES", "resolved_at": 30}
OUTCOME: dict[str, Any] = {
    "prediction_id": "trade", "model_id": "elo", "predicted_outcome": "YES", "actual_outcome": "YES",
    "resolved_at": 30, "confidence": 0.6, "pnl": Decimal(1),
}  # fmt: skip
ENOUGH_SECONDS = 20.0


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Learner]:
    """Knows one settled market, revised once, one void, one open, one proposed, and a trade."""
    with Learner(tmp_path / "state") as opened:
        for market in ("settled", "void", "open", "proposed"):
            opened.record_prediction(
                Prediction(**{**PREDICTION, "prediction_id": f"p-{market}", "market_id": market})
            )
        opened.resolve_market(market_id="settled", winner="YES", resolved_at=30)
        opened.resolve_market(market_id="settled", winner="NO", resolved_at=30, revision=2)
        opened.resolve_market(market_id="void", void=True, resolved_at=30)
        opened.resolve_market(market_id="proposed", winner="YES", resolved_at=30, status="disputed")
        opened.record_outcome(TradeOutcome(**{**OUTCOME, "prediction_id": "p-trade"}))
        yield opened


def everything(learner: Learner) -> dict[str, Any]:
    """All that could change: models, markets, journal, counters. Not counted: refusals themselves."""
    engine = learner._engine
    last = engine.store.last_journal_record()
    assert last is not None
    router = engine.router.cell.actor
    assert router is not None
    router.book.check_invariants()
    statistics = asdict(learner.statistics())
    for name in ("refused", "in_flight", "snapshot_seq"):
        del statistics[name]
    return {
        "models": {m: encode(ref.cell.actor.state.to_record()) for m, ref in engine.roster.refs.items()},
        "markets": encode(sorted(router.book.markets.items(), key=lambda item: item[0])),
        "journal": last[0],
        "statistics": statistics,
        "dead_letters": learner.dead_letters(),
    }


@contextmanager
def nothing_changes(learner: Learner) -> Iterator[None]:
    before = everything(learner)
    yield
    after = everything(learner)
    assert after == before


class Text(str):
    """A str that is not exactly one."""

    __slots__ = ()


BAD_IDS: list[Any] = ["", "x" * 10_240, "x" * 257, "ü" * 129, "a\0b", "a\nb", "\x7f", "\x85", "\ud800", None, 7,
                      b"bytes", ["x"], math.nan]  # fmt: skip
BAD_LABELS: list[Any] = ["", "x" * 65, "x" * 10_240, "YES\n", "\ud800", None, True, 1]
BAD_TIMES: list[Any] = [
    datetime(2024, 1, 1), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), 1.5, math.nan, "now",
    True, None, -(2**63), 2**63, 2**200, -62_135_596_800_000_000_000, 253_402_214_400_000_000_000,
]  # fmt: skip
BAD_CONFIDENCES: list[Any] = [math.nan, math.inf, -math.inf, 1.2, -0.1, 1.0000001, "0.5", None, True,
                              Decimal("0.5"), 0.5j]  # fmt: skip
BAD_MONEY: list[Any] = [0.5, math.nan, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("1e30"),
                        Decimal("1e-30"), Decimal("1e999999"), "much", True, b"1", [1]]  # fmt: skip
BAD_PREDICTIONS: dict[str, list[Any]] = {
    "prediction_id": BAD_IDS,
    "model_id": BAD_IDS,
    "market_id": BAD_IDS,
    "outcome": BAD_LABELS,
    "confidence": BAD_CONFIDENCES,
    "predicted_at": BAD_TIMES,
    "price": [*BAD_MONEY, Decimal(-1), Decimal("1.01"), 2],
    "size": [*BAD_MONEY, Decimal(-1), Decimal("-0.01")],
    "fee": [*BAD_MONEY, Decimal(-1)],
    "expires_at": [value for value in BAD_TIMES if value is not None] + [19],
    "metadata": [
        "text", ["list"], 7, {1: "key"}, {"nested": {}}, {"list": []}, {"x": math.nan}, {"x": math.inf},
        {"huge": "x" * 100_000}, {"x": 2**64}, {"x": -(2**63) - 1}, {"x": "\ud800"}, {"\ud800": 1}, {"x": b"bytes"},
        {"x": Decimal(1)}, {f"k{i}": i for i in range(5000)},
    ],
}  # fmt: skip
BAD_RESOLUTIONS: dict[str, list[Any]] = {
    "market_id": BAD_IDS,
    "resolved_at": BAD_TIMES,
    "winner": ["", "x" * 65, "\ud800", 1, True, b"YES", ["YES"]],
    "revision": [-1, 2**31, 2**70, 1.0, "1", True, None],
    "status": ["", "FINAL", "done", None, 1, True],
    "void": [True, 1, "no", None],
    "source": ["x" * 1025, "a\nb", "\ud800", 7, b"x"],
    "payouts": [{"YES": 1.0, "NO": 0.0}, {}],
}
BAD_PAYOUTS: list[Any] = [
    {}, {"YES": math.nan}, {"YES": math.inf}, {"YES": 1.1}, {"YES": -0.1}, {"YES": "1"}, {"YES": None},
    {"YES": True}, {"": 1.0}, {1: 1.0}, {"\ud800": 1.0}, {"x" * 65: 1.0}, {f"L{i}": 0.0 for i in range(1000)},
    [("YES", 1.0)], "YES", 1.0, {"YES": Decimal(1)},
]  # fmt: skip
BAD_OUTCOMES: dict[str, list[Any]] = {
    "prediction_id": BAD_IDS,
    "model_id": BAD_IDS,
    "predicted_outcome": BAD_LABELS,
    "actual_outcome": BAD_LABELS,
    "resolved_at": BAD_TIMES,
    "confidence": [value for value in BAD_CONFIDENCES if value is not None],
    "pnl": BAD_MONEY,
}


def _fields(table: dict[str, list[Any]]) -> list[Any]:
    return [pytest.param(field, values, id=field) for field, values in table.items()]


def _shown(value: Any) -> str:
    return f"{value!r:.60}"


def _refused_at_every_door(
    learner: Learner, bad: Any, good: Any, one: Callable[[Any], Any], many: Callable[..., Any], field: str
) -> None:
    """Alone, without waiting, in a batch of its own, and in a mixed batch beside a duplicate."""
    with pytest.raises(InvalidValueError, match=field):
        one(bad)
    with pytest.raises(BatchError) as refused:
        many([bad])
    assert refused.value.result.accepted == 0
    ((index, error),) = refused.value.result.errors
    assert (index, type(error)) == (0, InvalidValueError)
    result = learner.record([bad], on_error="return")
    assert [type(error) for _, error in result.errors] == [InvalidValueError]
    assert str(error).startswith("INVALID_VALUE ")
    assert len(str(error)) < 1000
    str(error).encode()


@pytest.mark.parametrize(("field", "values"), _fields(BAD_PREDICTIONS))
def test_prediction_with_a_bad_field_is_refused_by_name_and_nothing_changes(
    field: str, values: list[Any], learner: Learner
) -> None:
    for value in values:
        bad = Prediction(**{**PREDICTION, field: value})
        with nothing_changes(learner):
            _refused_at_every_door(
                learner, bad, None, learner.record_prediction, learner.record_predictions, field
            )
            with pytest.raises(InvalidValueError, match=field):
                learner.process_signal(bad)
            with pytest.raises(InvalidValueError, match=field):
                learner.record_prediction_nowait(bad)
            with pytest.raises(InvalidValueError, match=field):
                learner.process_signals_nowait([bad])
            with pytest.raises(BatchError):
                learner.process_signals([bad])
            (refused,) = learner.record_predictions_nowait([bad]).get(ENOUGH_SECONDS).errors
            assert isinstance(refused[1], InvalidValueError), _shown(value)


@pytest.mark.parametrize(
    ("field", "values"),
    [*_fields(BAD_RESOLUTIONS), pytest.param("payouts", BAD_PAYOUTS, id="payouts-alone")],
)
def test_resolution_with_a_bad_field_is_refused_by_name_and_nothing_changes(
    field: str, values: list[Any], learner: Learner
) -> None:
    """Winner and payouts both, or winner and void both, contradict each other even where they agree."""
    for value in values:
        fields = {**RESOLUTION, field: value}
        if values is BAD_PAYOUTS:
            del fields["winner"]
        bad = MarketResolved(**fields)
        with nothing_changes(learner):
            _refused_at_every_door(learner, bad, None, learner.resolve_market, learner.resolve_markets, field)
            with pytest.raises(InvalidValueError, match=field):
                learner.resolve_market_nowait(bad)


def test_resolution_that_says_nothing_is_refused(learner: Learner) -> None:
    with nothing_changes(learner), pytest.raises(InvalidValueError, match="exactly one"):
        learner.resolve_market(market_id="open", resolved_at=30)


@pytest.mark.parametrize(("field", "values"), _fields(BAD_OUTCOMES))
def test_trade_outcome_with_a_bad_field_is_refused_by_name_and_nothing_changes(
    field: str, values: list[Any], learner: Learner
) -> None:
    for value in values:
        bad = TradeOutcome(**{**OUTCOME, field: value})
        with nothing_changes(learner):
            _refused_at_every_door(learner, bad, None, learner.record_outcome, learner.record_outcomes, field)
            with pytest.raises(InvalidValueError, match=field):
                learner.record_outcome_nowait(bad)


@pytest.mark.parametrize("thing", [None, 7, "p", {"prediction_id": "p"}, object(), Prediction])
def test_something_that_is_no_message_is_refused_in_every_bulk_form(thing: Any, learner: Learner) -> None:
    with nothing_changes(learner):
        for many in (
            learner.record_predictions, learner.resolve_markets, learner.record_outcomes, learner.record,
            learner.process_signals,
        ):  # fmt: skip
            with pytest.raises(BatchError) as refused:
                many([thing])
            assert isinstance(refused.value.result.errors[0][1], InvalidValueError)


def test_message_of_another_kind_is_refused(learner: Learner) -> None:
    prediction, resolution = Prediction(**PREDICTION), MarketResolved(**RESOLUTION)
    with nothing_changes(learner):
        for one, message in (
            (learner.record_prediction, resolution), (learner.resolve_market, prediction),
            (learner.record_outcome, prediction), (learner.process_signal, resolution),
        ):  # fmt: skip
            with pytest.raises(InvalidValueError):
                one(message)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "fields", [{}, {"unknown": 1}, {**PREDICTION, "unknown": 1}, {"prediction_id": "p"}, {"confidence": 1}]
)
def test_missing_and_unknown_fields_are_refused_by_name(fields: dict[str, Any], learner: Learner) -> None:
    with nothing_changes(learner), pytest.raises(InvalidValueError, match="the fields of Prediction"):
        learner.record_prediction(**fields)


def test_message_and_fields_together_are_refused(learner: Learner) -> None:
    with nothing_changes(learner), pytest.raises(InvalidValueError, match="not both"):
        learner.record_prediction(Prediction(**PREDICTION), confidence=0.7)


def test_good_items_of_a_batch_are_recorded_beside_bad_ones(learner: Learner) -> None:
    good = [Prediction(**{**PREDICTION, "prediction_id": f"g{i}"}) for i in range(3)]
    bad = Prediction(**{**PREDICTION, "confidence": math.nan})
    with pytest.raises(BatchError) as refused:
        learner.record_predictions([good[0], bad, good[1], good[0], bad, good[2]])
    result = refused.value.result
    assert (result.total, result.accepted, result.duplicates) == (6, 3, 1)
    assert [index for index, _ in result.errors] == [1, 4]
    assert learner.record_predictions(good).duplicates == 3


def test_str_subclass_and_int_confidence_are_taken_and_normalised(learner: Learner) -> None:
    """What loses nothing is no error."""
    fields = {**PREDICTION, "prediction_id": Text("sub"), "confidence": 1, "price": "0.25", "size": 3}
    assert learner.record_prediction(**fields).seq
    assert learner.record_prediction(**{**fields, "confidence": 1.0, "price": Decimal("0.25")}).duplicate


# --------------------------------------------------------- against what is recorded


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_id", "other"), ("market_id", "elsewhere"), ("outcome", "NO"), ("confidence", 0.61),
        ("predicted_at", 21), ("price", None), ("size", Decimal(2)), ("fee", Decimal(1)), ("expires_at", 99),
        ("metadata", {"a": 1}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("market", ["open", "settled"])
def test_prediction_id_with_other_content_is_a_conflict(
    field: str, value: Any, market: str, learner: Learner
) -> None:
    original = {**PREDICTION, "prediction_id": f"p-{market}", "market_id": market}
    with nothing_changes(learner):
        with pytest.raises(ConflictError, match="p-"):
            learner.record_prediction(Prediction(**{**original, field: value}))
        with pytest.raises(ConflictError, match="p-"):
            learner.process_signal(Prediction(**{**original, field: value}))


@pytest.mark.parametrize("archived", [False, True], ids=["in memory", "on disk"])
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"market_id": "settled", "winner": "YES", "revision": 2}, ConflictError),
        ({"market_id": "settled", "void": True, "revision": 2}, ConflictError),
        ({"market_id": "settled", "winner": "NO", "revision": 1}, StaleRevisionError),
        ({"market_id": "settled", "winner": "NO", "revision": 0}, ConflictError),
        ({"market_id": "settled", "winner": "NO", "revision": 2, "status": "proposed"}, StaleRevisionError),
        ({"market_id": "settled", "void": True, "revision": 0}, ConflictError),
        ({"market_id": "void", "winner": "YES", "revision": 0}, ConflictError),
        ({"market_id": "proposed", "winner": "NO", "status": "proposed"}, StaleRevisionError),
    ],
)
def test_resolution_that_contradicts_or_goes_backwards_is_refused(
    fields: dict[str, Any], error: type[HandicapperError], archived: bool, learner: Learner
) -> None:
    if archived:
        learner.snapshot()
    with nothing_changes(learner), pytest.raises(error, match="revision"):
        learner.resolve_market(MarketResolved(resolved_at=30, **fields))


def test_void_after_learning_with_a_higher_revision_takes_the_lesson_back(learner: Learner) -> None:
    before = learner.report("elo")
    receipt = learner.resolve_market(market_id="settled", void=True, resolved_at=30, revision=3)
    assert (receipt.scored, receipt.revised) == (0, 1)
    assert learner.report("elo").n == before.n - 1


@pytest.mark.parametrize("archived", [False, True], ids=["in memory", "on disk"])
@pytest.mark.parametrize(
    "change",
    [
        {"actual_outcome": "YES"},  # the market was resolved NO
        {"model_id": "other", "actual_outcome": "NO"},
        {"predicted_outcome": "NO"},
        {"confidence": 0.7, "actual_outcome": "NO"},
    ],
)
def test_trade_outcome_that_contradicts_its_prediction_or_resolution_is_a_conflict(
    change: dict[str, Any], archived: bool, learner: Learner
) -> None:
    if archived:
        learner.snapshot()
    outcome = TradeOutcome(**{**OUTCOME, "prediction_id": "p-settled", **change})
    with nothing_changes(learner), pytest.raises(ConflictError, match="p-settled"):
        learner.record_outcome(outcome)


@pytest.mark.parametrize("change", [{"actual_outcome": "NO"}, {"pnl": Decimal(2)}, {"model_id": "other"}])
def test_trade_outcome_told_otherwise_a_second_time_is_a_conflict(
    change: dict[str, Any], learner: Learner
) -> None:
    with nothing_changes(learner), pytest.raises(ConflictError, match="p-trade"):
        learner.record_outcome(TradeOutcome(**{**OUTCOME, "prediction_id": "p-trade", **change}))


@pytest.mark.parametrize("archived", [False, True], ids=["in memory", "on disk"])
def test_prediction_made_after_the_resolution_is_refused_as_look_ahead(
    archived: bool, learner: Learner
) -> None:
    if archived:
        learner.snapshot()
    late = Prediction(**{**PREDICTION, "market_id": "settled", "predicted_at": 31})
    with nothing_changes(learner):
        with pytest.raises(PredictedAfterResolutionError, match="settled"):
            learner.record_prediction(late)
        with pytest.raises(PredictedAfterResolutionError, match="settled"):
            learner.process_signal(late)


def test_resolution_before_its_prediction_and_of_an_unknown_market_waits(learner: Learner) -> None:
    """No error: the feed may be ahead of the models."""
    receipt = learner.resolve_market(market_id="later", winner="YES", resolved_at=30)
    assert receipt.waiting
    assert receipt.scored == 0
    scored = learner.record_prediction(Prediction(**{**PREDICTION, "market_id": "later"}))
    assert scored.scored == 1


def test_unknown_model_is_named_and_not_made(learner: Learner) -> None:
    with nothing_changes(learner):
        assert learner.get_adaptive_params("nobody") is None
        for call in (learner.report, learner.pause, learner.resume, learner.reset):
            with pytest.raises(UnknownModelError, match="nobody"):
                call("nobody")


@pytest.mark.parametrize("value", BAD_IDS, ids=_shown)
def test_bad_model_id_is_refused_by_every_question_and_control(value: Any, learner: Learner) -> None:
    with nothing_changes(learner):
        for call in (
            learner.report, learner.pause, learner.resume, learner.reset, learner.get_adaptive_params,
        ):  # fmt: skip
            with pytest.raises(InvalidValueError, match="model_id"):
                call(value)


@pytest.mark.parametrize("value", [value for value in BAD_TIMES if value is not None], ids=_shown)
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
    ],
    ids=_shown,
)  # fmt: skip
def test_selection_with_a_bad_argument_is_refused_by_name(arguments: dict[str, Any], learner: Learner) -> None:
    with nothing_changes(learner), pytest.raises(InvalidValueError):
        learner.thompson_sample(**arguments)


@pytest.mark.parametrize("reason", ["x" * 1025, "a\nb", "\ud800", 7, None], ids=_shown)
def test_bad_reason_is_refused(reason: Any, learner: Learner) -> None:
    with nothing_changes(learner):
        with pytest.raises(InvalidValueError, match="reason"):
            learner.pause("elo", reason=reason)
        with pytest.raises(InvalidValueError, match="reason"):
            learner.reset("elo", reason=reason)


def test_bad_on_error_is_refused(learner: Learner) -> None:
    with nothing_changes(learner), pytest.raises(InvalidValueError, match="on_error"):
        learner.record([], on_error="ignore")  # pyright: ignore[reportArgumentType]


# ------------------------------------------------------------------ use at a wrong time


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
            assert "repeating it is safe" in str(error)
        learner.record_prediction(prediction)
        assert learner.record_prediction(prediction).duplicate
        recorded += 1
    assert learner.statistics().predictions == 4 + recorded
    for call in (learner.models, learner.snapshot, learner.reports):
        try:
            call(timeout=0)
        except DeadlineExceededError as error:
            assert error.code == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("timeout", [-1, math.nan, "1", None, 1e300], ids=_shown)
def test_bad_timeout_is_an_error_by_name_or_harmless(timeout: Any, learner: Learner) -> None:
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
