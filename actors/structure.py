"""Whether the pages of a data file hang together, looked at before LMDB maps it.

LMDB checks nothing: one wrong bit in a page header or a pointer makes records vanish, brings an old state
back, or ends the process with a signal; records' CRCs cannot tell, because such records are never read. So
each opening walks the B-trees once, as plain bytes: every page says its own number and its kind, lies in the
file and in one tree only; every tree has as many pages and entries as its root says; no free page is in use;
and the two meta pages are of consecutive transactions, so that neither was set back.

Layout: ``MDB_page``, ``MDB_node``, ``MDB_db`` and ``MDB_meta`` of LMDB's ``mdb.c`` (data version 1, 64 bit).
"""

from __future__ import annotations

from collections.abc import Callable
from mmap import ACCESS_READ, PAGESIZE, mmap
from pathlib import Path
from struct import Struct as Layout
from sys import byteorder
from typing import Final, NamedTuple

from ..protocol.errors import StateDamagedError
from ..protocol.wording import shown

__all__ = ["check_structure", "never_committed"]

_ORDER: Final = "<" if byteorder == "little" else ">"
_PAGE: Final = Layout(f"{_ORDER}QHHHH")
"""Page number, pad, flags, lower, upper."""
_NODE: Final = Layout(f"{_ORDER}HHHH")
"""Low and high half of the data size (of a branch: of the child's number), flags, key size."""
_TREE: Final = Layout(f"{_ORDER}IHHQQQQQ")
_META: Final = Layout(f"{_ORDER}IIQQ")
_TAIL: Final = Layout(f"{_ORDER}QQ")
"""Last page, transaction."""
_NUMBER: Final = Layout(f"{_ORDER}Q")
_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4
_BIG_DATA, _SUB_TREE = 1, 2
_META_PAGE: Final = 8
_NO_PAGE: Final = 2**64 - 1
_PAGE_BYTES: Final = frozenset(2**power for power in range(9, 17))
_INTEGER_KEYS: Final = 8
_LEAF_PAGES_MAX: Final = 2**16
"""In a tree with more leaf pages (256 MiB) only the branch pages are read: opening stays quick."""


class _Tree(NamedTuple):
    """``MDB_db``."""

    pad: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int


class _BadPageError(Exception):
    pass


def check_structure(file: Path) -> None:
    """Read the file's structure, and raise if it does not hang together.

    Raises:
        StateDamagedError: it does not. Nothing was changed.
        OSError: it cannot be read.

    """
    with file.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
        try:
            _File(data).check()
        except _BadPageError as error:
            raise StateDamagedError(
                f"{file} does not hang together ({error}); nothing was changed, restore it from a backup"
            ) from error


def never_committed(file: Path) -> bool:
    """Whether the power went while LMDB made the file: nothing was ever committed to it.

    Its two meta pages are written at once and synced with the first transaction; until then each sector of them
    may be missing, and neither names a transaction.
    """
    with file.open("rb") as stream:
        data = stream.read(2 * PAGESIZE + 1)
    if not 0 < len(data) <= 2 * PAGESIZE:
        return False
    transaction = _PAGE.size + _META.size + 2 * _TREE.size + _NUMBER.size
    places = [start + transaction for start in (0, PAGESIZE)]
    return not any(any(data[place : place + _NUMBER.size]) for place in places)


