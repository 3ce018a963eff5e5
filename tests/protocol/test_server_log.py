"""What the server's log and its dead letters say of what was refused: which connection, method and ids, and why."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from handicapper.protocol.messages import MarketResolved
from handicapper.protocol.serving import outgoing
from handicapper.protocol.serving.subject import BYTES_READ_MAX, readable, subject_of

from .daemon import Daemon, serving
from .fuzz_harness import Harness
from .inputs import outcome, prediction, resolution
from .samples import example
from .wire import Wire, eventually, notification, pack, request

FIELDS = {"connection", "method", "model", "market", "prediction", "error", "count"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with serving(tmp_path_factory.mktemp("log"), options=("--log-level", "debug")) as daemon:
        yield daemon


def records(daemon: Daemon) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.log().splitlines() if line.endswith("}")]


def refusals(daemon: Daemon, send: Any, count: int, event: str = "request refused") -> list[dict[str, Any]]:
    """The records of what one connection was refused, without what all have, and the error cut to its code."""
    before = len(records(daemon))
    with daemon.connect() as wire:
        send(wire)
        found: list[dict[str, Any]] = []

        def all_there() -> bool:
            found[:] = [record for record in records(daemon)[before:] if record["event"] == event]
            return len(found) >= count

        eventually(all_there, f"{count} records")
    assert all(record["connection"].startswith("unix:pid=") for record in found)
    told = [{name: value for name, value in record.items() if name in FIELDS} for record in found]
    for record in told:
        del record["connection"]
        record["error"] = record["error"].partition(" ")[0]
    return told


def test_a_refused_request_is_a_debug_record_that_names_method_and_ids(daemon: Daemon) -> None:
    def send(wire: Wire) -> None:
        wire.call("record_prediction", prediction(0, "log"))
        wire.refusal("record_prediction", prediction(0, "log", confidence=0.8))
        wire.refusal("record_outcome", list(outcome(0, "log", pnl="x").values()))
        wire.refusal("market_resolved", [resolution(0, "log", winner=5)])
        wire.refusal("process_signal", prediction(1, "log", price=0.5))
        wire.refusal("pause", {"model_id": "nobody"})
        wire.refusal("report", ["nobody"])
        wire.refusal("thompson_sample", {"n": 0})
        wire.refusal("no_such_method\n" * 100, {"model_id": "log"})

    *known, unknown = refusals(daemon, send, 8)
    recorded = {"prediction": "log-0", "model": "log", "market": "log-0"}
    trade = {"prediction": "log-trade-0", "model": "log"}
    signal = {"prediction": "log-1", "model": "log", "market": "log-1"}
    assert known == [
        {"method": "record_prediction", **recorded, "error": "CONFLICT"},
        {"method": "record_outcome", **trade, "error": "INVALID_VALUE"},
        {"method": "market_resolved", "market": "log-0", "error": "INVALID_VALUE"},
        {"method": "process_signal", **signal, "error": "INVALID_VALUE"},
        {"method": "pause", "model": "nobody", "error": "UNKNOWN_MODEL"},
        {"method": "report", "model": "nobody", "error": "UNKNOWN_MODEL"},
        {"method": "thompson_sample", "error": "INVALID_VALUE"},
    ]  # fmt: skip
    assert unknown.pop("method").startswith("no_such_method\\nno_such_method\\n")
    assert unknown == {"model": "log", "error": "UNKNOWN_METHOD"}


def test_items_refused_of_a_batch_are_one_record(daemon: Daemon) -> None:
    items = [
        outcome(0, "items"),
        outcome(1, "items", confidence=2),
        list(outcome(2, "items", pnl="x").values()),
    ]
    (told,) = refusals(
        daemon, lambda wire: wire.call("record_outcome_batch", {"outcomes": items}), 1, "items refused"
    )
    first = {"prediction": "items-trade-1", "model": "items", "error": "INVALID_VALUE"}
    assert told == {"method": "record_outcome_batch", **first, "count": 2}


def test_a_refused_notification_is_logged_and_kept_under_its_own_method(daemon: Daemon) -> None:
    wrong = [
        ("record_prediction", prediction(0, "kept", confidence=2)),
        ("record_outcome", outcome(0, "kept", confidence=2)),
        ("market_resolved", {"market_id": "kept-0"}),
        ("process_signal", prediction(1, "kept", confidence=2)),
        ("record_outcome_batch", [[outcome(1, "kept", confidence=2)]]),
        ("hello", {"token": "secret"}),
    ]

    def send(wire: Wire) -> None:
        wire.send(b"".join(notification(*each) for each in wrong))

    told = refusals(daemon, send, len(wrong), "notification refused")
    # Inputs are refused in their turn, behind what came before them; other methods at once.
    assert sorted(record["method"] for record in told) == sorted(method for method, _ in wrong)
    by_method = {record["method"]: record for record in told}
    assert by_method["market_resolved"] == {
        "method": "market_resolved",
        "market": "kept-0",
        "error": "INVALID_VALUE",
    }
    assert by_method["record_outcome_batch"]["prediction"] == "kept-trade-1"
    with daemon.connect() as wire:
        letters = {
            letter["recipient"]: letter["message"] for letter in wire.call("dead_letters")[-len(wrong) :]
        }
    assert letters.keys() == {f"server/{method}" for method, _ in wrong}
    assert letters["server/market_resolved"] == '{"market_id": "kept-0"}'
    assert letters["server/record_outcome"].startswith(
        '{"prediction_id": "kept-trade-0", "model_id": "kept", '
    )
    assert letters["server/hello"] == "nil", "anybody may read dead letters"


def test_a_conflict_of_a_notification_is_kept_with_what_it_said(daemon: Daemon) -> None:
    """Found by the learner: what is kept is the input as it was taken in."""
    with daemon.connect() as wire:
        wire.call("record_outcome", outcome(0, "both"))
        before = wire.call("statistics")["dead_letters"]
        wire.send(notification("record_outcome", outcome(0, "both", actual_outcome="NO")))
        eventually(lambda: wire.call("statistics")["dead_letters"] > before, "the dead letter")
        letter = wire.call("dead_letters")[-1]
    assert letter["recipient"] == "server/record_outcome"
    assert letter["reason"].startswith(
        'CONFLICT the outcome of prediction "both-trade-0" was recorded as "YES"'
    )
    assert letter["message"].startswith('TradeOutcome {"prediction_id": "both-trade-0", "model_id": "both", ')


def test_a_connection_is_a_record_when_it_comes_and_one_when_it_goes(daemon: Daemon) -> None:
    before = len(records(daemon))
    with daemon.connect("tcp") as wire:
        wire.call("ping")
        host, port = wire.socket.getsockname()

    def seen() -> list[str]:
        told = records(daemon)[before:]
        return [record["event"] for record in told if record.get("connection") == f"tcp:{host}:{port}"]

    eventually(lambda: seen() == ["connection opened", "connection closed"], "both records")


def test_nothing_is_looked_up_for_a_record_that_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> dict[str, str]:
        raise AssertionError("looked into the message")

    monkeypatch.setattr(outgoing, "subject_of", never)
    logger = logging.getLogger("handicapper.server")
    level = logger.level
    logger.setLevel(logging.INFO)
    harness = Harness()
    harness.receive(request(1, "record_outcome", outcome(confidence=2)) + request(2, "pause", ["unknown"]))
    logger.setLevel(level)
    assert [message[1] for message in harness.messages()] == [1, 2]


# ------------------------------------------------------------------------- the subject


@pytest.mark.parametrize(
    ("method", "message", "subject"),
    [
        ("record_outcome", outcome(1, "m"), {"prediction": "m-trade-1", "model": "m"}),
        ("record_outcome", list(outcome(1, "m").values()), {"prediction": "m-trade-1", "model": "m"}),
        ("record_outcome", [outcome(1, "m")], {"prediction": "m-trade-1", "model": "m"}),
        ("record_outcome_batch", list(outcome(1, "m").values()), {"prediction": "m-trade-1", "model": "m"}),
        ("record_outcome_batch", [[outcome(1, "m")]], {}),
        ("market_resolved", ["k", 7], {"market": "k"}),
        ("market_resolved", {"market_id": "k\n\x1b"}, {"market": "k\\n\\u001b"}),
        ("pause", ["m", None], {"model": "m"}),
        ("get_adaptive_params_batch", [["m"]], {}),
        ("no_such_method", ["m"], {}),
        ("no_such_method", {"model_id": "m", "market_id": 5, "prediction_id": None}, {"model": "m"}),
        ("record_outcome", {1: 2, None: 3}, {}),
        ("ping", None, {}),
        ("ping", "text", {}),
        ("record_outcome", {"model_id": "m", "x": "y" * BYTES_READ_MAX}, {}),
    ],
)
def test_the_subject_of_params_is_what_ids_they_have(
    method: str, message: Any, subject: dict[str, str]
) -> None:
    assert subject_of(method, pack(message)) == subject


def test_the_subject_of_what_is_decoded_is_what_ids_it_has() -> None:
    assert subject_of("market_resolved", example(MarketResolved)) == {"market": "market_id"}
    assert subject_of("snapshot", None) == {}


@pytest.mark.parametrize(
    "data", [b"\xc1", b"\x91", b"\xa2\xff\xff", b"\x91" * 4_000 + b"\xc0", b"\x81\x90\x01"]
)
def test_bytes_that_cannot_be_read_stay_bytes(data: bytes) -> None:
    assert readable(data) in (data, {(): 1})
    assert subject_of("record_outcome", data) == {}
