"""Drives a learner with an event stream, as fast as it takes it and in exactly the stream's order.

Batches are submitted without waiting, up to a bounded number of inputs in flight; acknowledgements are
collected in the order of submission. An error the learner finds is reported at the line it came from.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, NoReturn, Protocol

from ..protocol.errors import BatchError, BusyError, CallerError, HandicapperError
from ..protocol.messages import BatchResult, MarketResolved, Prediction, SignalDecision
from .errors import InputDataError
from .stream import EventStream, Place, PredictionBatch, ResolutionBatch

__all__ = ["ReplayCounts", "ReplayLearner", "drive"]

ACK_TIMEOUT_SECONDS = 60.0
BUSY_TRIES_MAX = 100


class Pending(Protocol):
    """An acknowledgement still to come: a list of decisions or errors, or a BatchResult."""

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the value, or raise what went wrong."""
        ...


class ReplayLearner(Protocol):
    """What a replay needs of a learner."""

    def process_signals_nowait(self, predictions: Iterable[Prediction], /) -> Pending:
        """Record and gate predictions; the future holds a decision or an error for each."""
        ...

    def resolve_markets_nowait(self, resolutions: Iterable[MarketResolved], /) -> Pending:
        """Resolve markets; the future holds a BatchResult."""
        ...


class ReplayCounts(NamedTuple):
    """What the learner said about the inputs of one replay."""

    accepted: int
    """Predictions that passed the gate."""
    rejected: int
    duplicates: int
    """Inputs the state directory already had; they were not counted again."""


class _InFlight(NamedTuple):
    future: Pending
    batch: PredictionBatch | ResolutionBatch


def drive(
    stream: EventStream,
    learner: ReplayLearner,
    *,
    in_flight_inputs_max: int = 16_384,
    shielded: Callable[[], AbstractContextManager[None]] = nullcontext,
    on_batch: Callable[[int], None] | None = None,
) -> ReplayCounts:
    """Send every event of the stream to the learner; return once all of them are durable.

    Args:
        stream: Batches in event-time order.
        learner: Where they go.
        in_flight_inputs_max: Inputs submitted and not yet acknowledged, before the next read.
        shielded: Entered around every call into the learner.
        on_batch: Called with the number of inputs after each submitted batch.

    Raises:
        InputDataError: The stream is wrong, or the learner refused an input as the caller's fault.
        HandicapperError: The learner failed.
    """
    window: deque[_InFlight] = deque()
    in_flight = 0
    totals = [0, 0, 0]
    for batch in stream:
        with shielded():
            while window and in_flight + len(batch.items) > in_flight_inputs_max:
                in_flight -= _collect(window.popleft(), totals)
            window.append(_InFlight(_submit(learner, batch), batch))
        in_flight += len(batch.items)
        if on_batch is not None:
            on_batch(len(batch.items))
    while window:
        with shielded():
            _collect(window.popleft(), totals)
    return ReplayCounts(*totals)


def _submit(learner: ReplayLearner, batch: PredictionBatch | ResolutionBatch) -> Pending:
    tries = 0
    while True:
        try:
            if isinstance(batch, PredictionBatch):
                return learner.process_signals_nowait(batch.items)
            return learner.resolve_markets_nowait(batch.items)
        except CallerError as error:
            _refuse(error, batch.places)
        except BusyError as error:
            # Room was made when the oldest batch was acknowledged, but may be counted a moment later.
            tries += 1
            if tries >= BUSY_TRIES_MAX:
                raise
            time.sleep(error.retry_after_ms / 1000)


def _collect(sent: _InFlight, totals: list[int]) -> int:
    """Wait for one batch and add up its decisions; the number of inputs it frees."""
    try:
        result = sent.future.get(timeout=ACK_TIMEOUT_SECONDS)
    except CallerError as error:
        _refuse(error, sent.batch.places)
    if isinstance(result, BatchResult):
        if result.errors:
            _refuse(BatchError(result), sent.batch.places)
        totals[2] += result.duplicates
    else:
        _count(result, sent.batch.places, totals)
    return len(sent.batch.items)


def _count(
    decisions: list[SignalDecision | HandicapperError], places: list[Place], totals: list[int]
) -> None:
    for decision, place in zip(decisions, places, strict=True):
        if isinstance(decision, HandicapperError):
            _refuse(decision, [place])
        totals[0] += decision.accepted
        totals[1] += not decision.accepted
        totals[2] += decision.duplicate


def _refuse(error: Exception, places: list[Place]) -> NoReturn:
    """Raise the error at the line of the item it is about, or at the lines of the whole batch.

    What is no caller's fault is not blamed on the input.
    """
    index, cause = 0, error
    if isinstance(error, BatchError):
        index, cause = error.result.errors[0]
    if not isinstance(cause, CallerError):
        raise cause
    if cause is error and len(places) > 1:
        problem = f"refused between here and {places[-1].source}, line {places[-1].line}: {error}"
        raise InputDataError(problem, places[0].source, places[0].line) from error
    raise InputDataError(str(cause), places[index].source, places[index].line) from error
