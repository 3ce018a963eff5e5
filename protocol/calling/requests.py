"""What a client asks, checked and ready to be encoded; the same for the blocking and the asyncio client.

Params travel as arrays: the fields' names would be two thirds of a prediction's bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any, Final, Generic, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from ..connection import result_decoder
from ..errors import InvalidValueError
from ..messages import (
    AdaptiveParams,
    BackupReceipt,
    ConfigReply,
    DaemonStatistics,
    DeadLetter,
    DeadLetterReplay,
    Forecast,
    MarketResolved,
    ModelReport,
    ModelSummary,
    PooledForecast,
    PoolReport,
    PosteriorKind,
    Prediction,
    Receipt,
    RestartReceipt,
    Selection,
    SelectionMode,
    SignalDecision,
    SnapshotReceipt,
    TradeOutcome,
    VerifyReport,
)
from ..methods import METHODS
from ..results import message_of
from ..validation import (
    check_forecast,
    check_id,
    check_market_resolved,
    check_mode,
    check_outcomes,
    check_path,
    check_posterior,
    check_prediction,
    check_text,
    check_time,
    check_trade_outcome,
)

__all__ = ["Request", "Spec", "spec_of"]

T = TypeVar("T")
M = TypeVar("M", Prediction, MarketResolved, TradeOutcome)
Time = int | datetime


class Spec(NamedTuple):
    """What a client has to know of a method."""

    name: str
    decode: Callable[[Any], Any]
    """From the bytes of a result to the result."""
    idempotent: bool
    """Whether it may be sent again when its answer was lost."""


@cache
def spec_of(name: str) -> Spec:
    """A method of the table; one that is not in it is asked as it is, and never twice."""
    method = METHODS.get(name)
    if method is None:
        return Spec(name, result_decoder(Any).decode, False)
    return Spec(name, result_decoder(method.result).decode, method.idempotent)


class Request(NamedTuple, Generic[T]):
    """One call: which method, with what, giving a ``T``."""

    spec: Spec
    params: Any


# ---------------------------------------------------------------------- inputs


def resolution_params(resolution: MarketResolved) -> tuple[Any, ...]:
    """The fields of a checked resolution; a plain winner as such, which is what the server reads fastest."""
    payouts = resolution.payouts
    if payouts is not None and len(payouts) == 1:
        ((label, payout),) = payouts.items()
        if payout == 1.0:
            r = resolution
            return (r.market_id, r.resolved_at, None, label, r.void, r.status, r.revision, r.source)
    return astuple(resolution)


class InputKind(NamedTuple, Generic[M]):
    """One of the three kinds of input: its method, how it is checked and written down."""

    message: type[M]
    method: str
    check: Callable[[M], M]
    params: Callable[[M], tuple[Any, ...]]


PREDICTION: Final = InputKind(Prediction, "record_prediction", check_prediction, astuple)
RESOLUTION: Final = InputKind(MarketResolved, "market_resolved", check_market_resolved, resolution_params)
OUTCOME: Final = InputKind(TradeOutcome, "record_outcome", check_trade_outcome, astuple)
SIGNAL: Final = InputKind(Prediction, "process_signal", check_prediction, astuple)

_RECORD_PREDICTION = spec_of("record_prediction")
_MARKET_RESOLVED = spec_of("market_resolved")
_RECORD_OUTCOME = spec_of("record_outcome")
_PROCESS_SIGNAL = spec_of("process_signal")


def record_prediction(prediction: Prediction | None, fields: dict[str, Any]) -> Request[Receipt]:
    return Request(_RECORD_PREDICTION, astuple(check_prediction(message_of(Prediction, prediction, fields))))


def resolve_market(resolution: MarketResolved | None, fields: dict[str, Any]) -> Request[Receipt]:
    checked = check_market_resolved(message_of(MarketResolved, resolution, fields))
    return Request(_MARKET_RESOLVED, resolution_params(checked))


def record_outcome(outcome: TradeOutcome | None, fields: dict[str, Any]) -> Request[Receipt]:
    return Request(_RECORD_OUTCOME, astuple(check_trade_outcome(message_of(TradeOutcome, outcome, fields))))


def process_signal(prediction: Prediction | None, fields: dict[str, Any]) -> Request[SignalDecision]:
    return Request(_PROCESS_SIGNAL, astuple(check_prediction(message_of(Prediction, prediction, fields))))


# -------------------------------------------------------------------- controls


def pause(model_id: str, until: Time | None, reason: str) -> Request[Receipt]:
    return Request(
        spec_of("pause"),
        (check_id("model_id", model_id), _time("until", until), check_text("reason", reason)),
    )


def resume(model_id: str) -> Request[Receipt]:
    return Request(spec_of("resume"), (check_id("model_id", model_id),))


def reset(model_id: str, reason: str) -> Request[Receipt]:
    return Request(spec_of("reset"), (check_id("model_id", model_id), check_text("reason", reason)))


def set_posterior(model_id: str, posterior: PosteriorKind | None) -> Request[Receipt]:
    return Request(
        spec_of("set_posterior"),
        (check_id("model_id", model_id), check_posterior("posterior", posterior)),
    )


def restart(model_id: str) -> Request[RestartReceipt]:
    return Request(spec_of("restart"), (check_id("model_id", model_id),))


def replay_dead_letters(ids: Iterable[int] | None) -> Request[DeadLetterReplay]:
    if isinstance(ids, str | bytes):
        raise InvalidValueError("ids", ids, "several ids of dead letters, such as a list of them")
    return Request(spec_of("replay_dead_letters"), (None if ids is None else list(ids),))


def snapshot() -> Request[SnapshotReceipt]:
    return Request(spec_of("snapshot"), None)


def backup(dest: str | os.PathLike[str]) -> Request[BackupReceipt]:
    return Request(spec_of("backup"), (check_path("dest", dest),))


# ------------------------------------------------------------------- questions


def get_adaptive_params(model_id: str, as_of: Time | None) -> Request[AdaptiveParams | None]:
    return Request(spec_of("get_adaptive_params"), (check_id("model_id", model_id), _time("as_of", as_of)))


def get_adaptive_params_batch(
    model_ids: Iterable[str], as_of: Time | None
) -> Request[list[AdaptiveParams | None]]:
    ids = _ids("model_ids", model_ids)
    return Request(spec_of("get_adaptive_params_batch"), (ids, _time("as_of", as_of)))


class SampleParams(Struct, array_like=True, frozen=True):
    """One Thompson sample to be drawn, as it travels."""

    n: int = 1
    as_of: int | None = None
    models: list[str] | None = None
    selection_id: str | None = None
    seed: int | None = None
    mode: SelectionMode | None = None


def sample_params(
    n: int = 1,
    *,
    as_of: Time | None = None,
    models: Iterable[str] | None = None,
    selection_id: str | None = None,
    seed: int | None = None,
    mode: SelectionMode | None = None,
) -> SampleParams:
    """The params of ``thompson_sample``, checked."""
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n < 2**31:
        raise InvalidValueError(
            "n", n, "a whole number from 1 to the draws that the daemon allows (limits.draws_max)"
        )
    whole_seed = isinstance(seed, int) and not isinstance(seed, bool)
    if seed is not None and not (whole_seed and 0 <= seed < 2**64):
        raise InvalidValueError("seed", seed, "a whole number from 0 to 18446744073709551615")
    return SampleParams(
        n=n,
        as_of=_time("as_of", as_of),
        models=None if models is None else _ids("models", models),
        selection_id=None if selection_id is None else check_id("selection_id", selection_id),
        seed=seed,
        mode=check_mode("mode", mode),
    )


def thompson_sample(params: SampleParams) -> Request[Selection]:
    return Request(spec_of("thompson_sample"), params)


def thompson_sample_batch(samples: Iterable[dict[str, Any]]) -> Request[list[Selection]]:
    return Request(spec_of("thompson_sample_batch"), ([_sample(given) for given in samples],))


def _sample(given: dict[str, Any]) -> SampleParams:
    try:
        return sample_params(**given)
    except TypeError as error:
        expected = f"keyword arguments of thompson_sample: {error}"
        raise InvalidValueError("samples", given, expected) from None


def combine(
    market_id: str | None,
    predictions: Iterable[Forecast | Prediction] | None,
    outcomes: Iterable[str],
    as_of: Time | None,
) -> Request[PooledForecast]:
    if (market_id is None) == (predictions is None):
        raise InvalidValueError("market_id", market_id, "a market or predictions, and not both")
    at, labels = _time("as_of", as_of), sorted(check_outcomes(outcomes))
    if market_id is not None:
        return Request(spec_of("combine"), (check_id("market_id", market_id), None, at, labels))
    if isinstance(predictions, str) or not isinstance(predictions, Iterable):
        raise InvalidValueError("predictions", predictions, "several forecasts, such as a list of Forecast")
    forecasts = [astuple(check_forecast(f"predictions[{i}]", given)) for i, given in enumerate(predictions)]
    return Request(spec_of("combine"), (None, forecasts, at, labels))


def pool(as_of: Time | None) -> Request[PoolReport]:
    return Request(spec_of("pool"), (_time("as_of", as_of),))


def models(as_of: Time | None) -> Request[list[ModelSummary]]:
    return Request(spec_of("models"), (_time("as_of", as_of),))


def report(model_id: str, as_of: Time | None) -> Request[ModelReport]:
    return Request(spec_of("report"), (check_id("model_id", model_id), _time("as_of", as_of)))


def reports(as_of: Time | None) -> Request[list[ModelReport]]:
    return Request(spec_of("reports"), (_time("as_of", as_of),))


def verify() -> Request[VerifyReport]:
    return Request(spec_of("verify"), None)


def statistics() -> Request[DaemonStatistics]:
    return Request(spec_of("statistics"), None)


def dead_letters() -> Request[list[DeadLetter]]:
    return Request(spec_of("dead_letters"), None)


def config() -> Request[ConfigReply]:
    return Request(spec_of("config"), None)


def ping() -> Request[str]:
    return Request(spec_of("ping"), None)


def _time(field: str, value: Time | None) -> int | None:
    return None if value is None else check_time(field, value)


def _ids(field: str, values: Iterable[str]) -> list[str]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidValueError(field, values, "several model ids, such as a list of them")
    return [check_id("model_id", value) for value in values]
