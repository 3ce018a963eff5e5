"""Input files as text: plain or gzip, named or standard input, with the position for a progress bar."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
from types import TracebackType
from typing import Self

from .errors import InputUnreadableError

__all__ = ["STDIN", "TextSource"]

STDIN = "-"
# No CSV header starts with this byte, and every gzip member does (RFC 1952, 2.3.1). One byte is enough,
# and a pipe may hand over no more than one at first.
_GZIP_FIRST_BYTE = b"\x1f"
_BUFFER_BYTES = 1 << 18


class TextSource:
    """One CSV input, opened; ``text`` yields its lines, decompressed and decoded.

    Args:
        path: A file, or ``-`` for standard input. Gzip is recognised by its content, not by the name.

    Raises:
        InputUnreadableError: The file cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.name = "stdin" if path == STDIN else path
        try:
            # A duplicate, so that closing this source leaves the process its standard input.
            self._raw = io.FileIO(os.dup(sys.stdin.fileno()) if path == STDIN else path)
            self.bytes_total = _size_of(self._raw)
            buffered = io.BufferedReader(self._raw, _BUFFER_BYTES)
            packed = buffered.peek(1)[:1] == _GZIP_FIRST_BYTE
        except OSError as error:
            raise InputUnreadableError(f"cannot open {self.name}: {error.strerror or error}") from error
        content = gzip.GzipFile(fileobj=buffered, mode="rb") if packed else buffered
        self.text = io.TextIOWrapper(
            io.BufferedReader(content, _BUFFER_BYTES), encoding="utf-8-sig", newline=""
        )

    def bytes_read(self) -> int:
        """Bytes taken from the file so far, as stored (compressed); 0 for a pipe."""
        return self._raw.tell() if self.bytes_total is not None and not self._raw.closed else 0

    def close(self) -> None:
        """Close the file; may be called twice."""
        self.text.close()
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _size_of(raw: io.FileIO) -> int | None:
    """Size of a regular file; None for a pipe or a terminal, whose end nobody knows."""
    status = os.fstat(raw.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None
