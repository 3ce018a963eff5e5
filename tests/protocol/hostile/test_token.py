"""A daemon that wants a token on TCP, and clients that have none, a wrong one, or take their time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ..daemon import Daemon, serving
from ..inputs import prediction
from ..wire import Refused, Wire, eventually, notification, request
from .conftest import MIB

TOKEN = "a token of enough letters: 9f3c1b7e5a2d"
SETTINGS = """
[online_learning.server]
token_timeout_secs = 1.0
connections_max = 64
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("token")
    token_file = directory / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(TOKEN + "\n")
    with serving(directory, SETTINGS, ("--token-file", str(token_file))) as daemon:
        yield daemon
        assert TOKEN not in daemon.log()


@pytest.fixture
def wire(daemon: Daemon) -> Iterator[Wire]:
    with daemon.connect("tcp") as wire:
        yield wire


def test_nothing_but_hello_is_served_without_the_token(wire: Wire) -> None:
    for method, params in [("ping", None), ("statistics", None), ("record_prediction", prediction())]:
        refused = wire.refusal(method, params)
        assert (refused.fault, refused.code) == (1, "UNAUTHENTICATED")


def test_the_right_token_opens_the_connection(wire: Wire) -> None:
    assert wire.call("hello", {"token": TOKEN})["protocol"] == [1, 0]
    assert wire.call("ping") == "pong"


def test_requests_pipelined_behind_the_hello_are_served(wire: Wire) -> None:
    data = request(1, "hello", {"token": TOKEN}) + request(2, "ping") + request(3, "models")
    assert [message[2] for message in wire.exchange(data, 3)] == [None, None, None]


@pytest.mark.parametrize(
    "token", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), None, "x" * 900_000, "ü"],
    ids=["empty", "wrong", "short", "long", "case", "none", "huge", "umlaut"],
)  # fmt: skip
def test_a_wrong_token_is_refused_and_opens_nothing(wire: Wire, token: Any) -> None:
    refused = wire.refusal("hello", {"token": token})
    assert (refused.fault, refused.code) == (1, "UNAUTHENTICATED")
    assert TOKEN not in refused.text
    for message in wire.exchange(request(9, "ping"), 1):
        assert message[2][1].startswith("UNAUTHENTICATED")


@pytest.mark.parametrize("token", [5, 1.5, True, TOKEN.encode(), [TOKEN], {"token": TOKEN}])
def test_a_token_of_another_type_is_refused(wire: Wire, token: Any) -> None:
    assert wire.refusal("hello", {"token": token}).code == "INVALID_VALUE"
    with pytest.raises(Refused, match="UNAUTHENTICATED"):
        wire.call("ping")


def test_notifications_without_the_token_take_no_effect(daemon: Daemon) -> None:
    with daemon.connect() as inside:
        before = inside.call("statistics")
        with daemon.connect("tcp") as wire:
            wire.send(notification("record_prediction", prediction(model="stranger")) * 9)
            wire.send(notification("hello", {"token": "wrong"}) + notification("x" * 100_000))
            *_, last = wire.rest()
            assert last[:2] == [1, None], "it is told why, and the connection ends"
            assert last[2][1].startswith("UNAUTHENTICATED 10 notifications")
        after = inside.call("statistics")
        assert after["predictions"] == before["predictions"]
        refused = after["server"]["notifications_refused"] - before["server"]["notifications_refused"]
        assert refused == 10
        assert inside.call("get_adaptive_params", {"model_id": "stranger"}) is None


def test_notifications_without_the_token_push_no_dead_letter_out(daemon: Daemon) -> None:
    with daemon.connect() as inside:
        inside.send(notification("record_outcome", {"model_id": "of somebody who may"}))
        eventually(lambda: inside.call("statistics")["dead_letters"] > 0, "the dead letter")
        before = inside.call("dead_letters")
        for _ in range(20):
            with daemon.connect("tcp") as wire:
                wire.exchange(notification("record_outcome", {"model_id": "crowd"}) * 1_000)
        assert inside.call("dead_letters") == before
    told = [line for line in daemon.log().splitlines() if "crowd" in line]
    assert len(told) <= 20, "one line a connection"


def test_few_notifications_before_the_token_are_borne(wire: Wire) -> None:
    wire.send(notification("record_outcome", {}) * 9)
    assert wire.call("hello", {"token": TOKEN})["protocol"] == [1, 0]
    wire.send(notification("no_such_method") * 50)
    assert wire.call("ping") == "pong"


@pytest.mark.parametrize("said", [b"", request(1, "ping"), request(1, "hello", {"token": TOKEN})[:-4]])
def test_whoever_brings_no_token_in_time_is_let_go(wire: Wire, said: bytes) -> None:
    wire.send(said)
    messages = wire.rest()
    assert [message[2][1].partition(" ")[0] for message in messages][-1] == "TIMED_OUT"
    assert all(message[2][1].startswith("UNAUTHENTICATED") for message in messages[:-1])


def test_whoever_has_brought_the_token_may_be_silent_for_longer(daemon: Daemon, wire: Wire) -> None:
    wire.call("hello", {"token": TOKEN})
    with daemon.connect("tcp") as late:
        late.rest()  # has been let go: the time for a token is over
    assert wire.call("ping") == "pong"


def test_the_unix_socket_needs_no_token_and_takes_one(daemon: Daemon) -> None:
    with daemon.connect() as wire:
        assert wire.call("ping") == "pong"
        assert wire.call("hello", {"token": TOKEN})["protocol"] == [1, 0]
        assert wire.call("ping") == "pong"


def test_hello_without_the_token_after_one_with_it_closes_nothing(wire: Wire) -> None:
    wire.call("hello", {"token": TOKEN})
    assert wire.call("hello", {"client": "again"})["protocol"] == [1, 0]
    assert wire.call("ping") == "pong"


def test_strangers_cannot_keep_the_others_out_for_long(daemon: Daemon) -> None:
    """Silent strangers take every connection; after the time for the token the next one is served."""
    strangers = [daemon.connect("tcp") for _ in range(64)]

    def let_in() -> bool:
        with daemon.connect("tcp") as wire:
            answers = wire.exchange(request(1, "hello", {"token": TOKEN}), 1)
            return answers[0][2] is None

    eventually(let_in, "room for a client with a token")
    for stranger in strangers:
        stranger.close()


def test_strangers_make_the_server_hold_little(daemon: Daemon) -> None:
    """A message needs no token to be put together; its size is bounded all the same."""
    daemon.forget_peak()
    before = daemon.memory_bytes()
    wires = [daemon.connect("tcp") for _ in range(30)]
    for wire in wires:
        wire.send_until_blocked(b"\xc6\x00\x0f\xf0\x00" + bytes(2**20 - 4096 - 10))
    for wire in wires:
        assert wire.rest()
        wire.close()
    assert daemon.peak_memory_bytes() - before < 4 * 30 * MIB
