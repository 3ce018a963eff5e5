"""Every error handicapper raises, each with a stable ``code``.

::

    HandicapperError
    ├── CallerError                    the caller can mend it (fault "caller")
    │   ├── InvalidValueError          INVALID_VALUE: a field is out of its range
    │   ├── ConflictError              CONFLICT: same idempotency key, other content
    │   ├── StaleRevisionError         STALE_REVISION: a revision goes backwards
    │   ├── PredictedAfterResolutionError   PREDICTED_AFTER_RESOLUTION: look-ahead
    │   ├── UnknownModelError          UNKNOWN_MODEL
    │   ├── UnknownMarketError         UNKNOWN_MARKET
    │   ├── SettingsError              SETTINGS_INVALID: all problems at once
    │   ├── BatchError                 BATCH_PARTIAL: some items of a batch were refused
    │   └── ProtocolError              the peer broke the wire's rules
    │       ├── BadMessageError        BAD_MESSAGE: not a request, response or notification
    │       ├── UnknownMethodError     UNKNOWN_METHOD
    │       ├── TooDeepError           TOO_DEEP: nested too deeply
    │       ├── TooLargeError          TOO_LARGE: more bytes or items than allowed
    │       ├── UnframeableError       UNFRAMEABLE: no MessagePack; the connection ends
    │       ├── TimedOutError          TIMED_OUT: a message or a token did not come in time
    │       ├── UnauthenticatedError   UNAUTHENTICATED: the token is missing or wrong
    │       └── ProtocolUnsupportedError   PROTOCOL_UNSUPPORTED: another major version
    └── RuntimeFaultError              ours or transient (fault "ours")
        ├── BusyError                  BUSY: a bound was reached; retry later
        ├── DeadlineExceededError      DEADLINE_EXCEEDED
        ├── ClosedError                CLOSED: the learner is closed
        ├── ModelFailedError           MODEL_FAILED: gave up restarting this model
        ├── ConnectionLostError        CONNECTION_LOST: what became of the call is unknown
        ├── BackupFailedError          BACKUP_FAILED: no backup was made; nothing else is affected
        ├── RemoteError                an error of a code this release does not know
        └── StateError                 something is wrong with the state directory
            ├── StateLockedError       STATE_LOCKED: another process holds it
            ├── StateDamagedError      STATE_DAMAGED: acknowledged data cannot be read
            ├── StateSchemaError       STATE_SCHEMA: written by another release
            └── StoreFailedError       STORE_FAILED: a write failed; nothing is acknowledged any more
                └── StoreFullError     STORE_FULL: nothing is accepted until there is room, or leave, to write again

The code travels over the wire as the first word of the error text and never changes its meaning
(:func:`error_to_wire`, :func:`error_from_wire`).
A message says what *was* there, what was expected, and what to do about it, and writes values as JSON does
(:mod:`.wording`), because clients in other languages read it too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal

from .wording import plain, shown

__all__ = [
    "BackupFailedError",
    "BadMessageError",
    "BatchError",
    "BusyError",
    "CallerError",
    "ClosedError",
    "ConflictError",
    "ConnectionLostError",
    "DeadlineExceededError",
    "HandicapperError",
    "InvalidValueError",
    "ModelFailedError",
    "PredictedAfterResolutionError",
    "ProtocolError",
    "ProtocolUnsupportedError",
    "RemoteError",
    "RuntimeFaultError",
    "SettingsError",
    "StaleRevisionError",
    "StateDamagedError",
    "StateError",
    "StateLockedError",
    "StateSchemaError",
    "StoreFailedError",
    "StoreFullError",
    "TimedOutError",
    "TooDeepError",
    "TooLargeError",
    "UnauthenticatedError",
    "UnframeableError",
    "UnknownMarketError",
    "UnknownMethodError",
    "UnknownModelError",
    "error_from_wire",
    "error_to_wire",
    "reason_of",
]


class HandicapperError(Exception):
    """Root of every error that leaves handicapper."""

    code: ClassVar[str] = "INTERNAL"
    fault: ClassVar[Literal["ours", "caller"]] = "ours"

    @property
    def message(self) -> str:
        """The text without the code."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return f"{self.code} {self.message}"


class CallerError(HandicapperError):
    """The call was wrong; repeating it unchanged will fail again."""

    code = "BAD_CALL"
    fault = "caller"


class RuntimeFaultError(HandicapperError):
    """The call may have been right; the runtime could not serve it now."""

    code = "UNAVAILABLE"


