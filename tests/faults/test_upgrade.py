"""State directories written by earlier releases, and by this one, open; those of later ones are refused by name.

The directories are in ``tests/golden_state``, whose ``make.py`` made them and says how the next one is made.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from handicapper.actors import Learner, backup_state, verify_state
from handicapper.actors.records import (
    SCHEMA_VERSION,
    decode_book,
    decode_chunk,
    decode_loose,
    decode_market,
    decode_snapshot_meta,
    encode,
)
from handicapper.actors.runtime.clock import ManualClock
from handicapper.actors.state.entries import (
    ExpirePredictions,
    GatedPrediction,
    PauseModel,
    ResetModel,
    ResumeModel,
    RulesInForce,
)
from handicapper.actors.state.model_state import ModelRecord
from handicapper.actors.store import Store
from handicapper.config import default_settings
from handicapper.protocol.errors import HandicapperError, StateSchemaError
from handicapper.protocol.messages import Input, MarketResolved, Prediction, TradeOutcome

GOLDEN = Path(__file__).parents[1] / "golden_state"
NAMES = sorted(path.stem for path in GOLDEN.glob("v*.json"))
DEADLINE_SECONDS = 60.0


class Told(msgspec.Struct):
    """What is known of a golden directory besides its files."""

    seq: int
    snapshot_seq: int
    pending: int
    models: dict[str, str]
    inputs: list[Input]
    signals: list[Prediction]


class Golden(NamedTuple):
    name: str
    path: Path
    """A copy to work on."""
    told: Told


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(params=NAMES)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Golden]:
    """A copy of each, and its original as it was afterwards."""
    name = request.param
    before = contents(GOLDEN / name)
    shutil.copytree(GOLDEN / name, tmp_path / "state")
    told = msgspec.json.decode((GOLDEN / f"{name}.json").read_bytes(), type=Told)
    told.models = {model: as_written_now(record) for model, record in told.models.items()}
    yield Golden(name, tmp_path / "state", told)
    assert contents(GOLDEN / name) == before


def as_written_now(record: str) -> str:
    """A record of then with the fields that records have gained since, all of them at their defaults."""
    then = bytes.fromhex(record)
    now = encode(msgspec.msgpack.decode(then, type=ModelRecord))
    told, tells = msgspec.msgpack.decode(then), msgspec.msgpack.decode(now)
    for statistics in ("now", "newer", "older"):
        at = ModelRecord.__struct_fields__.index(statistics)
        assert tells[at][: len(told[at])] == told[at]
        del tells[at][len(told[at]) :]
    assert repr(tells[: len(told)]) == repr(told), "nothing but what came after it has changed"
    return now.hex()


def states(learner: Learner) -> dict[str, str]:
    """Every model's whole state."""
    return {
        summary.model_id: encode(
            learner._ask(summary.model_id, lambda state, _: state.to_record(), None, DEADLINE_SECONDS)
        ).hex()
        for summary in learner.models()
    }


def opened(path: Path) -> Learner:
    """At a time when nothing has expired, so that nothing is journaled but what a test sends."""
    return Learner(path, clock=ManualClock(0), future_inputs=True)


def test_there_is_one_of_this_schema() -> None:
    assert NAMES[0] == "v1"
    schemas = {json.loads((GOLDEN / name / "handicapper.json").read_bytes())["schema"] for name in NAMES}
    assert SCHEMA_VERSION in schemas


def test_models_and_book_are_what_they_were_bit_for_bit(golden: Golden) -> None:
    with opened(golden.path) as learner:
        statistics = learner.statistics()
        assert statistics.seq == golden.told.seq, "the last settings still hold: nothing was journaled"
        assert statistics.snapshot_seq == golden.told.snapshot_seq
        assert statistics.replayed == golden.told.seq - golden.told.snapshot_seq
        assert statistics.predictions_pending == golden.told.pending
        assert statistics.quarantined == ()
        assert states(learner) == golden.told.models
        assert learner.verify().ok
    with opened(golden.path) as again:
        assert again.statistics().replayed == 0
        assert states(again) == golden.told.models


def test_closed_directory_passes_verify_and_its_backup_too(golden: Golden, tmp_path: Path) -> None:
    found = verify_state(golden.path)
    assert (found.ok, found.last_seq) == (True, golden.told.seq)
    assert backup_state(golden.path, tmp_path / "copy").seq == golden.told.seq
    assert verify_state(tmp_path / "copy") == found


def test_everything_that_was_sent_is_still_known(golden: Golden) -> None:
    told = golden.told
    with opened(golden.path) as learner:
        result = learner.record(told.inputs)
        assert (result.accepted, result.duplicates) == (0, len(told.inputs))
        assert all(decision.duplicate for decision in learner.process_signals(told.signals))
        assert learner.statistics().seq == told.seq
        assert states(learner) == told.models


