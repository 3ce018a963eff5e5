"""A service manager on the other side: what it is told, what it hands over, and a learner that fails under it."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from handicapper.actors import Learner

from .lifecycle import DEADLINE_SECONDS, SERVE, Daemon, Daemons, Peer, outcome, patched, until


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    with Daemons(tmp_path) as running:
        yield running


class Manager:
    """The socket that ``NOTIFY_SOCKET`` names."""

    def __init__(self, address: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.settimeout(DEADLINE_SECONDS)
        self._sock.bind("\0" + address[1:] if address.startswith("@") else address)
        self.environment = {**os.environ, "NOTIFY_SOCKET": address}

    def next(self) -> dict[str, str]:
        """The fields of the next message."""
        lines = self._sock.recv(65536).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def until(self, name: str) -> dict[str, str]:
        """The next message with such a field; those before it are no matter."""
        while name not in (fields := self.next()):
            pass
        return fields

    def rest(self) -> list[dict[str, str]]:
        """Everything that is there by now."""
        found: list[dict[str, str]] = []
        while select.select([self._sock], [], [], 0)[0]:
            found.append(self.next())
        return found

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_manager_hears_of_start_reload_and_stop_in_order(daemons: Daemons, kind: str) -> None:
    address = str(daemons.directory / "notify") if kind == "path" else f"@handicapper-{os.getpid()}"
    config = daemons.directory / "settings.toml"
    config.write_text("[online_learning]\nema_alpha = 0.2\n")
    with Manager(address) as manager:
        daemon = daemons.start("--config", config, env=manager.environment)
        assert manager.next() == {"STATUS": "opening the state directory"}
        ready = manager.next()
        assert (ready.pop("READY"), ready.pop("MAINPID")) == ("1", str(daemon.pid))
        assert ready.pop("STATUS") == f"serving on unix:{daemon.ready['unix']}"
        assert not ready

        daemon.signal(signal.SIGHUP)
        reloading = manager.next()
        assert reloading["RELOADING"] == "1"
        assert int(reloading["MONOTONIC_USEC"]) > 0
        assert manager.next()["READY"] == "1"

        daemon.signal(signal.SIGTERM)
        assert manager.next() == {"STOPPING": "1", "STATUS": "stopping: SIGTERM"}
        assert daemon.wait() == 0
        assert manager.rest() == []  # nobody asked for a watchdog


def test_the_watchdog_hears_that_all_is_well_again_and_again(daemons: Daemons) -> None:
    with Manager(str(daemons.directory / "notify")) as manager:
        manager.environment["WATCHDOG_USEC"] = "100000"
        daemons.start(env=manager.environment)
        for _ in range(4):
            assert manager.until("WATCHDOG") == {"WATCHDOG": "1"}


def test_a_watchdog_of_another_process_is_not_ours(daemons: Daemons) -> None:
    with Manager(str(daemons.directory / "notify")) as manager:
        manager.environment |= {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
        daemon = daemons.start(env=manager.environment)
        assert daemon.stop() == 0
        assert not any("WATCHDOG" in fields for fields in manager.rest())


def test_a_manager_that_is_gone_is_no_error(daemons: Daemons) -> None:
    daemon = daemons.start(env={**os.environ, "NOTIFY_SOCKET": str(daemons.directory / "gone")})
    assert daemon.stop() == 0


SYNC_FAILS = """
import os
import handicapper.actors.log_file as log_file
class Segment(log_file._Segment):
    def sync(self):
        if os.path.exists(os.path.join(os.path.dirname(self.path), "broken")):
            raise log_file.SyncFailedError(5, "Input/output error")
        super().sync()
