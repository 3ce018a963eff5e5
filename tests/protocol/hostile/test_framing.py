"""Bytes that are slow, cut off, endless, or no MessagePack at all."""

from __future__ import annotations

import pytest

from ..daemon import Daemon
from ..inputs import prediction
from ..wire import Wire, codes, nested, request, results
from .conftest import MIB, Watch

ATTACK_BYTES = 16 * MIB
BAD_MESSAGES_MAX = 100
REPEATED = 30
"""How often a short attack is made, so that the one who might be held up by it is there meanwhile."""
MESSAGE_BYTES_MAX = MIB


# ------------------------------------------------------------------ slow, cut off


def test_requests_that_come_byte_by_byte_are_answered(daemon: Daemon, watch: Watch, transport: str) -> None:
    calls = [request(n, "ping") for n in range(50)] + [request(50, "record_prediction", prediction())]
    with watch(f"drip over {transport}"), daemon.connect(transport) as wire:
        for _ in range(10):
            for byte in b"".join(calls):
                wire.send(bytes([byte]))
            answers = [wire.response() for _ in calls]
            assert {answer[1] for answer in answers} == set(range(51))
            assert codes(answers) == []


def test_requests_dripping_over_many_connections_at_once_are_answered(daemon: Daemon, watch: Watch) -> None:
    data = request(1, "record_prediction", prediction())
    with watch("drip over 100 connections"):
        wires = [daemon.connect() for _ in range(100)]
        for byte in data:
            for wire in wires:
                wire.send(bytes([byte]))
        for wire in wires:
            assert wire.response()[2] is None
            wire.close()


def test_half_a_message_times_out_with_an_error_that_can_be_read(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    whole = request(2, "record_prediction", prediction())
    with watch(f"half messages over {transport}"):
        wires = [daemon.connect(transport) for _ in range(20)]
        for number, wire in enumerate(wires):
            wire.send(request(1, "ping") + whole[: 1 + number * (len(whole) - 2) // 19])
        for wire in wires:
            messages = wire.rest()
            wire.close()
            assert results(messages) == {1: "pong"}
            assert codes(messages) == ["TIMED_OUT"]


def test_a_message_of_which_a_byte_comes_now_and_then_times_out_too(daemon: Daemon, watch: Watch) -> None:
    with watch("slowloris"), daemon.connect() as wire:
        wire.send(b"\xdb\x00\x00\x10\x00")  # a string of 4096 bytes
        wire.socket.settimeout(0.1)
        while not wire.ended:
            try:
                wire.send(b"x")
                wire.receive()
            except TimeoutError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                break
        wire.socket.settimeout(10.0)
        messages = wire.decoded() + ([] if wire.ended else wire.rest())
    assert codes(messages) == ["TIMED_OUT"]


def test_everything_asked_is_answered_after_the_client_closed_its_half(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    calls = [request(n, "record_prediction", prediction(n % 50)) for n in range(5_000)]
    calls += [request(5_000 + n, "report", {"model_id": "attack"}) for n in range(100)]
    with watch(f"half-closed over {transport}"):
        for _ in range(5):
            with daemon.connect(transport) as wire:
                wire.send(b"".join(calls))
                wire.finish()
                assert results(wire.rest()).keys() == set(range(5_100))


def test_a_client_that_closes_its_half_within_a_message_gets_the_answers_to_the_whole_ones(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    with watch(f"half-closed, half a message over {transport}"):
        for _ in range(REPEATED):
            with daemon.connect(transport) as wire:
                wire.send(b"".join(request(n, "ping") for n in range(100)) + request(100, "ping")[:-2])
                wire.finish()
                assert results(wire.rest()) == dict.fromkeys(range(100), "pong")


# --------------------------------------------------------------- not MessagePack


def test_0xc1_ends_the_connection_with_an_error_after_the_answers(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    with watch(f"0xc1 over {transport}"):
        for bad in [b"\xc1", b"\x94\x00\x01\xc1", b"\x81\xa1x\xc1"] * REPEATED:
            with daemon.connect(transport) as wire:
                wire.send(request(1, "ping") + bad + request(2, "ping") * 1000)
                messages = wire.rest()
            assert results(messages) == {1: "pong"}
            assert codes(messages) == ["UNFRAMEABLE"]


@pytest.mark.parametrize("depth", [1_100, 2_000, 100_000])
def test_nesting_that_no_stack_takes_ends_the_connection_with_an_error(
    daemon: Daemon, watch: Watch, depth: int
) -> None:
    deep = {"client": "x", "unknown": nested(depth)}
    with watch(f"nested {depth:,} deep"):
        for _ in range(REPEATED):
            with daemon.connect() as wire:
                messages = wire.exchange(request(1, "ping") + request(2, "hello", deep))
            assert results(messages) == {1: "pong"}
            assert codes(messages) == ["UNFRAMEABLE"]


@pytest.mark.parametrize("where", ["unknown field", "known field", "params", "whole message"])
def test_nesting_beyond_the_limit_costs_one_error_and_not_the_connection(
    daemon: Daemon, watch: Watch, where: str
) -> None:
    with watch(f"nested in {where}"), daemon.connect() as wire:
        for depth in [33, 40, 500] * REPEATED:
            deep = nested(depth)
            forms = {
                "unknown field": request(7, "hello", {"client": "x", "unknown": deep}),
                "known field": request(7, "record_prediction", prediction(metadata={"x": deep})),
                "params": request(7, "ping", deep),
                "whole message": deep.data,
            }
            wire.send(forms[where] + request(8, "ping"))
            first, second = wire.response(), wire.response()
            refused, answered = (first, second) if first[2] is not None else (second, first)
            assert answered == [1, 8, None, "pong"]
            assert codes([refused]) == [{"whole message": "BAD_MESSAGE"}.get(where, "TOO_DEEP")]
            assert refused[1] == (None if where == "whole message" else 7)


def test_nesting_within_the_limit_in_an_unknown_field_is_ignored(daemon: Daemon) -> None:
    with daemon.connect() as wire:
        assert wire.call("ping", {"unknown": nested(30)}) == "pong", "30, the params and the message are 32"
        assert wire.refusal("ping", {"unknown": nested(31)}).code == "TOO_DEEP"


def test_two_requests_in_three_pieces_need_no_particular_cuts(daemon: Daemon) -> None:
    data = request(1, "ping") + request(2, "ping")
    with daemon.connect() as wire:
        for first in range(1, len(data) - 1):
            for second in range(first + 1, len(data), 3):
                for piece in (data[:first], data[first:second], data[second:]):
                    wire.send(piece)
                assert sorted([wire.response()[1], wire.response()[1]]) == [1, 2]


def test_a_wire_of_this_suite_reads_what_was_written_before_a_reset(daemon: Daemon) -> None:
    """The suite's own assumption: what the server said stays readable although it closed on unread data."""
    with Wire(daemon.tcp) as wire:
        messages = wire.exchange(b"\xc1" + bytes(ATTACK_BYTES))
    assert codes(messages) == ["UNFRAMEABLE"]
