"""Which ids were ever settled: a filter that answers "never" from memory, and sorted runs on disk.

Idempotency keys must outlive a restart, and memory must not grow with them. So ids of markets that left
memory are kept as 61-bit fingerprints in sorted *runs* (appended, never updated: an LSM tree of 16-byte
rows), and a Bloom filter of fixed size in memory tells nearly every new id apart without a look at the
disk. A fingerprint only points at a market's ordinal; the market itself decides whether the id is in it,
so a collision costs a read and never a wrong answer.

Source: Bloom (1970), *Space/time trade-offs in hash coding with allowable errors*, CACM 13(7);
O'Neil et al. (1996), *The log-structured merge-tree*, Acta Informatica 33.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "RUNS_PER_LEVEL",
    "BloomFilter",
    "IndexRows",
    "build_run",
    "fingerprint",
    "fingerprints",
    "look_up",
    "look_up_all",
    "merge_runs",
    "run_fingerprints",
]

PRIME: Final = 1_884_731_903_462_871_079
"""A prime of 61 bits without structure: ids that differ in a digit land far apart."""

RUNS_PER_LEVEL: Final = 8
"""So many runs of one level are merged into one of the next: n ids lie in O(log n) runs."""

_FEW: Final = 32
"""Below this many look-ups arrays cost more than they save."""

_ROWS_A_NUMBER: Final = 4_096
"""A run of more rows than that for each number looked up is searched for one after another."""

_ROW: Final = np.dtype([("fingerprint", "<u8"), ("ordinal", "<u8")])


def fingerprint(identifier: str) -> int:
    """A 61-bit hash of an id that is the same in every process; fast rather than strong.

    >>> fingerprint("p1") == fingerprint("p2"), 0 <= fingerprint("p1") < 2**61
    (False, True)
    """
    # Short ids are smaller than the prime: without the shift they would stay as they are, and a Bloom
    # filter would find ids that differ in their last digits only at the same places.
    return (int.from_bytes(identifier.encode() + b"\1", "little") << 64) % PRIME


def fingerprints(identifiers: Iterable[str]) -> list[int]:
    """The same of many.

    >>> fingerprints(["p1", "p2"]) == [fingerprint("p1"), fingerprint("p2")]
    True
    """
    number = int.from_bytes
    return [(number(name.encode() + b"\1", "little") << 64) % PRIME for name in identifiers]


class BloomFilter:
    """A set of fingerprints that may say "perhaps" for one it does not hold, never "no" for one it does.

    Four probes; with ``mebibytes`` of 8 and ten million ids about 4 in 100 new ids are a "perhaps".

    >>> seen = BloomFilter(1)
    >>> seen.add([fingerprint("p1")])
    >>> fingerprint("p1") in seen, fingerprint("p2") in seen
    (True, False)
    """

    __slots__ = ("_bits", "_mask", "count")

    def __init__(self, mebibytes: int) -> None:
        size = 1 << (mebibytes * 2**20 - 1).bit_length()
        self._bits = bytearray(size)
        self._mask = size * 8 - 1
        self.count = 0

    def __contains__(self, number: int) -> bool:
        if not self.count:
            return False
        bits, mask = self._bits, self._mask
        step = (number >> 29) | 1
        for _ in range(4):
            place = number & mask
            if not bits[place >> 3] >> (place & 7) & 1:
                return False
            number += step
        return True

    def among(self, numbers: Sequence[int]) -> list[int]:
        """Places in ``numbers`` of those it may hold.

        >>> seen = BloomFilter(1)
        >>> seen.add([fingerprint("p1"), fingerprint("p3")])
        >>> seen.among([fingerprint(f"p{number}") for number in range(4)])
        [1, 3]
        """
        if not self.count:
            return []
        places: Iterable[int] = range(len(numbers))
        if len(numbers) >= _FEW:
            # One probe of all at once tells nearly every new id apart.
            probes = np.array(numbers, dtype=np.uint64) & np.uint64(self._mask)
            octets = np.frombuffer(self._bits, dtype=np.uint8)[probes >> np.uint64(3)]
            hits = octets >> (probes & np.uint64(7)).astype(np.uint8) & np.uint8(1)
            places = np.flatnonzero(hits).tolist()
        return [place for place in places if numbers[place] in self]

    def add(self, numbers: Sequence[int] | NDArray[np.uint64]) -> None:
        """Add fingerprints, many at once."""
        array = numbers if isinstance(numbers, np.ndarray) else np.array(numbers, dtype=np.uint64)
        view = np.frombuffer(self._bits, dtype=np.uint8)
        step = (array >> np.uint64(29)) | np.uint64(1)
        for probe in range(4):
            place = (array + np.uint64(probe) * step) & np.uint64(self._mask)
            np.bitwise_or.at(
                view, place >> np.uint64(3), np.uint8(1) << (place & np.uint64(7)).astype(np.uint8)
            )
        self.count += len(array)


class IndexRows:
    """Fingerprints, each with the ordinal it points at, as they come."""

    __slots__ = ("fingerprints", "ordinals")

    def __init__(self) -> None:
        self.fingerprints: array[int] = array("Q")
        self.ordinals: array[int] = array("Q")

    def __len__(self) -> int:
        return len(self.ordinals)

    def extend(self, fingerprints: Iterable[int], ordinals: Iterable[int]) -> None:
        """Add rows."""
        self.fingerprints.extend(fingerprints)
        self.ordinals.extend(ordinals)

    def run(self) -> bytes:
        """The run of all rows."""
        return build_run(self.fingerprints, self.ordinals)


def build_run(numbers: Sequence[int], ordinals: Sequence[int]) -> bytes:
    """A run of fingerprints, in any order, each with the ordinal beside it; arrays of type Q are the fast way."""
    rows = np.empty(len(numbers), dtype=_ROW)
    rows["fingerprint"] = np.asarray(numbers, dtype=np.uint64)
    rows["ordinal"] = np.asarray(ordinals, dtype=np.uint64)
    return rows[np.lexsort((rows["ordinal"], rows["fingerprint"]))].tobytes()


def look_up(run: bytes | memoryview, number: int) -> list[int]:
    """Ordinals a run holds for a fingerprint.

    >>> run = build_run([5, 3, 5], [100, 7, 101])
    >>> look_up(run, 5), look_up(run, 4)
    ([100, 101], [])
    """
    return [ordinal for _, ordinal in look_up_all(run, [number])]


def look_up_all(run: bytes | memoryview, numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(fingerprint, ordinal) of every row a run holds for one of several fingerprints.

    >>> list(look_up_all(build_run([5, 3, 5], [100, 7, 101]), [3, 4, 5]))
    [(3, 7), (5, 100), (5, 101)]
    """
    words = np.frombuffer(run, dtype="<u8")
    rows = len(words) // 2
    # All at once is faster, but has to copy the column first, which lies between others.
    if rows <= _ROWS_A_NUMBER * len(numbers):
        column, wanted = words[::2].copy(), np.array(numbers, dtype=np.uint64)
        places = np.searchsorted(column, wanted).tolist()
    else:
        places = [bisect_left(range(rows), number, key=lambda row: words[2 * row]) for number in numbers]
    for number, row in zip(numbers, places, strict=True):
        while row < rows and words[2 * row] == number:
            yield number, int(words[2 * row + 1])
            row += 1


def merge_runs(runs: Sequence[bytes], drop_below: int = 0) -> bytes:
    """One run of all, without repeated rows and without ordinals below ``drop_below``.

    >>> look_up(merge_runs([build_run([5, 6], [1, 2]), build_run([5, 5], [1, 9])]), 5)
    [1, 9]
    """
    rows = np.unique(np.concatenate([np.frombuffer(run, dtype=_ROW) for run in runs]))
    return rows[rows["ordinal"] >= drop_below].tobytes()


def run_fingerprints(run: bytes) -> NDArray[np.uint64]:
    """All fingerprints of a run."""
    return np.frombuffer(run, dtype=_ROW)["fingerprint"]
