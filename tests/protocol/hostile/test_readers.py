"""Clients that do not read what they asked for, or slowly."""

from __future__ import annotations

from typing import Any

from ..daemon import Daemon
from ..inputs import outcome, prediction
from ..wire import eventually, request
from .conftest import Watch

FLOOD = 200_000


def test_a_slow_reader_gets_everything_and_holds_up_nobody(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    with daemon.connect() as wire:
        wire.call("record_prediction_batch", {"predictions": [prediction(n, f"slow{n}") for n in range(100)]})
    count = 300
    data = b"".join(request(n, "models") for n in range(count))
    with watch(f"slow reader over {transport}"), daemon.connect(transport, receive_buffer_bytes=4096) as wire:
        sent = wire.send_until_blocked(data)
        wire.send(data[sent:])
        messages: list[Any] = []
        while len(messages) < count:
            assert wire.receive(1024)
            messages += wire.decoded()
    assert {message[1] for message in messages} == set(range(count))
    assert all(len(message[3]) >= 100 for message in messages)


def test_a_client_that_never_reads_is_let_go_in_the_end(daemon: Daemon, watch: Watch, transport: str) -> None:
    data = b"".join(request(n, "models") for n in range(FLOOD))
    with watch(f"never reads over {transport}"), daemon.connect(transport) as wire:
        before = daemon.statistics()["server"]["connections"]
        wire.send_until_blocked(data)
        eventually(lambda: daemon.statistics()["server"]["connections"] < before, "the connection given up")


def test_a_subscriber_that_does_not_read_costs_nothing(daemon: Daemon, watch: Watch) -> None:
    with watch("subscriber that does not read"), daemon.connect() as silent, daemon.connect() as wire:
        silent.call("subscribe", {"interval_ms": 1})
        for turn in range(50):
            calls: list[tuple[str, Any]] = [("record_outcome", outcome(n, f"sub{turn}")) for n in range(20)]
            calls += [("pause", {"model_id": f"sub{turn}"}), ("resume", {"model_id": f"sub{turn}"})] * 20
            assert all(response[2] is None for response in wire.pipeline(calls))
