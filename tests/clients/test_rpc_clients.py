"""MessagePack-RPC clients that others wrote, against the real daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..protocol.daemon import Daemon
from .driving import run_driver
from .story import Call, EmbeddedLearner, calls, lessons, prediction

CLIENTS = ["npm neovim", "pynvim", "neovim"]
REFUSED: Call = ("request", "record_prediction", [prediction("elo", 1000, confidence=1.5)])
UNKNOWN: Call = ("request", "recrod_prediction", [])
PING: Call = ("request", "ping", [])


@pytest.mark.parametrize("client", CLIENTS)
def test_client_is_answered_what_an_embedded_learner_answers(
    client: str, transport: str, daemon: Daemon, tmp_path: Path
) -> None:
    driven = run_driver(client, daemon.address(transport), calls(), tmp_path)
    assert driven.errors == []
    with EmbeddedLearner(tmp_path / "embedded") as learner:
        assert driven.results == learner.listen(calls())


@pytest.mark.parametrize("client", CLIENTS)
def test_client_raises_an_error_response_and_its_connection_goes_on(
    client: str, transport: str, daemon: Daemon, tmp_path: Path
) -> None:
    driven = run_driver(client, daemon.address(transport), [PING, REFUSED, UNKNOWN, PING], tmp_path)
    (_, first), (refused, _), (unknown, _), (_, last) = driven.answers
    assert refused is not None
    assert unknown is not None
    assert "INVALID_VALUE confidence was 1.5" in refused
    assert "UNKNOWN_METHOD" in unknown
    assert "recrod_prediction" in unknown
    assert (first, last) == ("pong", "pong")


@pytest.mark.parametrize("client", ["npm neovim", "pynvim"])
def test_subscriber_is_notified_of_the_parameters_it_reads(
    client: str, transport: str, daemon: Daemon, tmp_path: Path
) -> None:
    driven = run_driver(client, daemon.address(transport), subscribed(), tmp_path)
    assert driven.errors == []
    params = driven.results[-2]
    assert params["adapted"]
    assert ("parameters_changed", [{"model_id": "elo", "params": params}]) in driven.notifications


def test_neovim_keeps_its_channel_when_it_is_notified(transport: str, daemon: Daemon, tmp_path: Path) -> None:
    """Neovim closes a channel on which a notification's params are anything but an array."""
    driven = run_driver("neovim", daemon.address(transport), subscribed(), tmp_path)
    assert driven.errors == []
    assert driven.results[-1] == "pong"


def test_pynvim_announcing_itself_costs_one_refused_notification(
    transport: str, daemon: Daemon, tmp_path: Path
) -> None:
    """It sends ``nvim_set_client_info``, the name as binary, before anything else."""
    statistics: Call = ("request", "statistics", [])
    driven = run_driver("pynvim", daemon.address(transport), [statistics], tmp_path)
    (seen,) = driven.results
    assert seen["server"]["notifications_refused"] == 1


def test_time_sent_as_a_javascript_number_is_refused_by_name(
    transport: str, daemon: Daemon, tmp_path: Path
) -> None:
    """A number above 2**53 travels as a float. Taken, it would be a time that was never said."""
    told: list[Call] = [("request", "record_prediction", [prediction("elo", 0)]), PING]
    driven = run_driver("npm neovim", daemon.address(transport), told, tmp_path, "--numbers")
    ((refused, _), (_, pong)) = driven.answers
    assert refused is not None
    assert "INVALID_VALUE" in refused
    assert "predicted_at" in refused
    assert pong == "pong"


def subscribed() -> list[Call]:
    """Subscribe, teach elo until its parameters adapt, ask for them, wait to be told the same, ping."""
    elo = [(method, params) for method, params in lessons() if params.get("model_id") != "vegas"]
    told: list[Call] = [("request", "subscribe", [{"topics": ["parameters"], "interval_ms": 20}])]
    told += [("request", method, [params]) for method, params in elo]
    told += [("request", "get_adaptive_params", ["elo"]), ("await", "parameters_changed", []), PING]
    return told