def test_market_on_disk_can_still_be_revised(golden: Golden) -> None:
    """Every model that predicted it learns otherwise; and the journal gives the same."""
    with opened(golden.path) as learner:
        before = states(learner)
        receipt = learner.resolve_market(
            market_id="m0", void=True, resolved_at=1_700_000_060_000_000_000, revision=7
        )
        assert receipt.revised == 3
        after = states(learner)
        assert {model for model in after if after[model] != before[model]} == {"crowd", "elo", "vegas"}
        assert learner.verify().ok
    assert verify_state(golden.path).ok


def test_prediction_joins_its_old_trade_outcome(golden: Golden) -> None:
    """A loose one, found on disk."""
    (old,) = (
        each
        for each in golden.told.inputs
        if isinstance(each, TradeOutcome) and each.prediction_id == "crowd-2002"
    )
    with opened(golden.path) as learner:
        n = learner.report("crowd").n
        learner.record_prediction(
            prediction_id=old.prediction_id,
            model_id=old.model_id,
            market_id="joined",
            outcome=old.predicted_outcome,
            confidence=0.6,
            predicted_at=old.resolved_at - 1,
        )
        assert learner.report("crowd").n == n
        assert learner.verify().ok


# ----------------------------------------------------------------- what is in it


@pytest.fixture
def store(golden: Golden) -> Iterator[Store]:
    made = Store(golden.path, default_settings().persistence.db_table, create=False)
    yield made
    made.close()


def test_journal_holds_every_kind_of_input(store: Store) -> None:
    entries = list(chain.from_iterable(decode_chunk(*record)[2] for record in store.read_journal(0)))
    kinds = {type(entry) for entry in entries}
    assert kinds == {
        Prediction, GatedPrediction, MarketResolved, TradeOutcome, PauseModel, ResumeModel, ResetModel, RulesInForce,
        ExpirePredictions,
    }  # fmt: skip
    resolutions = [entry for entry in entries if isinstance(entry, MarketResolved)]
    assert {each.status for each in resolutions} == {"proposed", "disputed", "final"}
    assert {each.void for each in resolutions} == {False, True}
    assert {each.revision for each in resolutions} >= {0, 1, 2}
    assert any(set((each.payouts or {}).values()) == {0.5} for each in resolutions)
    gates = [entry.gate for entry in entries if isinstance(entry, GatedPrediction)]
    assert {gate.accepted for gate in gates} == {False, True}
    assert {"accepted", "paused"} < {gate.reason for gate in gates}
    assert sum(isinstance(entry, RulesInForce) for entry in entries) == 2


def test_every_table_holds_something(store: Store) -> None:
    open_markets = [decode_market(*record) for record in store.open_markets()]
    settled = [decode_market(*record) for record in store.settled_markets()]
    loose = [decode_loose(*record) for record in store.loose_outcomes()]
    assert open_markets and settled and loose
    assert all(market.pending for market in open_markets)
    tickets = [ticket for market in settled for ticket in market.tickets.values()]
    assert any(ticket.joined_seq for ticket in tickets), "a trade outcome whose prediction came later"
    assert any(ticket.outcome and not ticket.joined_seq for ticket in tickets), "and one that came after it"
    assert any(len(market.rulings) > 1 for market in settled)
    assert any(not market.tickets for market in settled), "a resolution that waits for predictions"
    assert {key[0] for key in store.run_keys()} == {0, 1}, "runs of the index, merged ones too"
    book = decode_book(b"book", store.meta(b"book") or b"")
    assert len(book.rules_history) == 2
    controls = [control.kind for _, controls in book.models.values() for control in controls]
    assert set(controls) == {"paused", "resumed", "reset"}
    assert list(store.models())


def test_opened_directory_is_marked_before_anything_is_written_and_keeps_what_was_copied(
    golden: Golden,
) -> None:
    """The release that wrote it refuses it from then on. Loose outcomes of schema 1 are found where they are, also once
    one of them got its prediction and the record they share was made anew."""
    with opened(golden.path) as learner:
        assert json.loads((golden.path / "handicapper.json").read_bytes())["schema"] == SCHEMA_VERSION
        held = [each for record in learner._engine.store.loose_outcomes() for each in decode_loose(*record)]
        outcomes = [each for each in golden.told.inputs if isinstance(each, TradeOutcome)]
        seqs = [learner.record_outcome(each).seq for each in outcomes]
        assert {first for first, _ in held} & {*seqs}
        joined = next(o for o, seq in zip(outcomes, seqs, strict=True) if seq in {first for first, _ in held})
        learner.record_prediction(
            Prediction(
                prediction_id=joined.prediction_id,
                model_id=joined.model_id,
                market_id="later",
                outcome=joined.predicted_outcome,
                confidence=joined.confidence or 0.5,
                predicted_at=joined.resolved_at - 1,
            )
        )
        learner.snapshot()
        assert all(learner.record_outcome(each).duplicate for each in outcomes)
        assert learner.verify().ok
    with opened(golden.path) as again:
        assert all(again.record_outcome(each).duplicate for each in outcomes)


