"""A standard error that is closed, full or read by nobody: the daemon serves, and leaves, all the same."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from handicapper.actors import Learner

from .lifecycle import NOW, SERVE, Daemon, Daemons, outcome, until


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path) as running:
        yield running


def serves_and_leaves(daemons: Daemons, daemon: Daemon) -> None:
    """It takes inputs in, logs what it can, drains and saves."""
    with daemon.connect() as peer:
        for number in range(20):
            peer.call("record_outcome", outcome(number))
            daemon.signal(signal.SIGHUP)  # logs
            assert peer.call("ping") == "pong"
    assert daemon.stop() == 0
    with Learner(daemons.state) as learner:
        assert learner.statistics().replayed == 0
        assert learner.report("m").n == 20


def test_stderr_may_be_closed(daemons: Daemons) -> None:
    daemon = daemons.begin(command=["sh", "-c", 'exec "$@" 2>&-', "sh", *SERVE])
    daemon.wait_ready()
    serves_and_leaves(daemons, daemon)


def test_the_reader_of_stderr_may_be_gone(daemons: Daemons) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    daemon = daemons.begin(stderr=writing)
    os.close(writing)
    daemon.wait_ready()
    serves_and_leaves(daemons, daemon)


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "made non-blocking by the parent"])
def test_stderr_may_be_a_full_pipe_that_nobody_reads(daemons: Daemons, blocking: bool) -> None:
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(writing, fcntl.F_SETFL, os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, blocking)
        daemon = daemons.begin(stderr=writing)
        os.close(writing)
        daemon.wait_ready()
        serves_and_leaves(daemons, daemon)
    finally:
        os.close(reading)


def test_a_second_signal_leaves_at_once_although_the_log_is_stuck(daemons: Daemons) -> None:
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
        config = daemons.directory / "settings.toml"
        config.write_text("[online_learning.supervision]\nstop_timeout_secs = 3000\n")
        daemon = daemons.start("--config", config, stderr=writing)
        os.close(writing)
        with daemon.connect() as mute:
            mute.sock.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    mute.send("config")  # answers that are not read hold up the drain

            def signalled_to_death() -> bool:
                daemon.signal(signal.SIGTERM)  # two that come close together count as one
                return daemon.process.poll() is not None

            until(signalled_to_death, "its end")
        assert daemon.wait() == 128 + signal.SIGTERM
    finally:
        os.close(reading)


def test_every_line_of_a_json_log_says_when_how_bad_who_and_what(daemons: Daemons) -> None:
    daemon = daemons.start()
    assert daemon.stop() == 0
    records = daemon.events()
    assert [record["event"] for record in records] == ["opened", "ready", "stopping", "closed", "stopped"]
    for record in records:
        assert list(record)[:4] == ["ts", "level", "logger", "event"]
        assert record["ts"].endswith("Z")
        assert record["level"] == "info"
        assert record["logger"].startswith("handicapper.")
    assert records[1]["addresses"] == [f"unix:{daemons.state}/handicapper.sock"]


def operate(daemon: Daemon) -> None:
    with daemon.connect() as peer:
        peer.call("record_outcome", outcome(1, "elo"))
        peer.call("pause", {"model_id": "elo", "until": NOW, "reason": "odd odds"})
        peer.call("resume", {"model_id": "elo"})
        peer.call("reset", {"model_id": "elo", "reason": "new season"})
        assert peer.refusal("pause", {"model_id": "nobody"}).startswith("UNKNOWN_MODEL")
        many = [outcome(number, f"m{number:02}") for number in range(100, 150)]
        peer.call("record_outcome_batch", {"outcomes": many})


def test_at_debug_level_each_thing_done_to_a_model_is_a_record_that_names_it(daemons: Daemons) -> None:
    daemon = daemons.start("--log-level", "debug")
    operate(daemon)
    assert daemon.stop() == 0
    records = [record for record in daemon.events() if record["logger"] == "handicapper.models"]
    assert {record["level"] for record in records} == {"debug"}
    told = [{name: record[name] for name in list(record)[3:]} for record in records]
    assert told[:4] == [
        {"event": "models learned", "models": ["elo"], "count": 1},
        {"event": "model paused", "model": "elo", "until": NOW, "reason": "odd odds"},
        {"event": "model resumed", "model": "elo"},
        {"event": "model reset", "model": "elo", "reason": "new season"},
    ]
    learned = [record for record in told[4:] if record["models"] != ["elo"]]
    assert sum(record["count"] for record in learned) == 50
    assert learned[0]["models"][0] == "m100"
    assert all(len(record["models"]) <= 20 for record in learned)


def test_above_debug_level_nobody_watches_the_models(daemons: Daemons) -> None:
    daemon = daemons.start()
    operate(daemon)
    assert daemon.stop() == 0
    assert not [record for record in daemon.events() if record["logger"] == "handicapper.models"]


def test_on_a_terminal_the_log_is_for_people(daemons: Daemons) -> None:
    controller, terminal = pty.openpty()
    try:
        daemon = daemons.start(stderr=terminal)
        os.close(terminal)
        assert daemon.stop() == 0
        said = os.read(controller, 65536).decode()
    finally:
        os.close(controller)
    assert "ready" in said
    assert "\x1b[" in said  # in colour
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(said.splitlines()[0])


def test_the_format_can_be_chosen(daemons: Daemons) -> None:
    daemon = daemons.start("--log-format", "console", "--log-level", "warning")
    daemon.signal(signal.SIGHUP)
    assert daemon.stop() == 0
    lines = daemon.log().splitlines()
    assert all("[warning  ]" in line for line in lines), lines
