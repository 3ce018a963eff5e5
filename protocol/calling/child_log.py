"""What a child process writes to its standard error: kept moving, and its last lines kept."""

from __future__ import annotations

import json
import logging
import os
import select
import threading
from collections import deque
from collections.abc import Iterator
from typing import Final

__all__ = ["LAST_LINES", "ChildLog"]

LAST_LINES: Final = 20
"""Lines of the log that an error shows."""
JOIN_SECONDS: Final = 10.0
_READ_BYTES: Final = 65_536
_READS_LEFT: Final = 64
"""After the child's end: more than a pipe holds, and an end, whoever goes on writing into it."""
_LINE_BYTES_MAX: Final = 1_048_576

_log = logging.getLogger("handicapper.daemon")


class ChildLog:
    """Reads a pipe in a thread of its own and hands each line to the logger ``handicapper.daemon``.

    A full pipe would stop the child. It does not wait for the pipe's end: a process that the child started
    may hold it open for ever.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._stop_read, self._stop_write = os.pipe()
        os.set_blocking(fd, False)
        self._thread = threading.Thread(target=self._read_all, name="handicapper-log", daemon=True)
        self._thread.start()

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The newest lines."""
        return tuple(self._lines)

    def finish(self) -> None:
        """The child has ended: read what it left in the pipe, and no further. Safe to call twice."""
        if self._stop_write == -1:
            return
        os.write(self._stop_write, b"\0")  # closing it would not do: a forked child may hold it too
        self._thread.join(JOIN_SECONDS)
        os.close(self._stop_write)
        os.close(self._stop_read)
        self._stop_write = -1

    def _read_all(self) -> None:
        rest = b""
        for data in self._pieces():
            *whole, rest = (rest + data).split(b"\n")
            if len(rest) > _LINE_BYTES_MAX:
                whole, rest = [*whole, rest], b""
            for line in whole:
                self._take(line)
        if rest:
            self._take(rest)

    def _pieces(self) -> Iterator[bytes]:
        """What is written, until the pipe ends, or is empty after the child has ended."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._stop_read, select.POLLIN)
        left = _READS_LEFT
        while left:
            ended = any(fd == self._stop_read for fd, _ in poll.poll())
            left -= ended
            try:
                data = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                if ended:
                    return
                continue
            if not data:
                return
            yield data

    def _take(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip()
        self._lines.append(line)
        _log.log(_level(line), "%s", line)


def _level(line: str) -> int:
    """The level a record in JSON gives; a line of another form is a traceback or a warning of Python's."""
    try:
        name = json.loads(line)["level"].upper()
    except (ValueError, KeyError, TypeError, AttributeError):
        return logging.WARNING
    return logging.getLevelNamesMapping().get(name, logging.WARNING)
