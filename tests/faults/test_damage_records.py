"""Single records are damaged, removed or put under another key, behind LMDB's back.

What can be derived again is quarantined and derived again; what was acknowledged and cannot be read stops
the opening, unless the loss is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from handicapper.actors import Learner, verify_state
from handicapper.actors.records import number_key, seal
from handicapper.protocol.errors import StateDamagedError

from .conftest import ForkServer
from .images import SEED, TABLES, Image, small_settings

MODELS = "model_learning_stats"
Rows = list[tuple[bytes, bytes]]
Damage = Callable[[bytes, bytes], tuple[bytes, bytes] | None]


def _bit(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    middle = len(value) // 2
    return key, value[:middle] + bytes([value[middle] ^ 4]) + value[middle + 1 :]


def _version(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    return key, b"\x63" + value[1:]


def _empty(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    return key, b""


def _short(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    return key, value[:-1]


def _well_sealed_nonsense(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    return key, seal(key, b"\xc1")


def _other_key(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    return key[:-1] + bytes([key[-1] ^ 0x40]), value


def _removed(key: bytes, value: bytes) -> None:
    return None


DAMAGES = [_bit, _version, _empty, _short, _well_sealed_nonsense, _other_key, _removed]


def rows(path: Path, table: str) -> Rows:
    with (
        lmdb.open(str(path), max_dbs=8, map_size=2**26) as environment,
        environment.begin() as txn,
        txn.cursor(environment.open_db(table.encode(), txn, create=False)) as cursor,
    ):
        return list(cursor)


def change(path: Path, table: str, key: bytes, damage: Damage) -> None:
    """Put the damaged record in the place of the record with this key."""
    with lmdb.open(str(path), max_dbs=8, map_size=2**26) as environment, environment.begin(write=True) as txn:
        database = environment.open_db(table.encode(), txn, create=False)
        changed = damage(key, txn.get(key, db=database))
        txn.delete(key, db=database)
        if changed is not None:
            txn.put(*changed, db=database)


def _inspect(server: ForkServer, image: Image, path: Path, **more: Any) -> list[dict[str, Any]]:
    job = server.run("inspect", path=str(path), settings=TABLES, seed=SEED, calls=image.calls, **more)
    assert job.signal == 0, job.messages
    assert not any("raised" in message for message in job.messages), job.messages[-1]["raised"]
    return job.messages


@pytest.fixture(scope="module")
def whole(image: Image, fork_server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the undamaged directory opens to."""
    return _inspect(fork_server, image, image.copy(tmp_path_factory.mktemp("whole") / "state"))[0]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("table", "place"),
    [
        ("meta", 0),
        ("meta", 1),
        ("open_markets", 0),
        ("open_markets", -1),
        (MODELS, 1),
        ("index", 0),
        ("index", -1),
    ],
)
def test_damaged_snapshot_is_quarantined_and_derived_again_from_the_journal(
    table: str,
    place: int,
    damage: Damage,
    image: Image,
    whole: dict[str, Any],
    tmp_path: Path,
    fork_server: ForkServer,
) -> None:
    """Or found to be of no consequence; never another state, and never an input taken twice.

    Whole records of these two tables do not go missing by themselves: the trees' own counts would not agree.
    """
    if damage is _removed and table in ("open_markets", "index"):
        pytest.skip("taken away whole, by somebody who can write LMDB: nothing points to it")
    path = image.copy(tmp_path / "state")
    key = rows(path, table)[place][0]
    change(path, table, key, damage)
    messages = _inspect(fork_server, image, path)
    assert "opened" in messages[0], f"the journal is whole, but it was not used: {messages[0]}"
    assert messages[0]["state"] == whole["state"]
    assert messages[1]["resent"].get("accepted") == 0
    assert set(messages[1]["resent"]) == {"accepted", "duplicate"}
    listed = messages[0]["quarantined"]
    # A snapshot that is not there at all leaves nothing to quarantine: the journal alone speaks.
    if not (table == "meta" and key == b"snapshot" and damage in (_removed, _other_key)):
        assert listed, "the damage must be reported"
    with Learner(path, small_settings()) as again:
        assert list(again.statistics().quarantined) == listed


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_damaged_settled_market_is_an_error_by_name_and_never_taken_for_new(
    damage: Damage, place: float, image: Image, tmp_path: Path, fork_server: ForkServer
) -> None:
    """Its predictions sent again get STATE_DAMAGED, all others are duplicates, and verify names it."""
    path = image.copy(tmp_path / "state")
    markets = rows(path, "settled_markets")
    change(path, "settled_markets", markets[int(place * (len(markets) - 1))][0], damage)
    assert not verify_state(path, small_settings()).ok
    messages = _inspect(fork_server, image, path)
    if "refused" in messages[0]:
        assert messages[0]["refused"] == "STATE_DAMAGED"
        return
    resent = messages[1]["resent"]
    assert resent["accepted"] == 0, resent
    assert set(resent) == {"accepted", "duplicate", "STATE_DAMAGED"}


