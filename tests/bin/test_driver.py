from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest

from handicapper.bin.driver import drive
from handicapper.bin.errors import InputDataError
from handicapper.bin.rows import Row, read_rows
from handicapper.bin.stream import EventStream
from handicapper.protocol.errors import (
    BatchError,
    BusyError,
    ConflictError,
    DeadlineExceededError,
    HandicapperError,
    InvalidValueError,
    StoreFailedError,
)
from handicapper.protocol.messages import BatchResult, MarketResolved, Prediction, SignalDecision

from .streams import hour, line, text


class Future:
    """Ready at once; remembers that it was waited for."""

    def __init__(self, learner: RecordingLearner, value: Any) -> None:
        self.learner = learner
        self.value = value

    def get(self, timeout: float | None = None) -> Any:
        assert timeout is not None
        self.learner.in_flight -= self.learner.sizes.pop(0)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


class RecordingLearner:
    """Takes everything, in order; answers what ``answers`` says for the n-th batch, else success."""

    def __init__(self, answers: dict[int, Any] | None = None) -> None:
        self.taken: list[str] = []
        self.sizes: list[int] = []
        self.in_flight = 0
        self.in_flight_most = 0
        self.batches = 0
        self.answers = answers or {}

    def process_signals_nowait(self, predictions: list[Prediction]) -> Future:
        self.taken += [p.prediction_id for p in predictions]
        return self._answer(len(predictions), [decision(p) for p in predictions])

    def resolve_markets_nowait(self, resolutions: list[MarketResolved]) -> Future:
        self.taken += [f"{r.market_id}={r.winner}" for r in resolutions]
        return self._answer(len(resolutions), result(len(resolutions)))

    def _answer(self, size: int, usual: Any) -> Future:
        self.sizes.append(size)
        self.in_flight += size
        self.in_flight_most = max(self.in_flight, self.in_flight_most)
        self.batches += 1
        return Future(self, self.answers.get(self.batches - 1, usual))


def decision(prediction: Prediction) -> SignalDecision:
    accepted = prediction.confidence >= 0.6
    return SignalDecision(
        prediction_id=prediction.prediction_id,
        model_id=prediction.model_id,
        accepted=accepted,
        reason="accepted" if accepted else "below_threshold",
        confidence=prediction.confidence,
        confidence_threshold=0.6,
        weight=1.0,
        size_multiplier=0.0,
        ema_accuracy=0.5,
        adapted=False,
        duplicate=prediction.model_id == "again",
    )


def result(total: int, duplicates: int = 0, errors: tuple[tuple[int, Exception], ...] = ()) -> BatchResult:
    return BatchResult(
        total=total,
        accepted=total - len(errors),
        duplicates=duplicates,
        scored=0,
        revised=0,
        errors=errors,
        seq=1,
    )


def rows_of(*lines: str) -> list[Row]:
    return list(read_rows(io.StringIO(text(lines)), "a.csv"))


def stream_of(*lines: str) -> EventStream:
    return EventStream(rows_of(*lines), batch_items_max=3)


SIX = [line(f"e{index}", hour(index), hour(index + 2), confidence=f"0.{5 + index}") for index in range(4)]


def test_drive_sends_everything_in_order_and_collects_every_acknowledgement():
    learner = RecordingLearner()
    sent: list[int] = []
    counts = drive(stream_of(*SIX), learner, on_batch=sent.append)
    assert learner.taken == ["e0/elo", "e1/elo", "e0=YES", "e2/elo", "e1=YES", "e3/elo", "e2=YES", "e3=YES"]
    assert learner.in_flight == 0
    assert sum(sent) == 8
    assert (counts.accepted, counts.rejected, counts.duplicates) == (3, 1, 0)


def test_drive_tries_a_busy_learner_again():
    class BusyAtFirst(RecordingLearner):
        refusals = 3

        def _answer(self, size: int, usual: Any) -> Future:
            if self.refusals:
                self.refusals -= 1
                raise BusyError("full", retry_after_ms=0)
            return super()._answer(size, usual)

    assert drive(stream_of(line()), BusyAtFirst()).accepted == 1


def test_drive_gives_up_on_a_learner_that_stays_busy():
    class Busy(RecordingLearner):
        def _answer(self, size: int, usual: Any) -> Future:
            raise BusyError("full", retry_after_ms=0)

    with pytest.raises(BusyError):
        drive(stream_of(line()), Busy())


def test_drive_keeps_no_more_in_flight_than_its_window():
    learner = RecordingLearner()
    drive(stream_of(*[line(f"e{index}") for index in range(50)]), learner, in_flight_inputs_max=7)
    assert learner.in_flight_most == 6


def test_drive_counts_duplicates_of_both_kinds():
    learner = RecordingLearner({1: result(1, duplicates=1)})
    counts = drive(stream_of(line(), line(model="again")), learner)
    assert counts.duplicates == 2


def test_drive_enters_the_shield_around_every_call_and_never_around_a_read():
    depth = 0

    @contextlib.contextmanager
    def shield():
        nonlocal depth
        depth += 1
        yield
        depth -= 1

    class Watching(RecordingLearner):
        def _answer(self, size: int, usual: Any) -> Future:
            assert depth == 1
            return super()._answer(size, usual)

    def lines():
        for each in text(SIX).splitlines(keepends=True):
            assert depth == 0
            yield each

    drive(EventStream(read_rows(lines(), "a.csv")), Watching(), shielded=shield)


REFUSAL = ConflictError("prediction e2/elo says other things")
REFUSED = result(3, errors=((2, REFUSAL),))


@pytest.mark.parametrize("answer", [REFUSED, BatchError(REFUSED), [None, None, REFUSAL]], ids=repr)
def test_an_item_the_learner_refuses_is_named_with_its_line(answer):
    if isinstance(answer, list):
        answer = [*(decision(row.prediction) for row in rows_of(line("e0"), line("e1"))), answer[2]]
    learner = RecordingLearner({0: answer})
    with pytest.raises(InputDataError) as caught:
        drive(stream_of(*[line(f"e{index}") for index in range(3)]), learner)
    assert str(caught.value) == "INPUT_INVALID a.csv, line 4: CONFLICT prediction e2/elo says other things"


def test_a_whole_batch_that_is_refused_is_named_with_its_lines():
    learner = RecordingLearner({0: InvalidValueError("model_id", "", "an id")})
    with pytest.raises(
        InputDataError, match=r"line 2: refused between here and a\.csv, line 4: INVALID_VALUE"
    ):
        drive(stream_of(*[line(f"e{index}") for index in range(3)]), learner)


def test_a_submission_that_is_refused_at_once_is_named_with_its_line():
    class Refusing(RecordingLearner):
        def _answer(self, size: int, usual: Any) -> Future:
            raise ConflictError("no")

    with pytest.raises(InputDataError, match=r"a\.csv, line 2: CONFLICT no"):
        drive(stream_of(line()), Refusing())


@pytest.mark.parametrize("error", [StoreFailedError("disk full"), DeadlineExceededError("60 s")])
@pytest.mark.parametrize("per_item", [True, False])
def test_a_fault_of_the_learner_is_not_blamed_on_the_input(error, per_item):
    with pytest.raises(HandicapperError) as caught:
        drive(stream_of(line()), RecordingLearner({0: [error] if per_item else error}))
    assert caught.value is error
