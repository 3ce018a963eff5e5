"""What the log says is durable was written first and synced after that, in this order, before it says so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import log_file
from handicapper.actors.log_file import LogFile, SyncFailedError
from handicapper.actors.records import number_key


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calls that write to a file of the log, and of those that sync one."""
    seen: list[str] = []

    def noted(name: str) -> Any:
        real = getattr(os, name)

        def call(*arguments: Any) -> Any:
            seen.append(name)
            return real(*arguments)

        return call

    for name in ("pwrite", "fdatasync"):
        monkeypatch.setattr(log_file.os, name, noted(name))
    return seen


@pytest.mark.parametrize("size", [10, 200_000])
def test_append_returns_after_the_sync_of_what_it_wrote(tmp_path: Path, calls: list[str], size: int) -> None:
    log = LogFile(tmp_path)
    log.begin()
    for number in range(1, 30):
        calls.clear()
        log.append([(number_key(number), bytes(size))])
        assert calls[-2:] == ["pwrite", "fdatasync"]
    log.close(emptied=False)
    assert len(LogFile(tmp_path).found) == 29


def test_append_whose_sync_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LogFile(tmp_path)
    log.begin()
    log.append([(number_key(1), b"first")])

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(log_file.os, "fdatasync", fails)
    with pytest.raises(SyncFailedError):
        log.append([(number_key(2), b"second")])
    log.close(emptied=False)
