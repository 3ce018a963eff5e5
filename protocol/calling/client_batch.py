"""Calls of a blocking client that are collected and sent together, and calls that are not answered at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

from ..errors import ClosedError
from ..limits import WireLimits
from ..messages import (
    AdaptiveParams,
    MarketResolved,
    ModelReport,
    ModelSummary,
    PosteriorKind,
    Prediction,
    Receipt,
    RestartReceipt,
    Selection,
    SelectionMode,
    SignalDecision,
    TradeOutcome,
)
from . import requests
from .bulk import InputBulk
from .link import Link
from .replies import Reply
from .requests import OUTCOME, PREDICTION, RESOLUTION, InputKind, Request, sample_params, spec_of

__all__ = ["Batch", "BatchReply", "Notify"]

T = TypeVar("T")


class BatchReply(Reply[T]):
    """The result to come of a call in a batch. Asking for it sends the batch, if that was not done yet."""

    __slots__ = ("batch",)

    batch: Batch

    def _wait(self, timeout: float | None) -> None:
        self.batch.send()
        if not self.done:
            super()._wait(timeout)


class Batch:
    """Collects calls and sends them in as few writes as possible, when the ``with`` block is left.

    Each call gives a reply at once; after the block every one of them is done, and ``reply.result()`` gives its
    result or raises its error. Different calls may be mixed; what changes something takes effect in order.
    If the block is left by an exception, nothing is sent.
    """

    def __init__(self, link: Link, timeout_seconds: float) -> None:
        self._link = link
        self._timeout_seconds = timeout_seconds
        self._unsent: list[Reply[Any]] = []
        self._over = False

    def __enter__(self) -> Batch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over = True
        if error is None:
            self.send()
            return
        for reply in self._unsent:
            reply.refuse(ClosedError("the batch was left by an exception; the call was not sent"))
        self._unsent.clear()

    def send(self) -> None:
        """Send what was collected so far, and return once all of it is answered or over its deadline.

        Raises nothing that is about a single call: that is what the replies are for.
        """
        replies, self._unsent = self._unsent, []
        deadline = monotonic() + self._timeout_seconds
        for reply in replies:
            reply.deadline = deadline
        try:
            self._link.submit_all(replies)
            for reply in replies:
                self._link.wait(reply, deadline)
        finally:
            for reply in replies:
                if not reply.done:
                    self._link.give_up(reply)

    def call(self, method: str, params: Any = None) -> Reply[Any]:
        """Any method, with params as they travel."""
        return self._add(Request(spec_of(method), params))

    def _add(self, request: Request[T]) -> Reply[T]:
        if self._over:
            raise ClosedError("the batch is over; begin another")
        msgid, data = self._link.exchange.encoded(request)
        reply: BatchReply[T] = BatchReply(self._link, request.spec, msgid, data, float("inf"))
        reply.batch = self
        self._unsent.append(reply)
        return reply

    # ------------------------------------------------------- the client's calls

    def record_prediction(self, prediction: Prediction | None = None, /, **fields: Any) -> Reply[Receipt]:
        """As the client's."""
        return self._add(requests.record_prediction(prediction, fields))

    def resolve_market(self, resolution: MarketResolved | None = None, /, **fields: Any) -> Reply[Receipt]:
        """As the client's."""
        return self._add(requests.resolve_market(resolution, fields))

    def record_outcome(self, outcome: TradeOutcome | None = None, /, **fields: Any) -> Reply[Receipt]:
        """As the client's."""
        return self._add(requests.record_outcome(outcome, fields))

    def process_signal(self, prediction: Prediction | None = None, /, **fields: Any) -> Reply[SignalDecision]:
        """As the client's."""
        return self._add(requests.process_signal(prediction, fields))

    def pause(self, model_id: str, until: int | datetime | None = None, reason: str = "") -> Reply[Receipt]:
        """As the client's."""
        return self._add(requests.pause(model_id, until, reason))

    def resume(self, model_id: str) -> Reply[Receipt]:
        """As the client's."""
        return self._add(requests.resume(model_id))

    def reset(self, model_id: str, reason: str = "") -> Reply[Receipt]:
        """As the client's."""
        return self._add(requests.reset(model_id, reason))

    def set_posterior(self, model_id: str, posterior: PosteriorKind | None) -> Reply[Receipt]:
        """As the client's."""
        return self._add(requests.set_posterior(model_id, posterior))

    def restart(self, model_id: str) -> Reply[RestartReceipt]:
        """See :meth:`.client_controls.ClientControls.restart`."""
        return self._add(requests.restart(model_id))

    def get_adaptive_params(
        self, model_id: str, *, as_of: int | datetime | None = None
    ) -> Reply[AdaptiveParams | None]:
        """As the client's."""
        return self._add(requests.get_adaptive_params(model_id, as_of))

    def thompson_sample(
        self,
        n: int = 1,
        *,
        as_of: int | datetime | None = None,
        models: Iterable[str] | None = None,
        selection_id: str | None = None,
        seed: int | None = None,
        mode: SelectionMode | None = None,
    ) -> Reply[Selection]:
        """As the client's."""
        params = sample_params(n, as_of=as_of, models=models, selection_id=selection_id, seed=seed, mode=mode)
        return self._add(requests.thompson_sample(params))

    def models(self, *, as_of: int | datetime | None = None) -> Reply[list[ModelSummary]]:
        """As the client's."""
        return self._add(requests.models(as_of))

    def report(self, model_id: str, *, as_of: int | datetime | None = None) -> Reply[ModelReport]:
        """As the client's."""
        return self._add(requests.report(model_id, as_of))

    def ping(self) -> Reply[str]:
        """As the client's."""
        return self._add(requests.ping())


