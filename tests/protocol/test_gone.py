"""A connection that is gone leaves nothing for the garbage collector, which the daemon has look at ever less."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from handicapper.protocol import Client
from handicapper.protocol.serving.session import Session
from handicapper.protocol.serving.socket_edge import SocketEdge

from .client_support import Serving, eventually, outcome, prediction, resolution, serving
from .wire import notification, request


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """Every session and edge made."""
    made: list[weakref.ref[Any]] = []
    for kind in (Session, SocketEdge):

        def noted(
            self: Any, *arguments: Any, init: Callable[..., None] = kind.__init__, **named: Any
        ) -> None:
            init(self, *arguments, **named)
            made.append(weakref.ref(self))

        monkeypatch.setattr(kind, "__init__", noted)
    return made


def _everything(serving: Serving) -> None:
    with Client(serving.unix) as client:
        client.ping()
        client.record_prediction(prediction(1))
        client.resolve_market(resolution(1))
        client.record_outcomes([outcome(n) for n in range(1_000)])
        client.process_signals([prediction(n) for n in range(2_000, 2_010)])
        assert client.thompson_sample().ranked
        assert client.thompson_sample(5).ranked
        assert client.reports()
        client.snapshot()


def _subscribing(serving: Serving) -> None:
    told: list[Any] = []
    with Client(serving.tcp) as client:
        client.subscribe(None, told.append)
        client.record_outcomes([outcome(n) for n in range(100)])
        eventually(lambda: bool(told))


def _left_behind(serving: Serving) -> None:
    """It ends without having read its answers, and in the middle of a message."""
    asked = b"".join(request(n, "record_outcome", _fields(n)) for n in range(500))
    held = b"".join(notification("record_outcome", _fields(n)) for n in range(500, 600))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(serving.path)
        connection.sendall(asked + held + request(1_000, "reports") + request(1_001, "ping")[:5])


def _given_up(serving: Serving) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(serving.path)
        connection.sendall(request(1, "ping") + b"\xc1")
        while connection.recv(4_096):
            pass


def _fields(number: int) -> dict[str, Any]:
    return msgspec.to_builtins(outcome(number), builtin_types=(bytes,))


@pytest.mark.parametrize("use", [_everything, _subscribing, _left_behind, _given_up])
def test_a_connection_that_is_gone_needs_no_collection_of_garbage(
    watched: list[weakref.ref[Any]], use: Callable[[Serving], None]
) -> None:
    with serving() as running:
        gc.collect()
        gc.disable()
        try:
            use(running)
            eventually(lambda: len(watched) >= 2)
            eventually(lambda: not any(made() is not None for made in watched))
        finally:
            gc.enable()


def _signal(number: int) -> dict[str, Any]:
    return msgspec.to_builtins(prediction(number), builtin_types=(bytes,))


CALLS: list[tuple[str, Any]] = [
    ("hello", {"protocol": [9, 0]}),
    ("nobody knows this", None),
    ("record_prediction_batch", [[_signal(n) for n in range(3)]]),
    ("record_outcome_batch", [[_fields(n) for n in range(600)]]),
    ("record_outcome_batch", [[{"model_id": n} for n in range(600)]]),
    ("process_signal_batch", [[_signal(n) for n in range(600)]]),
    ("get_adaptive_params_batch", [[f"m{n}" for n in range(600)]]),
    ("thompson_sample_batch", [[{"n": 3}] * 50]),
    ("thompson_sample_batch", [[{"n": 0}] * 50]),
    ("combine", ["k1"]),
    ("combine", ["nowhere"]),
    ("combine", [None, [[f"m{n}", "ABC"[n % 3], 0.3] for n in range(50)]]),
    ("combine", [None, [[f"m{n}", "ABC"[n % 3], 0.3] for n in range(5_000)]]),
    ("combine", [None, [[f"m{n}", "A", 3.0] for n in range(50)]]),
    ("report", ["m"]),
    ("report", ["nobody"]),
    ("reports", None),
    ("models", None),
    ("pool", None),
    ("verify", None),
    ("statistics", None),
    ("dead_letters", None),
    ("replay_dead_letters", [["no such"]]),
    ("config", None),
    ("snapshot", None),
    ("backup", ["relative"]),
    ("pause", ["m"]),
    ("resume", ["m"]),
    ("reset", ["nobody"]),
    ("set_posterior", ["m", "changepoint"]),
    ("restart", ["m"]),
]


def test_no_call_keeps_its_connection(watched: list[weakref.ref[Any]]) -> None:
    """Nor does an error, whose traceback knows where it was raised."""
    with serving() as running:
        gc.collect()
        gc.disable()
        try:
            for method, params in CALLS:
                watched.clear()
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(running.path)
                    connection.sendall(request(1, method, params))
                    assert connection.recv(1 << 16), method
                eventually(lambda: len(watched) >= 2)
                eventually(lambda: not any(made() for made in watched))
        finally:
            gc.enable()
