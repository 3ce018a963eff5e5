"""Too much at once: requests, notifications, expensive rubbish, and clients that do not read."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ..daemon import Daemon
from ..inputs import outcome, prediction
from ..wire import Wire, notification, request
from .conftest import GROWTH_BYTES_MAX, Watch

FLOOD = 200_000
REQUESTS_IN_FLIGHT_MAX = 65_536
KIB = 1024
"""About what a request in flight takes; an outcome never seen before takes two, until the next snapshot."""
BAD_MESSAGES_MAX = 100

FLOODS: dict[str, tuple[str, Any]] = {
    "ping": ("ping", None),
    "question": ("get_adaptive_params", {"model_id": "attack"}),
    "input": ("record_prediction", prediction()),
    "signal": ("process_signal", prediction(model="attack-signal")),
    "refused input": ("record_prediction", prediction(confidence=7)),
    "unknown method": ("no_such_method", [1, 2, 3]),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_requests_without_reading_is_borne_and_every_one_answered(
    daemon: Daemon, watch: Watch, transport: str, kind: str
) -> None:
    method, params = FLOODS[kind]
    data = b"".join(request(n, method, params) for n in range(FLOOD))
    with watch(f"{FLOOD:,} × {kind} unread over {transport}"), daemon.connect(transport) as wire:
        sent = wire.send_until_blocked(data)
        if transport == "unix":  # the kernel's buffers of TCP take megabytes of answers
            assert sent < len(data), "the server read on although nobody read its answers"
        messages = wire.exchange(data[sent:], FLOOD)
        assert wire.call("ping") == "pong"
    assert {message[1] for message in messages} == set(range(FLOOD))
    errors = Counter(message[2][1].partition(" ")[0] if message[2] else None for message in messages)
    expected = {"refused input": "INVALID_VALUE", "unknown method": "UNKNOWN_METHOD"}.get(kind)
    assert errors == {expected: FLOOD}


def test_a_client_that_reads_while_it_floods_is_served_to_the_end(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    data = b"".join(request(n, "record_prediction", prediction(n % 100)) for n in range(FLOOD))
    with watch(f"{FLOOD:,} read over {transport}"), daemon.connect(transport) as wire:
        messages = wire.exchange(data, FLOOD)
    assert [message[1] for message in messages] == list(range(FLOOD)), "inputs are answered in order"
    assert all(message[2] is None for message in messages)


def test_floods_from_many_connections_are_answered_or_told_busy(daemon: Daemon, watch: Watch) -> None:
    """30 connections of 4,096 requests in flight are more than the 65,536 that are taken in all."""
    data = b"".join(request(n, "record_prediction", prediction(n % 50)) for n in range(8_000))
    counts: Counter[str] = Counter()
    with watch(
        "8,000 requests from each of 30 connections",
        busy_allowed=True,
        growth_bytes_max=REQUESTS_IN_FLIGHT_MAX * KIB + GROWTH_BYTES_MAX,
    ):
        wires = [daemon.connect() for _ in range(30)]
        sent = [wire.send_until_blocked(data) for wire in wires]
        for wire, done in zip(wires, sent, strict=True):
            for message in wire.exchange(data[done:], 8_000):
                counts[message[2][1].partition(" ")[0] if message[2] else "result"] += 1
            wire.close()
    assert counts.keys() <= {"result", "BUSY"}
    assert counts.total() == 240_000
    print(f"  {dict(counts)}")


# ---------------------------------------------------------------- odd but allowed


def test_equal_msgids_are_answered_each(daemon: Daemon, watch: Watch, transport: str) -> None:
    data = request(7, "ping") * 10_000 + request(7, "record_prediction", prediction()) * 10_000
    with watch(f"20,000 × one msgid over {transport}"), daemon.connect(transport) as wire:
        messages = wire.exchange(data, 20_000)
    assert {message[1] for message in messages} == {7}
    assert sum(message[3] == "pong" for message in messages) == 10_000


def test_responses_sent_to_the_server_are_bad_messages(daemon: Daemon, watch: Watch, transport: str) -> None:
    """They are counted; whether they are answered is not said, but if so then without a msgid."""
    response = bytes.fromhex("940107c0c0")
    bad_before = daemon.statistics()["server"]["bad_messages"]
    with watch(f"responses over {transport}"), daemon.connect(transport) as wire:
        wire.send((response * 50 + request(1, "ping")) * 10)
        pongs = 0
        while pongs < 10:
            _, msgid, error, result = wire.response()
            pongs += result == "pong"
            assert result == "pong" or (msgid is None and error[1].startswith("BAD_MESSAGE"))
        assert daemon.statistics()["server"]["bad_messages"] - bad_before == 500
        messages = wire.exchange(response * 1_000)
    assert all(message[2][1].startswith("BAD_MESSAGE") for message in messages)
    assert len(messages) <= BAD_MESSAGES_MAX + 2
    assert messages[-1][2][1].endswith("something else than MessagePack-RPC: the connection is closed")


def test_a_flood_of_notifications_is_taken_in_without_losing_one(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    prefix = f"fire-and-forget-{transport}"
    data = b"".join(notification("record_outcome", outcome(n, prefix)) for n in range(50_000))
    with (
        watch(f"50,000 notifications over {transport}", 50_000 * 2 * KIB + GROWTH_BYTES_MAX),
        daemon.connect(transport) as wire,
    ):
        assert wire.exchange(data + request(1, "report", {"model_id": prefix}), 1)[0][3]["n"] == 50_000


def test_notifications_over_the_total_limit_are_held_back_and_not_dropped(
    daemon: Daemon, watch: Watch
) -> None:
    """Ten connections at once; each is read from only as far as there is room for what it sends."""
    before = daemon.statistics()["duplicates"]
    data = b"".join(notification("record_prediction", prediction(n % 10)) for n in range(20_000))
    with watch(
        "20,000 notifications from each of 10 connections", REQUESTS_IN_FLIGHT_MAX * KIB + GROWTH_BYTES_MAX
    ):
        wires = [daemon.connect() for _ in range(10)]
        views = dict.fromkeys(wires, data)
        while views:
            views = {
                wire: rest[sent:] for wire, rest in views.items() if (sent := _offer(wire, rest)) < len(rest)
            }
        for wire in wires:
            assert wire.call("ping") == "pong"
            wire.finish()
            assert wire.rest() == []
            wire.close()
    assert daemon.statistics()["duplicates"] - before >= 200_000 - 10


def _offer(wire: Wire, data: bytes) -> int:
    return len(data) - len(wire.send_some(memoryview(data)))


def test_a_flood_of_bad_notifications_is_counted_and_answers_nothing(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    before = daemon.statistics()
    bad = [
        notification("record_prediction", prediction(confidence=2)),
        notification("record_prediction", ["too", "short"]),
        notification("record_outcome", outcome(predicted_outcome=5)),
        notification("market_resolved", {"market_id": "k"}),
        notification("record_prediction_batch", {"predictions": 5}),
        notification("reset", {"model_id": "attack"}),
        notification("ping"),
        notification("no_such_method"),
    ]
    with watch(f"40,000 bad notifications over {transport}"), daemon.connect(transport) as wire:
        good = request(1, "ping")
        messages = wire.exchange((b"".join(bad) + good) * 5_000, 5_000)
        assert all(message[3] == "pong" for message in messages)
        assert wire.events == []
    after = daemon.statistics()
    assert after["server"]["notifications_refused"] - before["server"]["notifications_refused"] == 40_000
    assert after["dead_letters"] > before["dead_letters"]
    with daemon.connect() as wire:
        assert len(wire.call("dead_letters")) <= 1_000
