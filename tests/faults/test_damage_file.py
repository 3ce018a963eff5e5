"""The data file or its marker is cut short, emptied, removed, or another's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lmdb
import pytest

from handicapper.actors import Learner, verify_state
from handicapper.actors.records import SCHEMA_VERSION
from handicapper.protocol.errors import StateDamagedError, StateError, StateSchemaError

from .conftest import ForkServer
from .images import SEED, TABLES, Image, small_settings


def _inspect(server: ForkServer, image: Image, path: Path) -> list[dict[str, Any]]:
    job = server.run("inspect", path=str(path), settings=TABLES, seed=SEED, calls=image.calls)
    assert job.signal == 0, f"ended by signal {job.signal}: {job.messages}"
    assert not any("raised" in message for message in job.messages), job.messages
    return job.messages


# From nothing over the middle of a page to one byte short, in 1/32 of the file.
@pytest.mark.parametrize("part", [*range(32), "odd", "short"])
def test_data_file_cut_short_is_refused_as_damaged_and_left_alone(
    part: int | str, image: Image, tmp_path: Path, fork_server: ForkServer
) -> None:
    path = image.copy(tmp_path / "state")
    file = path / "data.mdb"
    size = file.stat().st_size
    length = {"odd": size // 2 + 1, "short": size - 1}[part] if isinstance(part, str) else size * part // 32
    with file.open("r+b") as stream:
        stream.truncate(length)
    before = file.read_bytes()
    (message,) = _inspect(fork_server, image, path)
    assert message["refused"] == "STATE_DAMAGED"
    assert "backup" in message["text"]
    assert file.read_bytes() == before


def test_data_file_removed_is_refused_as_damaged_and_not_begun_afresh(image: Image, tmp_path: Path) -> None:
    path = image.copy(tmp_path / "state")
    (path / "data.mdb").unlink()
    for accept_loss in (False, True):
        with pytest.raises(StateDamagedError, match="missing or empty"):
            Learner(path, small_settings(), accept_loss=accept_loss)
    with pytest.raises(StateError):
        verify_state(path, small_settings())
    assert not (path / "data.mdb").exists()


@pytest.mark.parametrize("content", [b"not LMDB at all" * 1000, b"\0" * 65536, b"x"])
def test_data_file_of_another_kind_is_refused_as_damaged_and_left_alone(
    content: bytes, image: Image, tmp_path: Path, fork_server: ForkServer
) -> None:
    path = image.copy(tmp_path / "state")
    (path / "data.mdb").write_bytes(content)
    (message,) = _inspect(fork_server, image, path)
    assert message["refused"] == "STATE_DAMAGED"
    assert (path / "data.mdb").read_bytes() == content


def test_data_file_of_another_program_is_not_taken_for_ours(image: Image, tmp_path: Path) -> None:
    """An LMDB file without our tables, in a directory that was in use: what was acknowledged is not in it."""
    path = image.copy(tmp_path / "state")
    (path / "data.mdb").unlink()
    with lmdb.open(str(path), max_dbs=2) as environment, environment.begin(write=True) as txn:
        txn.put(b"somebody", b"else's", db=environment.open_db(b"theirs", txn))
    with pytest.raises(StateDamagedError):
        Learner(path, small_settings()).close()


@pytest.mark.parametrize("other_fields", ["kept", "unknown"])
@pytest.mark.parametrize("schema", [0, SCHEMA_VERSION + 1, 99])
def test_marker_of_another_schema_is_refused_by_name(
    schema: int, other_fields: str, image: Image, tmp_path: Path
) -> None:
    """Nobody knows what else the marker of another schema says."""
    path = image.copy(tmp_path / "state")
    marker = json.loads((path / "handicapper.json").read_bytes()) if other_fields == "kept" else {"new": [1]}
    (path / "handicapper.json").write_text(json.dumps({**marker, "schema": schema}))
    before = (path / "data.mdb").read_bytes()
    with pytest.raises(StateSchemaError, match=f"schema {schema}"):
        Learner(path, small_settings(), accept_loss=True)
    assert (path / "data.mdb").read_bytes() == before


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"schema": "one"}', b"\xff\xfe", b'{"product": "x"}'])
def test_damaged_marker_is_refused_as_damaged(text: bytes, image: Image, tmp_path: Path) -> None:
    path = image.copy(tmp_path / "state")
    (path / "handicapper.json").write_bytes(text)
    with pytest.raises(StateDamagedError, match=r"handicapper\.json"):
        Learner(path, small_settings())
    assert (path / "handicapper.json").read_bytes() == text


def test_marker_removed_but_data_there_opens_whole(
    image: Image, tmp_path: Path, fork_server: ForkServer
) -> None:
    """As after a crash between the first commit and the marker."""
    whole, path = image.copy(tmp_path / "whole"), image.copy(tmp_path / "state")
    (path / "handicapper.json").unlink()
    expected, found = _inspect(fork_server, image, whole)[0], _inspect(fork_server, image, path)[0]
    assert found == expected


def test_copy_of_an_open_directory_opens_whole(image: Image, tmp_path: Path, fork_server: ForkServer) -> None:
    """And a second copy of it to the very same state."""
    first, second = (_inspect(fork_server, image, image.copy(tmp_path / name)) for name in "ab")
    assert first == second
    resent = first[1]["resent"]
    assert (resent.pop("accepted"), list(resent)) == (0, ["duplicate"])


def begun_file(path: Path) -> bytes:
    """The data file as LMDB makes it first: two meta pages, of no transaction."""
    lmdb.open(str(path), max_dbs=1).close()
    return (path / "data.mdb").read_bytes()


@pytest.mark.parametrize("there", [(0, 512), (512, 8192), (4096, 8192), (0, 8192), (0, 4608)])
def test_first_opening_that_the_power_ended_is_begun_again(there: tuple[int, int], tmp_path: Path) -> None:
    """What LMDB wrote first may be on disk in part, nothing was ever in it: it is set aside."""
    path = tmp_path / "state"
    path.mkdir()
    whole = begun_file(path)
    assert len(whole) == 8192
    left = bytes(there[0]) + whole[there[0] : there[1]] + bytes(len(whole) - there[1])
    (path / "data.mdb").write_bytes(left)
    with Learner(path, small_settings()) as learner:
        learner.resolve_market(market_id="m", winner="YES", resolved_at=1)
    assert (path / "data.mdb.unbegun").read_bytes() == left
    assert verify_state(path, small_settings()).ok


def test_data_file_with_a_transaction_is_not_set_aside_for_want_of_a_marker(
    image: Image, tmp_path: Path
) -> None:
    path = image.copy(tmp_path / "state")
    (path / "handicapper.json").unlink()
    with (path / "data.mdb").open("r+b") as stream:
        stream.write(bytes(512))
    with pytest.raises(StateDamagedError):
        Learner(path, small_settings())
    assert not (path / "data.mdb.unbegun").exists()
