"""A daemon whose event loop is held up by a handler: its watchdog has a thread, and says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lifecycle import Daemons, outcome, patched

STUCK_FOLD = """
from handicapper.actors.state import model_state
real = model_state.fold_rows
def fold_rows(statistics, rows, *arguments):
    if any(row[3] == 0.123 for row in rows):
        open({fifo!r}).read()
    real(statistics, rows, *arguments)
model_state.fold_rows = fold_rows
"""


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path) as running:
        yield running


def test_a_stuck_loop_is_logged_with_the_model_the_message_and_the_place(daemons: Daemons) -> None:
    fifo = str(daemons.directory / "fifo")
    os.mkfifo(fifo)
    config = daemons.directory / "settings.toml"
    config.write_text("[online_learning.supervision]\nstuck_after_secs = 0.2\n")
    daemon = daemons.start("--config", config, command=patched(STUCK_FOLD.format(fifo=fifo)))
    with daemon.connect() as peer, daemon.connect() as subscriber:
        peer.call("record_outcome", outcome(1))
        subscriber.call("subscribe", {"topics": ["models"]})
        peer.send("record_outcome", outcome(2) | {"confidence": 0.123})
        records = [daemon.event("stuck: a handler does not return", count) for count in (1, 2)]
        assert {record["actor"] for record in records} == {"model/m", "event loop"}
        (model,) = [record for record in records if record["actor"] == "model/m"]
        assert model["message"] == "Delivery" and model["seconds"] >= 0.2
        assert any("fold_rows" in line for line in model["stack"])
        with open(fifo, "w"):
            pass
        daemon.event("no longer stuck", 2)
        told = [subscriber.next() for _ in range(4)]
        assert sorted({message[1] for message in told if message is not None}) == [
            "actor_recovered",
            "actor_stuck",
        ]
        answer = peer.next()
        assert answer is not None and answer[2] is None
        assert peer.call("report", {"model_id": "m"})["n"] == 2
    assert daemon.stop() == 0
    assert not [record for record in daemon.events() if record["event"].startswith("stuck")][2:]
