"""What one connection may count on: order of effects and answers, questions that see what was sent before them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from .daemon import Daemon, serving
from .inputs import T0, outcome, prediction
from .wire import Wire, notification, request

CHANGING = {"record_prediction", "record_outcome", "market_resolved", "process_signal", "pause", "resume"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with serving(tmp_path_factory.mktemp("order")) as daemon:
        yield daemon


@pytest.fixture
def wire(daemon: Daemon) -> Iterator[Wire]:
    with daemon.connect() as wire:
        yield wire


def mixed_calls(model: str, count: int) -> list[tuple[str, Any]]:
    """Every kind of call that changes something, in any order, with questions between them."""
    chance = random.Random(5)
    calls: list[tuple[str, Any]] = [("record_outcome", outcome(-1, model))]
    for number in range(count):
        resolution = {"market_id": f"{model}-{number - 3}", "resolved_at": T0 + number, "winner": "YES"}
        calls += chance.sample(
            [
                ("record_prediction", prediction(number, model)),
                ("process_signal", prediction(number, model)),
                ("record_outcome", outcome(number, model)),
                ("record_outcome_batch", {"outcomes": [outcome(number, f"{model}-batch")]}),
                ("market_resolved", resolution),
                ("pause", {"model_id": model}),
                ("resume", {"model_id": model}),
                ("ping", None),
                ("get_adaptive_params", {"model_id": model}),
                ("record_prediction", {"prediction_id": ""}),
            ],
            1,
        )
    return calls


def test_what_changes_something_is_answered_in_the_order_sent(wire: Wire) -> None:
    calls = mixed_calls("mixed", 3_000)
    data = b"".join(request(number, method, params) for number, (method, params) in enumerate(calls))
    messages = wire.exchange(data, len(calls))
    taken_in = [
        message
        for message in messages
        if message[2] is None and calls[message[1]][0] in CHANGING | {"record_outcome_batch"}
    ]
    assert [message[1] for message in taken_in] == sorted(message[1] for message in taken_in)
    seqs = [message[3]["seq"] for message in taken_in if not message[3].get("duplicate")]
    assert seqs == sorted(seqs), "and took effect in that order"


def test_refusals_are_answered_in_order_among_what_is_recorded(wire: Wire) -> None:
    """A conflict is found by the learner, a wrong field before it: both are answers to inputs."""
    wire.call("record_prediction", prediction(0, "conflict"))
    wrong = prediction(0, "conflict") | {"confidence": 0.8}
    malformed = prediction(1, "conflict") | {"confidence": 8}
    calls: list[tuple[str, Any]] = []
    for number in range(10, 500):
        calls += [("record_prediction", prediction(number, "conflict")), ("record_prediction", wrong)]
        calls += [("process_signal", wrong), ("record_prediction", malformed)]
    data = b"".join(request(number, method, params) for number, (method, params) in enumerate(calls))
    messages = wire.exchange(data, len(calls))
    assert [message[1] for message in messages] == list(range(len(calls)))
    assert {message[2][1].partition(" ")[0] for message in messages if message[2]} == {
        "CONFLICT",
        "INVALID_VALUE",
    }


def test_what_is_wrong_with_a_whole_call_is_told_in_its_place_too(wire: Wire) -> None:
    """Params that cannot be read, a batch of too many, a pause without a model: found before what went before it is
    durable, and told after it."""
    calls: list[tuple[str, Any]] = []
    for number in range(100):
        calls += [
            ("record_prediction", prediction(number, "whole")),
            ("record_prediction_batch", {"predictions": 7}),
            ("record_outcome_batch", [[None] * 16_385]),
            ("pause", {}),
            ("reset", [5]),
            ("process_signal", prediction(number, "whole")),
            ("market_resolved_batch", {}),
        ]
    data = b"".join(request(number, method, params) for number, (method, params) in enumerate(calls))
    messages = wire.exchange(data, len(calls))
    assert [message[1] for message in messages] == list(range(len(calls)))
    assert sum(message[2] is not None for message in messages) == 500


def test_questions_of_one_method_are_answered_in_the_order_asked(wire: Wire) -> None:
    """Whatever they wait for: one that has to (for an input before it, for a thread) is not overtaken by one that
    has not, such as one that is wrong."""
    chance = random.Random(7)
    questions: list[tuple[str, Any]] = [
        ("report", ["asked"]),
        ("report", {}),
        ("report", ["never seen"]),
        ("reports", None),
        ("models", None),
        ("models", ["a time"]),
        ("pool", None),
        ("thompson_sample", None),
        ("thompson_sample", {"n": 0}),
        ("thompson_sample_batch", [[{}, {"n": 2}]]),
        ("thompson_sample_batch", [[{"n": 0}]]),
        ("get_adaptive_params", ["asked"]),
        ("get_adaptive_params", {}),
        ("get_adaptive_params_batch", [["asked", "never seen"]]),
        ("get_adaptive_params_batch", [[]]),
        ("combine", {"market_id": "asked-0"}),
        ("combine", {}),
        ("snapshot", None),
        ("restart", ["asked"]),
        ("statistics", None),
        ("dead_letters", None),
        ("config", None),
        ("verify", None),
        ("replay_dead_letters", None),
    ]
    calls: list[tuple[str, Any]] = [("record_prediction", prediction(0, "asked"))]
    for number in range(60):
        calls += chance.sample(questions, len(questions) if number % 10 == 0 else 8)
        calls += [("record_outcome", outcome(number, "asked"))]
    data = b"".join(request(number, method, params) for number, (method, params) in enumerate(calls))
    answered = [message[1] for message in wire.exchange(data, len(calls))]
    assert sorted(answered) == list(range(len(calls)))
    for method in {method for method, _ in calls}:
        of_method = [number for number in answered if calls[number][0] == method]
        assert of_method == sorted(of_method), method
    assert answered != sorted(answered), "of different methods they may be, or this shows nothing"


def test_a_question_sees_every_input_sent_before_it(wire: Wire) -> None:
    calls: list[tuple[str, Any]] = []
    for number in range(300):
        calls += [("record_outcome", outcome(number, "seen")), ("report", {"model_id": "seen"})]
    reports = wire.pipeline(calls)[1::2]
    for number, (_, _, error, report) in enumerate(reports):
        assert error is None
        assert report["n"] > number


def test_a_question_sees_every_notification_sent_before_it(wire: Wire) -> None:
    data = b"".join(notification("record_outcome", outcome(n, "told")) for n in range(10_000))
    (answer,) = wire.exchange(data + request(1, "report", {"model_id": "told"}), 1)
    assert answer[3]["n"] == 10_000


def test_a_question_sees_the_whole_batch_sent_before_it(wire: Wire) -> None:
    batch = {"outcomes": [list(outcome(n, "batched").values()) for n in range(16_000)]}
    data = request(1, "record_outcome_batch", batch) + request(2, "report", {"model_id": "batched"})
    answers = {message[1]: message[3] for message in wire.exchange(data, 2)}
    assert answers[1]["accepted"] == 16_000
    assert answers[2]["n"] == 16_000


def test_a_selection_sees_every_input_sent_before_it(wire: Wire) -> None:
    calls: list[tuple[str, Any]] = []
    for number in range(200):
        calls += [("record_outcome", outcome(0, f"new{number}"))]
        calls += [
            ("thompson_sample", {"models": [f"new{number}"]}),
            ("get_adaptive_params", [f"new{number}"]),
        ]
    responses = wire.pipeline(calls)
    for _, _, error, selection in responses[1::3]:
        assert error is None
        assert len(selection["ranked"]) + len(selection["ineligible"]) == 1, selection
        assert selection["missing"] == []
    assert all(params is not None for _, _, _, params in responses[2::3])


def test_controls_take_effect_between_the_inputs_they_were_sent_between(wire: Wire) -> None:
    wire.call("record_outcome", outcome(0, "paused"))
    calls: list[tuple[str, Any]] = []
    for number in range(100):
        calls += [("pause", {"model_id": "paused"}), ("process_signal", prediction(2 * number, "paused"))]
        calls += [
            ("resume", {"model_id": "paused"}),
            ("process_signal", prediction(2 * number + 1, "paused")),
        ]
    responses = wire.pipeline(calls)
    assert {response[3]["reason"] for response in responses[1::4]} == {"paused"}
    assert {response[3]["reason"] for response in responses[3::4]} == {"accepted"}


def test_a_reset_forgets_what_was_sent_before_it_and_nothing_else(wire: Wire) -> None:
    calls: list[tuple[str, Any]] = [("record_outcome", outcome(n, "reset")) for n in range(100)]
    calls += [
        ("reset", {"model_id": "reset"}),
        ("record_outcome", outcome(100, "reset")),
        ("report", ["reset"]),
    ]
    assert wire.pipeline(calls)[-1][3]["n"] == 1


def test_what_was_acknowledged_is_there_after_the_daemon_was_killed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("killed")
    daemon = Daemon(directory)
    try:
        with daemon.connect() as wire:
            data = b"".join(request(n, "record_outcome", outcome(n, "kept")) for n in range(3_000))
            acknowledged = {message[1] for message in wire.exchange(data, 1_000)}
    finally:
        daemon.kill()
    with serving(directory) as successor, successor.connect() as wire:
        again = wire.pipeline([("record_outcome", outcome(n, "kept")) for n in sorted(acknowledged)])
        assert all(response[3]["duplicate"] for response in again)
