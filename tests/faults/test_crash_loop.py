"""A daemon under load from several clients is killed with SIGKILL at random moments, again and again.

Each time everything that was answered is sent again: it has to be known, under the same sequence number. ``bin/test
--crash ROUNDS`` says how many rounds there are (``HANDICAPPER_DAEMON_CRASHES``, default 30).
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import verify_state
from handicapper.config import settings_from_dict

from .conftest import DEADLINE_SECONDS, ForkServer, Job
from .crash_clients import Answers, Key, lost, start_clients, work
from .crash_requests import Request, inputs_of, make_requests
from .lifecycle import Daemon, Daemons, Peer
from .workload import own_model, tally

ROUNDS = int(os.environ.get("HANDICAPPER_DAEMON_CRASHES", "30"))
ROUNDS_A_CHAIN = 25
CHAINS = -(-ROUNDS // ROUNDS_A_CHAIN)
CLIENTS = 3
AFRESH_EVERY = 10
"""So many rounds, one daemon is a program of its own; the others are forked from one that has imported all it needs."""


@pytest.fixture(scope="module")
def figures() -> Iterator[Counter[str]]:
    """Of all chains; printed in the end (``-s`` shows it)."""
    counted: Counter[str] = Counter()
    yield counted
    print(
        "\n" + ", ".join(f"{name} {counted[name]}" for name in ("rounds", "acknowledged", "lost", "double"))
    )


class Chain:
    """One directory through its crashes."""

    def __init__(self, seed: int, directory: Path, server: ForkServer, daemons: Daemons) -> None:
        self.seed, self.directory, self.server, self.daemons = seed, directory, server, daemons
        self.chance = random.Random(seed)
        self.settings: dict[str, Any] = {
            "persistence": {
                "save_interval_secs": self.chance.choice((0.02, 0.2, 60.0)),
                "snapshot_inputs_max": self.chance.choice((100, 1000, 100_000)),
                "initial_map_mib": 1,
            }
        }
        rows = [f"{key} = {value}" for key, value in self.settings["persistence"].items()]
        (directory / "settings.toml").write_text("\n".join(["[online_learning.persistence]", *rows]))
        self.known: dict[Key, Any] = {}
        """Everything that was answered, with its answer."""
        self.last = Answers()
        """Of the newest round."""
        self.daemon: Job | Daemon | None = None
        self.lost: list[str] = []

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def request(self, key: Key) -> Request:
        return make_requests(self.seed, key.round_number, key.client, key.number)[key.place]

    def start(self, afresh: bool = False) -> Job | Daemon:
        options = ["--state", str(self.state), "--config", str(self.directory / "settings.toml")]
        if afresh:
            self.daemon = self.daemons.begin(*options)
        else:
            self.daemon = self.server.start("serve", options=options, log=str(self.directory / "log"))
        return self.daemon

    def crash(self, round_number: int) -> None:
        """One life of the daemon."""
        daemon = self.start(round_number % AFRESH_EVERY == AFRESH_EVERY - 1)
        if self.chance.random() < 0.2:
            threading.Event().wait(self.chance.uniform(0.0, 0.15))
            _kill(daemon)
            return
        address = _wait_ready(daemon)
        with Peer(address) as peer:
            self.check_pauses(peer)
        doubtful = [key for key in self.last.sent if key not in self.last.known]
        self.send_again(address, [*self.last.known, *doubtful])
        self.last, threads = start_clients(address, self.seed, round_number, CLIENTS)
        self.last.wait(self.chance.randrange(1, 400), self.chance.uniform(0.0, 0.7))
        _kill(daemon)
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive()
        assert not self.last.errors, self.last.errors[:3]
        self.known |= self.last.known

    def send_again(self, address: str, keys: list[Key]) -> None:
        """Repeat requests in the order in which they were sent: what was answered has to be known."""
        repeated = [(key, self.request(key)) for key in sorted(set(keys))]
        again = Answers()
        work(address, iter([(key, request) for key, request in repeated if request.repeatable]), again)
        assert not again.errors, again.errors[:3]
        assert len(again.known) == sum(request.repeatable for _, request in repeated)
        for key, result in again.known.items():
            before = self.known.setdefault(key, result)
            problem = "" if before is result else lost(key, self.request(key), before, result)
            self.lost += [problem] if problem else []

    def check_pauses(self, peer: Peer) -> None:
        """The newest pause of a client, or its end, is in force, if it was answered and nothing was in doubt."""
        for client in range(CLIENTS):
            sent = [key for key in self.last.sent if key.client == client]
            controls = [key for key in sent if self.request(key).method in ("pause", "resume")]
            if controls and controls[-1] in self.last.known:
                report = peer.call("report", {"model_id": own_model(client)})
                assert report["paused"] is (self.request(controls[-1]).method == "pause"), controls[-1]

    def finish(self, figures: Counter[str]) -> None:
        """Everything of all rounds is sent again, and everything has to add up."""
        daemon = self.start()
        address = _wait_ready(daemon)
        self.send_again(address, [*self.known, *self.last.sent])
        with Peer(address) as peer:
            expected = tally(inputs_of(self.request(key) for key in self.known))
            found = {report["model_id"]: report["n"] for report in peer.call("reports") if report["n"]}
            statistics = peer.call("statistics")
            verified = peer.call("verify")
        double = sum(max(n - expected.scored.get(model, 0), 0) for model, n in found.items())
        figures.update(acknowledged=len(self.known), lost=len(self.lost), double=double)
        assert not self.lost, self.lost[:5]
        assert found == expected.scored
        assert statistics["predictions_pending"] == expected.pending
        assert statistics["quarantined"] == []
        assert verified["ok"], verified
        _stop(daemon)
        report = verify_state(self.state, settings_from_dict({"online_learning": self.settings}))
        assert report.ok, report


def _wait_ready(daemon: Job | Daemon) -> str:
    if isinstance(daemon, Daemon):
        return daemon.wait_ready()["unix"]
    while (message := daemon.next(DEADLINE_SECONDS)) is not None:
        daemon.messages.append(message)
        if "ready" in message:
            return message["unix"]
    pytest.fail(f"it was never ready: {daemon.messages}")


def _kill(daemon: Job | Daemon) -> None:
    daemon.kill()
    if isinstance(daemon, Job):
        assert daemon.signal == signal.SIGKILL, daemon.messages


def _stop(daemon: Job | Daemon) -> None:
    os.kill(daemon.pid, signal.SIGTERM)
    if isinstance(daemon, Job):
        daemon.wait()
        assert daemon.status == 0, daemon.messages
    else:
        assert daemon.wait() == 0


@pytest.mark.parametrize("seed", range(CHAINS))
def test_daemon_killed_under_load_answers_every_repeat_as_known_and_counts_nothing_twice(
    seed: int, tmp_path: Path, fork_server: ForkServer, figures: Counter[str]
) -> None:
    with Daemons(tmp_path) as daemons:
        chain = Chain(seed, tmp_path, fork_server, daemons)
        rounds = min(ROUNDS_A_CHAIN, ROUNDS - seed * ROUNDS_A_CHAIN)
        try:
            for round_number in range(rounds):
                chain.crash(round_number)
                figures["rounds"] += 1
            chain.finish(figures)
        finally:
            if chain.daemon is not None:
                chain.daemon.kill()
        # Not vacuous: most rounds get to some hundred answers.
        assert len(chain.known) > 20 * rounds
