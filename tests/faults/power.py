"""What a disk may hold after the power went at a moment of a recorded run.

Of what was written and not synced the disk may have anything: every sector of 512 bytes holds what any of the
writes to it left there, or what it held before, whatever its neighbours hold; a file may have got its length and
not its bytes; names that were made, changed or removed may be so on disk or not, in any order, until their
directory is synced. A sync makes durable what had been written when it began; a write to a descriptor opened with
O_DSYNC (LMDB's for its meta pages) is durable itself when it ends, and nothing else is.

A sync that failed leaves pages that the kernel takes for clean although they are not on disk (as Linux does):
what it was to make durable never becomes so, unless it is written again.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .strace import SYNCS, WRITES, Event, Operation

SECTOR_BYTES = 512
PAGE_BYTES = 4096
STYLES = ("nothing", "everything", "until", "pages", "sectors", "sectors", "sectors")
"""What of the unsynced writes is there: none, all, the first ones, whole pages or single sectors of any."""


class Write:
    """Bytes on their way to the disk."""

    def __init__(self, offset: int, data: bytes) -> None:
        self.offset, self.data = offset, data
        self.ended: int | None = None


class Inode:
    """A file: what is durable of it, and what is on its way."""

    def __init__(self) -> None:
        self.durable = bytearray()
        self.pending: list[Write] = []

    def settle(self, writes: list[Write]) -> None:
        """These are durable now."""
        for write in writes:
            _put(self.durable, write.offset, write.data)
        gone = {id(write) for write in writes}
        self.pending = [write for write in self.pending if id(write) not in gone]

    def content(self, style: str, chance: random.Random) -> bytes:
        """The file as the disk may have it."""
        content = bytearray(self.durable)
        if style == "nothing" or not self.pending:
            return bytes(content)
        if style in ("everything", "until"):
            count = len(self.pending) if style == "everything" else chance.randrange(len(self.pending) + 1)
            for write in self.pending[:count]:
                _put(content, write.offset, write.data)
            return bytes(content)
        return self._scattered(content, PAGE_BYTES if style == "pages" else SECTOR_BYTES, chance)

    def _scattered(self, content: bytearray, size: int, chance: random.Random) -> bytes:
        """Each block of that size as one of the writes to it left it, whatever the others."""
        likely = chance.choice((0.1, 0.5, 0.9))
        cached, length = bytearray(content), len(content)
        versions: dict[int, list[bytes]] = {}
        for write in self.pending:
            _put(cached, write.offset, write.data)
            for block in range(write.offset // size, (write.offset + len(write.data) - 1) // size + 1):
                versions.setdefault(block, []).append(bytes(cached[block * size : (block + 1) * size]))
        for block, contents in versions.items():
            if chance.random() < likely:
                _put(content, block * size, chance.choice(contents))
        if chance.random() < 0.3:
            content.extend(bytes(len(cached) - len(content)))
        elif chance.random() < 0.3:
            # Not even the length of what was appended.
            del content[max(length, chance.randrange(length, len(content) + 1)) :]
        return bytes(content)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Change(NamedTuple):
    """A name in a directory was made, removed, or both: as one."""

    moment: int
    directory: str
    made: str
    removed: str
    inode: Inode | None
    """What has the name, or had it; None is a directory."""


class Disk:
    """The files below a directory, which is there from the first, up to a moment of a recorded run."""

    def __init__(self, base: str, events: list[Event], cut: int) -> None:
        self._base = base
        self._live: dict[str, Inode | None] = {}
        """By path, as every process sees it; None is a directory."""
        self._durable: dict[str, Inode | None] = {}
        self._changes: list[Change] = []
        """Of names, on their way."""
        self._synchronous: set[int] = set()
        self._offsets: dict[int, int] = {}
        self._writes: dict[int, list[Write]] = {}
        self._began: dict[int, int] = {}
        self.said: list[bytes] = []
        """What had been said to the outside, in order."""
        for moment, event in enumerate(events[:cut]):
            self._take(moment, event)

    def _take(self, moment: int, event: Event) -> None:
        operation = event.operation
        if not event.ended:
            self._began[event.number] = moment
            if operation.path.startswith("pipe:") and operation.name == "write":
                self.said.extend(operation.data)
        if not self._is_ours(operation.path):
            return
        if operation.name in WRITES:
            self._write(moment, event)
        elif event.ended and operation.name in SYNCS:
            self._sync(self._began[event.number], operation)
        elif event.ended and operation.succeeded:
            self._change(moment, operation)

    def _is_ours(self, path: str) -> bool:
        return path == self._base or path.startswith(self._base + "/")

    # ---------------------------------------------------------------- content

    def _write(self, moment: int, event: Event) -> None:
        operation = event.operation
        inode = self._live.get(operation.path)
        assert inode is not None, f"written, and never made: {operation.path}"
        if event.ended:
            writes = self._writes.pop(event.number)
            for write in writes:
                write.ended = moment
            if operation.fd in self._synchronous:
                inode.settle(writes)
            return
        data = b"".join(operation.data)[: max(operation.result, 0)]
        if operation.name.startswith("pwrite"):
            offset = int(operation.arguments.rsplit(", ", 1)[1])
        else:
            offset = self._offsets.get(operation.fd, 0)
            self._offsets[operation.fd] = offset + len(data)
        writes = [Write(offset, data)] if data else []
        inode.pending += writes
        self._writes[event.number] = writes

    def _sync(self, began: int, operation: Operation) -> None:
        inode = self._live.get(operation.path)
        if operation.path in self._live and inode is not None:
            covered = [write for write in inode.pending if write.ended is not None and write.ended < began]
            if operation.succeeded:
                inode.settle(covered)
            else:
                inode.pending = [write for write in inode.pending if write not in covered]
        elif operation.succeeded:
            here = [c for c in self._changes if c.directory == operation.path and c.moment < began]
            _rename(self._durable, here)
            self._changes = [change for change in self._changes if change not in here]

    # ------------------------------------------------------------------ names

    def _change(self, moment: int, operation: Operation) -> None:
        name, path, arguments = operation.name, operation.path, operation.arguments
        if name == "lseek":
            self._offsets[operation.fd] = operation.result
        elif name == "ftruncate":
            self._truncate(path, int(arguments.rsplit(", ", 1)[1]))
        elif name == "mkdir":
            self._rename(moment, path, "", None)
        elif name == "unlink":
            self._rename(moment, "", path, self._live[path])
        elif name == "rename":
            self._rename(moment, operation.other_path, path, self._live[path])
        elif name == "openat":
            self._open(moment, operation)

    def _open(self, moment: int, operation: Operation) -> None:
        flags = operation.arguments
        self._synchronous.discard(operation.fd)
        self._offsets[operation.fd] = 0
        if "O_DSYNC" in flags or "O_SYNC" in flags:
            self._synchronous.add(operation.fd)
        if operation.path not in self._live and "O_CREAT" in flags:
            self._rename(moment, operation.path, "", Inode())
        elif "O_TRUNC" in flags:
            self._truncate(operation.path, 0)

    def _rename(self, moment: int, made: str, removed: str, inode: Inode | None) -> None:
        change = Change(moment, str(PurePosixPath(made or removed).parent), made, removed, inode)
        self._changes.append(change)
        _rename(self._live, [change])

    def _truncate(self, path: str, size: int) -> None:
        """Of files that are of no account after a crash only (LOCK, lock.mdb): durable at once."""
        inode = self._live[path]
        assert inode is not None
        assert PurePosixPath(path).name in ("LOCK", "lock.mdb", "handicapper.json.new"), path
        del inode.durable[size:]
        inode.pending.clear()

    # ------------------------------------------------------------------ image

    @property
    def unsynced_log(self) -> bool:
        """Whether a frame of the log is on its way."""
        return any(
            inode is not None and inode.pending and PurePosixPath(path).suffix == ".log"
            for path, inode in self._live.items()
        )

    def write_image(self, to: Path, style: str, chance: random.Random) -> None:
        """Make what the disk may hold."""
        names = dict(self._durable)
        if style == "everything":
            chosen = self._changes
        elif style == "until":
            chosen = self._changes[: chance.randrange(len(self._changes) + 1)]
        else:
            chosen = [] if style == "nothing" else [c for c in self._changes if chance.random() < 0.5]
        _rename(names, chosen)
        for path in sorted(names):
            place = to / PurePosixPath(path).relative_to(self._base)
            if not place.parent.exists():
                continue
            inode = names[path]
            if inode is None:
                place.mkdir(mode=0o700, exist_ok=True)
            else:
                place.write_bytes(inode.content(style, chance))


def _rename(names: dict[str, Inode | None], changes: Iterable[Change]) -> None:
    for change in changes:
        if change.removed in names and names[change.removed] is change.inode:
            del names[change.removed]
        if change.made:
            names[change.made] = change.inode