log_file._Segment = Segment
"""


def test_a_failed_learner_is_told_loudly_once_and_goes_on_answering(daemons: Daemons) -> None:
    """A sync fails once; that the next ones would succeed is of no use."""
    with Manager(str(daemons.directory / "notify")) as manager:
        manager.environment["WATCHDOG_USEC"] = "100000"
        daemon = daemons.start(env=manager.environment, command=patched(SYNC_FAILS))
        with daemon.connect() as peer:
            peer.call("record_outcome", outcome(1))
            (daemons.state / "broken").touch()
            assert peer.refusal("record_outcome", outcome(2)).startswith("STORE_FAILED")
            (daemons.state / "broken").unlink()
            failed = "FAILED, answering questions only: STORE_FAILED"
            until(lambda: manager.until("STATUS")["STATUS"].startswith(failed), "told that it has failed")
            manager.rest()
            # More than two intervals of the watchdog, by the clock of what it is asked meanwhile.
            for _ in range(3):
                assert peer.call("statistics")["state"] == "failed"
                assert peer.call("report", {"model_id": "m"})["n"] >= 1
                assert peer.refusal("record_outcome", outcome(3)).startswith("STORE_FAILED")
            assert daemon.process.poll() is None
        assert daemon.stop() == 73
        assert not any("WATCHDOG" in fields for fields in manager.rest())
    assert daemon.log().count("the learner has failed") == 1
    with Learner(daemons.state) as learner:
        assert learner.record_outcomes([]).total == 0
        assert learner.report("m").n >= 1


def test_a_degraded_learner_says_so_and_goes_on_by_itself_once_there_is_room(daemons: Daemons) -> None:
    reading, writing = os.pipe()
    with Manager(str(daemons.directory / "notify")) as manager:
        manager.environment["WATCHDOG_USEC"] = "100000"
        # Into a pipe: the limit below would hold for a log in a file too.
        daemon = daemons.start(env=manager.environment, stderr=writing)
        os.close(writing)
        said: list[str] = []

        def read() -> None:
            with open(reading) as log:
                said.extend(log)

        reader = threading.Thread(target=read)
        reader.start()
        with daemon.connect() as peer:
            peer.call("record_outcome", outcome(1))
            # As a full disk: no file of the process may be written any more.
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            assert peer.refusal("record_outcome", outcome(2)).startswith("STORE_FULL")
            degraded = "DEGRADED, answering questions only: STORE_FULL"
            until(lambda: manager.until("STATUS")["STATUS"].startswith(degraded), "told that it is degraded")
            assert peer.call("statistics")["state"] == "degraded"
            assert peer.call("report", {"model_id": "m"})["n"] >= 1
            assert peer.refusal("record_outcome", outcome(3)).startswith("STORE_FULL")
            assert peer.refusal("snapshot").startswith("STORE_FULL")
            with daemon.connect() as silent:
                silent.notify("record_outcome", outcome(4))
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, unlimited)
            until(lambda: peer.call("statistics")["state"] == "accepting", "accepting again")
            assert peer.call("record_outcome", outcome(2))["duplicate"], (
                "it was under way, and is durable now"
            )
            assert not peer.call("record_outcome", outcome(3)).get("duplicate")
            assert peer.call("verify")["ok"]
            # Nobody could be told to come again, so it was kept; also after who sent it had gone.
            until(lambda: peer.call("report", {"model_id": "m"})["n"] == 4, "the notification")
        assert daemon.stop() == 0
        reader.join(DEADLINE_SECONDS)
    assert sum("the learner is degraded" in line for line in said) == 1
    with Learner(daemons.state) as learner:
        assert learner.report("m").n == 4


# ------------------------------------------------------------------- socket activation

ACTIVATE = """
import os, sys
for number, fd in enumerate(sys.argv[1].split(",")):
    os.dup2(int(fd), 3 + number)  # what systemd does, and that makes it inheritable
