"""How a daemon begins: what it says, where it listens, and what it refuses by name."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from handicapper.actors import Learner
from handicapper.protocol.errors import StateLockedError

from .lifecycle import SERVE, Daemon, Daemons, Peer, handles_signals, outcome, until


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path) as running:
        yield running


def test_one_json_line_says_everything_a_parent_needs_and_nothing_else_is_printed(daemons: Daemons) -> None:
    daemon = daemons.start("--unix", daemons.directory / "s", "--host", "127.0.0.1", "--port", 0)
    ready = daemon.ready
    assert ready == {
        "ready": True,
        "unix": str(daemons.directory / "s"),
        "tcp": ["127.0.0.1", ready["tcp"][1]],
        "protocol": [1, 0],
        "journal_seq": ready["journal_seq"],
        "pid": daemon.pid,
        "state_dir": str(daemons.state),
    }
    with daemon.connect("unix") as by_unix, daemon.connect("tcp") as by_tcp:
        assert by_unix.call("ping") == by_tcp.call("ping") == "pong"
        assert by_tcp.call("hello")["pid"] == daemon.pid
    assert daemon.stop() == 0
    assert daemon.read_line() == b""


def test_without_an_address_it_listens_privately_in_the_state_directory(daemons: Daemons) -> None:
    daemon = daemons.start()
    assert daemon.ready["tcp"] is None
    path = daemons.state / "handicapper.sock"
    assert daemon.ready["unix"] == str(path)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    with daemon.connect() as peer:
        seq = peer.call("record_outcome", outcome(1))["seq"]
    assert daemon.stop() == 0
    assert not path.exists()

    again = daemons.start("--tcp", "127.0.0.1:0")
    assert again.ready["unix"] is None
    assert again.ready["journal_seq"] == seq


def test_the_line_also_goes_to_ready_fd_which_is_closed_after_it(daemons: Daemons) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe:
        # Standard output is dead: no error either.
        dead, stdout = os.pipe()
        os.close(dead)
        daemon = daemons.begin("--ready-fd", writing, pass_fds=[writing], stdout=stdout)
        os.close(writing)
        os.close(stdout)
        said = json.loads(pipe.read())  # to its end
    assert said["ready"] is True
    assert said["pid"] == daemon.pid
    daemon.ready = said
    with daemon.connect() as peer:
        assert peer.call("ping") == "pong"
    assert daemon.stop() == 0


def test_a_ready_fd_that_is_not_open_is_refused(daemons: Daemons) -> None:
    status, said = daemons.refused("--ready-fd", 77)
    assert status == 78
    assert "--ready-fd was 77, which cannot be written to" in said


def test_standard_descriptors_may_all_be_closed(daemons: Daemons) -> None:
    """What is opened next must not get their numbers, and log lines end up in a database."""
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *SERVE]
    daemon = daemons.begin("--tcp", "127.0.0.1:0", "--unix", daemons.directory / "s", command=shell)
    until((daemons.directory / "s").exists, "listening")
    daemon.ready = {"unix": str(daemons.directory / "s")}
    with daemon.connect() as peer:
        assert peer.call("record_outcome", outcome(1))["seq"]
    files = [os.readlink(f"/proc/{daemon.pid}/fd/{fd}") for fd in (0, 1, 2)]
    assert files == ["/dev/null"] * 3
    assert daemon.stop() == 0
    with Learner(daemons.state) as learner:
        assert learner.verify().ok


# ------------------------------------------------------------------ the directory


def test_a_second_instance_is_refused_and_told_who_holds_the_directory_and_how_to_reach_it(
    daemons: Daemons,
) -> None:
    first = daemons.start("--tcp", "127.0.0.1:0", "--unix", daemons.directory / "s")
    tcp = f"tcp:127.0.0.1:{first.ready['tcp'][1]}"
    unix = f"unix:{daemons.directory}/s"
    expected = (
        f"is held by handicapper daemon pid {first.pid} on {unix} and {tcp}; use --connect {unix}, stop it"
    )

    status, log = daemons.refused("--unix", daemons.directory / "s")
    assert status == 75
    assert expected in json.loads(log.splitlines()[-1])["error"]
    with pytest.raises(StateLockedError) as refused:
        Learner(daemons.state)
    assert expected in str(refused.value)
    with first.connect() as peer:
        assert peer.call("ping") == "pong"
    assert first.stop() == 0
    Learner(daemons.state).close()


def test_the_socket_of_a_daemon_killed_with_sigkill_is_replaced(daemons: Daemons) -> None:
    first = daemons.start()
    with first.connect() as peer:
        peer.call("record_outcome", outcome(1))
    first.kill()
    assert stat.S_ISSOCK((daemons.state / "handicapper.sock").lstat().st_mode)

    second = daemons.start()
    with second.connect() as peer:
        assert peer.call("record_outcome", outcome(1))["duplicate"] is True
    assert second.stop() == 0


def test_a_file_that_is_no_socket_is_left_alone(daemons: Daemons) -> None:
    precious = daemons.directory / "precious"
    precious.write_text("keep")
    status, log = daemons.refused("--unix", precious)
    assert status == 73
    assert f"ADDRESS_UNUSABLE cannot listen on unix socket {precious}: there is a file by that name" in log
    assert precious.read_text() == "keep"
    # The directory was let go of, with nothing damaged.
    Learner(daemons.state).close()


def test_a_socket_somebody_answers_on_is_left_alone(daemons: Daemons) -> None:
    path = daemons.directory / "s"
    daemons.start("--unix", path)
    status, log = daemons.refused("--unix", path, "--state", daemons.directory / "other")
    assert status == 75
    assert f"ADDRESS_IN_USE unix socket {path} is in use" in log
    with Peer(str(path)) as peer:
        assert peer.call("ping") == "pong"


def test_a_tcp_port_in_use_exits_75_and_names_it(daemons: Daemons) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, log = daemons.refused("--port", port)
    assert status == 75
    assert f"ADDRESS_IN_USE tcp:127.0.0.1:{port} is in use by another process" in log


def test_a_state_directory_that_cannot_be_made_exits_73(daemons: Daemons) -> None:
    daemons.state.write_text("a file")
    status, log = daemons.refused()
    assert status == 73
    assert "STATE_ERROR" in log


# ------------------------------------------------------------------- what is wrong


def test_wrong_settings_exit_78_with_every_problem_and_the_directory_is_not_touched(daemons: Daemons) -> None:
    config = daemons.directory / "bad.toml"
    config.write_text('[online_learning]\nema_alpha = 2\n[online_learning.server]\ntcp = "nowhere"\n')
    status, log = daemons.refused("--config", config)
    assert status == 78
    record = json.loads(log.splitlines()[-1])
    assert (record["level"], record["code"], record["exit_code"]) == ("critical", "SETTINGS_INVALID", 78)
    assert [problem.split()[0] for problem in record["problems"]] == [
        "online_learning.ema_alpha",
        "online_learning.server.tcp",
    ]
    assert not daemons.state.exists()


def test_addresses_of_the_settings_hold_until_an_option_says_otherwise(daemons: Daemons) -> None:
    config = daemons.directory / "settings.toml"
    path = daemons.directory / "from-settings"
    config.write_text(
        f'[online_learning.server]\nunix_path = "{path}"\ntcp = "127.0.0.1:0"\nconnections_max = 3\n'
    )
    daemon = daemons.start("--config", config, "--unix", daemons.directory / "from-option")
    assert daemon.ready["unix"] == str(daemons.directory / "from-option")
    assert daemon.ready["tcp"] is not None
    with daemon.connect() as peer:
        assert peer.call("hello")["limits"]["connections_max"] == 3


def test_a_token_file_that_is_not_private_exits_78_and_the_directory_is_not_touched(
    daemons: Daemons,
) -> None:
    token = daemons.directory / "token"
    token.write_text("secret")
    token.chmod(0o640)
    status, log = daemons.refused("--tcp", "0.0.0.0:0", "--token-file", token)
    assert status == 78
    assert f"token file {token} has mode 0640, open to others" in log
    assert not daemons.state.exists()


def test_tcp_beyond_loopback_without_a_token_exits_78(daemons: Daemons) -> None:
    status, log = daemons.refused("--tcp", "[::]:0")
    assert status == 78
    assert "tcp:[::]:0 can be reached from other machines; expected a token file as well" in log


def test_tcp_beyond_loopback_with_a_token_is_served_to_who_brings_it(daemons: Daemons) -> None:
    token = daemons.directory / "token"
    token.touch(0o600)
    token.write_text("  tôken \n")
    daemon = daemons.start("--tcp", "0.0.0.0:0", "--token-file", token, "--unix", daemons.directory / "s")
    address = ("127.0.0.1", daemon.ready["tcp"][1])
    with Peer(address) as without, Peer(address) as wrong, Peer(address) as right, daemon.connect() as local:
        assert without.refusal("ping").startswith("UNAUTHENTICATED")
        assert wrong.refusal("hello", {"token": "tôkeN"}).startswith("UNAUTHENTICATED")
        assert right.call("hello", {"token": "tôken"})["protocol"] == [1, 0]
        assert right.call("ping") == local.call("ping") == "pong"
    assert "tôken" not in daemon.log()


@pytest.mark.parametrize("bytes_long", [107, 108])
def test_a_unix_path_may_be_as_long_as_the_system_takes_and_no_longer(
    daemons: Daemons, bytes_long: int
) -> None:
    path = str(daemons.directory / "s") + "ö" * 3
    path += "x" * (bytes_long - len(os.fsencode(path)))
    if bytes_long == 107:
        with Peer(daemons.start("--unix", path).ready["unix"]) as peer:
            assert peer.call("ping") == "pong"
        return
    status, log = daemons.refused("--unix", path)
    assert status == 78
    assert "has 108 bytes; expected 107 at most" in log
    assert "give a shorter one with --unix" in log
    assert not daemons.state.exists()


def test_check_config_names_every_problem_and_touches_no_directory(daemons: Daemons) -> None:
    config, token = daemons.directory / "bad.toml", daemons.directory / "token"
    config.write_text("[online_learning]\nema_alpha = 2\nnonsense = 1\n")
    token.write_text("secret")
    options = ("--tcp", "0.0.0.0:0", "--token-file", token, "--unix", "x" * 200)
    status, said = daemons.refused("--check-config", "--config", config, *options)
    assert status == 78
    assert said.count("\n") == 4
    for expected in ("ema_alpha was 2", "nonsense is not a setting", "token file", "expected 107 at most"):
        assert expected in said
    config.write_text("[online_learning]\nema_alpha = 0.5\n")
    assert daemons.refused("--check-config", "--config", config) == (0, "")
    assert not daemons.state.exists()


# --------------------------------------------------------- leaving before it began


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_ends_it_cleanly(daemons: Daemons, number: int) -> None:
    daemon = daemons.begin()
    until(lambda: handles_signals(daemon), "signals are handled")
    daemon.signal(number)
    assert daemon.wait() == 0
    assert not (daemons.state / "handicapper.sock").exists()
    Learner(daemons.state).close()


def stuck_while_opening(daemons: Daemons, *options: str, **popen: int) -> Daemon:
    """A daemon that waits for a file in its state directory, as it would for a large journal."""
    daemons.state.mkdir()
    os.mkfifo(daemons.state / "handicapper.json")
    daemon = daemons.begin(*options, **popen)
    until((daemons.state / "LOCK").exists, "opening")
    return daemon


def test_a_signal_ends_it_although_opening_takes_long(daemons: Daemons) -> None:
    daemon = stuck_while_opening(daemons)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_a_second_signal_ends_it_at_once_while_opening(daemons: Daemons) -> None:
    daemon = stuck_while_opening(daemons)
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGINT)
    assert daemon.wait() in (128 + signal.SIGINT, 128 + signal.SIGTERM)


def test_the_end_of_the_parent_ends_it_although_opening_takes_long(daemons: Daemons) -> None:
    daemon = stuck_while_opening(daemons, "--parent-watch", stdin=subprocess.PIPE)
    assert daemon.process.stdin is not None
    daemon.process.stdin.close()
    assert daemon.wait() == 0
