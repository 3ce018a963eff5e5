"""Notifications from the server: topics, intervals, and what a client that does not read misses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from .daemon import Daemon, serving
from .wire import Wire

T0 = 1_700_000_000_000_000_000
HOUR = 3_600 * 10**9

_models = itertools.count()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with serving(tmp_path_factory.mktemp("subscriptions")) as daemon:
        yield daemon


@pytest.fixture
def wire(daemon: Daemon) -> Iterator[Wire]:
    with daemon.connect() as wire:
        yield wire


@pytest.fixture
def listener(daemon: Daemon) -> Iterator[Wire]:
    with daemon.connect("tcp") as wire:
        yield wire


@pytest.fixture
def model() -> str:
    return f"model{next(_models)}"


def outcomes(model: str, first: int, count: int) -> dict[str, Any]:
    return {
        "outcomes": [
            [f"{model}-{number}", model, "YES", "YES" if number % 3 else "NO", T0 + number]
            for number in range(first, first + count)
        ]
    }


def test_subscribe_says_what_will_be_told(listener: Wire) -> None:
    everything = {"topics": ["parameters", "models", "drift"], "interval_ms": 100}
    assert listener.call("subscribe") == everything
    assert listener.call("subscribe", {"topics": ["models"], "interval_ms": 5}) == {
        "topics": ["models"],
        "interval_ms": 5,
    }
    assert listener.call("subscribe", [[]])["topics"] == []
    for wrong in ({"topics": ["prices"]}, {"topics": "models"}, {"interval_ms": 0}, {"interval_ms": 1.5}):
        assert listener.refusal("subscribe", wrong).code == "INVALID_VALUE"


def test_changed_parameters_are_told(wire: Wire, listener: Wire, model: str) -> None:
    listener.call("subscribe", {"topics": ["parameters"], "interval_ms": 1})
    wire.call("record_outcome_batch", outcomes(model, 0, 50))
    params = wire.call("get_adaptive_params", {"model_id": model})
    told: dict[str, Any] = {}
    while told != {"model_id": model, "params": params}:
        kind, name, told = listener.event()
        assert (kind, name) == (2, "parameters_changed")
        assert told.keys() == {"model_id", "params"}
        assert told["params"].keys() == params.keys()


def test_parameters_are_told_at_most_once_per_interval(wire: Wire, listener: Wire, model: str) -> None:
    """An hour is never over: of 2,000 changes the first is told, or the first few that came together."""
    listener.call("subscribe", {"topics": ["parameters"], "interval_ms": 3_600_000})
    for first in range(0, 2_000, 100):
        wire.call("record_outcome_batch", outcomes(model, first, 100))
    assert listener.call("ping") == "pong"
    assert len([event for event in listener.events if event[2][0]["model_id"] == model]) <= 1


def test_what_an_operator_does_is_told_in_order(wire: Wire, listener: Wire, model: str) -> None:
    wire.call("record_outcome_batch", outcomes(model, 0, 1))
    listener.call("subscribe", {"topics": ["models"]})
    wire.call("pause", {"model_id": model, "until": T0 + 10**15, "reason": "odd"})
    wire.call("resume", {"model_id": model})
    wire.call("reset", {"model_id": model, "reason": "anew"})
    wire.call("set_posterior", [model, "changepoint"])
    wire.call("set_posterior", [model])
    wire.call("pause", {"model_id": model})
    expected = [
        ("model_paused", {"model_id": model, "until": T0 + 10**15, "reason": "odd"}),
        ("model_resumed", {"model_id": model}),
        ("model_reset", {"model_id": model, "reason": "anew"}),
        ("model_posterior_set", {"model_id": model, "posterior": "changepoint"}),
        ("model_posterior_set", {"model_id": model, "posterior": None}),
        ("model_paused", {"model_id": model, "until": None, "reason": ""}),
    ]
    assert [listener.event() for _ in expected] == [[2, name, params] for name, params in expected]


def test_a_connection_may_be_told_of_what_it_does_itself(wire: Wire, model: str) -> None:
    wire.call("record_outcome_batch", outcomes(model, 0, 1))
    wire.call("subscribe", {"topics": ["models"]})
    wire.call("pause", {"model_id": model})
    assert wire.event()[1] == "model_paused"


def test_only_what_was_subscribed_to_is_told(wire: Wire, listener: Wire, model: str) -> None:
    wire.call("record_outcome_batch", outcomes(model, 0, 1))
    listener.call("subscribe", {"topics": ["drift"]})
    wire.call("pause", {"model_id": model})
    wire.call("record_outcome_batch", outcomes(model, 1, 100))
    listener.call("subscribe", {"topics": ["models"]})
    wire.call("resume", {"model_id": model})
    assert listener.event() == [2, "model_resumed", {"model_id": model}]
    listener.call("subscribe", {"topics": []})
    wire.call("pause", {"model_id": model})
    listener.call("subscribe", {"topics": ["models"]})
    wire.call("resume", {"model_id": model})
    assert listener.event() == [2, "model_resumed", {"model_id": model}]


def test_what_had_changed_is_told_after_the_connection_subscribed_again(
    wire: Wire, listener: Wire, model: str
) -> None:
    """Within the hour of the first subscription nothing is told; the second one's interval is over at once."""
    listener.call("subscribe", {"topics": ["parameters"], "interval_ms": 3_600_000})
    wire.call("record_outcome_batch", outcomes(model, 0, 50))
    params = wire.call("get_adaptive_params", {"model_id": model})
    assert listener.call("ping") == "pong"
    listener.call("subscribe", {"topics": ["models", "parameters"], "interval_ms": 1})
    while listener.event() != [2, "parameters_changed", {"model_id": model, "params": params}]:
        pass


