"""A change point that was told of, and the head of a packed filter, which holds the newest.

Whoever only wants to know of the change reads the head and leaves the hypotheses behind it alone.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

__all__ = ["HEADER_BYTES", "Change", "pack_header", "packed_change", "unpack_counts"]

_HEADER: Final = Struct("<qqqqqddd")
_NO_CHANGE: Final = -1

HEADER_BYTES: Final = _HEADER.size
"""Where what follows the head begins."""


class Change(NamedTuple):
    """A change point that was detected."""

    at_ns: int
    """When it was, most likely: half of the probability lies before."""
    detected_ns: int
    """Event time of the outcome that settled it."""
    before: float
    """Mean of the segment that ended."""
    after: float
    """Mean of the segment that began, as of the detection."""
    probability: float


def pack_header(hypotheses: int, as_of_ns: int, watched_ns: int, last: Change | None) -> bytes:
    """The head: how many hypotheses there are, the time of the newest outcome, the time since which runs speak for a
    new change, and the newest change told of.

    >>> unpack_counts(pack_header(6, 20, 10, None))
    (6, 20, 10)
    """
    told = (_NO_CHANGE, 0, 0.0, 0.0, 0.0) if last is None else last
    return _HEADER.pack(hypotheses, as_of_ns, watched_ns, *told)


def unpack_counts(data: bytes) -> tuple[int, int, int]:
    """The numbers of :func:`pack_header`, without the change."""
    return _HEADER.unpack_from(data)[:3]


def packed_change(data: bytes | None) -> Change | None:
    """The newest change that a packed filter has told of.

    >>> change = Change(5, 20, 0.9, 0.1, 0.995)
    >>> packed_change(pack_header(6, 20, 10, change)) == change, packed_change(None), packed_change(b"")
    (True, None, None)
    """
    if not data:
        return None
    _, _, _, at_ns, detected_ns, before, after, probability = _HEADER.unpack_from(data)
    return None if at_ns == _NO_CHANGE else Change(at_ns, detected_ns, before, after, probability)
