"""Bulk forms: checked item by item, sent in chunks, answered as one result."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final, NamedTuple

from ..protocol.errors import BatchError, HandicapperError
from ..protocol.messages import BatchResult
from ..protocol.results import OnError, check_on_error, merged
from .calls import Reply
from .engine import Engine

__all__ = ["checked", "send_all", "send_all_nowait"]

CHUNKS_IN_FLIGHT_MAX: Final = 4
"""Enough that the journal never waits for the next chunk; bounds the memory of a bulk call."""


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


def send_all(
    engine: Engine, items: Iterable[Any], check: Callable[[Any], Any], timeout: float, on_error: OnError
) -> BatchResult:
    """Send inputs in chunks, as many at a time as may be in flight; return once all of them are durable.

    Raises:
        BatchError: some were refused, and ``on_error`` is not "return".
        DeadlineExceededError: not done within ``timeout`` seconds; repeating the call is safe.

    """
    check_on_error(on_error)
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
    result = merged(total, results, errors)
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
        reply.set(merged(len(items), [], refused))
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
        reply.set(merged(len(items), [result], [*refused, *errors]))

    inner.add_done_callback(done)
    return reply