class Notify:
    """Recording without an answer: each call returns once the message is with the kernel.

    What the daemon refuses it counts, logs and keeps as a dead letter. What was in the kernel's buffers when
    the connection was lost is lost too: where that matters, use the calls that are answered. If the daemon is
    full, a call waits until it takes messages again.
    """

    def __init__(self, send: Callable[[Request[Any]], None], limits: Callable[[], WireLimits]) -> None:
        self._send = send
        self._limits = limits

    def record_prediction(self, prediction: Prediction | None = None, /, **fields: Any) -> None:
        """As the client's.

        Raises:
            InvalidValueError: a field is wrong.
            DeadlineExceededError: it could not be written in time.

        """
        self._send(requests.record_prediction(prediction, fields))

    def resolve_market(self, resolution: MarketResolved | None = None, /, **fields: Any) -> None:
        """As the client's; raises as :meth:`record_prediction`."""
        self._send(requests.resolve_market(resolution, fields))

    def record_outcome(self, outcome: TradeOutcome | None = None, /, **fields: Any) -> None:
        """As the client's; raises as :meth:`record_prediction`."""
        self._send(requests.record_outcome(outcome, fields))

    def process_signal(self, prediction: Prediction | None = None, /, **fields: Any) -> None:
        """As the client's, for the record alone: the decision is not told."""
        self._send(requests.process_signal(prediction, fields))

    def record_predictions(self, predictions: Iterable[Prediction]) -> None:
        """Many.

        Raises:
            BatchError: some were wrong and not sent; the others were.

        """
        self._send_all(predictions, PREDICTION)

    def resolve_markets(self, resolutions: Iterable[MarketResolved]) -> None:
        """Many; raises as :meth:`record_predictions`."""
        self._send_all(resolutions, RESOLUTION)

    def record_outcomes(self, outcomes: Iterable[TradeOutcome]) -> None:
        """Many; raises as :meth:`record_predictions`."""
        self._send_all(outcomes, OUTCOME)

    def _send_all(self, items: Iterable[Any], kind: InputKind[Any]) -> None:
        bulk = InputBulk(items, kind, self._limits())
        for part in bulk:
            self._send(part.request)
        bulk.outcome("raise")
