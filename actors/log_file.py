"""Where inputs become durable: a log of plain files, written in place and synced once a batch.

LMDB syncs twice a commit and writes whole pages along the way; the first sync of an input is a third of that
here. The log holds only what the store has not taken over yet (a *checkpoint*), in segments that are written over
again and again: over bytes that are already there a sync has no metadata to write.

A *frame* is one batch: mark, length, CRC, the records (key, length, value each), and the CRC again. Whatever
frames can be read are read, wherever they lie: their keys are sequence numbers, so what is older than the
store's newest record was taken over before, and a gap is noticed by whoever reads the records in order. A frame that
is not whole was never acknowledged, or it is damaged; the two look the same after a power failure, and the caller
is told (:attr:`LogFile.unfinished`).

As any log written in place it relies on the disk changing a sector of 512 bytes whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

from .state_directory import sync_directory

__all__ = ["LOG_PREFIX", "LogFile", "Record", "SyncFailedError"]

Record = tuple[bytes, bytes]
"""(key, value); keys are eight bytes, big endian, ascending."""

LOG_PREFIX: Final = "journal-"
SEGMENT_BYTES: Final = 8 * 2**20
"""A segment that has grown to this is left for another, unless one batch alone is larger."""
GROWTH_BYTES: Final = 64 * 1024
GROWTH_BYTES_MAX: Final = 2**20
"""Zeros written ahead, so that what follows is written over them: as much again as there is, within these bounds."""

_MARK: Final = b"\xffHJ1"
_HEAD: Final = Struct("<4sII")
_RECORD: Final = Struct("<8sI")
_TRAILER: Final = Struct("<I")
_AROUND: Final = _HEAD.size + _TRAILER.size


def frame_of(records: Sequence[Record]) -> bytes:
    """One batch as it is written.

    >>> read_frame(frame_of([(b"00000001", b"value")]), 0)
    ([(b'00000001', b'value')], 33)
    """
    body = b"".join([part for key, value in records for part in (_RECORD.pack(key, len(value)), value)])
    crc = crc32(body)
    return b"".join((_HEAD.pack(_MARK, len(body), crc), body, _TRAILER.pack(crc)))


def read_frame(data: bytes, start: int) -> tuple[list[Record], int] | None:
    """(records, end) of the frame at a place; None if no whole one is there."""
    if start + _AROUND > len(data):
        return None
    mark, length, crc = _HEAD.unpack_from(data, start)
    end = start + _AROUND + length
    if mark != _MARK or end > len(data):
        return None
    body = data[start + _HEAD.size : end - _TRAILER.size]
    if crc32(body) != crc or _TRAILER.unpack_from(data, end - _TRAILER.size)[0] != crc:
        return None
    records: list[Record] = []
    at = 0
    while at < length:
        if at + _RECORD.size > length:
            return None
        key, size = _RECORD.unpack_from(body, at)
        at += _RECORD.size + size
        records.append((key, body[at - size : at]))
    return (records, end) if at == length else None


class SyncFailedError(OSError):
    """A sync failed: the kernel may have dropped what was written, and a later sync would not tell."""


class _Segment:
    """One file, and how far it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self.fd).st_size
        self.end = 0
        self.last_key = b""

    def make_room(self, size: int) -> None:
        """Have the file reach that far beyond what is written, with zeros, durably."""
        wanted = self.end + size
        if wanted > self.size:
            growth = min(max(self.size, GROWTH_BYTES), GROWTH_BYTES_MAX)
            grown = max(self.size + growth, -(-wanted // GROWTH_BYTES) * GROWTH_BYTES)
            _write_all(self.fd, bytes(grown - self.size), self.size)
            self.sync()
            self.size = grown

    def sync(self) -> None:
        """Make what was written durable."""
        try:
            os.fdatasync(self.fd)
        except OSError as error:
            raise SyncFailedError(error.errno, error.strerror) from error


class LogFile:
    """The log in a directory. Reading happens when it is made; the files are not touched before :meth:`begin`.

    Raises:
        OSError: a file cannot be read.

    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segments: list[_Segment] = []
        """The last one is being written."""
        self._released = b""
        self._numbers = iter(range(2**31))
        self.unfinished: list[tuple[str, bytes]] = []
        """(where, bytes) of frames that were begun and are not whole."""
        records: dict[bytes, bytes] = {}
        for path in self._files():
            records.update(self._read(path))
        self.found = sorted(records.items())
        """Every record that can be read, by key: also what was taken over long ago."""

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob(f"{LOG_PREFIX}*.log"))

    def _read(self, path: Path) -> Iterator[Record]:
        data = path.read_bytes()
        at = data.find(_MARK)
        while at >= 0:
            frame = read_frame(data, at)
            if frame is not None:
                records, end = frame
                yield from records
                at = data.find(_MARK, end)
                continue
            following = data.find(_MARK, at + 1)
            if _begun_and_ended(data, at):
                self.unfinished.append(
                    (f"{path.name} at {at}", data[at : following if following > 0 else None][:4096])
                )
            at = following

    def begin(self) -> None:
        """Start afresh: the store has taken over all that was found.

        Raises:
            OSError: a file cannot be written.

        """
        for path in self._files():
            path.unlink()
        self.found = []
        self._segments = [self._new_segment()]

    def _new_segment(self) -> _Segment:
        segment = _Segment(self._directory / f"{LOG_PREFIX}{next(self._numbers)}.log")
        try:
            sync_directory(self._directory)
        except OSError as error:
            os.close(segment.fd)
            raise SyncFailedError(error.errno, error.strerror) from error
        return segment

    def _next_segment(self) -> _Segment:
        """One of which everything was taken over, to be written over; else another one."""
        for place, segment in enumerate(self._segments[:-1]):
            if segment.last_key <= self._released:
                segment.end = 0
                return self._segments.pop(place)
        return self._new_segment()

    def append(self, records: Sequence[Record]) -> int:
        """Write records behind those that are there, and make them durable. Returns the bytes written.

        Raises:
            SyncFailedError: they may or may not be there; nothing more may be appended.
            OSError: they could not be written; they may be appended again.

        """
        frame = frame_of(records)
        segment = self._segments[-1]
        if segment.end and segment.end + len(frame) > SEGMENT_BYTES:
            segment = self._next_segment()
            self._segments.append(segment)
        segment.make_room(len(frame))
        _write_all(segment.fd, frame, segment.end)
        segment.sync()
        segment.end += len(frame)
        segment.last_key = records[-1][0]
        return len(frame)

    def release(self, key: bytes) -> None:
        """The store has taken over everything up to a key: segments that hold no more may be written over.
        From any thread."""
        self._released = key

    def close(self, emptied: bool) -> None:
        """Close the files. ``emptied``: the store has taken over everything, so nothing need be left."""
        for segment in self._segments:
            os.close(segment.fd)
            if emptied:
                with contextlib.suppress(OSError):
                    segment.path.unlink()
        self._segments = []


def _write_all(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


def _begun_and_ended(data: bytes, at: int) -> bool:
    """Whether a frame that is not right has its end: what a kill leaves has none, what was damaged has."""
    if at + _HEAD.size > len(data):
        return False
    _, length, crc = _HEAD.unpack_from(data, at)
    end = at + _AROUND + length
    # Zeros at both ends are what was never written.
    return end <= len(data) and 0 != crc == _TRAILER.unpack_from(data, end - _TRAILER.size)[0]
