"""The log that inputs become durable in: read back whole, also cut short, flipped, and written over."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, journal, log_file, store, verify_state
from handicapper.actors.log_file import LogFile, frame_of, read_frame
from handicapper.actors.records import number_key
from handicapper.protocol.errors import StateDamagedError
from handicapper.protocol.messages import TradeOutcome

from .images import small_settings

HEAD_BYTES = 12
TRAILER_BYTES = 4


def records_of(chance: random.Random, first: int, count: int) -> list[tuple[bytes, bytes]]:
    return [(number_key(first + n), chance.randbytes(chance.randrange(0, 400))) for n in range(count)]


def outcome(number: int, model: str = "m") -> TradeOutcome:
    return TradeOutcome(
        prediction_id=f"p-{number}",
        model_id=model,
        predicted_outcome="YES",
        actual_outcome="YES" if number % 3 else "NO",
        resolved_at=number,
        confidence=0.7,
    )


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("journal-*.log"))


@pytest.mark.parametrize("seed", range(20))
def test_everything_not_taken_over_is_found_however_often_segments_are_written_over(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(log_file, "SEGMENT_BYTES", chance.choice([500, 3_000, 20_000]))
    monkeypatch.setattr(log_file, "GROWTH_BYTES", chance.choice([64, 4_096]))
    log = LogFile(tmp_path)
    log.begin()
    written: dict[bytes, bytes] = {}
    released, last = b"", 0
    for _ in range(200):
        batch = records_of(chance, last + 1, chance.randrange(1, 6))
        log.append(batch)
        written.update(batch)
        last += len(batch)
        if chance.random() < 0.2:
            released = number_key(chance.randrange(max(last - 10, 0), last + 1))
            log.release(released)
        if chance.random() < 0.1:
            found = LogFile(tmp_path)
            assert found.unfinished == []
            assert {key: value for key, value in found.found if key > released} == {
                key: value for key, value in written.items() if key > released
            }
            assert all(written[key] == value for key, value in found.found), "old, and never anything else"
    assert len(segments(tmp_path)) < 200
    log.close(emptied=True)
    assert segments(tmp_path) == []


def test_batch_cut_short_anywhere_by_a_kill_is_as_if_it_had_never_been_begun(tmp_path: Path) -> None:
    chance = random.Random(1)
    batches = [records_of(chance, 1 + 3 * n, 3) for n in range(3)]
    frames = [frame_of(batch) for batch in batches]
    before = frames[0] + frames[1]
    for cut in range(len(frames[2])):
        (tmp_path / "journal-0.log").write_bytes(before + frames[2][:cut] + bytes(5_000))
        found = LogFile(tmp_path)
        assert found.found == [*batches[0], *batches[1]]
        assert found.unfinished == []


def test_flipped_bit_takes_its_batch_and_is_told_where_the_batch_had_its_end(tmp_path: Path) -> None:
    chance = random.Random(2)
    batches = [records_of(chance, 1 + 2 * n, 2) for n in range(3)]
    frames = [frame_of(batch) for batch in batches]
    start, size = len(frames[0]), len(frames[1])
    for bit in range(8 * start, 8 * (start + size)):
        data = bytearray(b"".join(frames) + bytes(1_000))
        data[bit // 8] ^= 1 << bit % 8
        (tmp_path / "journal-0.log").write_bytes(data)
        found = LogFile(tmp_path)
        assert found.found == [*batches[0], *batches[2]], bit
        in_body = HEAD_BYTES <= bit // 8 - start < size - TRAILER_BYTES
        assert not in_body or [where for where, _ in found.unfinished] == [f"journal-0.log at {start}"], bit


def test_frame_with_records_that_do_not_add_up_is_none() -> None:
    frame = frame_of([(number_key(1), b"value")])
    assert read_frame(frame, 0) == ([(number_key(1), b"value")], len(frame))
    assert read_frame(frame, 1) is None
    assert read_frame(frame[:-1], 0) is None
    assert read_frame(b"", 0) is None


# ------------------------------------------------------------------- a learner


def make_tail(tmp_path: Path, count: int = 9) -> Path:
    """A copy of a directory as a kill leaves it: an input a commit, all of it in the log only."""
    with Learner(tmp_path / "live", small_settings()) as learner:
        for number in range(count):
            learner.record_outcome(outcome(number))
        shutil.copytree(
            tmp_path / "live", tmp_path / "state", ignore=shutil.ignore_patterns("LOCK", "lock.mdb")
        )
    return tmp_path / "state"


def frames_in(path: Path) -> list[tuple[int, int]]:
    """(start, end) of every frame of a segment."""
    data, places, at = path.read_bytes(), [], 0
    while (frame := read_frame(data, at)) is not None:
        places.append((at, frame[1]))
        at = frame[1]
    return places


def flip_body(path: Path, place: tuple[int, int]) -> None:
    data = bytearray(path.read_bytes())
    data[place[0] + HEAD_BYTES + 20] ^= 1
    path.write_bytes(data)


def test_what_only_the_log_holds_is_restored_and_verified_and_the_log_begins_anew(tmp_path: Path) -> None:
    path = make_tail(tmp_path)
    (segment,) = segments(path)
    assert len(frames_in(segment)) == 10  # the rules, then the outcomes
    before = segment.read_bytes()
    report = verify_state(path, small_settings())
    assert (report.ok, report.last_seq) == (True, 10)
    assert segment.read_bytes() == before, "a check changes nothing"
    with Learner(path, small_settings()) as learner:
        assert learner.report("m").n == 9
        assert learner.record_outcome(outcome(3)).duplicate
        (segment,) = segments(path)
        assert frames_in(segment) == []
        assert learner.statistics().quarantined == ()
    assert segments(path) == [], "closed, the store has everything"
    assert verify_state(path, small_settings()).ok


def test_damage_before_the_last_batch_stops_the_opening_and_can_be_accepted(tmp_path: Path) -> None:
    path = make_tail(tmp_path)
    (segment,) = segments(path)
    flip_body(segment, frames_in(segment)[4])
    assert not verify_state(path, small_settings()).ok
    with pytest.raises(StateDamagedError, match="inputs 5 to 5 before it are missing"):
        Learner(path, small_settings())
    with Learner(path, small_settings(), accept_loss=True) as learner:
        assert learner.report("m").n == 8
        assert any("not finished, or is damaged" in text for text in learner.statistics().quarantined)
        assert not learner.record_outcome(outcome(3)).duplicate, "the one that was lost"
    with Learner(path, small_settings(), accept_loss=True) as learner:
        assert learner.report("m").n == 9


def test_last_batch_that_is_not_whole_is_set_aside_and_listed(tmp_path: Path) -> None:
    """Nobody can tell whether it had been acknowledged: a power failure leaves the same."""
    path = make_tail(tmp_path)
    (segment,) = segments(path)
    flip_body(segment, frames_in(segment)[-1])
    with Learner(path, small_settings()) as learner:
        assert learner.report("m").n == 8
        (text,) = learner.statistics().quarantined
        assert f"{segment.name} at" in text
        assert not learner.record_outcome(outcome(8)).duplicate
    assert verify_state(path, small_settings()).ok


@pytest.mark.parametrize("quick_seconds", [0.0, 1e-4, 10.0])
def test_inputs_keep_their_order_and_are_all_there_whoever_commits_them(
    quick_seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a disk that counts as slow always, now and then, and never; small segments, often taken over."""
    monkeypatch.setattr(journal, "QUICK_SECONDS", quick_seconds)
    monkeypatch.setattr(journal, "NOT_HERE_SECONDS", 0.001)
    monkeypatch.setattr(store, "CHECKPOINT_BYTES", 2_000)
    monkeypatch.setattr(log_file, "SEGMENT_BYTES", 5_000)
    copies: list[Path] = []
    with Learner(tmp_path / "live", small_settings()) as learner:
        pending: list[Any] = []
        for number in range(600):
            pending.append(learner.record_outcome_nowait(outcome(number, f"m{number % 3}")))
            if number % 150 == 149:
                receipts = [reply.get(30.0) for reply in pending]
                assert [receipt.seq for receipt in receipts] == sorted(receipt.seq for receipt in receipts)
                pending.clear()
                learner.snapshot()
                copy = tmp_path / f"copy-{number}"
                shutil.copytree(tmp_path / "live", copy, ignore=shutil.ignore_patterns("LOCK", "lock.mdb"))
                copies.append(copy)
        assert len(segments(tmp_path / "live")) <= 40
        assert learner.verify().ok
    for place, copy in enumerate([*copies, tmp_path / "live"], 1):
        assert verify_state(copy, small_settings()).ok
        with Learner(copy, small_settings()) as reopened:
            assert sum(report.n for report in reopened.reports()) == min(150 * place, 600)
