"""Exit codes of the ``handicapper`` command, and which error ends in which.

The numbers follow BSD's ``sysexits.h`` where it has a word for the case, and the shell's 128 + signal
where a signal ended the run. They are part of the interface: scripts may rely on them.

>>> from handicapper.protocol.errors import BusyError, SettingsError
>>> exit_code_of(BusyError("65 of 64 requests in flight")), exit_code_of(SettingsError(["ema_alpha was 2"]))
(75, 78)
"""

from __future__ import annotations

from ..protocol.errors import HandicapperError

__all__ = [
    "BAD_DATA",
    "BAD_SETTINGS",
    "BAD_USAGE",
    "BROKEN_PIPE",
    "BUSY",
    "CANNOT_OPEN_INPUT",
    "CANNOT_WRITE",
    "DESCRIPTIONS",
    "DIFFERENCES",
    "INTERNAL",
    "INTERRUPTED",
    "NOT_PERMITTED",
    "OK",
    "PROTOCOL",
    "TERMINATED",
    "UNREACHABLE",
    "exit_code_of",
]

OK = 0
DIFFERENCES = 1
BAD_USAGE = 64
BAD_DATA = 65
CANNOT_OPEN_INPUT = 66
UNREACHABLE = 69
INTERNAL = 70
CANNOT_WRITE = 73
BUSY = 75
PROTOCOL = 76
NOT_PERMITTED = 77
BAD_SETTINGS = 78
INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143

DESCRIPTIONS: dict[int, str] = {
    OK: "done",
    DIFFERENCES: "verify found damage or differences, or a dead letter was refused again",
    BAD_USAGE: "wrong arguments",
    BAD_DATA: "the input is wrong (named with file, line and column), or the state cannot be read",
    CANNOT_OPEN_INPUT: "an input file, state directory or model is not there",
    UNREACHABLE: "no daemon answers at that address, or the connection was lost",
    INTERNAL: "an error inside handicapper",
    CANNOT_WRITE: "the state directory, a backup, a socket or an output cannot be created or written",
    BUSY: "busy: another process holds the state directory or address, or a deadline passed",
    PROTOCOL: "the daemon speaks another version of the protocol, or something else",
    NOT_PERMITTED: "the daemon wants another token",
    BAD_SETTINGS: "the settings, an address or a token file are wrong; every problem is named",
    INTERRUPTED: "interrupted (SIGINT)",
    BROKEN_PIPE: "the reader of the output went away (SIGPIPE)",
    TERMINATED: "terminated (SIGTERM)",
}

# Keyed by the stable code, because errors that come over a socket have the code but not the class.
_OF_CODE: dict[str, int] = {
    "UNKNOWN_MODEL": CANNOT_OPEN_INPUT,
    "UNKNOWN_MARKET": CANNOT_OPEN_INPUT,
    "INPUT_UNREADABLE": CANNOT_OPEN_INPUT,
    "STATE_MISSING": CANNOT_OPEN_INPUT,
    "SETTINGS_INVALID": BAD_SETTINGS,
    "CONNECTION_LOST": UNREACHABLE,
    "PROTOCOL_UNSUPPORTED": PROTOCOL,
    "BAD_MESSAGE": PROTOCOL,
    "UNFRAMEABLE": PROTOCOL,
    "UNAUTHENTICATED": NOT_PERMITTED,
    "BUSY": BUSY,
    "DEADLINE_EXCEEDED": BUSY,
    "STATE_LOCKED": BUSY,
    "ADDRESS_IN_USE": BUSY,
    "ADDRESS_UNUSABLE": CANNOT_WRITE,
    "STATE_ERROR": CANNOT_WRITE,
    "STORE_FAILED": CANNOT_WRITE,
    "STORE_FULL": CANNOT_WRITE,
    "OUTPUT_UNWRITABLE": CANNOT_WRITE,
    "BACKUP_FAILED": CANNOT_WRITE,
    "STATE_DAMAGED": BAD_DATA,
    "STATE_SCHEMA": BAD_DATA,
}


def exit_code_of(error: HandicapperError) -> int:
    """The exit code for an error: by its code, else 65 for a caller's fault and 70 for ours."""
    known = _OF_CODE.get(error.code)
    if known is not None:
        return known
    return BAD_DATA if error.fault == "caller" else INTERNAL
