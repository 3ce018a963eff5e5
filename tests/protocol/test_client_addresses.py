from __future__ import annotations

import pytest

from handicapper.protocol import AsyncClient, Client
from handicapper.protocol.addresses import TcpAddress, UnixAddress, parse_address, parse_tcp
from handicapper.protocol.errors import InvalidValueError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/h/socket", UnixAddress("/run/h/socket")),
        ("unix:relative", UnixAddress("relative")),
        ("unix:/with:colon", UnixAddress("/with:colon")),
        ("tcp:127.0.0.1:4242", TcpAddress("127.0.0.1", 4242)),
        ("tcp:localhost:1", TcpAddress("localhost", 1)),
        ("tcp:[::1]:65535", TcpAddress("::1", 65535)),
        ("tcp:[fe80::1%eth0]:9", TcpAddress("fe80::1%eth0", 9)),
    ],
)
def test_an_address_is_what_it_says_and_is_written_the_same_way(
    text: str, address: UnixAddress | TcpAddress
) -> None:
    assert parse_address(text) == address
    assert str(address) == text
    assert parse_address(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unix:",
        "unix:a\0b",
        "/run/h/socket",
        "http://x:1",
        "tcp:",
        "tcp:host",
        "tcp:host:",
        "tcp::1",
        "tcp:host:0",
        "tcp:host:65536",
        "tcp:host:-1",
        "tcp:host:1x",
        "tcp:::1:80",
        "tcp:[::1]",
        "tcp:[]:80",
        "tcp:a b:80",
        "tcp:host:١",
        7,
        None,
    ],
)
def test_what_is_no_address_is_refused_by_name(text: object) -> None:
    with pytest.raises(InvalidValueError) as refused:
        parse_address(text)  # pyright: ignore[reportArgumentType]
    assert refused.value.field == "address"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_refuses_a_bad_address_before_it_connects(kind: type) -> None:
    with pytest.raises(InvalidValueError, match="address"):
        kind("nowhere")


def test_a_socket_path_beyond_what_the_kernel_takes_is_refused_with_its_length() -> None:
    assert UnixAddress("/" + "a" * 106).path
    with pytest.raises(InvalidValueError, match="at most 107 bytes, not 108"):
        UnixAddress("/" + "a" * 107)
    with pytest.raises(InvalidValueError, match="not 110"):
        UnixAddress("/" + "é" * 54 + "a")


def test_a_port_may_be_left_to_the_kernel_only_where_that_is_asked_for() -> None:
    assert parse_tcp("0.0.0.0:0", port_min=0) == TcpAddress("0.0.0.0", 0)
    with pytest.raises(InvalidValueError, match="from 1 to 65535"):
        parse_tcp("0.0.0.0:0")


@pytest.mark.parametrize(
    "options",
    [
        {"timeout_seconds": 0},
        {"timeout_seconds": -1.0},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": "1"},
        {"connect_timeout_seconds": True},
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_timeout_that_is_none_is_refused_by_name(kind: type, options: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError, match="a number of seconds above 0"):
        kind("unix:/nowhere", **options)
