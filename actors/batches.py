"""Bulk forms: checked item by item, sent in chunks, answered as one result."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final, Literal, NamedTuple, TypeVar

from ..protocol.errors import BatchError, HandicapperError, InvalidValueError
from ..protocol.messages import (
    BatchResult,
    MarketResolved,
    Prediction,
    SignalDecision,
    TradeOutcome,
)
from .calls import Reply
from .engine import Engine

__all__ = ["OnError", "checked", "message_of", "send_all", "send_all_nowait", "signals_refused"]

M = TypeVar("M", Prediction, MarketResolved, TradeOutcome)
OnError = Literal["raise", "return"]

CHUNKS_IN_FLIGHT_MAX: Final = 4
"""Enough that the journal never waits for the next chunk; bounds the memory of a bulk call."""


def message_of(kind: type[M], message: M | None, fields: dict[str, Any]) -> M:
    """The message given, or one made of the fields given."""
    if message is None:
        try:
            return kind(**fields)
        except TypeError as error:
            known = ", ".join(kind.__struct_fields__)
            raise InvalidValueError(
                "fields", sorted(fields), f"the fields of {kind.__name__} ({known}): {error}"
            ) from None
    if fields:
        raise InvalidValueError("fields", sorted(fields), f"either a {kind.__name__} or its fields, not both")
    if not isinstance(message, kind):
        raise InvalidValueError("message", message, f"a {kind.__name__}")
    return message


def checked(
    items: Iterable[Any], check: Callable[[Any], Any]
) -> tuple[list[tuple[int, Any]], list[tuple[int, Exception]]]:
    """(index, message) of the valid items, (index, error) of the others."""
    valid: list[tuple[int, Any]] = []
    errors: list[tuple[int, Exception]] = []
    for index, item in enumerate(items):
        try:
            valid.append((index, check(item)))
        except HandicapperError as error:
            errors.append((index, error))
    return valid, errors


def _merged(total: int, results: list[BatchResult], errors: list[tuple[int, Exception]]) -> BatchResult:
    return BatchResult(
        total=total,
        accepted=sum(result.accepted for result in results),
        duplicates=sum(result.duplicates for result in results),
        scored=sum(result.scored for result in results),
        revised=sum(result.revised for result in results),
        errors=tuple(sorted(errors, key=lambda item: item[0])),
        seq=max((result.seq for result in results), default=0),
    )


def signals_refused(total: int, decisions: list[SignalDecision], refused: dict[int, Exception]) -> BatchError:
    """The error for signals of which some were refused."""
    result = BatchResult(
        total=total,
        accepted=sum(not decision.duplicate for decision in decisions),
        duplicates=sum(decision.duplicate for decision in decisions),
        scored=0,
        revised=0,
        errors=tuple(sorted(refused.items())),
        seq=max((decision.seq for decision in decisions), default=0),
    )
    return BatchError(result, decisions)


def send_all(
    engine: Engine, items: Iterable[Any], check: Callable[[Any], Any], timeout: float, on_error: OnError
) -> BatchResult:
    """Send inputs in chunks, as many at a time as may be in flight; return once all of them are durable.

    Raises:
        BatchError: some were refused, and ``on_error`` is not "return".
        DeadlineExceededError: not done within ``timeout`` seconds; repeating the call is safe.

    """
    if on_error not in ("raise", "return"):
        raise InvalidValueError("on_error", on_error, "raise or return")
    deadline = engine.clock.monotonic() + timeout
    size = engine.settings.limits.batch_inputs_max
    window: deque[_Sent] = deque()
    results: list[BatchResult] = []
    errors: list[tuple[int, Exception]] = []
    total = 0
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        valid, refused = checked(chunk, check)
        errors.extend((total + index, error) for index, error in refused)
        if valid:
            if len(window) >= CHUNKS_IN_FLIGHT_MAX:
                results.append(_collect(window.popleft(), errors, deadline - engine.clock.monotonic()))
            left = max(deadline - engine.clock.monotonic(), 0.0)
            reply = engine.submit([message for _, message in valid], timeout=left)
            # Only where items were refused do places in the chunk differ from places in what was sent.
            places = None if not refused else [index for index, _ in valid]
            window.append(_Sent(total, places, reply))
        total += len(chunk)
    while window:
        results.append(_collect(window.popleft(), errors, deadline - engine.clock.monotonic()))
    result = _merged(total, results, errors)
    if result.errors and on_error == "raise":
        raise BatchError(result)
    return result


class _Sent(NamedTuple):
    start: int
    places: list[int] | None
    reply: Reply[BatchResult]


def _collect(sent: _Sent, errors: list[tuple[int, Exception]], timeout: float) -> BatchResult:
    result = sent.reply.get(max(timeout, 0.0))
    places = sent.places
    for index, error in result.errors:
        errors.append((sent.start + (index if places is None else places[index]), error))
    return result


def send_all_nowait(engine: Engine, items: list[Any], check: Callable[[Any], Any]) -> Reply[BatchResult]:
    """Send inputs at once, without waiting; refused ones are in the result's ``errors``.

    Raises:
        BusyError: too many inputs are in flight; none was sent.

    """
    valid, refused = checked(items, check)
    reply: Reply[BatchResult] = Reply(engine.router.cell)
    if not valid:
        reply.set(_merged(len(items), [], refused))
        return reply
    inner = engine.submit([message for _, message in valid])
    if not refused:
        return inner

    def done(_: Any) -> None:
        error = inner.exception()
        if error is not None:
            reply.set_exception((type(error), error, None))
            return
        result = inner.get(0)
        errors = [(valid[index][0], error) for index, error in result.errors]
        reply.set(_merged(len(items), [result], [*refused, *errors]))

    inner.add_done_callback(done)
    return reply
