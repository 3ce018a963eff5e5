"""Disks that are full, may not be written, or are not there."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, verify_state
from handicapper.config import Settings, settings_from_dict
from handicapper.protocol.errors import HandicapperError, StateError, StateLockedError, StoreFailedError

from .conftest import ForkServer, Job
from .images import SEED, TABLES, Image, small_settings
from .workload import bulky_inputs, make_call

DEADLINE_SECONDS = 30.0


def _message(job: Job, key: str) -> dict[str, Any]:
    for message in job.messages:
        if "skip" in message:
            pytest.skip(message["skip"])
        assert "raised" not in message, message["raised"]
    return next(message for message in job.messages if key in message)


def _check_failed_well(job: Job) -> int:
    """Refused by name from the failure on, readable to the end. Returns the number of acknowledged calls."""
    acknowledged = _message(job, "acknowledged")["acknowledged"]
    assert acknowledged > 8
    assert _message(job, "failed")["failed"] == "STORE_FULL"
    later = _message(job, "later")
    assert set(later["later"]) == {"STORE_FULL"}
    assert later["state"] == "degraded"
    assert "STORE_FULL" in later["failure"]
    read = _message(job, "read")
    assert read["read"][0] > 0
    assert read["read"][1] >= read["read"][2] > 0
    assert read["params"]
    mended = _message(job, "mended")["mended"]
    assert (mended[0], mended[2:]) == ("accepting", [0, True])
    closed = _message(job, "closed")
    assert closed["seconds"] < small_settings().supervision.stop_timeout_secs
    return acknowledged


@pytest.mark.parametrize("limit_kib", [100, 301, 1000])
def test_file_that_may_not_grow_keeps_every_acknowledged_input(
    limit_kib: int, tmp_path: Path, fork_server: ForkServer
) -> None:
    path = str(tmp_path / "state")
    job = fork_server.run("fill_limited", path=path, settings=TABLES, seed=SEED, limit_bytes=limit_kib * 1024)
    acknowledged = _check_failed_well(job)
    assert verify_state(path, small_settings()).ok
    calls = [[0, 0, number] for number in range(acknowledged)]
    again = fork_server.run("inspect", path=path, settings=TABLES, seed=SEED, calls=calls)
    resent = _message(again, "resent")["resent"]
    assert (resent.pop("accepted"), list(resent)) == (0, ["duplicate"])
    assert _message(again, "closed")["closed"] == ""


def test_full_file_system_keeps_every_acknowledged_input(tmp_path: Path, fork_server: ForkServer) -> None:
    """A tmpfs of 1 MiB; then there is room again."""
    job = fork_server.run("fill_tmpfs", path=str(tmp_path / "disk"), settings=TABLES, seed=SEED, size="1m")
    _check_failed_well(job)
    resent = _message(job, "resent")["resent"]
    assert (resent.pop("accepted"), list(resent)) == (0, ["duplicate"])


def test_backup_to_a_full_file_system_leaves_nothing_there_and_harms_nothing(
    tmp_path: Path, fork_server: ForkServer
) -> None:
    """A tmpfs of 512 KiB; then there is room."""
    job = fork_server.run("backup_full", path=str(tmp_path), settings=TABLES, seed=SEED, size="512k")
    refused = _message(job, "refused")
    assert (refused["refused"], refused["left"]) == ("BACKUP_FAILED", [])
    assert "(the disk is full)" in refused["text"]
    assert _message(job, "goes_on") == {"goes_on": True, "failure": None}
    made = _message(job, "verified")
    assert made["seq"] == made["verified"] > 0


def test_read_only_file_system_is_refused_by_name(
    tmp_path: Path, image: Image, fork_server: ForkServer
) -> None:
    job = fork_server.run("read_only", path=str(tmp_path / "disk"), image=str(image.path), settings=TABLES)
    _message(job, "refused")
    assert [message.get("refused") for message in job.messages] == ["STATE_ERROR"] * 3, job.messages
    assert all("Read-only" in message["text"] for message in job.messages), job.messages


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_directory_of_somebody_else_is_refused_by_name(
    tmp_path: Path, image: Image, fork_server: ForkServer
) -> None:
    path = image.copy(tmp_path / "state")
    message = _message(fork_server.run("as_nobody", path=str(path), settings=TABLES), "refused")
    assert message["refused"] == "STATE_ERROR"
    assert "Permission denied" in message["text"]


@pytest.mark.parametrize("below", ["", "deeper"])
def test_file_in_place_of_the_directory_is_refused_and_left_alone(below: str, tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_bytes(b"somebody's")
    with pytest.raises(StateError, match="state directory"):
        Learner(file / below, small_settings())
    assert file.read_bytes() == b"somebody's"


def test_missing_directory_without_create_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="does not exist"):
        Learner(tmp_path / "state", small_settings(), create=False)
    assert not (tmp_path / "state").exists()


def test_directory_in_use_by_this_process_is_refused_and_the_message_names_it(tmp_path: Path) -> None:
    with Learner(tmp_path / "state", small_settings()) as learner:
        for attempt in (Learner, verify_state):
            with pytest.raises(StateLockedError, match=f"process {os.getpid()};"):
                attempt(tmp_path / "state", small_settings())
        assert learner.record_prediction(
            prediction_id="p", model_id="m", market_id="k", outcome="YES", confidence=0.5, predicted_at=0
        ).seq
    Learner(tmp_path / "state", small_settings()).close()


def test_directory_in_use_by_another_process_is_refused_and_the_message_names_it(
    tmp_path: Path, fork_server: ForkServer
) -> None:
    """And is free at once when that process is killed."""
    path = str(tmp_path / "state")
    job = fork_server.start(
        "crash_load",
        path=path,
        settings=TABLES,
        seed=SEED,
        round_number=0,
        threads=1,
        again=[],
        calls_max=10**6,
    )
    while (message := job.next(DEADLINE_SECONDS)) is not None and "acknowledged" not in message:
        pass
    assert message is not None
    with pytest.raises(StateLockedError, match=f"process {job.pid};"):
        Learner(path, small_settings())
    job.kill()
    with Learner(path, small_settings()) as learner:
        assert learner.statistics().predictions_pending > 0


def _settings(**persistence: Any) -> Settings:
    return settings_from_dict({"online_learning": {"persistence": {**TABLES["persistence"], **persistence}}})


def test_map_at_its_limit_refuses_by_name_and_opens_again_with_a_larger_one(tmp_path: Path) -> None:
    path = tmp_path / "state"
    number = 0
    with Learner(path, _settings(map_mib_max=2)) as learner:
        with pytest.raises(StoreFailedError, match="map_mib_max"):
            for number in range(100_000):
                learner.record(bulky_inputs(SEED, number))
        statistics = learner.statistics()
        assert statistics.state == "failed"
        with pytest.raises(StoreFailedError, match="map_mib_max"):
            learner.resolve_market(market_id="new", winner="YES", resolved_at=1)
        assert learner.report("elo").n > 0
    with Learner(path, _settings(map_mib_max=64)) as learner:
        assert learner.statistics().seq == statistics.durable_seq
        for earlier in range(number):
            inputs = bulky_inputs(SEED, earlier)
            assert learner.record(inputs).duplicates == len(inputs)
    assert verify_state(path, small_settings()).ok


def test_map_grows_many_times_while_others_read(tmp_path: Path) -> None:
    """From 1 MiB; two threads read the store and ask for reports while every call is written."""
    errors: list[BaseException] = []
    reads = [0, 0]
    turns = [threading.Semaphore(1), threading.Semaphore(1)]
    stop = threading.Event()

    def read(learner: Learner, index: int) -> None:
        try:
            while not stop.is_set():
                # One read for every call: readers that never rest would only measure the interpreter's lock.
                if not turns[index].acquire(timeout=0.1):
                    continue
                if index:
                    reads[1] += sum(1 for _ in learner._engine.store.settled_markets())
                else:
                    reads[0] += learner.report("elo").n
        except (HandicapperError, AssertionError, OSError) as error:
            errors.append(error)

    with Learner(tmp_path / "state", _settings(snapshot_inputs_max=500)) as learner:
        learner.record(make_call(SEED, 0, 0, 0).inputs)
        threads = [threading.Thread(target=read, args=(learner, index)) for index in (0, 1)]
        for thread in threads:
            thread.start()
        number = 1
        while learner._engine.store.sizes()["map_bytes"] < 4 * 2**20:
            for turn in turns:
                turn.release()
            learner.record(make_call(SEED, 0, 0, number).inputs)
            number += 1
        stop.set()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive()
    assert errors == []
    assert min(reads) > 0
    assert verify_state(tmp_path / "state", small_settings()).ok
