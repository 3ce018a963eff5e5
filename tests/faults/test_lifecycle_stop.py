"""How a daemon ends: drained and saved when it is asked to, and with nothing acknowledged lost in any case."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from handicapper.actors import Learner
from handicapper.bin.daemon.shutdown import FLUSH_SECONDS, PARENT_GONE_SECONDS
from handicapper.protocol.messages import TradeOutcome

from .lifecycle import DEADLINE_SECONDS, SERVE, Daemon, Daemons, outcome, patched, until

CLIENTS = 3
WINDOW = 64


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path) as running:
        yield running


class Load(threading.Thread):
    """A client that keeps ``WINDOW`` requests under way until it is cut off, and notes what was acknowledged."""

    def __init__(self, daemon: Daemon, number: int) -> None:
        super().__init__()
        self._peer = daemon.connect()
        self._model = f"m{number}"
        self._first_id = number * 10_000_000
        self.acknowledged: list[int] = []
        self.enough = threading.Event()
        self.start()

    def run(self) -> None:
        sent: dict[int, int] = {}
        identity = self._first_id
        try:
            while True:
                while len(sent) < WINDOW:
                    identity += 1
                    try:
                        sent[self._peer.send("record_outcome", outcome(identity, self._model))] = identity
                    except OSError:
                        break  # it reads no more; what it had read is still answered
                answer = self._peer.next()
                if answer is None:
                    return
                number = sent.pop(answer[1])
                if answer[2] is None:
                    self.acknowledged.append(number)
                if len(self.acknowledged) == 500:
                    self.enough.set()
        finally:
            self.enough.set()
            self._peer.close()

    def outcomes(self) -> list[TradeOutcome]:
        return [TradeOutcome(**outcome(number, self._model)) for number in self.acknowledged]


def check_nothing_lost(daemons: Daemons, loads: list[Load], *, snapshot: bool) -> None:
    """Every acknowledged input is in the directory, and its record reads back whole."""
    with Learner(daemons.state) as learner:
        if snapshot:
            assert learner.statistics().replayed == 0
        assert learner.verify().ok
        for load in loads:
            assert len(load.acknowledged) >= 500
            result = learner.record_outcomes(load.outcomes())
            assert (result.accepted, result.duplicates) == (0, len(load.acknowledged))


def under_load(daemon: Daemon) -> list[Load]:
    loads = [Load(daemon, number) for number in range(CLIENTS)]
    for load in loads:
        assert load.enough.wait(DEADLINE_SECONDS)
    return loads


def joined(loads: list[Load]) -> None:
    for load in loads:
        load.join(DEADLINE_SECONDS)
        assert not load.is_alive(), "cut off from nothing"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_drains_saves_and_loses_nothing_acknowledged(
    daemons: Daemons, number: int
) -> None:
    daemon = daemons.start()
    loads = under_load(daemon)
    daemon.signal(number)
    assert daemon.wait() == 0
    joined(loads)
    assert not (daemons.state / "handicapper.sock").exists()
    assert [record["event"] for record in daemon.events()][-1] == "stopped"
    check_nothing_lost(daemons, loads, snapshot=True)


def test_sigkill_under_load_loses_nothing_acknowledged(daemons: Daemons) -> None:
    daemon = daemons.start()
    loads = under_load(daemon)
    daemon.kill()
    joined(loads)
    check_nothing_lost(daemons, loads, snapshot=False)


def test_what_was_sent_before_the_signal_is_answered_before_the_end(daemons: Daemons) -> None:
    daemon = daemons.start()
    with daemon.connect() as peer:
        msgids = [peer.send("record_outcome", outcome(number)) for number in range(200)]
        # Once one is answered the rest has been read: it came in one piece with it, or before it.
        first = peer.next()
        daemon.signal(signal.SIGTERM)
        answers = [first]
        while (answer := peer.next()) is not None:
            answers.append(answer)
    assert daemon.wait() == 0
    answered = [answer[1] for answer in answers if answer is not None and answer[2] is None]
    assert answered == msgids[: len(answered)]
    with Learner(daemons.state) as learner:
        assert learner.report("m").n >= len(answered) > 0


LEAVING_TAKES_LONG = """
import handicapper.actors.engine as engine, threading
def never(*_): threading.Event().wait()
engine.Engine._last_snapshot = never
"""


def test_a_second_signal_leaves_at_once(daemons: Daemons) -> None:
    daemon = daemons.begin(command=patched(LEAVING_TAKES_LONG))
    daemon.wait_ready()
    with daemon.connect() as peer:
        peer.call("record_outcome", outcome(1))
    daemon.signal(signal.SIGINT)
    daemon.event("stopping")
    assert daemon.process.poll() is None
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 128 + signal.SIGTERM
    assert daemon.event("second signal (SIGTERM): leaving at once")["reason"] == "SIGINT"
    with Learner(daemons.state) as learner:
        assert learner.report("m").n == 1


def test_a_stop_that_takes_too_long_becomes_a_hard_one(daemons: Daemons) -> None:
    config = daemons.directory / "settings.toml"
    config.write_text("[online_learning.supervision]\nstop_timeout_secs = 0.3\n")
    daemon = daemons.begin("--config", config, command=patched(LEAVING_TAKES_LONG))
    daemon.wait_ready()
    with daemon.connect() as peer:
        peer.call("record_outcome", outcome(1))
    assert daemon.stop() == 75
    assert daemon.event("no time left to stop: leaving at once")["level"] == "error"
    assert not (daemons.state / "handicapper.sock").exists()
    with Learner(daemons.state) as learner:
        assert learner.report("m").n == 1


def test_a_client_that_does_not_read_holds_up_the_stop_only_so_long(daemons: Daemons) -> None:
    config = daemons.directory / "settings.toml"
    config.write_text("[online_learning.supervision]\nstop_timeout_secs = 3\n")
    daemon = daemons.start("--config", config)
    with daemon.connect() as mute:
        mute.sock.setblocking(False)
        mute.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sent = 0
        while select.select([], [mute.sock], [], 0.5)[1]:
            try:
                mute.send("config")
                sent += 1
            except BlockingIOError:
                break
        assert sent
        assert daemon.stop() == 0
    assert daemon.event("stopped")["exit_code"] == 0


def test_a_socket_that_replaced_ours_is_not_taken_away(daemons: Daemons) -> None:
    daemon = daemons.start()
    path = daemons.state / "handicapper.sock"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        assert daemon.stop() == 0
        assert path.exists()


# ---------------------------------------------------------------------- the parent


def test_nothing_is_kept_waiting_two_seconds_by_a_parent_that_is_gone() -> None:
    assert PARENT_GONE_SECONDS + FLUSH_SECONDS < 2


def test_the_end_of_stdin_ends_a_daemon_that_watches_its_parent(daemons: Daemons) -> None:
    daemon = daemons.start("--parent-watch", stdin=subprocess.PIPE)
    assert daemon.process.stdin is not None
    daemon.process.stdin.write(b"this is of no interest\n" * 10_000)
    daemon.process.stdin.flush()
    loads = under_load(daemon)
    daemon.process.stdin.close()
    assert daemon.wait() == 0
    joined(loads)
    assert daemon.event("stopping")["reason"] == "standard input has ended"
    check_nothing_lost(daemons, loads, snapshot=True)


def test_without_parent_watch_stdin_may_end_and_be_nothing(daemons: Daemons) -> None:
    daemon = daemons.start(stdin=subprocess.PIPE)
    assert daemon.process.stdin is not None
    daemon.process.stdin.close()
    with daemon.connect() as peer:
        assert peer.call("record_outcome", outcome(1))["seq"]
        assert peer.call("ping") == "pong"
    assert daemon.stop() == 0


def test_parent_watch_without_a_stdin_is_refused(daemons: Daemons) -> None:
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *SERVE]
    status, said = daemons.refused("--parent-watch", command=shell)
    assert status == 78
    assert "--parent-watch needs standard input, which is closed" in said


PARENT = """
import json, subprocess, sys, threading
log = open(sys.argv[1], "wb")
started = []
def spawn():
    child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    started.append(child)
    print(json.dumps([child.pid, json.loads(child.stdout.readline())]), flush=True)
