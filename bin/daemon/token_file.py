"""The token of clients on TCP, from a file that only the daemon's user can read."""

from __future__ import annotations

import os
import stat
from typing import Final

from ...protocol.errors import SettingsError

__all__ = ["read_token"]

TOKEN_BYTES_MAX: Final = 4096
_EXPECTED: Final = "a file of this user with mode 0600 or stricter, that holds the token and nothing else"


def read_token(path: str) -> bytes:
    """The token, without white space around it.

    Raises:
        SettingsError: the file is not there, open to others, somebody else's, empty or no text.

    """
    content = _read_private(path)
    token = content.strip()
    if not token:
        raise _refused(path, "is empty")
    if len(content) > TOKEN_BYTES_MAX:
        raise _refused(path, f"has more than {TOKEN_BYTES_MAX} bytes")
    try:
        if not token.decode().isprintable():
            raise _refused(path, "has several lines, or control characters in it")
    except UnicodeDecodeError:
        # A client could not say it: the hello takes text.
        raise _refused(path, "is not UTF-8") from None
    return token


def _read_private(path: str) -> bytes:
    try:
        # Non-blocking, so that a pipe by that name is found out instead of waited for.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise _refused(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        # Of the open file, not of the name: nobody can exchange it in between.
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "is no regular file")
        if status.st_uid != os.geteuid():
            raise _refused(path, f"belongs to user {status.st_uid}, the daemon is user {os.geteuid()}")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            raise _refused(path, f"has mode {mode:04o}, open to others: chmod 600 it")
        return os.read(fd, TOKEN_BYTES_MAX + 1)
    finally:
        os.close(fd)


def _refused(path: str, problem: str) -> SettingsError:
    return SettingsError([f"token file {path} {problem}; expected {_EXPECTED}"], "token file")
