"""What the recording methods do, one by one, in batches and as notifications, seen by a client that has a socket
and msgpack and nothing of ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from .daemon import Daemon, serving
from .inputs import SECOND, T0, outcome, prediction, resolution
from .wire import Wire, eventually, notification

_models = itertools.count()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with serving(tmp_path_factory.mktemp("inputs")) as daemon:
        yield daemon


@pytest.fixture(params=["unix", "tcp"])
def wire(daemon: Daemon, request: pytest.FixtureRequest) -> Iterator[Wire]:
    with daemon.connect(request.param) as wire:
        yield wire


@pytest.fixture
def model() -> str:
    """A model nobody has seen."""
    return f"model{next(_models)}"


# -------------------------------------------------------------------------------- inputs


def test_a_prediction_is_recorded_once(wire: Wire, model: str) -> None:
    first = wire.call("record_prediction", prediction(0, model))
    assert first["seq"] > 0
    assert not first.get("duplicate", False)
    again = wire.call("record_prediction", prediction(0, model))
    assert again["seq"] == first["seq"]
    assert again["duplicate"] is True
    refused = wire.refusal("record_prediction", prediction(0, model, confidence=0.8))
    assert (refused.fault, refused.code) == (1, "CONFLICT")


def test_all_forms_of_params_mean_the_same(wire: Wire, model: str) -> None:
    fields = prediction(
        0, model, price="0.58", size=100, fee="0.1", expires_at=T0 + 10**12, metadata={"k": [1][0]}
    )
    first = wire.call("record_prediction", fields)
    for form in (list(fields.values()), [fields], dict(reversed(fields.items()))):
        assert wire.call("record_prediction", form) == first | {"duplicate": True}


def test_trailing_optional_params_may_be_left_out_of_an_array(wire: Wire, model: str) -> None:
    array = list(prediction(0, model).values())
    first = wire.call("record_prediction", array)
    assert wire.call("record_prediction", [*array, None, None]) == first | {"duplicate": True}
    assert wire.call("record_prediction", [*array, None, None, None, None, None, "later"])["duplicate"]


def test_money_is_exact_and_may_be_an_integer(wire: Wire, model: str) -> None:
    wire.call("record_prediction", prediction(0, model, price="0.1", size="0.3"))
    wire.call("record_prediction", prediction(1, model, price="0.10", size=3))
    for number in (0, 1):
        wire.call("market_resolved", resolution(number, model))
    assert wire.call("report", {"model_id": model})["pnl"] == "2.97"
    refused = wire.refusal("record_prediction", prediction(2, model, price=0.1))
    assert refused.code == "INVALID_VALUE"
    assert "price" in refused.text


def test_a_resolution_scores_what_was_predicted(wire: Wire, model: str) -> None:
    wire.call("record_prediction", prediction(0, model))
    assert wire.call("market_resolved", resolution(0, model))["scored"] == 1
    again = wire.call("market_resolved", resolution(0, model))
    assert again["duplicate"] is True
    revised = wire.call("market_resolved", resolution(0, model, winner="NO", revision=2))
    assert revised["revised"] == 1
    assert wire.refusal("market_resolved", resolution(0, model, revision=1)).code == "STALE_REVISION"
    assert wire.refusal("market_resolved", resolution(0, model, revision=2)).code == "CONFLICT"
    assert wire.call("report", {"model_id": model})["accuracy"] == 0.0


def test_a_resolution_before_its_prediction_waits(wire: Wire, model: str) -> None:
    assert wire.call("market_resolved", resolution(0, model))["waiting"] is True
    assert wire.call("record_prediction", prediction(0, model))["scored"] == 1


@pytest.mark.parametrize(
    "how", [{"payouts": {"YES": 0.5, "NO": 0.5}}, {"payouts": {"YES": 1}}, {"void": True}, {"winner": "NO"}]
)
def test_a_market_ends_with_payouts_or_a_winner_or_void(wire: Wire, model: str, how: dict[str, Any]) -> None:
    wire.call("record_prediction", prediction(0, model))
    receipt = wire.call("market_resolved", {"market_id": f"{model}-0", "resolved_at": T0 + 1, **how})
    assert receipt.get("scored", 0) == (0 if "void" in how else 1)


def test_a_prediction_made_after_its_market_resolved_is_refused(wire: Wire, model: str) -> None:
    wire.call("market_resolved", resolution(0, model))
    refused = wire.refusal("record_prediction", prediction(0, model, predicted_at=T0 + SECOND))
    assert (refused.fault, refused.code) == (1, "PREDICTED_AFTER_RESOLUTION")


def test_an_outcome_teaches_without_a_prediction(wire: Wire, model: str) -> None:
    assert wire.call("record_outcome", outcome(0, model, pnl="-12.5"))["scored"] == 1
    assert wire.call("record_outcome", outcome(0, model, pnl="-12.5"))["duplicate"] is True
    report = wire.call("report", [model])
    assert (report["n"], report["pnl"]) == (1, "-12.5")


def test_a_signal_is_decided_and_recorded_once(wire: Wire, model: str) -> None:
    decision = wire.call("process_signal", prediction(0, model, confidence=0.9))
    assert decision["accepted"] is True
    assert decision["reason"] == "accepted"
    assert decision["size_multiplier"] == pytest.approx(0.9 * decision["weight"])
    again = wire.call("process_signal", list(prediction(0, model, confidence=0.9).values()))
    assert again == decision | {"duplicate": True}
    refused = wire.call("process_signal", prediction(1, model, confidence=0.1))
    assert (refused["accepted"], refused["reason"], refused["size_multiplier"]) == (
        False,
        "below_threshold",
        0,
    )


# ------------------------------------------------------------------------------- batches


def test_batches_record_all_but_what_is_wrong(wire: Wire, model: str) -> None:
    items: list[Any] = [prediction(n, model) for n in range(5)]
    items[1] = list(items[1].values())
    items[3] = prediction(3, model, confidence=2)
    result = wire.call("record_prediction_batch", {"predictions": [*items, 5, None, "x", [], {}]})
    assert (result["total"], result["accepted"], result["duplicates"]) == (10, 4, 0)
    assert [index for index, _ in result["errors"]] == [3, 5, 6, 7, 8, 9]
    for _, (fault, text) in result["errors"]:
        assert fault == 1
        assert text.startswith("INVALID_VALUE ")
    again = wire.call("record_prediction_batch", [items])
    assert (again["accepted"], again["duplicates"]) == (0, 4)
    assert again["seq"] == result["seq"]


def test_batches_of_nothing_are_answered(wire: Wire) -> None:
    empty = {"total": 0, "accepted": 0, "duplicates": 0, "scored": 0, "revised": 0, "errors": [], "seq": 0}
    for method, field in [("record_prediction", "predictions"), ("market_resolved", "resolutions"),
                          ("record_outcome", "outcomes")]:  # fmt: skip
        assert wire.call(f"{method}_batch", {field: []}) == empty
    assert wire.call("process_signal_batch", [[]]) == {"decisions": [], "errors": []}
    assert wire.call("get_adaptive_params_batch", [[]]) == []
    assert wire.call("thompson_sample_batch", [[]]) == []


def test_a_batch_of_resolutions_counts_what_it_scored(wire: Wire, model: str) -> None:
    wire.call("record_prediction_batch", {"predictions": [prediction(n, model) for n in range(10)]})
    items = [resolution(n, model) for n in range(10)]
    result = wire.call("market_resolved_batch", {"resolutions": items})
    assert (result["accepted"], result["scored"], result["errors"]) == (10, 10, [])
    assert wire.call("market_resolved_batch", {"resolutions": items})["duplicates"] == 10


def test_a_batch_of_outcomes_larger_than_a_piece_is_recorded_in_order(wire: Wire, model: str) -> None:
    items = [list(outcome(n, model).values()) for n in range(5_000)]
    result = wire.call("record_outcome_batch", {"outcomes": [*items, *items]})
    assert (result["accepted"], result["duplicates"], result["scored"]) == (5_000, 5_000, 5_000)
    assert wire.call("report", {"model_id": model})["n"] == 5_000


def test_a_batch_of_signals_has_a_decision_or_nil_for_each(wire: Wire, model: str) -> None:
    items = [prediction(n, model, confidence=0.9) for n in range(3)]
    items[1]["price"] = 0.5
    result = wire.call("process_signal_batch", {"predictions": items})
    first, nothing, last = result["decisions"]
    assert (first["accepted"], nothing, last["prediction_id"]) == (True, None, f"{model}-2")
    ((index, (fault, text)),) = result["errors"]
    assert (index, fault) == (1, 1)
    assert text.startswith("INVALID_VALUE ")


def test_more_items_than_allowed_are_refused_whole(wire: Wire, model: str) -> None:
    items: list[Any] = [None] * 16_384
    assert wire.call("record_outcome_batch", {"outcomes": items})["total"] == 16_384
    for method in (
        "record_outcome_batch",
        "process_signal_batch",
        "get_adaptive_params_batch",
        "thompson_sample_batch",
    ):
        refused = wire.refusal(method, [["m"] * 16_385])
        assert (refused.fault, refused.code) == (1, "TOO_LARGE")
        assert "16384" in refused.text.replace(",", "")


# ------------------------------------------------------------------------- notifications


def test_recording_calls_may_be_notifications(wire: Wire, model: str) -> None:
    before = wire.call("statistics")["server"]
    wire.send(notification("record_prediction", prediction(0, model)))
    wire.send(notification("record_prediction", [prediction(1, model)]))
    wire.send(
        notification("record_prediction_batch", {"predictions": [prediction(n, model) for n in range(2, 5)]})
    )
    wire.send(notification("process_signal", list(prediction(5, model).values())))
    wire.send(notification("process_signal_batch", [[prediction(6, model)]]))
    wire.send(notification("market_resolved", resolution(0, model)))
    wire.send(notification("market_resolved_batch", [[resolution(n, model) for n in range(1, 7)]]))
    wire.send(notification("record_outcome", outcome(0, model)))
    wire.send(notification("record_outcome_batch", {"outcomes": [outcome(1, model)]}))
    assert wire.call("report", {"model_id": model})["n"] == 9
    after = wire.call("statistics")["server"]
    assert after["notifications"] - before["notifications"] == 9
    assert after["notifications_refused"] == before["notifications_refused"]


def test_what_is_refused_of_a_notification_is_counted_and_kept(wire: Wire, model: str) -> None:
    before = wire.call("statistics")
    wire.send(notification("record_outcome", outcome(0, model, confidence=7)))
    wire.send(
        notification(
            "record_outcome_batch", {"outcomes": [outcome(0, model), outcome(1, model, confidence=7)]}
        )
    )
    wire.send(notification("pause", {"model_id": model}))
    wire.send(notification("no_such_method", [model]))
    # A batch is refused where it stands in the order: once what lies before it is durable.
    refused_before = before["server"]["notifications_refused"]
    eventually(
        lambda: wire.call("statistics")["server"]["notifications_refused"] - refused_before == 4, "4 refusals"
    )
    assert wire.call("statistics")["dead_letters"] - before["dead_letters"] == 4
    letters = wire.call("dead_letters")[-4:]
    codes = sorted(letter["reason"].partition(" ")[0] for letter in letters)
    assert codes == ["INVALID_VALUE", "INVALID_VALUE", "UNKNOWN_METHOD", "UNKNOWN_METHOD"]
    fields = {"recipient", "reason", "message", "attempts", "at", "id", "replayable"}
    assert all(letter.keys() == fields for letter in letters)
    assert wire.call("report", {"model_id": model})["n"] == 1