class InvalidValueError(CallerError):
    """A field of a message is missing or out of its range.

    >>> print(InvalidValueError("confidence", float("nan"), "a number from 0 to 1"))
    INVALID_VALUE confidence was NaN; expected a number from 0 to 1
    """

    code = "INVALID_VALUE"

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field} was {shown(value)}; expected {expected}")
        self.field = field
        self.value = value
        self.expected = expected


class ConflictError(CallerError):
    """An idempotency key was used again with other content, or two facts contradict each other."""

    code = "CONFLICT"


class StaleRevisionError(CallerError):
    """A resolution carries a lower revision than the one in force."""

    code = "STALE_REVISION"


class PredictedAfterResolutionError(CallerError):
    """A prediction was made after its market had resolved: scoring it would be look-ahead."""

    code = "PREDICTED_AFTER_RESOLUTION"


class UnknownModelError(CallerError):
    """No prediction or outcome of this model was ever recorded."""

    code = "UNKNOWN_MODEL"

    def __init__(self, model_id: str) -> None:
        super().__init__(
            f"model {shown(model_id)} was never seen; expected the id of one with a recorded prediction or outcome"
        )
        self.model_id = model_id


class UnknownMarketError(CallerError):
    """No prediction of this market was recorded, or none that holds at the time asked about."""

    code = "UNKNOWN_MARKET"

    def __init__(self, market_id: str) -> None:
        super().__init__(
            f"market {shown(market_id)} has no prediction to combine; record one first, or give predictions"
        )
        self.market_id = market_id


class SettingsError(CallerError):
    """The settings are wrong. ``problems`` lists every problem found, not only the first."""

    code = "SETTINGS_INVALID"

    def __init__(self, problems: Sequence[str], source: str = "settings") -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(f"{source}: " + "; ".join(self.problems))


class BatchError(CallerError):
    """Some items of a batch were refused; every other item was recorded and is durable.

    ``result`` is the whole ``BatchResult``: ``result.errors`` pairs the index of an item with its error.
    ``decisions`` are the decisions of the other items, where they were signals.
    """

    code = "BATCH_PARTIAL"

    def __init__(self, result: Any, decisions: Sequence[Any] = ()) -> None:
        self.result = result
        self.decisions = decisions
        index, first = result.errors[0]
        super().__init__(
            f"{len(result.errors)} of {result.total} items were refused, the others are recorded; "
            f"the first: item {index}: {first}"
        )


class ProtocolError(CallerError):
    """The peer broke the rules of the wire (PROTOCOL.md)."""

    code = "PROTOCOL_ERROR"


class BadMessageError(ProtocolError):
    """A MessagePack value that is no request, response or notification."""

    code = "BAD_MESSAGE"


class UnknownMethodError(ProtocolError):
    """No method has this name."""

    code = "UNKNOWN_METHOD"


class TooDeepError(ProtocolError):
    """A message is nested more deeply than allowed."""

    code = "TOO_DEEP"


class TooLargeError(ProtocolError):
    """A message has more bytes, or an array more items, than allowed."""

    code = "TOO_LARGE"


class UnframeableError(ProtocolError):
    """Bytes that are no MessagePack: where the next message begins is unknown, so the connection ends."""

    code = "UNFRAMEABLE"


class TimedOutError(ProtocolError):
    """A message was begun and not finished, or a connection did not authenticate, in time."""

    code = "TIMED_OUT"


class UnauthenticatedError(ProtocolError):
    """The connection has not brought the right token."""

    code = "UNAUTHENTICATED"


class ProtocolUnsupportedError(ProtocolError):
    """The peer speaks another major version of the protocol."""

    code = "PROTOCOL_UNSUPPORTED"


class BusyError(RuntimeFaultError):
    """A bound was reached. ``retry_after_ms`` is a hint."""

    code = "BUSY"

    def __init__(self, message: str, retry_after_ms: int = 50) -> None:
        super().__init__(f"{message}; retry after {retry_after_ms} ms")
        self.retry_after_ms = retry_after_ms


class DeadlineExceededError(RuntimeFaultError):
    """No answer within the deadline. The call may still take effect; repeating it is safe."""

    code = "DEADLINE_EXCEEDED"


class ClosedError(RuntimeFaultError):
    """The learner is closed, or closing."""

    code = "CLOSED"


class ModelFailedError(RuntimeFaultError):
    """A model was restarted too often within the period and is out of service; the others go on."""

    code = "MODEL_FAILED"


