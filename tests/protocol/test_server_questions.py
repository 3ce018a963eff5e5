"""What the methods do that ask, control, or are about the connection, seen by a client that has a socket and msgpack
and nothing of ours."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from handicapper.protocol.limits import WireLimits
from handicapper.protocol.messages import CalibrationReport, ModelReport, Statistics
from handicapper.protocol.methods import METHODS

from .daemon import Daemon, serving
from .inputs import T0, outcome, prediction
from .wire import Wire, request

_models = itertools.count()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with serving(tmp_path_factory.mktemp("questions")) as daemon:
        yield daemon


@pytest.fixture(params=["unix", "tcp"])
def wire(daemon: Daemon, request: pytest.FixtureRequest) -> Iterator[Wire]:
    with daemon.connect(request.param) as wire:
        yield wire


@pytest.fixture
def model() -> str:
    """A model nobody has seen."""
    return f"model{next(_models)}"


def names(kind: Any) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


# ------------------------------------------------------------------------------- session


def test_hello_says_who_answers_and_within_which_bounds(wire: Wire, daemon: Daemon) -> None:
    reply = wire.call("hello", {"client": "test", "protocol": [1, 0]})
    assert reply["server"].startswith("handicapper ")
    assert reply["protocol"] == [1, 0]
    assert reply["pid"] == daemon.process.pid
    assert os.path.samefile(reply["state_dir"], daemon.ready["state_dir"])
    assert set(reply["methods"]) == METHODS.keys()
    assert reply["topics"] == ["parameters", "models", "drift"]
    assert reply["limits"] == msgspec.to_builtins(WireLimits())


def test_hello_of_a_later_minor_version_is_answered_with_ours(wire: Wire) -> None:
    assert wire.call("hello", {"protocol": [1, 99]})["protocol"] == [1, 0]


def test_hello_of_another_major_version_is_refused_and_the_connection_goes_on(wire: Wire) -> None:
    for version in ([2, 0], [0, 9]):
        refused = wire.refusal("hello", {"protocol": version})
        assert (refused.fault, refused.code) == (1, "PROTOCOL_UNSUPPORTED")
    assert wire.call("ping") == "pong"


def test_errors_are_plain_text_for_whoever_asks_for_it(wire: Wire) -> None:
    wire.call("hello", ["go", [1, 0], "text"])
    refused = wire.refusal("no_such_method")
    assert (refused.fault, refused.code) == (None, "UNKNOWN_METHOD")
    batch = wire.call("record_outcome_batch", [[{"model_id": "m"}]])
    assert batch["errors"][0][1][0] == 1, "within a result it stays a pair"


@pytest.mark.parametrize("params", [None, {}, [], [{}], {"of_a_later_release": 1}, [1, 2, 3]])
def test_ping_is_answered_pong_whatever_form_nothing_has(wire: Wire, params: Any) -> None:
    assert wire.call("ping", params) == "pong"


# ----------------------------------------------------------------------------- questions


def test_params_of_a_model_never_seen_are_nil(wire: Wire, model: str) -> None:
    assert wire.call("get_adaptive_params", {"model_id": model}) is None
    wire.call("record_outcome", outcome(0, model))
    params = wire.call("get_adaptive_params", [model])
    assert params.keys() == {"confidence_threshold", "weight", "ema_accuracy", "adapted", "calibration_map"}
    batch = wire.call("get_adaptive_params_batch", {"model_ids": [model, "never seen", model]})
    assert batch == [params, None, params]
    assert wire.call("get_adaptive_params", [model, T0]) == params


def test_a_selection_can_be_drawn_again(wire: Wire, model: str) -> None:
    for name in (f"{model}-a", f"{model}-b"):
        wire.call("record_outcome_batch", {"outcomes": [outcome(n, name) for n in range(20)]})
    asked = {
        "n": 3,
        "as_of": T0 + 10**12,
        "models": [f"{model}-a", f"{model}-b"],
        "selection_id": "s",
        "seed": 7,
    }
    first = wire.call("thompson_sample", asked)
    assert {entry["model_id"] for entry in first["ranked"]} == {f"{model}-a", f"{model}-b"}
    assert all(len(entry["samples"]) == 3 for entry in first["ranked"])
    assert wire.call("thompson_sample", list(asked.values())) == first
    assert wire.call("thompson_sample_batch", [[asked, list(asked.values())]]) == [first, first]
    other = wire.call("thompson_sample", asked | {"seed": 8})
    assert other != first
    samples = [entry["sample"] for entry in first["ranked"]]
    assert samples == sorted(samples, reverse=True)


def test_more_draws_than_allowed_are_refused(wire: Wire, model: str) -> None:
    wire.call("record_outcome", outcome(0, model))
    refused = wire.refusal("thompson_sample", {"n": 100_001, "models": [model]})
    assert refused.fault == 1
    assert refused.code in ("TOO_LARGE", "INVALID_VALUE")
    assert wire.refusal("thompson_sample", {"n": 0}).code == "INVALID_VALUE"


def test_reports_and_models_carry_every_field(wire: Wire, model: str) -> None:
    wire.call("record_outcome", outcome(0, model, confidence=0.6))
    report = wire.call("report", {"model_id": model})
    assert report.keys() == names(ModelReport)
    assert report["calibration"].keys() == names(CalibrationReport)
    assert report["stake"] == "0"
    assert model in [entry["model_id"] for entry in wire.call("reports")]
    (summary,) = [entry for entry in wire.call("models") if entry["model_id"] == model]
    assert summary["n"] == 1
    refused = wire.refusal("report", {"model_id": "never seen"})
    assert (refused.fault, refused.code) == (1, "UNKNOWN_MODEL")


def test_statistics_of_learner_and_server(wire: Wire) -> None:
    statistics = wire.call("statistics")
    assert statistics.keys() == names(Statistics) | {"server"}
    assert statistics["state"] == "accepting"
    assert statistics["server"].keys() == {
        "connections", "connections_total", "requests", "notifications", "notifications_refused", "bad_messages",
        "bytes_in", "bytes_out",
    }  # fmt: skip
    assert statistics["server"]["connections"] >= 1


def test_config_shows_the_settings_in_force(wire: Wire) -> None:
    reply = wire.call("config")
    assert reply.keys() == {"settings", "source", "needs_restart"}
    settings = reply["settings"].get("online_learning", reply["settings"])
    assert settings["server"]["connections_max"] == 256
    assert settings["limits"]["models_max"] == 100_000
    assert reply["source"].endswith("settings.toml")
    assert not any(isinstance(value, float) and math.isinf(value) for value in settings.values())


def test_verify_finds_nothing_wrong(wire: Wire, model: str) -> None:
    wire.call("record_outcome_batch", {"outcomes": [outcome(n, model) for n in range(100)]})
    report = wire.call("verify")
    assert report["ok"] is True
    assert report["damaged"] == report["differences"] == []
    assert report["last_seq"] >= 100


# ------------------------------------------------------------------------------ controls


def test_an_operator_pauses_and_resumes_and_resets(wire: Wire, model: str) -> None:
    wire.call("record_outcome", outcome(0, model))
    assert wire.call("pause", {"model_id": model, "reason": "looks odd"})["seq"] > 0
    report = wire.call("report", {"model_id": model})
    assert (report["paused"], report["pause_reason"]) == (True, "looks odd")
    decision = wire.call("process_signal", prediction(0, model, confidence=0.9))
    assert (decision["accepted"], decision["reason"]) == (False, "paused")
    wire.call("resume", [model])
    assert wire.call("report", [model])["paused"] is False
    wire.call("pause", [model, T0 + 10**12, "for a while"])
    assert wire.call("report", [model, T0])["paused_until"] == T0 + 10**12
    wire.call("reset", {"model_id": model})
    assert wire.call("report", [model])["n"] == 0
    for method in ("pause", "resume", "reset"):
        assert wire.refusal(method, {"model_id": "never seen"}).code == "UNKNOWN_MODEL"


def test_a_snapshot_says_what_it_wrote(wire: Wire, model: str) -> None:
    seq = wire.call("record_outcome", outcome(0, model))["seq"]
    receipt = wire.call("snapshot")
    assert receipt.keys() == {"seq", "models", "markets", "bytes", "seconds"}
    assert receipt["seq"] >= seq
    assert wire.call("statistics")["snapshot_seq"] >= seq


def test_selections_and_inputs_sent_together_are_each_answered_and_see_what_went_before(
    wire: Wire, model: str
) -> None:
    """A selection is answered in the turn that reads it where nobody has to be waited for, and not before the inputs
    that the connection sent ahead of it were learned from."""
    wire.call("record_outcome", outcome(0, model))
    asked = {"models": [model], "as_of": T0, "selection_id": "s"}
    rounds = 40
    calls = [("record_outcome", outcome(place // 2 + 1, model)) for place in range(2 * rounds)]
    calls[1::2] = [("thompson_sample", asked)] * rounds
    wire.send(b"".join(request(msgid, method, params) for msgid, (method, params) in enumerate(calls)))
    answers = {}
    for _ in calls:
        _, msgid, error, result = wire.response()
        assert error is None
        answers[msgid] = result
    assert answers.keys() == set(range(2 * rounds))
    for place in range(rounds):
        (sampled,) = answers[2 * place + 1]["ranked"]
        # Seconds of evidence decay by some 1e-6 each.
        assert sampled["alpha"] + sampled["beta"] - 2.0 > place + 2 - 0.01
