"""What ``handicapper serve`` refuses before it runs, and the addresses it comes to."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from handicapper.bin.cli import main
from handicapper.bin.daemon.endpoints import Endpoints, is_loopback, resolve
from handicapper.bin.daemon.listening import AddressInUseError, AddressUnusableError, listen_unix
from handicapper.bin.daemon.token_file import read_token
from handicapper.bin.exit_codes import exit_code_of
from handicapper.config import Server
from handicapper.protocol.addresses import TcpAddress
from handicapper.protocol.errors import SettingsError
from handicapper.protocol.serving.outgoing import TURN_UNITS


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--state", ""],
        ["--state", "s", "--tcp", "4242"],
        ["--state", "s", "--tcp", "localhost:65536"],
        ["--state", "s", "--host", "127.0.0.1"],
        ["--state", "s", "--port", "-1"],
        ["--state", "s", "--port", "1", "--tcp", "127.0.0.1:1"],
        ["--state", "s", "--unix", ""],
        ["--state", "s", "--ready-fd", "2"],
        ["--state", "s", "--log-level", "loud"],
        ["--state", "s", "--log-format", "xml"],
        ["--state", "s", "argument"],
    ],
    ids=" ".join,
)
def test_wrong_options_exit_64(
    options: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HANDICAPPER_STATE", raising=False)
    assert main(["serve", *options]) == 64
    said = capsys.readouterr()
    assert said.out == ""
    assert "Usage: handicapper serve" in said.err


def chosen(
    options: Endpoints | None = None, server: Server | None = None, *, activated: bool = False
) -> Endpoints:
    return Endpoints.choose(options or Endpoints(), server or Server(), "/state", activated=activated)


def test_an_address_comes_from_the_options_then_the_settings_then_the_state_directory() -> None:
    settings = Server(unix_path="/settings", tcp="[::1]:1", token_file="/token")
    options = Endpoints(unix="/option", tcp=TcpAddress("127.0.0.1", 2), token_file="/other")
    assert chosen(options, settings) == options
    assert chosen(None, settings) == Endpoints(
        unix="/settings", tcp=TcpAddress("::1", 1), token_file="/token"
    )
    assert chosen() == Endpoints(unix="/state/handicapper.sock")
    assert chosen(Endpoints(tcp=options.tcp)) == Endpoints(tcp=options.tcp)
    assert chosen(activated=True) == Endpoints()
    assert chosen(Endpoints(unix="relative")).unix == os.path.abspath("relative")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_loopback_address_needs_no_token(host: str) -> None:
    assert Endpoints(tcp=TcpAddress(host, 0)).problems() == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "::ffff:127.0.0.1"])
def test_any_other_address_does(host: str) -> None:
    (problem,) = Endpoints(tcp=TcpAddress(host, 0)).problems()
    assert "can be reached from other machines; expected a token file as well" in problem


def test_an_unknown_host_is_a_problem_with_its_name() -> None:
    with pytest.raises(SettingsError, match=r"the host of tcp:nowhere\.invalid:1 is unknown"):
        resolve(TcpAddress("nowhere.invalid", 1))


def test_a_name_stands_for_its_first_address() -> None:
    _, sockaddr = resolve(TcpAddress("localhost", 0))
    assert is_loopback(sockaddr[0])


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    endpoints = Endpoints(
        unix="/x" * 60, tcp=TcpAddress("nowhere.invalid", 1), token_file=str(tmp_path / "none")
    )
    assert [problem.split()[0] for problem in endpoints.problems()] == ["unix", "token", "the"]


def test_a_path_that_cannot_be_shown_is_refused() -> None:
    (problem,) = Endpoints(unix="/run/a\nb").problems()
    assert "cannot be printed" in problem


# ------------------------------------------------------------------------ the token


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.touch(0o600)
    return file


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_token_is_read_without_white_space(token: Path, mode: int) -> None:
    token.write_bytes(" tökén\r\n".encode())
    token.chmod(mode)
    assert read_token(str(token)) == "tökén".encode()


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o777])
def test_a_token_that_others_can_get_at_is_refused(token: Path, mode: int) -> None:
    token.write_text("secret")
    token.chmod(mode)
    with pytest.raises(SettingsError, match=f"has mode {mode:04o}, open to others: chmod 600 it"):
        read_token(str(token))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"a\nb", "has several lines"),
        (b"a\x00b", "has several lines, or control characters"),
        (b"\xff", "is not UTF-8"),
        (b"x" * 4097, "has more than 4096 bytes"),
    ],
)
def test_a_token_that_is_none_is_refused(token: Path, content: bytes, expected: str) -> None:
    token.write_bytes(content)
    with pytest.raises(SettingsError, match=expected):
        read_token(str(token))


def test_a_token_file_that_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_token(str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="is no regular file"):
        read_token(str(tmp_path))
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SettingsError, match="is no regular file"):
        read_token(str(tmp_path / "pipe"))


def test_a_token_of_somebody_else_is_refused(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token.write_text("secret")
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(SettingsError, match=f"belongs to user {uid}, the daemon is user {uid + 1}"):
        read_token(str(token))


# -------------------------------------------------------------------- the unix socket


def test_a_socket_is_never_more_open_than_0600_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        listener = listen_unix(str(tmp_path / "s"))
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").lstat().st_mode) == 0o600
    listener.close()
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("kind", ["file", "directory", "link", "pipe"])
def test_whatever_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    make = {
        "file": lambda: path.write_text("keep"),
        "directory": path.mkdir,
        "link": lambda: path.symlink_to(tmp_path / "elsewhere"),
        "pipe": lambda: os.mkfifo(path),
    }
    make[kind]()
    before = path.lstat()
    with pytest.raises(AddressUnusableError, match="by that name, which is left alone") as refused:
        listen_unix(str(path))
    assert exit_code_of(refused.value) == 73
    assert path.lstat() == before


def test_a_socket_whose_queue_is_full_is_in_use(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    waiting: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(path)
        busy.listen(0)
        try:
            while True:
                client = socket.socket(socket.AF_UNIX)
                waiting.append(client)
                client.setblocking(False)
                client.connect(path)
        except BlockingIOError:
            pass
        try:
            with pytest.raises(AddressInUseError) as refused:
                listen_unix(path)
        finally:
            for client in waiting:
                client.close()
    assert exit_code_of(refused.value) == 75
    # Its process is gone now: then it is replaced.
    listen_unix(path).close()


def test_a_socket_in_a_directory_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        AddressUnusableError, match="No such file or directory; expected a path in an existing"
    ):
        listen_unix(str(tmp_path / "none" / "s"))


def test_a_socket_that_took_our_place_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = listen_unix(str(path))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as second:
        second.bind(str(path))
        first.close()
        assert path.exists()


def limits_file(tmp_path: Path, inputs_max: int) -> str:
    path = tmp_path / "settings.toml"
    path.write_text(f"[online_learning.limits]\nin_flight_inputs_max = {inputs_max}\n")
    return str(path)


def test_a_bound_that_a_full_turn_never_fits_into_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A turn hands on up to 256 inputs of a connection together; in a process of one's own a smaller bound is fine."""
    path = limits_file(tmp_path, TURN_UNITS - 1)
    assert main(["serve", "--check-config", "--config", path]) == 78
    said = capsys.readouterr().err
    assert "online_learning.limits.in_flight_inputs_max was 255; expected 256 or more for a daemon" in said
    assert main(["config", "check", path]) == 0
    assert main(["serve", "--check-config", "--config", limits_file(tmp_path, TURN_UNITS)]) == 0


def test_a_daemon_does_not_begin_with_such_a_bound(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "handicapper.bin", "serve", "--state", str(tmp_path / "state")]
    done = subprocess.run(
        [*command, "--config", limits_file(tmp_path, 1)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert done.stdout == ""
    assert "in_flight_inputs_max was 1; expected 256 or more" in done.stderr
    assert not (tmp_path / "state").exists()
