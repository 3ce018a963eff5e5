"""A long computation in pieces, between which whoever runs it may do something else.

It is a generator that yields after each piece what that took, in cells: a cell is one number of a model and a label
computed in the interpreter, some tenths of a microsecond. Its return value is the result. Run to its end at once it
does the same operations in the same order, so that the result is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

__all__ = ["PIECE_CELLS", "Pieces", "slices", "sorted_in_pieces", "whole"]

T = TypeVar("T")

PIECE_CELLS = 2_048
"""Cells of a piece at most, but for a single row or column that has more: about a millisecond."""

SORTED_CELLS = 2
"""What it takes to sort one item among as many as a piece has."""

Pieces: TypeAlias = Generator[int, None, T]


def whole(pieces: Pieces[T]) -> T:
    """The result, computed at once.

    >>> whole(sorted_in_pieces(["b", "a"]))
    ['a', 'b']
    """
    try:
        while True:
            next(pieces)
    except StopIteration as end:
        return end.value


def slices(length: int, cells_each: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the pieces of a sequence of rows of so many cells each.

    >>> list(slices(5, 1_000))
    [(0, 2), (2, 4), (4, 5)]
    """
    step = max(PIECE_CELLS // max(cells_each, 1), 1)
    for start in range(0, length, step):
        yield start, min(start + step, length)


def sorted_in_pieces(items: Iterable[T], key: Callable[[T], Any] | None = None) -> Pieces[list[T]]:
    """The items in order. Sorted runs are merged in next to no time (Peters 2002, *listsort.txt*, CPython).

    >>> whole(sorted_in_pieces(["b", "aa"], len))
    ['b', 'aa']
    """
    some: list[Any] = list(items)
    runs: list[Any] = []
    for start, end in slices(len(some), SORTED_CELLS):
        runs += sorted(some[start:end], key=key)
        yield (end - start) * SORTED_CELLS
    if len(some) * SORTED_CELLS > PIECE_CELLS:
        runs.sort(key=key)
        yield len(some) // 4
    return runs
