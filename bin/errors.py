"""Errors that only the command line can meet.

::

    CallerError
    ├── InputDataError          INPUT_INVALID: a CSV input is wrong, at a file, line and column
    ├── InputUnreadableError    INPUT_UNREADABLE: an input cannot be opened or read
    └── OutputUnwritableError   OUTPUT_UNWRITABLE: an output cannot be created or written
    StateError
    └── StateMissingError       STATE_MISSING: a read command was given no existing state directory
"""

from __future__ import annotations

from ..protocol.errors import CallerError, StateError

__all__ = ["InputDataError", "InputUnreadableError", "OutputUnwritableError", "StateMissingError"]


class InputDataError(CallerError):
    """A CSV input is wrong; says where.

    >>> print(InputDataError("confidence was '1.5'; expected a number from 0 to 1", "a.csv", 7, "confidence"))
    INPUT_INVALID a.csv, line 7, column confidence: confidence was '1.5'; expected a number from 0 to 1
    """

    code = "INPUT_INVALID"

    def __init__(self, problem: str, source: str, line: int | None = None, column: str | None = None) -> None:
        place = source
        if line is not None:
            place += f", line {line}"
        if column is not None:
            place += f", column {column}"
        super().__init__(f"{place}: {problem}")
        self.problem = problem
        self.source = source
        self.line = line
        self.column = column


class InputUnreadableError(CallerError):
    """An input file cannot be opened or read."""

    code = "INPUT_UNREADABLE"


class OutputUnwritableError(CallerError):
    """An output cannot be created or written."""

    code = "OUTPUT_UNWRITABLE"


class StateMissingError(StateError):
    """A command that only reads was pointed at a state directory that is not there."""

    code = "STATE_MISSING"
