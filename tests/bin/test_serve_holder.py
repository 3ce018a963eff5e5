"""Who holds a state directory, as ``LOCK`` says it to whoever is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from handicapper.actors.state_directory import Holder, StateDirectory, announce_daemon, holder_of
from handicapper.protocol.errors import StateError, StateLockedError


def refusal(path: Path) -> str:
    with pytest.raises(StateLockedError) as refused:
        StateDirectory(path)
    return str(refused.value)


def test_a_process_without_addresses_is_named_by_its_number(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path)
    assert holder_of(tmp_path) == Holder(os.getpid())
    assert f"is held by process {os.getpid()}; stop it first, or use another directory" in refusal(tmp_path)
    directory.release()


def test_a_daemon_says_how_to_reach_it_and_the_next_holder_starts_afresh(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path)
    announce_daemon(tmp_path, ["unix:/run/Ä b/s", "tcp:[::1]:4242"])
    assert holder_of(tmp_path) == Holder(os.getpid(), ("unix:/run/Ä b/s", "tcp:[::1]:4242"))
    said = refusal(tmp_path)  # announcing has not let go of the lock
    assert f"held by handicapper daemon pid {os.getpid()} on unix:/run/Ä b/s and tcp:[::1]:4242; use " in said
    assert "use --connect unix:/run/Ä b/s, stop it first, or use another directory" in said
    directory.release()

    again = StateDirectory(tmp_path)
    assert holder_of(tmp_path) == Holder(os.getpid())
    again.release()


def test_a_daemon_that_nobody_can_reach_is_a_process(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path)
    announce_daemon(tmp_path, [])
    assert holder_of(tmp_path) == Holder(os.getpid())
    directory.release()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff\xfe", "²\n".encode(), b"-1\n"])
def test_a_lock_that_says_nothing_useful_still_refuses(tmp_path: Path, content: bytes) -> None:
    directory = StateDirectory(tmp_path)
    (tmp_path / "LOCK").write_bytes(content)
    assert holder_of(tmp_path) is None
    assert "is held by another process; stop it first" in refusal(tmp_path)
    directory.release()


def test_a_directory_that_is_not_there_has_no_holder(tmp_path: Path) -> None:
    assert holder_of(tmp_path / "none") is None
    with pytest.raises(StateError, match="cannot be written"):
        announce_daemon(tmp_path / "none", [])
