"""The same journal gives the same state, bit for bit, however it is opened."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest

from handicapper.actors import Learner, verify_state
from handicapper.actors.records import encode
from handicapper.config import settings_from_dict

from .images import SEED, TABLES, Image, make_image, small_settings
from .workload import make_call

SNAPSHOT_TABLES = (
    "meta",
    "model_learning_stats",
    "open_markets",
    "settled_markets",
    "loose_outcomes",
    "index",
)


@pytest.fixture(scope="module", params=[(48, 20), (60, 60), (33, 7), (24, 1000)])
def some_image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """(calls, calls between snapshots): a long tail, none, many snapshots, no snapshot at all."""
    calls_number, snapshot_every = request.param
    return make_image(tmp_path_factory.mktemp("image"), calls_number, snapshot_every)


def states_of(path: Path) -> tuple[int, dict[str, bytes]]:
    """(inputs replayed, encoded record of every model) of a directory as it opens."""
    with Learner(path, small_settings()) as learner:
        refs = learner._engine.roster.refs
        records = {model: encode(ref.cell.actor.state.to_record()) for model, ref in refs.items()}
        return learner.statistics().replayed, records


def drop_snapshot(path: Path) -> None:
    """Leave nothing but the journal."""
    with lmdb.open(str(path), max_dbs=8, map_size=2**26) as environment, environment.begin(write=True) as txn:
        for table in SNAPSHOT_TABLES:
            txn.drop(environment.open_db(table.encode(), txn), delete=False)


def test_same_journal_opened_twice_gives_bit_identical_models(some_image: Image, tmp_path: Path) -> None:
    first, second = (states_of(some_image.copy(tmp_path / name)) for name in "ab")
    assert first == second
    assert len(first[1]) >= 6


def test_snapshot_and_tail_give_what_the_whole_journal_gives(some_image: Image, tmp_path: Path) -> None:
    with_snapshot, without = some_image.copy(tmp_path / "a"), some_image.copy(tmp_path / "b")
    drop_snapshot(without)
    (tail, restored), (whole, folded) = states_of(with_snapshot), states_of(without)
    assert restored == folded
    assert whole >= tail
    assert whole > 100
    assert verify_state(without, small_settings()).ok


def test_state_closed_and_opened_again_and_again_does_not_change(some_image: Image, tmp_path: Path) -> None:
    path = some_image.copy(tmp_path / "a")
    _, first = states_of(path)
    for _ in range(3):
        assert states_of(path) == (0, first)
    assert verify_state(path, small_settings()).ok


def test_journal_written_in_small_records_gives_what_large_ones_give(
    some_image: Image, tmp_path: Path
) -> None:
    """How inputs were cut into batches and records leaves no trace in the state."""
    path = tmp_path / "small"
    tables = {**TABLES, "limits": {"batch_inputs_max": 3}}
    with Learner(path, settings_from_dict({"online_learning": tables})) as learner:
        for key in some_image.calls:
            call = make_call(SEED, *key)
            if call.kind == "pause":
                learner.pause(call.model_id, reason="by test")
            elif call.kind == "resume":
                learner.resume(call.model_id)
            elif call.kind == "signal":
                learner.process_signals(call.inputs)
            else:
                learner.record(call.inputs)
    assert states_of(path)[1] == states_of(some_image.copy(tmp_path / "a"))[1]
