"""Connections: too many, silent, aborted, opened and closed again and again."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from ..daemon import Daemon
from ..inputs import prediction
from ..wire import Wire, eventually, request
from .conftest import MIB, Watch

CONNECTIONS_MAX = 256


def served(wire: Wire) -> bool:
    """Whether a ping is answered; False if the server said BUSY and closed."""
    with suppress(BrokenPipeError, ConnectionResetError):
        wire.send(request(1, "ping"))
    messages = wire.exchange(b"", 1)
    if messages == [[1, 1, None, "pong"]]:
        return True
    ((_, msgid, error, _),) = messages
    assert msgid is None
    assert error[0] == 0
    assert error[1].startswith("BUSY ")
    assert wire.rest() == []
    return False


def test_one_connection_too_many_is_told_busy_and_the_others_go_on(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    with watch(f"{CONNECTIONS_MAX + 50} connections over {transport}"):
        wires = [daemon.connect(transport) for _ in range(CONNECTIONS_MAX + 50)]
        answers = [served(wire) for wire in wires]
        assert answers.count(True) == CONNECTIONS_MAX - 1, "the bystander holds one"
        assert all(wire.call("ping") == "pong" for wire, answer in zip(wires, answers, strict=True) if answer)
        for wire in wires:
            wire.close()

        def room_again() -> bool:
            with daemon.connect(transport) as wire:
                return served(wire)

        eventually(room_again, "room for a connection")


def test_a_client_waiting_to_be_told_busy_does_not_hold_its_descriptor(daemon: Daemon, watch: Watch) -> None:
    with watch("turned away, and staying"):
        wires = [daemon.connect() for _ in range(CONNECTIONS_MAX + 100)]
        eventually(lambda: daemon.open_files() <= CONNECTIONS_MAX + 100, "those turned away closed")
        for wire in wires:
            wire.close()


def test_connections_opened_and_closed_10_000_times_leave_nothing(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    with watch(f"10,000 connections over {transport}"):
        for number in range(10_000):
            with daemon.connect(transport) as wire:
                if number % 10 == 0:
                    assert served(wire)


@pytest.mark.parametrize("said", ["nothing", "half a message", "requests"])
def test_connections_that_are_aborted_leave_nothing(daemon: Daemon, watch: Watch, said: str) -> None:
    data = {
        "nothing": b"",
        "half a message": request(1, "record_prediction", prediction())[:-3],
        "requests": b"".join(request(n, "record_prediction", prediction(n)) for n in range(50)),
    }[said]
    with watch(f"1,000 aborted after {said}"):
        for _ in range(1_000):
            wire = daemon.connect("tcp")
            wire.send(data)
            wire.reset()


def test_connections_that_never_send_cost_little_and_are_still_served_later(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    with watch(f"200 silent connections over {transport}", 48 * MIB):
        wires = [daemon.connect(transport) for _ in range(200)]
        with daemon.connect() as wire:
            assert len(wire.exchange(request(1, "ping") * 20_000, 20_000)) == 20_000
        for wire in wires:
            assert served(wire)
            wire.close()


def test_the_urgent_byte_of_tcp_disturbs_nobody(daemon: Daemon, watch: Watch) -> None:
    with watch("urgent data"), daemon.connect("tcp") as wire:
        wire.socket.send(b"!", socket.MSG_OOB)
        assert wire.call("ping") == "pong"


def test_connections_that_ask_and_leave_without_reading_leave_nothing(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    data = b"".join(request(n, "reports") for n in range(20))
    with watch(f"500 that leave with answers unread over {transport}"):
        for _ in range(500):
            with daemon.connect(transport) as wire:
                wire.send(data)
