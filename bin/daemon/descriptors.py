"""File descriptors of a daemon: standard ones that may be missing, dead or full, and how many there may be."""

from __future__ import annotations

import os
import resource
import select
import sys
from contextlib import suppress
from typing import Final

from ...protocol.errors import SettingsError

__all__ = [
    "FILES_SPARE",
    "check_ready_fd",
    "is_open",
    "raise_file_limit",
    "secure_standard_fds",
    "select_readable",
    "select_writable",
    "write_all",
]

FILES_SPARE: Final = 64
"""Descriptors beside those of connections: LMDB, the log, the loop, files opened for a moment."""


def is_open(fd: int) -> bool:
    """Whether the number stands for an open file.

    >>> is_open(10**6)
    False
    """
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def secure_standard_fds() -> None:
    """Open /dev/null in place of each standard descriptor that is closed.

    The next file to be opened would get its number, and what is meant for standard error would be written
    into a database.
    """
    for fd in (0, 1, 2):
        if not is_open(fd):
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def check_ready_fd(fd: int) -> None:
    """Make sure that a descriptor handed over by the parent can be written to, and keep it to ourselves.

    Raises:
        SettingsError: it is not open, or not for writing.

    """
    try:
        os.write(fd, b"")
        os.set_inheritable(fd, False)
    except OSError as error:
        raise SettingsError(
            [
                f"--ready-fd was {fd}, which cannot be written to ({error.strerror}); expected the number of a "
                "pipe or file that the parent opened for writing and handed down"
            ],
            "options",
        ) from None


def write_all(fd: int, data: bytes) -> bool:
    """Write everything, however long that takes, also where the parent made the pipe non-blocking.

    False: whoever read it is gone.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select_writable(fd, None)
        except OSError:
            return False
    return True


def select_writable(fd: int, timeout_ms: float | None) -> bool:
    """Wait until a write will not block (or will fail); False if it would even then."""
    poll = select.poll()
    try:
        poll.register(fd, select.POLLOUT)
        return bool(poll.poll(timeout_ms))
    except OSError:
        return True


def select_readable(fd: int) -> None:
    """Wait until a read will not block (or will fail)."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll()


def raise_file_limit(connections: int) -> int:
    """Ask for as many descriptors as the connections need; returns how many connections there is room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + FILES_SPARE
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        soft = wanted if hard == unlimited else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if soft == unlimited else min(connections, max(soft - FILES_SPARE, 1))
