"""SIGHUP: settings read again by a daemon that goes on serving."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lifecycle import Daemon, Daemons, handles_signals, outcome, until


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path) as running:
        yield running


BEFORE = """
[online_learning]
ema_alpha = 0.2
decay_half_life_hours = inf
"""

AFTER = """
[online_learning]
ema_alpha = 0.5
decay_half_life_hours = inf
[online_learning.persistence]
save_interval_secs = 7
[online_learning.limits]
models_max = 11
[online_learning.server]
connections_max = 5
"""


def ema_of(daemon: Daemon) -> float:
    with daemon.connect() as peer:
        peer.call("record_outcome", outcome(1))
        return peer.call("get_adaptive_params", {"model_id": "m"})["ema_accuracy"]


def test_a_good_file_is_applied_and_what_needs_a_restart_is_said(daemons: Daemons) -> None:
    config = daemons.directory / "settings.toml"
    config.write_text(BEFORE)
    daemon = daemons.start("--config", config)
    with daemon.connect() as peer:
        before = peer.call("config")
        assert before["source"] == str(config)
        assert before["needs_restart"] == []
        assert before["settings"]["online_learning"]["ema_alpha"] == 0.2
        assert before["settings"]["online_learning"]["decay_half_life_hours"] == "inf"

        config.write_text(AFTER)
        daemon.signal(signal.SIGHUP)
        record = daemon.event("settings reloaded")
        assert record["applied"] == ["ema_alpha", "persistence.save_interval_secs"]
        assert record["needs_restart"] == ["limits.models_max", "server.connections_max"]

        after = peer.call("config")
        assert after["needs_restart"] == record["needs_restart"]
        in_force = after["settings"]["online_learning"]
        assert (in_force["ema_alpha"], in_force["persistence"]["save_interval_secs"]) == (0.5, 7.0)
        assert in_force["server"]["connections_max"] == 256
    assert ema_of(daemon) == pytest.approx(0.5 + 0.5 * 0.5)
    assert daemon.stop() == 0

    again = daemons.start("--config", config)
    with again.connect() as peer:
        assert peer.call("hello")["limits"]["connections_max"] == 5
        assert peer.call("config")["needs_restart"] == []


def test_a_bad_file_is_refused_with_every_problem_and_the_old_settings_stay(daemons: Daemons) -> None:
    config = daemons.directory / "settings.toml"
    config.write_text(BEFORE)
    daemon = daemons.start("--config", config)
    config.write_text("[online_learning]\nema_alpha = 7\nnonsense = 1\n")
    daemon.signal(signal.SIGHUP)
    record = daemon.event("settings refused, the old ones stay")
    assert record["level"] == "error"
    assert [problem.split()[0] for problem in record["problems"]] == [
        "online_learning.ema_alpha",
        "online_learning.nonsense",
    ]
    assert ema_of(daemon) == pytest.approx(0.5 + 0.2 * 0.5)

    config.unlink()
    daemon.signal(signal.SIGHUP)
    missing = daemon.event("settings refused, the old ones stay", count=2)
    assert "does not exist" in missing["problems"][0]
    config.write_text(BEFORE.replace("0.2", "0.3"))
    daemon.signal(signal.SIGHUP)
    assert daemon.event("settings reloaded")["applied"] == ["ema_alpha"]
    assert daemon.stop() == 0


def test_without_a_file_there_is_nothing_to_reload(daemons: Daemons) -> None:
    daemon = daemons.start()
    daemon.signal(signal.SIGHUP)
    assert (
        "--config" in daemon.event("nothing to reload: started without a settings file (--config)")["event"]
    )
    with daemon.connect() as peer:
        assert peer.call("config")["source"] is None
    assert daemon.stop() == 0


def test_a_reload_asked_for_while_it_starts_happens_once_it_is_ready(daemons: Daemons) -> None:
    config = daemons.directory / "settings.toml"
    config.write_text(BEFORE)
    daemon = daemons.begin("--config", config)
    until(lambda: handles_signals(daemon), "signals are handled")
    daemon.signal(signal.SIGHUP)
    daemon.wait_ready()
    daemon.event("settings reloaded")
    assert daemon.stop() == 0


def test_the_level_and_format_of_the_log_stay_those_of_the_command_line(daemons: Daemons) -> None:
    config = daemons.directory / "settings.toml"
    config.write_text(BEFORE)
    daemon = daemons.start("--config", config, "--log-level", "error")
    config.write_text(AFTER)
    daemon.signal(signal.SIGHUP)
    with daemon.connect() as peer:
        until(lambda: peer.call("config")["needs_restart"], "reloaded")
    config.write_text("nonsense")
    daemon.signal(signal.SIGHUP)
    daemon.event("settings refused, the old ones stay")
    assert {record["level"] for record in daemon.events()} == {"error"}
    assert daemon.stop() == 0
