"""One bit of the data file flips. Whatever bit it is: an error by name, or the whole state; never another one.

LMDB checks nothing, so records carry a CRC; what is around them is checked when the directory is opened.
``HANDICAPPER_DAMAGE_FLIPS`` sets how many flips there are (default 240).
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import ForkServer
from .images import SEED, TABLES, Image

FLIPS = int(os.environ.get("HANDICAPPER_DAMAGE_FLIPS", "240"))
PAGE_BYTES = 4096
META_BYTES = 152
"""Page header (16) and MDB_meta (136) of LMDB's first two pages."""
NAMED = {"STATE_DAMAGED", "STATE_SCHEMA", "STATE_ERROR", "STORE_FAILED"}


def meta_bits(file_bytes: int) -> Iterator[int]:
    """One bit of each byte of both meta pages."""
    draw = random.Random(1)
    for byte in (*range(META_BYTES), *range(PAGE_BYTES, PAGE_BYTES + META_BYTES)):
        yield 8 * byte + draw.randrange(8)


def header_bits(file_bytes: int) -> Iterator[int]:
    """Bits of the headers and the node pointers of any page but the first two."""
    draw = random.Random(2)
    while True:
        page = draw.randrange(2, file_bytes // PAGE_BYTES)
        yield 8 * (page * PAGE_BYTES + draw.randrange(32)) + draw.randrange(8)


def any_bits(file_bytes: int) -> Iterator[int]:
    """Any bits."""
    draw = random.Random(3)
    while True:
        yield draw.randrange(2 * PAGE_BYTES * 8, file_bytes * 8)


def verdict(messages: list[dict[str, Any]], signal: int, reference: str) -> str:
    """In a word: how it ended. The bad ends begin with a capital."""
    if any("raised" in message for message in messages):
        return "Raised " + messages[-1]["raised"].strip().splitlines()[-1][:150]
    opened = next((message for message in messages if "opened" in message), None)
    if signal:
        return f"Signal {signal} " + ("after opening" if opened else "while opening")
    if opened is None:
        code = messages[0]["refused"]
        return f"refused {code}" if code in NAMED else f"Refused {code}"
    if opened["state"] != reference:
        return "Other state" + (" and quarantined" if opened["quarantined"] else ", silently")
    resent = next(message["resent"] for message in messages if "resent" in message)
    if resent.get("accepted") or set(resent) - {"duplicate", "accepted"} - NAMED:
        return f"Forgotten {sorted(resent)}"
    return "whole, quarantined" if opened["quarantined"] else "whole"


def flip(file: Path, bit: int) -> None:
    with file.open("r+b") as stream:
        stream.seek(bit // 8)
        (byte,) = stream.read(1)
        stream.seek(bit // 8)
        stream.write(bytes([byte ^ 1 << bit % 8]))


@pytest.fixture(scope="module")
def reference(image: Image, fork_server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """State of the undamaged directory."""
    path = image.copy(tmp_path_factory.mktemp("reference") / "state")
    job = fork_server.run("inspect", path=str(path), settings=TABLES, seed=SEED, calls=image.calls)
    opened = next(message for message in job.messages if "opened" in message)
    assert verdict(job.messages, job.signal, opened["state"]) == "whole"
    return opened["state"]


@pytest.mark.parametrize("bits", [meta_bits, header_bits, any_bits])
def test_flipped_bit_ends_in_a_named_error_or_the_whole_state(
    bits: Any, image: Image, reference: str, fork_server: ForkServer, tmp_path: Path
) -> None:
    ends: Counter[str] = Counter()
    bad: list[tuple[str, int, int]] = []
    size = (image.path / "data.mdb").stat().st_size
    flips = [bit for bit, _ in zip(bits(size), range(max(FLIPS // 3, 8)), strict=False)]
    if bits is meta_bits:
        flips = list(meta_bits(size))
    for number, bit in enumerate(flips):
        path = image.copy(tmp_path / str(number))
        flip(path / "data.mdb", bit)
        job = fork_server.run("inspect", path=str(path), settings=TABLES, seed=SEED, calls=image.calls)
        end = verdict(job.messages, job.signal, reference)
        ends[end] += 1
        if end[0].isupper():
            bad.append((end, *divmod(bit // 8, PAGE_BYTES)))
        assert (path / "data.mdb").stat().st_size, "nothing is deleted"
    print(bits.__name__, dict(ends))
    assert not bad, bad