def _tail(path: Path) -> Rows:
    """Journal records after the snapshot: only these are read when opening."""
    with Learner(path, small_settings()) as learner:
        seq = learner.statistics().seq - learner.statistics().replayed
    return [row for row in rows(path, "journal") if int.from_bytes(row[0], "big") > seq]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("place", [0, 0.5, "newest"])
def test_damaged_journal_record_stops_the_opening_until_the_loss_is_accepted(
    damage: Damage, place: float | str, image: Image, tmp_path: Path, fork_server: ForkServer
) -> None:
    """With ``accept_loss`` everything else is there, and the loss stays visible from then on."""
    path, probe = image.copy(tmp_path / "state"), image.copy(tmp_path / "probe")
    tail = _tail(probe)
    index = len(tail) - 1 if isinstance(place, str) else int(place * (len(tail) - 1))
    key = tail[index][0]
    if place == "newest" and damage in (_removed, _other_key):
        pytest.skip(
            "the newest record taken away whole, by somebody who can write LMDB: nothing points to it"
        )
    change(path, "journal", key, damage)
    before = (path / "data.mdb").read_bytes()
    (refused,) = _inspect(fork_server, image, path)
    assert refused["refused"] == "STATE_DAMAGED"
    assert "accept_loss" in refused["text"]
    assert rows(path, "journal") == rows_of(before, tmp_path)
    opened = _inspect(fork_server, image, path, accept_loss=True)
    assert opened[0]["quarantined"]
    again = _inspect(fork_server, image, path)
    assert "opened" in again[0], again[0]
    assert again[0]["quarantined"] == opened[0]["quarantined"]
    assert again[1]["resent"]["accepted"] == 0


def rows_of(data: bytes, tmp_path: Path) -> Rows:
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "data.mdb").write_bytes(data)
    return rows(tmp_path / "before", "journal")


def test_damaged_journal_record_under_the_snapshot_is_named_by_verify(image: Image, tmp_path: Path) -> None:
    """Opening does not need it, so opening says nothing; verify reads everything."""
    path = image.copy(tmp_path / "state")
    change(path, "journal", rows(path, "journal")[3][0], _bit)
    report = verify_state(path, small_settings())
    assert not report.ok
    assert "journal" in report.damaged[0]


def test_snapshot_and_an_early_journal_record_both_damaged_are_refused(image: Image, tmp_path: Path) -> None:
    path = image.copy(tmp_path / "state")
    change(path, "journal", rows(path, "journal")[3][0], _bit)
    change(path, "meta", b"snapshot", _bit)
    with pytest.raises(StateDamagedError, match="journal record"):
        Learner(path, small_settings())


def test_snapshot_damaged_and_the_journal_begins_later_is_refused(image: Image, tmp_path: Path) -> None:
    path = image.copy(tmp_path / "state")
    change(path, "journal", number_key(1), _removed)
    change(path, "meta", b"book", _bit)
    with pytest.raises(StateDamagedError, match="first input"):
        Learner(path, small_settings())