class _File:
    def __init__(self, data: mmap) -> None:
        self._data = data
        self._used: set[int] = {0, 1}
        self._free: list[int] = []

    def check(self) -> None:
        free, main = self._newest_roots()
        if free.flags != _INTEGER_KEYS or main.flags:
            raise _BadPageError("its main trees have unknown flags")
        self._walk("free list", free, self._note_free)
        trees: list[tuple[str, _Tree]] = []
        self._walk("main tree", main, lambda *leaf: self._note_tree(trees, *leaf))
        for name, tree in trees:
            if tree.flags:
                raise _BadPageError(f"tree {name} has unknown flags")
            self._walk(f"tree {name}", tree)
        for page in self._free:
            if not 2 <= page <= self._last or page in self._used:
                raise _BadPageError(f"page {page} is free and in use, or free twice")
            self._used.add(page)

    # ------------------------------------------------------------- meta pages

    def _newest_roots(self) -> tuple[_Tree, _Tree]:
        """Roots of the free list and of the main tree."""
        data = self._data
        if len(data) < 2 * 512:
            raise _BadPageError(f"it has {len(data)} bytes")
        self._page_bytes = _Tree(*_TREE.unpack_from(data, _PAGE.size + _META.size)).pad
        if self._page_bytes not in _PAGE_BYTES or len(data) < 2 * self._page_bytes:
            raise _BadPageError(f"meta page 0 says that pages have {self._page_bytes} bytes")
        metas = [self._meta(number) for number in (0, 1)]
        even, odd = metas[0][3], metas[1][3]
        if (even, odd) != (0, 0) and (even % 2 or abs(even - odd) != 1):
            raise _BadPageError(f"its meta pages are of transactions {even} and {odd}")
        free, main, self._last, _ = max(metas, key=lambda meta: meta[3])
        if self._last < 1:
            raise _BadPageError("its header says that it has no pages")
        # Pages at the end that are free may never have been written: the file is then shorter than it says.
        self._last_in_file = min(self._last, len(data) // self._page_bytes - 1)
        return free, main

    def _meta(self, number: int) -> tuple[_Tree, _Tree, int, int]:
        """(free list, main tree, last page, transaction) of a meta page."""
        data, offset = self._data, number * self._page_bytes
        page, _, flags, _, _ = _PAGE.unpack_from(data, offset)
        magic, version, _, _ = _META.unpack_from(data, offset + _PAGE.size)
        if page != number or not flags & _META_PAGE or magic != _MAGIC or version != _DATA_VERSION:
            raise _BadPageError(f"page {number} is no meta page")
        start = offset + _PAGE.size + _META.size
        free = _Tree(*_TREE.unpack_from(data, start))
        main = _Tree(*_TREE.unpack_from(data, start + _TREE.size))
        if free.pad != self._page_bytes:
            raise _BadPageError(f"meta page {number} says that pages have {free.pad} bytes")
        return free, main, *_TAIL.unpack_from(data, start + 2 * _TREE.size)

    # ------------------------------------------------------------------ trees

    def _walk(
        self, name: str, tree: _Tree, note: Callable[[bytes, int, bytes], object] | None = None
    ) -> None:
        """Read a tree level by level, and compare what it has with what its root says."""
        level: list[tuple[int, bytes]] = [] if tree.root == _NO_PAGE else [(tree.root, b"")]
        if (tree.depth == 0) != (not level) or tree.depth > 32:
            raise _BadPageError(f"{name} has {tree.depth} levels")
        branch_pages = 0
        for _ in range(tree.depth - 1):
            branch_pages += len(level)
            level = [child for page, floor in level for child in self._branch(name, tree, page, floor)]
        if (branch_pages, len(level)) != (tree.branch_pages, tree.leaf_pages):
            raise _BadPageError(
                f"{name} has {branch_pages} and {len(level)} pages, not {tree.branch_pages} and {tree.leaf_pages}"
            )
        if len(level) > _LEAF_PAGES_MAX and self._last_in_file == self._last:
            for page, _ in level:
                self._take(name, page)
            return
        entries = overflow_pages = 0
        last = b""
        for page, floor in level:
            if last and last >= floor:
                raise _BadPageError(f"{name}: page {page} is out of order")
            last, found, pages = self._leaf(name, tree, page, floor, note)
            entries += found
            overflow_pages += pages
        if (entries, overflow_pages) != (tree.entries, tree.overflow_pages):
            raise _BadPageError(
                f"{name} has {entries} entries and {overflow_pages} long pages, not {tree.entries} and "
                f"{tree.overflow_pages}"
            )

    def _take(self, name: str, page: int, pages: int = 1) -> None:
        """Count pages as in use, once."""
        if not 2 <= page <= self._last_in_file + 1 - pages:
            raise _BadPageError(f"{name} points to page {page} of {self._last_in_file + 1}")
        for number in range(page, page + pages):
            if number in self._used:
                raise _BadPageError(f"{name} points to page {number}, which is in use already")
            self._used.add(number)

    def _nodes(self, name: str, tree: _Tree, page: int, kind: int) -> list[tuple[bytes, int, int, int]]:
        """(key, where its data begin, low and high half of the size, flags) of every node of a page."""
        self._take(name, page)
        data, start = self._data, page * self._page_bytes
        number, _, flags, lower, upper = _PAGE.unpack_from(data, start)
        count = (lower - _PAGE.size) // 2
        if (
            number != page
            or flags != kind
            or lower % 2
            or count < 1
            or not lower <= upper <= self._page_bytes
        ):
            raise _BadPageError(f"{name}: the header of page {page} is wrong")
        offsets = Layout(f"{_ORDER}{count}H").unpack_from(data, start + _PAGE.size)
        if min(offsets) != upper or max(offsets) > self._page_bytes - _NODE.size:
            raise _BadPageError(f"{name}: page {page} points beyond itself")
        nodes: list[tuple[bytes, int, int, int]] = []
        filled = 0
        for offset in offsets:
            low, high, node_flags, key_bytes = _NODE.unpack_from(data, start + offset)
            at = start + offset + _NODE.size
            key = data[at : at + key_bytes]
            size = low | high << 16
            inside = 0 if kind == _BRANCH else _NUMBER.size if node_flags & _BIG_DATA else size
            end = offset + _NODE.size + key_bytes + inside
            if end > self._page_bytes:
                raise _BadPageError(f"{name}: an entry of page {page} is too long")
            filled += end - offset + end % 2 - offset % 2
            nodes.append((_sortable(key, tree), at + key_bytes, size, node_flags))
        if filled != self._page_bytes - upper:
            raise _BadPageError(f"{name}: the entries of page {page} do not fill it")
        return nodes

    def _branch(self, name: str, tree: _Tree, page: int, floor: bytes) -> list[tuple[int, bytes]]:
        """(page, lowest key that may be in it) of every child; the first child's is the page's own."""
        children: list[tuple[int, bytes]] = []
        for index, (key, _, size, flags) in enumerate(self._nodes(name, tree, page, _BRANCH)):
            if index and key <= floor:
                raise _BadPageError(f"{name}: page {page} is not in order")
            floor = key if index else floor
            children.append((size | flags << 32, floor))
        return children

    def _leaf(
        self,
        name: str,
        tree: _Tree,
        page: int,
        floor: bytes,
        note: Callable[[bytes, int, bytes], object] | None,
    ) -> tuple[bytes, int, int]:
        """(last key, entries, long pages) of a leaf."""
        nodes = self._nodes(name, tree, page, _LEAF)
        pages = 0
        if nodes[0][0] < floor:
            raise _BadPageError(f"{name}: page {page} is out of order")
        before = b""
        for key, at, size, flags in nodes:
            if key <= before or flags & ~(_BIG_DATA | _SUB_TREE):
                raise _BadPageError(f"{name}: page {page} is not in order")
            before = key
            if flags & _BIG_DATA:
                at, taken = self._long(name, _NUMBER.unpack_from(self._data, at)[0], size)
                pages += taken
            if note is not None:
                note(key, flags, self._data[at : at + size])
        return before, len(nodes), pages

    def _long(self, name: str, page: int, size: int) -> tuple[int, int]:
        """(where its data begin, pages) of a value with pages of its own."""
        if not 2 <= page <= self._last_in_file:
            raise _BadPageError(f"{name} points to page {page} of {self._last_in_file + 1}")
        start = page * self._page_bytes
        number, _, flags, low, high = _PAGE.unpack_from(self._data, start)
        pages = low | high << 16
        # A value that became shorter keeps its pages.
        if number != page or flags != _OVERFLOW or pages * self._page_bytes < _PAGE.size + size:
            raise _BadPageError(f"{name}: the header of page {page} is wrong")
        self._take(name, page, pages)
        return start + _PAGE.size, pages

    def _note_tree(self, trees: list[tuple[str, _Tree]], key: bytes, flags: int, value: bytes) -> None:
        if flags != _SUB_TREE or len(value) != _TREE.size:
            raise _BadPageError(f"{shown(key.decode(errors='replace'))} is no tree")
        trees.append((key.decode(errors="replace"), _Tree(*_TREE.unpack(value))))

    def _note_free(self, key: bytes, flags: int, value: bytes) -> None:
        count, rest = divmod(len(value), _NUMBER.size)
        numbers = Layout(f"{_ORDER}{count}Q").unpack_from(value)
        if rest or not numbers or numbers[0] != len(numbers) - 1:
            raise _BadPageError("the free list is damaged")
        self._free.extend(numbers[1:])


def _sortable(key: bytes, tree: _Tree) -> bytes:
    """The key as bytes that sort as LMDB sorts it."""
    return int.from_bytes(key, byteorder).to_bytes(8, "big") if tree.flags & _INTEGER_KEYS and key else key
