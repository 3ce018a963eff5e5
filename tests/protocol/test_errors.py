from __future__ import annotations

import inspect
from typing import Any

import pytest

from handicapper.protocol import errors
from handicapper.protocol.errors import (
    BatchError,
    BusyError,
    CallerError,
    HandicapperError,
    InvalidValueError,
    RemoteError,
    RuntimeFaultError,
    SettingsError,
    StateError,
    UnknownModelError,
    error_from_wire,
    error_to_wire,
)
from handicapper.protocol.messages import BatchResult

CODES = {
    "HandicapperError": "INTERNAL",
    "CallerError": "BAD_CALL",
    "InvalidValueError": "INVALID_VALUE",
    "ConflictError": "CONFLICT",
    "StaleRevisionError": "STALE_REVISION",
    "PredictedAfterResolutionError": "PREDICTED_AFTER_RESOLUTION",
    "UnknownMarketError": "UNKNOWN_MARKET",
    "UnknownModelError": "UNKNOWN_MODEL",
    "SettingsError": "SETTINGS_INVALID",
    "BatchError": "BATCH_PARTIAL",
    "RuntimeFaultError": "UNAVAILABLE",
    "BusyError": "BUSY",
    "DeadlineExceededError": "DEADLINE_EXCEEDED",
    "ClosedError": "CLOSED",
    "ModelFailedError": "MODEL_FAILED",
    "StateError": "STATE_ERROR",
    "StateLockedError": "STATE_LOCKED",
    "StateDamagedError": "STATE_DAMAGED",
    "StateSchemaError": "STATE_SCHEMA",
    "StoreFailedError": "STORE_FAILED",
    "StoreFullError": "STORE_FULL",
    "ProtocolError": "PROTOCOL_ERROR",
    "BadMessageError": "BAD_MESSAGE",
    "UnknownMethodError": "UNKNOWN_METHOD",
    "TooDeepError": "TOO_DEEP",
    "TooLargeError": "TOO_LARGE",
    "UnframeableError": "UNFRAMEABLE",
    "TimedOutError": "TIMED_OUT",
    "UnauthenticatedError": "UNAUTHENTICATED",
    "ProtocolUnsupportedError": "PROTOCOL_UNSUPPORTED",
    "ConnectionLostError": "CONNECTION_LOST",
    "BackupFailedError": "BACKUP_FAILED",
}
"""Pinned: a code travels, and never changes its meaning. New errors are added here."""

EVERY: list[type[HandicapperError]] = [
    each
    for _, each in inspect.getmembers(errors, inspect.isclass)
    # A RemoteError has the code of whoever sent it.
    if issubclass(each, HandicapperError) and each is not RemoteError
]
every = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)


def made(kind: type[HandicapperError]) -> HandicapperError:
    """One of each, as it is raised."""
    known: dict[Any, HandicapperError] = {
        InvalidValueError: InvalidValueError("confidence", 1.2, "a number from 0 to 1"),
        UnknownModelError: UnknownModelError("elo"),
        SettingsError: SettingsError(["ema_alpha was 2", "seed was -1"], "x.toml"),
        BatchError: BatchError(partial()),
    }
    return known.get(kind) or kind("what was there, and what to do")


def partial() -> BatchResult:
    refused = ((3, InvalidValueError("size", -1, "not negative")), (5, UnknownModelError("elo")))
    return BatchResult(total=7, accepted=5, duplicates=0, scored=0, revised=0, errors=refused, seq=5)


def test_codes_are_pinned_and_unique() -> None:
    assert {kind.__name__: kind.code for kind in EVERY} == CODES
    assert len(set(CODES.values())) == len(CODES)


@every
def test_error_has_a_code_of_its_own_and_a_fault(kind: type[HandicapperError]) -> None:
    assert "code" in vars(kind), "inherited: two errors would share it"
    assert kind.code.isupper()
    assert " " not in kind.code
    assert kind.fault in ("ours", "caller")
    assert (kind.fault == "caller") == issubclass(kind, CallerError)
    assert kind in (HandicapperError, CallerError) or issubclass(kind, CallerError | RuntimeFaultError)


@every
def test_error_text_is_its_code_and_a_readable_message(kind: type[HandicapperError]) -> None:
    error = made(kind)
    assert str(error) == f"{kind.code} {error.message}"
    assert len(error.message.split()) >= 5
    assert "object at 0x" not in str(error)


@every
def test_error_is_documented_exported_and_in_the_tree(kind: type[HandicapperError]) -> None:
    assert kind.__doc__
    assert kind.__name__ in errors.__all__
    tree = errors.__doc__ or ""
    assert kind.__name__ in tree


def test_error_without_a_message_still_shows_its_code() -> None:
    assert str(CallerError()) == "BAD_CALL "


def test_invalid_value_shortens_what_it_shows() -> None:
    error = InvalidValueError("prediction_id", "x" * 10_000, "an id")
    assert len(str(error)) < 200
    assert "10000 characters" in str(error)
    assert error.value == "x" * 10_000


def test_settings_error_lists_every_problem_and_the_file() -> None:
    error = made(SettingsError)
    assert isinstance(error, SettingsError)
    assert error.problems == ("ema_alpha was 2", "seed was -1")
    assert all(text in str(error) for text in ("x.toml", *error.problems))


def test_batch_error_names_the_first_refused_item_and_carries_all() -> None:
    error = BatchError(partial(), ["decision"])
    assert "2 of 7 items were refused" in str(error)
    assert "item 3: INVALID_VALUE size was -1" in str(error)
    assert [index for index, _ in error.result.errors] == [3, 5]
    assert error.decisions == ["decision"]


def test_busy_error_says_when_to_come_back() -> None:
    error = BusyError("the mailbox is full", 200)
    assert error.retry_after_ms == 200
    assert str(error) == "BUSY the mailbox is full; retry after 200 ms"


def test_state_errors_can_be_caught_together() -> None:
    below = {kind.__name__ for kind in EVERY if issubclass(kind, StateError)} - {"StateError"}
    assert below == {
        "StateLockedError",
        "StateDamagedError",
        "StateSchemaError",
        "StoreFailedError",
        "StoreFullError",
    }


@every
def test_error_comes_back_from_the_wire_as_it_went(kind: type[HandicapperError]) -> None:
    error = made(kind)
    fault, text = error_to_wire(error)
    assert (fault, text) == (int(error.fault == "caller"), str(error))
    back = error_from_wire([fault, text])
    # What a batch was refused for is in its result, so its error never travels.
    assert type(back) is kind or kind is BatchError
    assert (back.code, back.fault, str(back)) == (error.code, error.fault, text)


@pytest.mark.parametrize("sent", [None, 7, [], [1], [1, 2], [1, "A", "B"], {"code": 1}, ["x", b"\xff"]])
def test_an_error_of_an_unknown_form_is_an_error_all_the_same(sent: object) -> None:
    assert isinstance(error_from_wire(sent), HandicapperError)


def test_an_error_with_a_code_of_a_later_release_keeps_code_and_fault() -> None:
    back = error_from_wire([1, "OUT_OF_LUCK try tomorrow"])
    assert (back.code, back.fault, back.message) == ("OUT_OF_LUCK", "caller", "try tomorrow")


def test_the_hint_of_a_busy_error_survives_the_wire() -> None:
    back = error_from_wire(error_to_wire(BusyError("full", retry_after_ms=70)))
    assert isinstance(back, BusyError)
    assert back.retry_after_ms == 70