class ConnectionLostError(RuntimeFaultError):
    """The connection ended before the answer came: whether the call took effect is unknown."""

    code = "CONNECTION_LOST"


class BackupFailedError(RuntimeFaultError):
    """No backup was made: its destination cannot be written, or is full. The learner is not affected."""

    code = "BACKUP_FAILED"


class RemoteError(RuntimeFaultError):
    """An error whose code this release does not know; ``code`` and ``fault`` are the sender's."""

    def __init__(self, code: str, fault: Literal["ours", "caller"], message: str) -> None:
        super().__init__(message)
        self.code = code  # pyright: ignore[reportAttributeAccessIssue]  # of the instance: the sender's
        self.fault = fault  # pyright: ignore[reportAttributeAccessIssue]


class StateError(RuntimeFaultError):
    """Something is wrong with the state directory."""

    code = "STATE_ERROR"


class StateLockedError(StateError):
    """Another process, or another learner in this one, holds the state directory."""

    code = "STATE_LOCKED"


class StateDamagedError(StateError):
    """Data that was acknowledged cannot be read back. Nothing was deleted."""

    code = "STATE_DAMAGED"


class StateSchemaError(StateError):
    """The state directory was written by a release with another schema."""

    code = "STATE_SCHEMA"


class StoreFailedError(StateError):
    """A write or fsync failed: nothing can be acknowledged until the learner is opened again."""

    code = "STORE_FAILED"


class StoreFullError(StoreFailedError):
    """The disk is full, or may not be written for now. Nothing is accepted until it can be, which is tried again
    and again; an input that was under way may take effect then, and repeating it is safe."""

    code = "STORE_FULL"


REASON_CHARS_MAX: Final = 400


def reason_of(error: BaseException) -> str:
    """What went wrong, in one line: the text of an error of ours, the class and the text of any other.

    >>> reason_of(UnknownModelError("elo"))[:23], reason_of(ValueError("a bug")), reason_of(KeyboardInterrupt())
    ('UNKNOWN_MODEL model "el', 'ValueError: a bug', 'KeyboardInterrupt')
    """
    if isinstance(error, HandicapperError):
        return str(error)
    name = type(error).__name__
    try:
        text = plain(str(error), REASON_CHARS_MAX)
    except Exception:  # noqa: BLE001  # a host's class with a broken __str__
        text = "its text cannot be shown"
    return f"{name}: {text}" if text else name


def error_to_wire(error: BaseException) -> tuple[int, str]:
    """``(0, text)`` for a fault of ours or a transient one, ``(1, text)`` for the caller's.

    >>> error_to_wire(UnknownModelError("elo"))[0], error_to_wire(ValueError("a bug"))
    (1, (0, 'INTERNAL ValueError: a bug; this is a fault of the server, whose log says more'))
    """
    if not isinstance(error, HandicapperError):
        return 0, f"INTERNAL {reason_of(error)}; this is a fault of the server, whose log says more"
    return int(error.fault == "caller"), str(error).encode(errors="replace").decode()


def error_from_wire(error: object) -> HandicapperError:
    """The error that ``[0|1, "CODE text"]`` or ``"CODE text"`` stands for; never raises.

    >>> error_from_wire([0, "BUSY 3 of 3 in flight; retry after 20 ms"]).retry_after_ms
    20
    >>> error_from_wire("OUT_OF_LUCK try again").code
    'OUT_OF_LUCK'
    """
    fault, text = 0, error
    if isinstance(error, list | tuple) and len(error) == 2:
        fault, text = error
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    if not isinstance(text, str):
        return RemoteError("INTERNAL", "ours", f"an error of an unknown form: {shown(error)}")
    code, _, message = text.partition(" ")
    kind = _BY_CODE.get(code)
    if kind is None:
        return RemoteError(code, "caller" if fault == 1 else "ours", message)
    # Constructors make the text from its parts; here only the text is left.
    made = kind.__new__(kind)
    Exception.__init__(made, message)
    if isinstance(made, BusyError):
        hint = re.search(r"retry after (\d{1,6}) ms$", message)
        made.retry_after_ms = int(hint[1]) if hint else 50
    return made


def _family(root: type[HandicapperError]) -> list[type[HandicapperError]]:
    return [root, *(member for child in root.__subclasses__() for member in _family(child))]


_BY_CODE = {
    kind.code: kind
    for kind in _family(HandicapperError)
    if kind not in (RemoteError, BatchError) and kind.__module__ == __name__
}
