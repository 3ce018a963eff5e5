"""The structure check takes every file that LMDB writes, and reads no more of a large tree than it says."""

from __future__ import annotations

import random
from pathlib import Path

import lmdb
import pytest

from handicapper.actors import structure
from handicapper.actors.structure import check_structure
from handicapper.protocol.errors import StateDamagedError

TABLES = (b"journal", b"index", b"meta")


@pytest.mark.parametrize("leaf_pages_max", [2**16, 4])
@pytest.mark.parametrize("seed", range(6))
def test_structure_of_any_file_lmdb_writes_is_accepted(
    seed: int, leaf_pages_max: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Puts of any size, deletes, dropped tables, aborts, a reader that keeps old pages, a compacted copy."""
    monkeypatch.setattr(structure, "_LEAF_PAGES_MAX", leaf_pages_max)
    draw = random.Random(seed)
    path = tmp_path / "env"
    with lmdb.open(str(path), max_dbs=8, map_size=2**28, sync=False) as environment:
        tables = [environment.open_db(name) for name in TABLES]
        check_structure(path / "data.mdb")
        reader = None
        for _ in range(60):
            try:
                with environment.begin(write=True) as txn:
                    _change(draw, txn, draw.choice(tables))
                    if draw.random() < 0.1:
                        raise InterruptedError
            except InterruptedError:
                pass
            if draw.random() < 0.1:
                if reader is not None:
                    reader.abort()
                reader = environment.begin()
            check_structure(path / "data.mdb")
        if reader is not None:
            reader.abort()
        for compact in (False, True):
            copy = tmp_path / str(compact)
            copy.mkdir()
            environment.copy(str(copy), compact=compact)
            check_structure(copy / "data.mdb")


def _change(draw: random.Random, txn: lmdb.Transaction, table: object) -> None:
    kind = draw.random()
    if kind < 0.05:
        txn.drop(table, delete=False)
    elif kind < 0.3:
        with txn.cursor(table) as cursor:
            for _ in range(draw.randrange(200)):
                if not cursor.set_range(draw.randbytes(draw.randrange(1, 9))) or not cursor.delete():
                    break
    elif kind < 0.5:
        start = draw.randrange(2**40)
        for number in range(draw.randrange(800)):
            txn.put((start + number).to_bytes(8, "big"), draw.randbytes(draw.randrange(60)), db=table)
    else:
        for _ in range(draw.randrange(150)):
            size = draw.choice((0, 1, 30, 500, 2000, 2040, 2050, 5000, 40_000)) if draw.random() < 0.3 else 30
            txn.put(draw.randbytes(draw.choice((1, 8, 9, 255, 511))), draw.randbytes(size), db=table)


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 100_000])
def test_structure_of_anything_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises((StateDamagedError, ValueError)):
        check_structure(tmp_path / "data.mdb")