# In a thread that ends: with PR_SET_PDEATHSIG the child would end with it.
thread = threading.Thread(target=spawn)
thread.start()
thread.join()
threading.Event().wait()
"""


def test_a_daemon_whose_parent_was_killed_with_sigkill_drains_saves_and_leaves(daemons: Daemons) -> None:
    log = daemons.directory / "daemon-log"
    command = [sys.executable, "-c", PARENT, str(log), *SERVE, "--parent-watch"]
    parent = daemons.begin(command=command)
    pid, ready = json.loads(parent.read_line())
    pidfd = os.pidfd_open(pid)
    try:
        parent.ready = ready
        with parent.connect() as peer:
            # The thread that started it has ended: that is no reason to go.
            assert peer.call("ping") == "pong"
            for number in range(10):
                peer.call("record_outcome", outcome(number))
            parent.kill()
            assert select.select([pidfd], [], [], DEADLINE_SECONDS)[0], log.read_text()
            assert peer.next() is None
    finally:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("stopped", 0)
    assert not (daemons.state / "handicapper.sock").exists()
    with Learner(daemons.state) as learner:
        assert learner.statistics().replayed == 0
        assert learner.report("m").n == 10


# ------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    "fault",
    [
        "import handicapper.bin.daemon.running as d\nd.ready_line = lambda *a, **k: 1 // 0",
        "import handicapper.bin.daemon.running as d\nd.announce_daemon = lambda *a, **k: 1 // 0",
    ],
    ids=["once listening", "before listening"],
)
def test_an_internal_error_exits_70_with_its_traceback_in_the_log(daemons: Daemons, fault: str) -> None:
    status, _ = daemons.refused(command=patched(fault))
    assert status == 70
    record = daemons.latest.event("internal error")
    assert (record["level"], record["exit_code"]) == ("critical", 70)
    assert "ZeroDivisionError" in record["exception"]
    assert "Traceback" in record["exception"]
    assert not (daemons.state / "handicapper.sock").exists()
    Learner(daemons.state).close()


ACTORS_STOP = """
import handicapper.bin.daemon.turns as turns
class Turns(turns.Turns):
    def _run(self, turns=64):
        if armed and self._driven is not None:
            class Broken:
                def run_ready(self, n): raise RuntimeError("defect")
            self._driven = Broken()
        super()._run(turns)
armed = []
import handicapper.bin.daemon.running as d
d.Turns = Turns
class Reloading(d.Reloading):
    def ask(self): armed.append(1)
d.Reloading = Reloading
"""


def test_actors_that_cannot_run_any_more_end_it_with_70_and_nothing_is_lost(daemons: Daemons) -> None:
    daemon = daemons.begin(command=patched(ACTORS_STOP))
    daemon.wait_ready()
    with daemon.connect() as peer:
        peer.call("record_outcome", outcome(1))
        daemon.signal(signal.SIGHUP)  # arms the fault

        def ended() -> bool:
            with suppress(OSError):
                peer.send("record_outcome", outcome(2))
            return daemon.process.poll() is not None

        until(ended, "its end")
    assert daemon.wait() == 70
    assert "defect" in daemon.event("internal error: the actors cannot run")["exception"]
    with Learner(daemons.state) as learner:
        assert learner.report("m").n >= 1
