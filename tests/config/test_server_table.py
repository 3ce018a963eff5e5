"""``[online_learning.server]``: the bounds of the wire as settings, and addresses as text."""

from __future__ import annotations

import pytest
from msgspec.structs import asdict

from handicapper.config import Server, Settings, check_settings, describe_settings, parse_settings
from handicapper.protocol.errors import SettingsError
from handicapper.protocol.limits import WireLimits


def test_defaults_are_those_of_the_wire() -> None:
    assert Server().wire_limits() == WireLimits()


def test_every_bound_of_the_wire_is_a_setting_that_reaches_it() -> None:
    for name, default in asdict(WireLimits()).items():
        changed = parse_settings(f"[online_learning.server]\n{name} = {default + 1}").server

        assert changed.wire_limits() == WireLimits(**{name: default + 1})


def test_a_bound_keeps_its_type_so_that_hello_tells_it_the_same_way() -> None:
    limits = parse_settings("[online_learning.server]\nread_timeout_secs = 7").server.wire_limits()

    assert isinstance(limits.read_timeout_secs, float)
    assert isinstance(limits.draws_max, int)


def test_there_are_no_addresses_unless_they_are_set() -> None:
    server = parse_settings("[online_learning.server]").server

    assert (server.unix_path, server.tcp, server.token_file) == (None, None, None)


@pytest.mark.parametrize(
    "tcp", ["127.0.0.1:0", "localhost:65535", "[::1]:4242", "[fe80::1%eth0]:1", "a-b.c:007"]
)
def test_a_tcp_address_of_host_and_port_is_taken(tcp: str) -> None:
    assert check_settings(Settings(server=Server(tcp=tcp))).server.tcp == tcp


@pytest.mark.parametrize(
    "tcp", ["", ":1", "localhost", "localhost:", "localhost:65536", "::1:4242", "a b:1", "a:1\n"]
)
def test_a_tcp_address_that_is_none_is_refused_with_an_example(tcp: str) -> None:
    with pytest.raises(
        SettingsError, match=r'server\.tcp was .* expected HOST:PORT, such as "127\.0\.0\.1:4242"'
    ):
        check_settings(Settings(server=Server(tcp=tcp)))


@pytest.mark.parametrize("path", ["", "a\nb", 'a"b', "a\\b", "\0"])
@pytest.mark.parametrize("key", ["unix_path", "token_file"])
def test_a_path_that_toml_would_have_to_escape_is_refused(key: str, path: str) -> None:
    with pytest.raises(SettingsError, match=rf"server\.{key} was .* expected a path without quotes"):
        check_settings(Settings(server=Server(**{key: path})))


def test_every_bound_says_what_happens_beyond_or_what_it_counts() -> None:
    documented = {row.key.rpartition(".")[2] for row in describe_settings() if ".server." in row.key}

    assert documented == {"unix_path", "tcp", "token_file", *WireLimits.__struct_fields__}
