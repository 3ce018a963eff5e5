"""Bulk calls: checked item by item, sent as batches that the server takes, answered as one result. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from msgspec import Raw

from ..connection import encode
from ..errors import BatchError, BusyError, HandicapperError, InvalidValueError, TooLargeError
from ..limits import WireLimits
from ..messages import BatchResult, MarketResolved, Prediction, SignalBatch, SignalDecision, TradeOutcome
from ..results import OnError, merged, signals_refused
from .requests import OUTCOME, PREDICTION, RESOLUTION, SIGNAL, InputKind, Request, spec_of

__all__ = ["BATCHES_IN_FLIGHT_MAX", "InputBulk", "Part", "SignalBulk"]

BATCHES_IN_FLIGHT_MAX: Final = 4
"""Enough that the server never waits for the next one; bounds the memory of a bulk call."""
BATCH_ITEMS: Final = 1024
ENVELOPE_BYTES: Final = 64
"""Room for what is around the items in a message."""

_KINDS: Final[dict[type, InputKind[Any]]] = {
    Prediction: PREDICTION,
    MarketResolved: RESOLUTION,
    TradeOutcome: OUTCOME,
}


class Part(NamedTuple):
    """One batch of a bulk call: the request, and what its items are among all."""

    request: Request[Any]
    items: list[_Item]


class _Item(NamedTuple):
    place: int
    kind: InputKind[Any]
    params: Any


class _Bulk:
    """One bulk call: iterate over it for its parts, and give it the result of each.

    ``kind`` None takes the three kinds of input mixed: neighbours of one kind share a part, so that the order
    is kept.
    """

    def __init__(self, items: Iterable[Any], kind: InputKind[Any] | None, limits: WireLimits) -> None:
        self._given = iter(items)
        self._kind = kind
        self._bytes_max = limits.message_bytes_max - ENVELOPE_BYTES
        self._items_max = max(1, min(BATCH_ITEMS, limits.batch_items_max))
        self._total = 0
        self._refused: dict[int, Exception] = {}
        self._busy: list[_Item] = []

    def __iter__(self) -> Iterator[Part]:
        while given := list(islice(self._given, self._items_max)):
            yield from self._parts_of(self._checked(given))

    def again(self) -> list[Part]:
        """Parts of the items that the server was too busy for; they are worth another try after a while."""
        busy, self._busy = self._busy, []
        for item in busy:
            self._refused.pop(item.place, None)
        return list(self._parts_of(sorted(busy, key=lambda item: item.place)))

    @property
    def retry_seconds(self) -> float | None:
        """How long to wait before :meth:`again`; None where there is nothing to try again."""
        hints = [self._refused[item.place] for item in self._busy]
        return max((e.retry_after_ms / 1000 for e in hints if isinstance(e, BusyError)), default=None)

    def _checked(self, given: list[Any]) -> Iterator[_Item]:
        for message in given:
            place = self._total
            self._total += 1
            try:
                kind = self._kind or _kind_of(message)
                yield _Item(place, kind, kind.params(kind.check(message)))
            except HandicapperError as error:
                self._refused[place] = error

    def _parts_of(self, items: Iterable[_Item]) -> Iterator[Part]:
        """Runs of one kind."""
        run: list[_Item] = []
        for item in items:
            if run and (item.kind is not run[0].kind or len(run) >= self._items_max):
                yield from self._fitting(run)
                run = []
            run.append(item)
        if run:
            yield from self._fitting(run)

    def _fitting(self, items: list[_Item]) -> Iterator[Part]:
        """One part, or several where the message would be too large."""
        encoded = encode([item.params for item in items])
        if len(encoded) <= self._bytes_max:
            yield Part(Request(spec_of(f"{items[0].kind.method}_batch"), [Raw(encoded)]), items)
        elif len(items) == 1:
            text = (
                f"an item of {len(encoded)} bytes is larger than the {self._bytes_max} bytes the server takes"
            )
            self._refused[items[0].place] = TooLargeError(text)
        else:
            half = len(items) // 2
            yield from self._fitting(items[:half])
            yield from self._fitting(items[half:])

    def _take_errors(self, part: Part, errors: Iterable[tuple[int, Exception]]) -> None:
        for index, error in errors:
            item = part.items[index]
            self._refused[item.place] = error
            if isinstance(error, BusyError):
                self._busy.append(item)


class InputBulk(_Bulk):
    """Many predictions, resolutions or trade outcomes."""

    def __init__(self, items: Iterable[Any], kind: InputKind[Any] | None, limits: WireLimits) -> None:
        super().__init__(items, kind, limits)
        self._results: list[BatchResult] = []

    def take(self, part: Part, result: BatchResult) -> None:
        """What became of one part."""
        self._results.append(result)
        self._take_errors(part, result.errors)

    def outcome(self, on_error: OnError) -> BatchResult:
        """What became of all.

        Raises:
            BatchError: some were refused, and ``on_error`` is "raise".

        """
        result = merged(self._total, self._results, self._refused.items())
        if result.errors and on_error == "raise":
            raise BatchError(result)
        return result


class SignalBulk(_Bulk):
    """Many signals."""

    def __init__(self, items: Iterable[Any], limits: WireLimits) -> None:
        super().__init__(items, SIGNAL, limits)
        self._decided: dict[int, SignalDecision] = {}

    def take(self, part: Part, result: SignalBatch) -> None:
        """What became of one part."""
        for item, decision in zip(part.items, result.decisions, strict=True):
            if decision is not None:
                self._decided[item.place] = decision
        self._take_errors(part, result.errors)

    def each(self) -> list[SignalDecision | HandicapperError]:
        """A decision or an error for each, in order."""
        everything: dict[int, Any] = {**self._refused, **self._decided}
        return [everything[place] for place in sorted(everything)]

    def outcome(self) -> list[SignalDecision]:
        """The decisions, in order.

        Raises:
            BatchError: some were refused; ``error.decisions`` holds the decisions of the others.

        """
        decisions = [self._decided[place] for place in sorted(self._decided)]
        if not self._refused:
            return decisions
        raise signals_refused(self._total, decisions, self._refused)


def _kind_of(message: object) -> InputKind[Any]:
    kind = _KINDS.get(type(message))
    if kind is None:
        raise InvalidValueError("input", message, "a Prediction, MarketResolved or TradeOutcome")
    return kind
