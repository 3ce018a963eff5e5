"""The last rows of a model, packed: what a revision needs to fold the recent past again.

40 bytes a row instead of some 300 as Python objects, so that 10,000 models stay small.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import starmap
from struct import Struct
from typing import Final

__all__ = ["ROW_BYTES", "History", "Row", "unpack_lesson"]

_ROW: Final = Struct("<qqddd")
ROW_BYTES: Final = _ROW.size
unpack_lesson: Final = Struct("<16xdd8x").unpack_from
"""(x, confidence) of the packed row at an offset: all that a window wants of it, at half the cost."""

Row = tuple[int, int, float, float, float]
"""(row_id, at_ns, x, confidence, price); the floats are NaN where unknown."""


class History:
    """Rows numbered from 0 for a model's first; only those from ``first`` on are kept.

    >>> history = History()
    >>> history.append((7, 0, 1.0, 0.5, 0.5)); history.append((9, 0, 0.0, 0.5, 0.5))
    >>> history.find(9), history[1][0], len(history)
    (1, 9, 2)
    >>> history.drop_before(1); history.find(7) is None, history.first
    (True, 1)
    """

    __slots__ = ("_data", "first")

    def __init__(self, first: int = 0, data: bytes = b"") -> None:
        self.first = first
        self._data = bytearray(data)

    @property
    def end(self) -> int:
        """Number the next row will have."""
        return self.first + len(self._data) // ROW_BYTES

    def __len__(self) -> int:
        return len(self._data) // ROW_BYTES

    def __getitem__(self, number: int) -> Row:
        offset = (number - self.first) * ROW_BYTES
        if offset < 0:
            raise IndexError(f"row {number} was dropped; the first kept is {self.first}")
        return _ROW.unpack_from(self._data, offset)

    @property
    def packed(self) -> bytearray:
        """The kept rows, not to be changed: for :data:`unpack_lesson`, by whoever keeps to rows that are there."""
        return self._data

    def append(self, row: Row) -> None:
        """Add a row at the end."""
        self._data += _ROW.pack(*row)

    def extend(self, rows: Iterable[Row]) -> None:
        """Add rows at the end."""
        self._data += b"".join(starmap(_ROW.pack, rows))

    def rows(self, first: int, end: int) -> list[Row]:
        """The rows from one number to before another, all of which are kept."""
        start, stop = (first - self.first) * ROW_BYTES, (end - self.first) * ROW_BYTES
        return list(_ROW.iter_unpack(self._data[start:stop]))

    def replace(self, number: int, row: Row) -> None:
        """Put another row at an existing number."""
        _ROW.pack_into(self._data, (number - self.first) * ROW_BYTES, *row)

    def find(self, row_id: int) -> int | None:
        """Number of the row with this id, newest first; None if it is not kept."""
        rows = [row[0] for row in _ROW.iter_unpack(self._data)]
        for index in range(len(rows) - 1, -1, -1):
            if rows[index] == row_id:
                return self.first + index
        return None

    def drop_from(self, number: int) -> None:
        """Forget the rows from ``number`` on."""
        del self._data[(number - self.first) * ROW_BYTES :]

    def drop_before(self, number: int, room: int = 0) -> None:
        """Forget all rows below ``number``, and take room for that many more: no more and no less than they need."""
        if number > self.first:
            kept = self._data[(number - self.first) * ROW_BYTES :]
            # A bytearray that grows takes an eighth too much, and one that shrinks gives nothing back before it has
            # half of it to spare. Unless it is made anew, and grows by as much as this at once.
            kept += bytes(room * ROW_BYTES)
            del kept[len(kept) - room * ROW_BYTES :]
            self._data, self.first = kept, number

    def tobytes(self) -> bytes:
        """The kept rows, packed; ``History(first, data)`` is the inverse."""
        return bytes(self._data)
