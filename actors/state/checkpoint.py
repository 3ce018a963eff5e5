"""A model's statistics as they were at a row, packed: what a correction folds again from.

A checkpoint is looked at only where the past is corrected and where the state is stored, so it is kept as bytes: a
third of what the floats take as objects. With a change-point filter in it they are deflated as well, byte by byte of
the doubles: it is mostly doubles, whose signs and exponents, and the low bytes of whose counts, are much the same. That
takes time, about 1 µs for each row between two checkpoints, and only where there is a filter.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from zlib import compress, decompress

from msgspec.msgpack import Decoder, Encoder

from .recalibrating import array_as_list
from .statistics import LearnedStatistics

__all__ = ["Checkpoint"]

_encode: Final = Encoder(enc_hook=array_as_list).encode
_decode: Final = Decoder(LearnedStatistics).decode
_DOUBLE_BYTES: Final = 8
_FASTEST: Final = 1


class Checkpoint(NamedTuple):
    """The statistics before a row.

    >>> checkpoint = Checkpoint.of(LearnedStatistics.initial(0.6), 64)
    >>> checkpoint.row, checkpoint.first, checkpoint.statistics() == LearnedStatistics.initial(0.6)
    (64, 64, True)
    """

    row: int
    first: int
    """The oldest row that folding from here looks at: the window may reach back before ``row``."""
    packed: bytes
    deflated: bool

    @classmethod
    def of(cls, statistics: LearnedStatistics, row: int) -> Checkpoint:
        """Of statistics before ``row``. They may go on."""
        first = min(row, statistics.window_start) if statistics.window_count else row
        packed = _encode(statistics)
        if statistics.changes:
            return cls(row, first, _deflated(packed), True)
        return cls(row, first, packed, False)

    def statistics(self) -> LearnedStatistics:
        """What was packed, to go on from."""
        return _decode(_inflated(self.packed) if self.deflated else self.packed)


def _deflated(data: bytes) -> bytes:
    return compress(b"".join([data[place::_DOUBLE_BYTES] for place in range(_DOUBLE_BYTES)]), _FASTEST)


def _inflated(packed: bytes) -> bytes:
    """
    >>> _inflated(_deflated(bytes(range(100)))) == bytes(range(100))
    True
    """
    planes = decompress(packed)
    data, start = bytearray(len(planes)), 0
    for place in range(_DOUBLE_BYTES):
        count = len(range(place, len(planes), _DOUBLE_BYTES))
        data[place::_DOUBLE_BYTES] = planes[start : start + count]
        start += count
    return bytes(data)