def test_a_client_that_does_not_read_is_told_how_much_it_missed(
    wire: Wire, daemon: Daemon, model: str
) -> None:
    """40,000 events fit into no buffer of the kernel; 1,000 may wait, the others are counted."""
    reason = "x" * 1_000
    wire.call("record_outcome_batch", outcomes(model, 0, 1))
    with daemon.connect("tcp", receive_buffer_bytes=4096) as deaf:
        deaf.call("subscribe", {"topics": ["models"]})
        for _ in range(20):
            wire.pipeline(
                [("pause", {"model_id": model, "reason": reason}), ("resume", {"model_id": model})] * 1_000
            )
        told = missed = 0
        while told + missed < 40_000:
            _, name, params = deaf.event()
            if name == "events_missed":
                missed += params["count"]
            else:
                told += 1
    assert told + missed == 40_000
    assert missed > 0


def test_a_client_that_does_not_read_gets_the_newest_parameters_once_it_does(
    wire: Wire, daemon: Daemon, model: str
) -> None:
    names = [f"{model}-{number}" for number in range(300)]
    with daemon.connect("tcp", receive_buffer_bytes=4096) as deaf:
        deaf.call("subscribe", {"topics": ["parameters"], "interval_ms": 1})
        for turn in range(30):
            wire.pipeline([("record_outcome_batch", outcomes(name, turn * 2, 2)) for name in names])
        newest = dict(zip(names, wire.call("get_adaptive_params_batch", [names]), strict=True))
        told: dict[str, Any] = {}
        while told != newest:
            _, name, params = deaf.event()
            assert name == "parameters_changed"
            told[params["model_id"]] = params["params"]


def hourly(model: str, first: int, count: int, right: float) -> dict[str, Any]:
    """Outcomes of which every fifth is the other way round, one an hour."""
    return {
        "outcomes": [
            [
                f"{model}-{number}",
                model,
                "YES",
                "YES" if (number % 5 != 0) == (right > 0.5) else "NO",
                T0 + number * HOUR,
            ]
            for number in range(first, first + count)
        ]
    }


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_drift_is_told_over_the_socket_once_and_to_who_asked_for_it(
    daemon: Daemon, wire: Wire, model: str, transport: str
) -> None:
    """A model right in four of five cases, then in one; one that stays, and one whose evidence only halves."""
    steady, halving = f"{model}-steady", f"{model}-halving"
    with daemon.connect(transport) as told, daemon.connect(transport) as other:
        told.call("subscribe", {"topics": ["drift"]})
        other.call("subscribe", {"topics": ["models"]})
        for name in (model, steady, halving):
            wire.call("record_outcome_batch", hourly(name, 0, 1, 0.8))
        for name in (model, steady):
            wire.call("set_posterior", [name, "changepoint"])
        for name, after in ((steady, 0.8), (halving, 0.2), (model, 0.2)):
            wire.call("record_outcome_batch", hourly(name, 1, 199, 0.8))
            for first in range(200, 260, 20):
                wire.call("record_outcome_batch", hourly(name, first, 20, after))
        change = wire.call("report", {"model_id": model})["last_change"]
        assert told.event() == [2, "drift", {"model_id": model, **change, "peer": None}]
        assert abs(change["changed_at"] - (T0 + 200 * HOUR)) <= 10 * HOUR
        assert change["changed_at"] < change["detected_at"] < T0 + 230 * HOUR
        assert change["before"] == pytest.approx(0.8, abs=0.05)
        assert change["after"] < 0.5
        assert 0.99 <= change["probability"] <= 1.0
        for name in (steady, halving):
            assert wire.call("report", {"model_id": name})["last_change"] is None
        # What comes next stands behind whatever else would have been told.
        wire.call("pause", [model])
        told.call("subscribe", {"topics": ["drift", "models"]})
        wire.call("resume", [model])
        assert told.event() == [2, "model_resumed", {"model_id": model}]
        names = [other.event()[1] for _ in range(4)]
        assert names == ["model_posterior_set", "model_posterior_set", "model_paused", "model_resumed"]


def test_drift_goes_to_who_asked_for_drift_alone() -> None:
    """The kinds of events that are told, and the topic each belongs to."""
    from handicapper.actors.watching import DriftDetected, ModelResumed
    from handicapper.protocol.serving.feed import Feed

    told: dict[str, list[bytes]] = {"drift": [], "models": []}

    class Told:
        def __init__(self, topic: str) -> None:
            self.topics = frozenset({topic})
            self.event = told[topic].append

    feed = Feed(None)  # type: ignore[arg-type]
    feed._subscribers = {Told("drift"): None, Told("models"): None}  # type: ignore[assignment]
    feed._happened(DriftDetected("elo", 1, 2, 0.8, 0.3, 0.99))
    feed._happened(ModelResumed("elo"))
    assert [len(told["drift"]), len(told["models"])] == [1, 1]
    assert b"drift" in told["drift"][0]
    assert b"changed_at" in told["drift"][0]
    assert b"model_resumed" in told["models"][0]
