"""strace: whether it works here, and what it wrote down about files, as operations that begin and end."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

WRITES = ("pwrite64", "pwritev", "writev", "write")
SYNCS = ("fsync", "fdatasync")
NAMES = ("openat", "rename", "unlink", "mkdir")
RECORDED = (*WRITES, *SYNCS, *NAMES, "lseek", "ftruncate")
"""Whoever writes by another call than these is not seen: see test_power_loss."""

RECORD = ["-y", "-v", "-xx", "-s", str(2**24), "-e", "trace=" + ",".join(RECORDED), "-o"]
"""Options; the file to write to comes next."""


@cache
def missing() -> str | None:
    """Why strace cannot be used, if so."""
    if shutil.which("strace") is None:
        return "strace is not installed (bin/foreign.sh)"
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.strip()}"


class Operation(NamedTuple):
    """One call, as it was made."""

    name: str
    path: str
    """Of what its descriptor stands for, or its first path."""
    fd: int
    arguments: str
    data: tuple[bytes, ...]
    """What is written."""
    succeeded: bool
    result: int
    """-1 where it failed."""
    other_path: str = ""
    """Second path of a rename."""


class Event(NamedTuple):
    """An operation began, or ended."""

    number: int
    """Of the operation."""
    ended: bool
    operation: Operation


_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$", re.DOTALL)
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_RESULT = re.compile(r"\) += (-?\d+|\?)(?:<[^>]*>)?(?: [A-Z]+ .*)?(?: \(INJECTED\))?$")
_FD = re.compile(r"^(\d+)<([^>]*)>")
_TEXT = re.compile(r'(?<!\w)"((?:\\x[0-9a-f]{2})*)"|iov_base="((?:\\x[0-9a-f]{2})*)"')


def read_events(log: Path, first_number: int = 0) -> list[Event]:
    """What began and ended, in the order in which strace saw it. What never ended failed."""
    begun: list[tuple[int, str, str]] = []
    """(place of its begin, name, all of its text) of each operation."""
    ends: dict[int, int] = {}
    order: list[tuple[int, bool]] = []
    open_calls: dict[str, int] = {}
    for line in log.read_text().splitlines():
        if (resumed := _RESUMED.match(line)) is not None:
            number = open_calls.pop(resumed[1])
            place, name, text = begun[number]
            begun[number] = (place, name, text + resumed[3])
        elif (call := _CALL.match(line)) is not None:
            number = len(begun)
            text = call[3]
            begun.append((len(order), call[2], text.removesuffix(_UNFINISHED)))
            order.append((number, False))
            if text.endswith(_UNFINISHED):
                open_calls[call[1]] = number
                continue
        else:
            continue
        ends[number] = len(order)
        order.append((number, True))
    operations = [_operation(name, text) for _, name, text in begun]
    return [Event(first_number + number, ended, operations[number]) for number, ended in order]


def _operation(name: str, text: str) -> Operation:
    found = _RESULT.search(text)
    result = int(found[1]) if found is not None and found[1] != "?" else -1
    arguments = text if found is None else text[: found.start()]
    texts = [bytes.fromhex((a or b).replace("\\x", "")) for a, b in _TEXT.findall(arguments)]
    fd, path = -1, ""
    if name in NAMES:
        path = texts[0].decode() if texts else ""
        fd = result if name == "openat" else -1
    elif (described := _FD.match(arguments)) is not None:
        fd, path = int(described[1]), bytes.fromhex(described[2].replace("\\x", "")).decode()
    other = texts[1].decode() if name == "rename" and len(texts) > 1 else ""
    data = tuple(texts) if name in WRITES else ()
    return Operation(name, path, fd, arguments, data, result >= 0, result, other)


def counts_by_thread(log: Path, names: Iterable[str], directory: str) -> dict[str, int]:
    """How often the thread that did so most called each of these on something in a directory."""
    counted: dict[tuple[str, str], int] = {}
    for thread, name in _calls_below(log, directory):
        counted[name, thread] = counted.get((name, thread), 0) + 1
    return {name: max([n for (of, _), n in counted.items() if of == name], default=0) for name in names}


def places_by_thread(log: Path, names: Iterable[str], directory: str) -> dict[str, list[int]]:
    """Which of the calls of each name are on something in a directory, counting all that their thread makes.

    Of the thread that makes most of them.
    """
    made: dict[tuple[str, str], int] = {}
    places: dict[str, dict[str, list[int]]] = {name: {"": []} for name in names}
    for line in log.read_text().splitlines():
        call = _CALL.match(line)
        if call is not None and call[2] in places:
            made[call[2], call[1]] = made.get((call[2], call[1]), 0) + 1
            if directory in line:
                places[call[2]].setdefault(call[1], []).append(made[call[2], call[1]])
    return {name: max(of_threads.values(), key=len) for name, of_threads in places.items()}


def _calls_below(log: Path, directory: str) -> Iterator[tuple[str, str]]:
    for line in log.read_text().splitlines():
        call = _CALL.match(line)
        if call is not None and directory in line:
            yield call[1], call[2]
