"""Messages that say they are endless, that are, and that are exactly as long as allowed."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ..daemon import Daemon
from ..inputs import prediction
from ..wire import Raw, codes, eventually, request, results
from .conftest import MIB, Watch

ATTACK_BYTES = 16 * MIB
MESSAGE_BYTES_MAX = MIB
BAD_MESSAGES_MAX = 100
REPEATED = 30

# ------------------------------------------------------------- sizes that lie

HEADERS = {
    "array32": b"\xdd\xff\xff\xff\xff",
    "map32": b"\xdf\xff\xff\xff\xff",
    "str32": b"\xdb\xff\xff\xff\xff",
    "bin32": b"\xc6\xff\xff\xff\xff",
    "ext32": b"\xc9\xff\xff\xff\xff\x05",
}
PLACES: dict[str, Callable[[bytes], bytes]] = {
    "message": lambda header: header,
    "method": lambda header: b"\x94\x00\x07" + header,
    "params": lambda header: b"\x94\x00\x07\xa4ping" + header,
    "id": lambda header: b"\x94\x00\x07\xa6report\x81\xa8model_id" + header,
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_of_2_to_the_32_elements_reserves_nothing(daemon: Daemon, watch: Watch, header: str) -> None:
    with watch(f"{header} of 2^32-1"):
        for place in [*PLACES.values()] * 5:
            with daemon.connect() as wire:
                data = request(1, "ping") + place(HEADERS[header]) + b"\xc0" * (2 * MIB)
                messages = wire.exchange(data)
            assert results(messages) == {1: "pong"}
            if header == "ext32":
                # msgpack adds the type's byte to the length in 32 bits: it sees an empty ext, and rubbish after it.
                assert set(codes(messages)) <= {"BAD_MESSAGE", "INVALID_VALUE", "TOO_LARGE"}
            else:
                assert codes(messages) == ["TOO_LARGE"]


def test_headers_of_2_to_the_32_elements_within_each_other_reserve_nothing(
    daemon: Daemon, watch: Watch
) -> None:
    with watch("array32 of 2^32-1, 2,000 times"):
        for _ in range(REPEATED):
            with daemon.connect() as wire:
                assert codes(wire.exchange(HEADERS["array32"] * 2_000)) == ["UNFRAMEABLE"]


# ------------------------------------------------------------------ 16 MB of it

FILLINGS = {
    "0x90": b"\x90" * ATTACK_BYTES,
    "zeros": bytes(ATTACK_BYTES),
    "0xff": b"\xff" * ATTACK_BYTES,
    "0x91": b"\x91" * ATTACK_BYTES,
    "random": random.Random(1).randbytes(ATTACK_BYTES),
    "one string": b"\xdb" + ATTACK_BYTES.to_bytes(4, "big") + b"x" * ATTACK_BYTES,
    "one array": b"\xdd" + ATTACK_BYTES.to_bytes(4, "big") + b"\x90" * ATTACK_BYTES,
    "one request": request(7, "record_prediction", prediction(metadata={"x": "x" * ATTACK_BYTES})),
}


@pytest.mark.parametrize("filling", FILLINGS)
def test_16_mb_of_rubbish_get_an_error_and_the_door(
    daemon: Daemon, watch: Watch, transport: str, filling: str
) -> None:
    with watch(f"3 × 16 MB, {filling}, over {transport}"):
        for _ in range(3):
            with daemon.connect(transport) as wire:
                messages = wire.exchange(FILLINGS[filling])
            assert messages, "the reason could not be read"
            assert set(codes(messages)) <= {"BAD_MESSAGE", "UNFRAMEABLE", "TOO_LARGE", "TOO_DEEP"}
            assert len(messages) <= BAD_MESSAGES_MAX + 2, "more answers than bad messages are borne"
            msgids = {message[1] for message in messages}
            assert msgids == ({7} if filling == "one request" else {None})


def test_http_and_tls_and_json_get_an_error_and_the_door(daemon: Daemon, watch: Watch) -> None:
    strangers = {
        "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 200 + b"\r\n\r\n",
        "TLS": bytes.fromhex("1603010200010001fc0303") + random.Random(2).randbytes(505),
        "JSON": b'{"jsonrpc": "2.0", "method": "ping", "id": 1}\n' * 5,
    }
    with watch("other protocols"):
        for stranger in strangers.values():
            with daemon.connect("tcp") as wire:
                wire.send(stranger)
                messages = wire.rest()
                assert set(codes(messages)) <= {"BAD_MESSAGE", "UNFRAMEABLE", "TIMED_OUT"}
                assert messages


# ------------------------------------------------------------ exactly the limit


def padded(size: int) -> bytes:
    """A valid request of exactly ``size`` bytes."""
    least = len(request(7, "ping", {"unknown": Raw(b"\xdb\x00\x00\x00\x00")}))
    length = size - least
    return request(7, "ping", {"unknown": Raw(b"\xdb" + length.to_bytes(4, "big") + b"x" * length)})


@pytest.mark.parametrize("chunk", [1 << 20, 4093])
def test_a_message_of_exactly_the_limit_is_served(
    daemon: Daemon, watch: Watch, transport: str, chunk: int
) -> None:
    data = padded(MESSAGE_BYTES_MAX)
    assert len(data) == MESSAGE_BYTES_MAX
    with watch(f"1 MiB exactly over {transport}"), daemon.connect(transport) as wire:
        for start in range(0, len(data), chunk):
            wire.send(data[start : start + chunk])
        assert wire.response() == [1, 7, None, "pong"]
        assert wire.exchange(data * 20, 20) == [[1, 7, None, "pong"]] * 20


def test_a_message_of_one_byte_more_than_the_limit_gets_an_error_with_its_msgid(
    daemon: Daemon, watch: Watch, transport: str
) -> None:
    with watch(f"1 MiB and a byte over {transport}"), daemon.connect(transport) as wire:
        messages = wire.exchange(request(1, "ping") + padded(MESSAGE_BYTES_MAX + 1))
    assert results(messages) == {1: "pong"}
    assert codes(messages) == ["TOO_LARGE"]
    assert [message[1] for message in messages] == [1, 7]


def test_messages_begun_hold_no_more_than_their_bytes_and_only_while_the_client_is_there(
    daemon: Daemon, watch: Watch
) -> None:
    """1 MiB of each of 50 connections is what the limits allow: with the framer's copy and what both grew in, four
    times that may be resident. Once they are gone it is free for the next 50, ten times over."""
    with watch("10 × 50 messages of 1 MiB begun", growth_bytes_max=4 * 50 * MIB):
        for _ in range(10):
            wires = [daemon.connect() for _ in range(50)]
            for wire in wires:
                wire.send_until_blocked(padded(MESSAGE_BYTES_MAX)[:-1])
            for wire in wires:
                wire.close()
            eventually(lambda: daemon.statistics()["server"]["connections"] <= 2, "the connections gone")