def test_journal_goes_on_after_the_snapshot_and_ends_in_the_log(store: Store, golden: Golden) -> None:
    meta = decode_snapshot_meta(b"snapshot", store.meta(b"snapshot") or b"")
    taken_over = [decode_chunk(*record)[0] for record in store.records("journal")]
    only_in_log = [decode_chunk(*record)[0] for record in store._tail]
    assert meta.seq == golden.told.snapshot_seq < taken_over[-1] < only_in_log[0] < golden.told.seq
    assert len(only_in_log) > 10


def test_golden_state_is_small_and_never_made_again() -> None:
    for name in NAMES:
        assert sum(map(len, contents(GOLDEN / name).values())) < 200 * 1024
        before = contents(GOLDEN / name)
        command = [sys.executable, str(GOLDEN / "make.py"), name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
        assert (done.returncode, contents(GOLDEN / name)) == (73, before)
        assert "never made again" in done.stderr


# ------------------------------------------------------------------ later schemas


def newer_marker(path: Path) -> None:
    marker = json.loads((path / "handicapper.json").read_bytes())
    (path / "handicapper.json").write_text(json.dumps(marker | {"schema": SCHEMA_VERSION + 1}))


def _as_version(path: Path, version: int, tables: dict[str, list[bytes] | None]) -> None:
    """Give records of some tables another version; None: every one."""
    store = Store(path, default_settings().persistence.db_table, create=False)
    store.begin()
    try:
        with store._env.begin(write=True) as txn:
            for table, keys in tables.items():
                for key, value in list(store.records(table)):
                    if keys is None or key in keys:
                        txn.put(key, bytes([version]) + value[1:], db=store._tables[table.encode()])
    finally:
        store.close()


def newer_records(path: Path) -> None:
    """The marker of the release that wrote them is gone: a crash before it was there, or somebody's doing."""
    (path / "handicapper.json").unlink()
    _as_version(path, SCHEMA_VERSION + 1, {"journal": None, "meta": None})


def newer_end(path: Path) -> None:
    """A later release went on where this one had stopped: what is old stays as it was."""
    (path / "handicapper.json").unlink()
    store = Store(path, default_settings().persistence.db_table, create=False)
    newest = store.last_journal_record()
    store.close()
    assert newest is not None
    _as_version(path, SCHEMA_VERSION + 1, {"journal": [newest[0]], "meta": [b"snapshot"]})


@pytest.mark.parametrize("make_newer", [newer_marker, newer_records, newer_end])
def test_directory_of_a_later_schema_is_refused_by_name_and_left_alone(
    make_newer: Callable[[Path], None], golden: Golden, tmp_path: Path
) -> None:
    make_newer(golden.path)
    before = contents(golden.path)
    attempts: list[Callable[[], Any]] = [
        lambda: Learner(golden.path),
        lambda: Learner(golden.path, accept_loss=True),
        lambda: verify_state(golden.path),
        lambda: backup_state(golden.path, tmp_path / "copy"),
    ]
    for attempt in attempts:
        with pytest.raises(StateSchemaError, match="open it with the release that wrote it"):
            attempt()
    after = contents(golden.path)
    assert {name: after[name] for name in before if name != "lock.mdb"} | {"lock.mdb": b""} == before | {
        "lock.mdb": b""
    }
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("table", ["journal", "meta"])
def test_one_record_of_another_version_among_ours_is_damage(table: str, golden: Golden) -> None:
    """A flipped bit: what can be derived again is, and what cannot stops the opening."""
    key = b"snapshot" if table == "meta" else (3).to_bytes(8, "big")
    _as_version(golden.path, 9, {table: [key]})
    assert any("record version is 9" in text for text in verify_state(golden.path).damaged)
    if table == "meta":
        with opened(golden.path) as learner:
            assert states(learner) == golden.told.models
            assert any("record version is 9" in text for text in learner.statistics().quarantined)
    else:
        with opened(golden.path) as learner:  # the snapshot is newer than the damaged record
            assert states(learner) == golden.told.models


def test_newest_record_of_another_version_stops_the_opening(golden: Golden) -> None:
    """The snapshot is ours, so the directory is: an acknowledged input cannot be read."""
    store = Store(golden.path, default_settings().persistence.db_table, create=False)
    newest = store.last_journal_record()
    store.close()
    assert newest is not None
    _as_version(golden.path, 9, {"journal": [newest[0]]})
    with pytest.raises(HandicapperError, match="record version is 9") as refused:
        Learner(golden.path)
    assert refused.value.code == "STATE_DAMAGED"
