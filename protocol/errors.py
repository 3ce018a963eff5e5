"""Every error handicapper raises, each with a stable ``code``.

::

    HandicapperError
    ├── CallerError                    the caller can mend it (fault "caller")
    │   ├── InvalidValueError          INVALID_VALUE: a field is out of its range
    │   ├── ConflictError              CONFLICT: same idempotency key, other content
    │   ├── StaleRevisionError         STALE_REVISION: a revision goes backwards
    │   ├── PredictedAfterResolutionError   PREDICTED_AFTER_RESOLUTION: look-ahead
    │   ├── UnknownModelError          UNKNOWN_MODEL
    │   ├── SettingsError              SETTINGS_INVALID: all problems at once
    │   └── BatchError                 BATCH_PARTIAL: some items of a batch were refused
    └── RuntimeFaultError              ours or transient (fault "ours")
        ├── BusyError                  BUSY: a bound was reached; retry later
        ├── DeadlineExceededError      DEADLINE_EXCEEDED
        ├── ClosedError                CLOSED: the learner is closed
        ├── ModelFailedError           MODEL_FAILED: gave up restarting this model
        └── StateError                 something is wrong with the state directory
            ├── StateLockedError       STATE_LOCKED: another process holds it
            ├── StateDamagedError      STATE_DAMAGED: acknowledged data cannot be read
            ├── StateSchemaError       STATE_SCHEMA: written by another release
            └── StoreFailedError       STORE_FAILED: a write failed; nothing is acknowledged any more

The code travels over the wire as the first word of the error text and never changes its meaning.
A message says what *was* there, what was expected, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

__all__ = [
    "BatchError",
    "BusyError",
    "CallerError",
    "ClosedError",
    "ConflictError",
    "DeadlineExceededError",
    "HandicapperError",
    "InvalidValueError",
    "ModelFailedError",
    "PredictedAfterResolutionError",
    "RuntimeFaultError",
    "SettingsError",
    "StaleRevisionError",
    "StateDamagedError",
    "StateError",
    "StateLockedError",
    "StateSchemaError",
    "StoreFailedError",
    "UnknownModelError",
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
    INVALID_VALUE confidence was nan; expected a number from 0 to 1
    """

    code = "INVALID_VALUE"

    def __init__(self, field: str, value: object, expected: str) -> None:
        try:
            shown = repr(value)
        except Exception as error:  # noqa: BLE001  # an int of 5,000 digits, a broken __repr__
            shown = f"a {type(value).__name__} that cannot be shown ({error!r:.60})"
        if len(shown) > 80:
            shown = f"{shown[:60]}... ({len(shown)} characters)"
        super().__init__(f"{field} was {shown}; expected {expected}")
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
        super().__init__(f"model {model_id!r} was never seen; a model exists from its first prediction on")
        self.model_id = model_id


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
