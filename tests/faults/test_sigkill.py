"""A process is killed with SIGKILL at random moments under load, again and again, on the same directory.

``HANDICAPPER_CRASH_ROUNDS`` sets how many kills there are (default 200).
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from handicapper.actors import Learner, verify_state
from handicapper.config import settings_from_dict
from handicapper.protocol.messages import Prediction

from .conftest import DEADLINE_SECONDS, ForkServer, Job
from .workload import make_call, own_model, tally

ROUNDS = int(os.environ.get("HANDICAPPER_CRASH_ROUNDS", "200"))
CHAINS = 10
THREADS = 3
CALLS_MAX = 400

CallKey = tuple[int, int, int]
"""(round, thread, number)"""


class Chain:
    """What is known of one directory through its crashes."""

    def __init__(self, seed: int, path: Path, server: ForkServer) -> None:
        self.seed, self.path, self.server = seed, path, server
        self.random = random.Random(seed)
        self.acknowledged: set[CallKey] = set()
        self.again: dict[CallKey, bool] = {}
        """Calls to be sent again in the next round: whether they had been acknowledged."""
        self.decisions: dict[CallKey, Any] = {}
        self.kills_opening = self.kills_loaded = 0
        save_interval_secs = self.random.choice((0.003, 0.02, 0.2))
        self.settings = {
            "persistence": {
                "save_interval_secs": save_interval_secs,
                "snapshot_inputs_max": self.random.choice((40, 300, 5000)),
                "initial_map_mib": 1,
            },
            "limits": {"batch_inputs_max": self.random.choice((7, 4096))},
        }

    def crash(self, round_number: int) -> None:
        """One life of the process: open, reconcile, work, die."""
        job = self.server.start(
            "crash_load",
            path=str(self.path),
            settings=self.settings,
            seed=self.seed,
            round_number=round_number,
            threads=THREADS,
            again=[[*key, known] for key, known in self.again.items()],
            calls_max=CALLS_MAX,
        )
        if self.random.random() < 0.3:
            # Somewhere while it opens, replays, reconciles or begins.
            self._listen(job, 10**9, self.random.uniform(0.0, 0.05))
        else:
            self._listen(job, self.random.randrange(1, 90), DEADLINE_SECONDS)
        job.kill()
        assert job.signal == 9, job.messages
        self._digest(round_number, job.messages)

    def _listen(self, job: Job, acknowledgements: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while acknowledgements and time.monotonic() < deadline:
            message = job.next(deadline - time.monotonic())
            if message is None:
                return
            job.messages.append(message)
            acknowledgements -= "acknowledged" in message

    def _digest(self, round_number: int, messages: list[dict[str, Any]]) -> None:
        bad = [message for message in messages if "lost" in message or "raised" in message]
        assert not bad, bad
        if not any("reconciled" in message for message in messages):
            self.kills_opening += 1
            return
        self.kills_loaded += 1
        self.acknowledged.update(self.again)
        last = dict.fromkeys(range(THREADS), -1)
        for message in messages:
            if "acknowledged" in message:
                thread, number = message["acknowledged"]
                assert number == last[thread] + 1
                last[thread] = number
                self.acknowledged.add((round_number, thread, number))
                self.decisions[round_number, thread, number] = message["decision"]
        self.again = {
            (round_number, thread, number): (round_number, thread, number) in self.acknowledged
            for thread in range(THREADS)
            for number in range(last[thread] + 2)
        }

    def check(self) -> None:
        """Open it for good: everything acknowledged is there exactly once, and nothing else."""
        report = verify_state(self.path, settings_from_dict({"online_learning": self.settings}))
        assert report.ok, report
        doubtful = [key for key, known in self.again.items() if not known]
        with Learner(self.path, settings_from_dict({"online_learning": self.settings})) as learner:
            assert learner.statistics().quarantined == ()
            self._check_pauses(learner)
            for key in sorted(self.acknowledged):
                inputs = make_call(self.seed, *key).inputs
                result = learner.record(inputs, on_error="return")
                assert (result.errors, result.duplicates) == ((), len(inputs)), key
            for key in doubtful:
                learner.record(make_call(self.seed, *key).inputs)
            self._check_counts(learner, [*self.acknowledged, *doubtful])
            self._check_decisions(learner)
        report = verify_state(self.path, settings_from_dict({"online_learning": self.settings}))
        assert report.ok, report

    def _check_counts(self, learner: Learner, keys: list[CallKey]) -> None:
        expected = tally(item for key in keys for item in make_call(self.seed, *key).inputs)
        assert learner.statistics().predictions_pending == expected.pending
        reports = {report.model_id: report for report in learner.reports()}
        assert {m: report.n for m, report in reports.items() if report.n} == expected.scored
        for model_id, right in expected.right.items():
            accuracy = reports[model_id].accuracy
            assert accuracy is not None
            assert abs(accuracy * expected.scored[model_id] - right) < 1e-6

    def _check_pauses(self, learner: Learner) -> None:
        """A thread's last acknowledged pause or its end is in force, unless the one in doubt came through."""
        for thread in range(THREADS):
            controls = sorted(
                key for key in self.acknowledged if key[1] == thread and not make_call(self.seed, *key).inputs
            )
            newest = max((key[0] for key in self.acknowledged if key[1] == thread), default=0)
            doubtful = any(
                key[1] == thread and not make_call(self.seed, *key).inputs
                for key, known in self.again.items()
                if not known
            )
            if not controls or doubtful or controls[-1][0] != newest:
                continue
            paused = make_call(self.seed, *controls[-1]).kind == "pause"
            assert learner.report(own_model(thread)).paused is paused

    def _check_decisions(self, learner: Learner) -> None:
        for key, decided in self.decisions.items():
            if decided is None:
                continue
            (prediction,) = make_call(self.seed, *key).inputs
            assert isinstance(prediction, Prediction)
            decision = learner.process_signal(prediction)
            assert decision.duplicate
            numbers = [decision.accepted, decision.confidence_threshold, decision.weight, decision.seq]
            assert numbers == decided


@pytest.mark.parametrize("seed", range(CHAINS))
def test_learner_killed_again_and_again_keeps_every_acknowledged_input_exactly_once(
    seed: int, tmp_path: Path, fork_server: ForkServer
) -> None:
    """Kills fall while it opens, replays, answers, snapshots; the same directory goes through all of them."""
    chain = Chain(seed, tmp_path / "state", fork_server)
    kills = ROUNDS // CHAINS + (seed < ROUNDS % CHAINS)
    for round_number in range(kills):
        chain.crash(round_number)
    chain.check()
    assert chain.kills_opening + chain.kills_loaded == kills
    # Not vacuous: with the figures above about seven rounds of ten get to some thirty calls.
    assert kills < 10 or len(chain.acknowledged) >= 10 * kills
