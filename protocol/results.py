"""What the embedded learner and its clients have in common: calls by fields, and results of many put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from .errors import BatchError, InvalidValueError
from .messages import BatchResult, MarketResolved, Prediction, SignalDecision, TradeOutcome

__all__ = ["OnError", "check_on_error", "merged", "message_of", "signals_refused"]

M = TypeVar("M", Prediction, MarketResolved, TradeOutcome)
OnError = Literal["raise", "return"]


def message_of(kind: type[M], message: M | None, fields: dict[str, Any]) -> M:
    """The message given, or one made of the fields given; InvalidValueError if it is neither."""
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


def check_on_error(on_error: OnError) -> OnError:
    """``on_error``, or InvalidValueError."""
    if on_error not in ("raise", "return"):
        raise InvalidValueError("on_error", on_error, "raise or return")
    return on_error


def merged(
    total: int, results: Sequence[BatchResult], errors: Iterable[tuple[int, Exception]]
) -> BatchResult:
    """One result of the batches that ``total`` items were sent in; ``errors`` by their place among all."""
    return BatchResult(
        total=total,
        accepted=sum(result.accepted for result in results),
        duplicates=sum(result.duplicates for result in results),
        scored=sum(result.scored for result in results),
        revised=sum(result.revised for result in results),
        errors=tuple(sorted(errors, key=lambda item: item[0])),
        seq=max((result.seq for result in results), default=0),
    )


def signals_refused(
    total: int, decisions: list[SignalDecision], refused: Mapping[int, Exception]
) -> BatchError:
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