os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = str(1 + number), str(os.getpid() + int(sys.argv[2]))
os.environ["LISTEN_FDNAMES"] = "first:second"
os.execv(sys.argv[3], sys.argv[3:])
"""


def hand_over(
    daemons: Daemons, sockets: list[socket.socket], *options: object, pid_offset: int = 0
) -> Daemon:
    """A daemon that is handed these sockets, under the numbers from 3 on."""
    # Out of the way of the numbers they are to get.
    copies = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, 50) for sock in sockets]
    command = [
        sys.executable, "-c", ACTIVATE, ",".join(map(str, copies)), str(pid_offset), *SERVE
    ]  # fmt: skip
    try:
        return daemons.begin(*options, command=command, pass_fds=copies)
    finally:
        for fd in copies:
            os.close(fd)


def test_sockets_handed_over_are_served_and_outlive_the_daemon(daemons: Daemons) -> None:
    path = str(daemons.directory / "activated")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        with Peer(path) as early:  # before there is a daemon: it waits in the queue
            msgid = early.send("ping")
            daemon = hand_over(daemons, [tcp, unix])
            assert early.next() == [1, msgid, None, "pong"]
            ready = daemon.wait_ready()
            assert (ready["unix"], tuple(ready["tcp"])) == (path, tcp.getsockname())
            with daemon.connect("tcp") as by_tcp:
                assert by_tcp.call("ping") == "pong"
            environment = Path(f"/proc/{daemon.pid}/environ")
            assert b"LISTEN_FDS=2" in environment.read_bytes()  # as it was started
        assert not (daemons.state / "handicapper.sock").exists()
        assert daemon.stop() == 0
        assert os.path.exists(path)
        # The next one goes on where this one ended.
        again = hand_over(daemons, [tcp, unix], "--unix", daemons.directory / "own")
        again.wait_ready()
        with Peer(path) as first, Peer(str(daemons.directory / "own")) as second:
            assert first.call("ping") == second.call("ping") == "pong"


@pytest.mark.parametrize("by_settings", [False, True], ids=["options", "settings"])
def test_an_address_that_was_handed_over_is_not_made_again(daemons: Daemons, by_settings: bool) -> None:
    """A unit may name it twice, and so works with its socket and without."""
    path = daemons.directory / "activated"
    link = daemons.directory / "link"
    link.symlink_to(daemons.directory)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        where = f"127.0.0.1:{tcp.getsockname()[1]}"
        options: list[object] = ["--unix", link / path.name, "--tcp", where]
        if by_settings:
            settings = daemons.directory / "settings.toml"
            settings.write_text(f'[online_learning.server]\nunix_path = "{path}"\ntcp = "{where}"\n')
            options = ["--config", settings]
        daemon = hand_over(daemons, [unix, tcp], *options)
        ready = daemon.wait_ready()
        assert (ready["unix"], tuple(ready["tcp"])) == (str(path), tcp.getsockname())
        assert daemon.event("ready")["addresses"] == [f"unix:{path}", f"tcp:{where}"]
        for kind in ("unix", "tcp"):
            with daemon.connect(kind) as peer:
                assert peer.call("ping") == "pong"
        assert daemon.stop() == 0
        assert path.is_socket(), "whoever made it takes it away"
        with Peer(str(path)) as waiting:
            msgid = waiting.send("ping")
            hand_over(daemons, [unix, tcp], *options)
            assert waiting.next() == [1, msgid, None, "pong"]
    # Without its socket the same unit makes its own; what is left of the other is removed, as nobody listens.
    daemons.latest.stop()
    assert daemons.start(*options).ready["unix"] == (str(path) if by_settings else str(link / path.name))


def test_an_abstract_socket_is_served(daemons: Daemons) -> None:
    name = f"handicapper-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("\0" + name)
        unix.listen()
        ready = hand_over(daemons, [unix]).wait_ready()
        assert ready["unix"] == "@" + name
        with Peer("\0" + name) as peer:
            assert peer.call("ping") == "pong"


def test_sockets_for_another_process_are_not_taken(daemons: Daemons) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        ready = hand_over(daemons, [tcp], pid_offset=1).wait_ready()
    assert ready["tcp"] is None
    assert ready["unix"] == str(daemons.state / "handicapper.sock")


def test_a_descriptor_that_is_no_listening_socket_is_refused_by_number_and_name(daemons: Daemons) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        daemon = hand_over(daemons, [tcp, udp])
        assert daemon.wait() == 78
    assert "file descriptor 4 (second) of LISTEN_FDS is no listening stream socket" in daemon.log()


def test_a_socket_handed_over_that_others_can_reach_needs_a_token_too(daemons: Daemons) -> None:
    with socket.create_server(("0.0.0.0", 0)) as tcp:
        daemon = hand_over(daemons, [tcp])
        assert daemon.wait() == 78
        assert "can be reached from other machines" in daemon.log()
        token = daemons.directory / "token"
        token.touch(0o600)
        token.write_text("secret")
        with_token = hand_over(daemons, [tcp], "--token-file", token)
        with_token.wait_ready()
        with Peer(("127.0.0.1", tcp.getsockname()[1])) as peer:
            assert peer.refusal("ping").startswith("UNAUTHENTICATED")
            peer.call("hello", {"token": "secret"})


def test_the_units_in_the_package_are_what_systemd_takes(daemons: Daemons) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze to check the units with; bin/foreign.sh installs it where it can")
    for name in ("handicapper.service", "handicapper.socket"):
        text = resources.files("handicapper.bin").joinpath(name).read_text()
        # The programme need not be installed where systemd would look for it.
        (daemons.directory / name).write_text(text.replace("/usr/local/bin/handicapper", "/bin/true"))
    units = [str(daemons.directory / name) for name in ("handicapper.service", "handicapper.socket")]
    checked = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "handicapper" not in checked.stderr


def test_the_units_in_the_package_name_the_same_socket() -> None:
    """So that the service works alone and beside its socket, without a change."""
    service, listening = (
        resources.files("handicapper.bin").joinpath(name).read_text()
        for name in ("handicapper.service", "handicapper.socket")
    )
    made = re.search(r"^ExecStart=(?:.*\\\n)*.*--unix (\S+)", service, re.MULTILINE)
    handed_over = re.search(r"^ListenStream=(\S+)", listening, re.MULTILINE)
    assert made is not None and handed_over is not None
    assert made[1] == handed_over[1]
