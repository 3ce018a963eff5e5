"""Daemons as children of this process: the real one, and impostors that go wrong on purpose."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handicapper.protocol import AsyncClient, Client
from handicapper.protocol.addresses import TcpAddress, UnixAddress
from handicapper.protocol.calling.spawn import Daemon, DaemonError
from handicapper.protocol.errors import ConnectionLostError, InvalidValueError
from handicapper.protocol.messages import Receipt

from .client_support import DEADLINE_SECONDS, eventually, outcome, short_directory

OPTIONS: dict[str, Any] = {
    "ready_timeout_seconds": DEADLINE_SECONDS,
    "stop_timeout_seconds": DEADLINE_SECONDS,
}


@pytest.fixture
def state() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory / "state"


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ------------------------------------------------------------------------ the daemon


def test_a_spawned_daemon_serves_and_leaves_with_its_client(state: Path) -> None:
    with Client.spawn(state, **OPTIONS) as client:
        daemon = client.daemon
        assert daemon is not None
        pid, path = daemon.pid, daemon.ready["unix"]
        assert client.record_outcome(outcome(1)).seq > 0
        assert client.server.pid == pid == daemon.ready["pid"]
        assert isinstance(client.address, UnixAddress) and client.address.path == path
        assert os.stat(path).st_mode & 0o777 == 0o600
    assert not alive(pid)
    assert not os.path.exists(os.path.dirname(path))
    client.close()
    with Client.spawn(state, **OPTIONS) as again:
        assert again.daemon is not None and again.daemon.ready["journal_seq"] >= 2
        assert again.statistics().replayed == 0, "the last snapshot was written"
        assert again.report("m").n == 1


@pytest.mark.parametrize(("tcp", "unix"), [("127.0.0.1:0", None), ("[::1]:0", None), ("127.0.0.1:0", "s")])
def test_a_spawned_daemon_listens_where_it_is_told_to(state: Path, tcp: str, unix: str | None) -> None:
    where = None if unix is None else state.parent / unix
    with Client.spawn(state, tcp=tcp, unix=where, **OPTIONS) as client:
        assert client.ping() == "pong"
        assert client.daemon is not None
        host, port = client.daemon.ready["tcp"]
        assert client.address == (TcpAddress(host, port) if where is None else UnixAddress(str(where)))
        with Client(TcpAddress(host, port)) as other:
            assert other.record_outcome(outcome(1)).seq > 0


def test_a_token_is_given_to_both_sides(state: Path) -> None:
    with Client.spawn(state, tcp="127.0.0.1:0", token="a secret", client_name="me", **OPTIONS) as client:
        assert client.ping() == "pong"
        with pytest.raises(Exception, match="UNAUTHENTICATED"):
            Client(client.address)


def test_a_settings_file_and_further_options_are_passed_on(state: Path) -> None:
    config = state.parent / "settings.toml"
    config.write_text("[online_learning]\nema_alpha = 0.25\n")
    with Client.spawn(state, config=config, args=["--log-level", "debug"], **OPTIONS) as client:
        assert client.config().source == str(config)
        assert "0.25" in str(client.config().settings)


def test_a_temporary_directory_with_a_long_name_is_no_hindrance(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = state.parent / ("d" * 120)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with Client.spawn(state, **OPTIONS) as client:
        assert client.ping() == "pong"
    assert list(long.iterdir()) == []


def test_a_parent_of_many_threads_may_spawn(state: Path) -> None:
    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(50)]
    for thread in threads:
        thread.start()
    results: list[Any] = []

    def use(number: int) -> None:
        with Client.spawn(state / str(number), **OPTIONS) as client:
            results.append(client.record_outcome(outcome(number)))

    spawning = [threading.Thread(target=use, args=(number,)) for number in range(2)]
    try:
        for thread in spawning:
            thread.start()
        for thread in spawning:
            thread.join(DEADLINE_SECONDS)
    finally:
        over.set()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
    assert [type(result) for result in results] == [Receipt, Receipt]


def test_the_daemon_s_log_goes_to_a_logger(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "handicapper.daemon")
    with Client.spawn(state, **OPTIONS) as client:
        client.ping()
    records = [record for record in caplog.records if record.name == "handicapper.daemon"]
    assert any('"event":"ready"' in record.getMessage().replace(" ", "") for record in records)
    assert {record.levelno for record in records} == {logging.INFO}


def test_ctrl_c_in_the_terminal_is_not_the_daemon_s_business(state: Path) -> None:
    with Client.spawn(state, **OPTIONS) as client:
        assert client.daemon is not None
        assert os.getsid(client.daemon.pid) == client.daemon.pid


# ------------------------------------------------------------------- counted once


def test_a_daemon_killed_under_load_and_started_again_has_counted_everything_once(state: Path) -> None:
    """Whether it dies before the write, after it or before the answer is left to chance, many times."""
    path = state.parent / "s"
    total = 0
    daemon = Daemon(state, unix=path)
    try:
        address = daemon.wait_ready(DEADLINE_SECONDS)
        with Client(address, timeout_seconds=DEADLINE_SECONDS) as client:
            for round_number in range(4):
                first = client.record_outcome_nowait(outcome(total))
                replies = [client.record_outcome_nowait(outcome(n)) for n in range(total + 1, total + 3_000)]
                total += 3_000
                if round_number:
                    first.result()
                daemon.kill()
                daemon = Daemon(state, unix=path)
                daemon.wait_ready(DEADLINE_SECONDS)
                assert {type(reply.result()) for reply in [first, *replies]} == {Receipt}
                assert client.statistics().state == "accepting"
                assert client.report("m").n == total
            assert client.verify().ok
    finally:
        daemon.kill()


# --------------------------------------------------------------------- when it fails


def test_a_daemon_that_cannot_start_says_why(state: Path) -> None:
    config = state.parent / "settings.toml"
    config.write_text("[online_learning]\nema_alpha = 7\n")
    with pytest.raises(DaemonError, match=r"(?s)exit code 78.*ema_alpha") as failed:
        Client.spawn(state, config=config, **OPTIONS)
    assert failed.value.exit_code == 78
    assert any("ema_alpha" in line for line in failed.value.last_lines)
    with pytest.raises(DaemonError, match="exit code 64") as failed:
        Client.spawn(state, args=["--nonsense"], **OPTIONS)


def test_a_state_directory_in_use_is_told(state: Path) -> None:
    with Client.spawn(state, **OPTIONS) as client:
        with pytest.raises(DaemonError, match="STATE_LOCKED") as failed:
            Client.spawn(state, **OPTIONS)
        assert failed.value.exit_code == 75
        assert client.ping() == "pong"


def test_a_daemon_that_died_is_told_when_the_client_is_closed(state: Path) -> None:
    client = Client.spawn(state, timeout_seconds=1.0, **OPTIONS)
    assert client.daemon is not None
    os.kill(client.daemon.pid, signal.SIGKILL)
    with pytest.raises(DaemonError, match="exit code -9") as failed:
        client.close()
    assert failed.value.exit_code == -9
    client.close()


def test_calls_are_told_at_once_that_the_daemon_died(state: Path) -> None:
    """And not at their deadlines: nobody else will ever listen there."""
    client = Client.spawn(state, timeout_seconds=DEADLINE_SECONDS, **OPTIONS)
    assert client.daemon is not None
    os.kill(client.daemon.pid, signal.SIGSTOP)
    waiting = client.record_outcome_nowait(outcome(1))
    begun = time.monotonic()
    os.kill(client.daemon.pid, signal.SIGKILL)
    for call in (waiting.result, client.ping):
        with pytest.raises(DaemonError, match=r"exit code -9 \(SIGKILL\): .* start another") as failed:
            call()
        assert failed.value.exit_code == -9
    assert time.monotonic() - begun < DEADLINE_SECONDS / 2
    with pytest.raises(DaemonError, match="exit code -9"):
        client.close()


def test_tasks_are_told_at_once_that_the_daemon_died(state: Path) -> None:
    async def main() -> None:
        client = await AsyncClient.spawn(state, timeout_seconds=DEADLINE_SECONDS, **OPTIONS)
        assert client.daemon is not None
        os.kill(client.daemon.pid, signal.SIGSTOP)
        waiting = asyncio.ensure_future(client.record_outcome(outcome(1)))
        await asyncio.sleep(0)
        begun = time.monotonic()
        os.kill(client.daemon.pid, signal.SIGKILL)
        for call in (waiting, client.ping()):
            with pytest.raises(DaemonError, match="exit code -9"):
                await call
        assert time.monotonic() - begun < DEADLINE_SECONDS / 2
        with pytest.raises(DaemonError, match="exit code -9"):
            await client.close()

    asyncio.run(main())


def test_an_error_inside_the_block_is_not_hidden_by_a_dead_daemon(state: Path) -> None:
    with pytest.raises(ZeroDivisionError), Client.spawn(state, **OPTIONS) as client:
        assert client.daemon is not None
        os.kill(client.daemon.pid, signal.SIGKILL)
        raise ZeroDivisionError


def test_options_that_are_one_text_are_refused(state: Path) -> None:
    with pytest.raises(InvalidValueError, match="a sequence of options"):
        Client.spawn(state, args="--log-level debug")


@pytest.fixture
def impostor(state: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs this instead of the daemon."""

    def install(code: str) -> None:
        script = state.parent / "impostor"
        script.write_text(f"#!{sys.executable}\n{code}")
        script.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(script))

    return install


HELD = """
import os, sys
print('cannot serve: the disk is on fire', file=sys.stderr, flush=True)
if os.fork() == 0:  # holds both pipes open, as a helper that it started would
    os.write(os.open({pid_file!r}, os.O_WRONLY | os.O_CREAT), str(os.getpid()).encode())
    os.read(os.open({hold!r}, os.O_RDONLY), 1)
    os._exit(0)
{end}
"""


@pytest.fixture
def held(state: Path, impostor: Any) -> Iterator[Any]:
    """A daemon that ends as told, and leaves a child that holds its standard output and error."""
    pid_file, hold = state.parent / "held", state.parent / "hold"
    os.mkfifo(hold)
    yield lambda end: impostor(HELD.format(pid_file=str(pid_file), hold=str(hold), end=end))
    eventually(lambda: pid_file.exists() and pid_file.read_text() != "")
    pid = int(pid_file.read_text())
    hold.write_text(".")
    eventually(lambda: not alive(pid))


@pytest.mark.parametrize(
    ("end", "told", "exit_code"),
    [
        ("sys.exit(75)", "ended before it was ready, with exit code 75", 75),
        ("os.kill(os.getpid(), 9)", r"ended before it was ready, with exit code -9 \(SIGKILL\)", -9),
    ],
)
@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_daemon_that_dies_at_its_start_is_told_at_once(
    state: Path, held: Any, kind: str, end: str, told: str, exit_code: int
) -> None:
    """Also where its pipes stay open: not when the deadline passes, which here is an hour."""
    held(end)
    options = OPTIONS | {"ready_timeout_seconds": 3600.0}
    with pytest.raises(DaemonError, match=f"(?s){told}.*the disk is on fire") as failed:
        if kind == "blocking":
            Client.spawn(state, **options)
        else:
            asyncio.run(AsyncClient.spawn(state, **options))
    assert failed.value.exit_code == exit_code
    assert failed.value.last_lines == ("cannot serve: the disk is on fire",)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_daemon_that_dies_once_it_is_ready_is_told_with_its_exit_code(
    state: Path, held: Any, kind: str
) -> None:
    held('print(\'{"unix": "/nowhere"}\', flush=True)\nsys.exit(70)')
    with pytest.raises(
        DaemonError, match=r"(?s)as soon as it was ready, with exit code 70.*on fire"
    ) as failed:
        if kind == "blocking":
            Client.spawn(state, **OPTIONS)
        else:
            asyncio.run(AsyncClient.spawn(state, **OPTIONS))
    assert failed.value.exit_code == 70
    assert isinstance(failed.value.__cause__, ConnectionLostError)


def test_a_daemon_that_closes_its_output_and_lives_on_is_killed(state: Path, impostor: Any) -> None:
    impostor("import os, time\nos.close(1)\ntime.sleep(600)")
    daemon = Daemon(state)
    with pytest.raises(DaemonError, match="closed its standard output before it was ready, and was killed"):
        daemon.wait_ready(DEADLINE_SECONDS)
    assert not alive(daemon.pid)


def test_lines_of_a_log_are_kept_whole_however_they_are_cut(state: Path, impostor: Any) -> None:
    impostor(
        "import os, sys\n"
        "os.write(2, b'first li'); os.write(2, b'ne\\nsecond \\xff\\nlast, without an end')\nsys.exit(1)"
    )
    with pytest.raises(DaemonError) as failed:
        Client.spawn(state, **OPTIONS)
    assert failed.value.last_lines == ("first line", "second \ufffd", "last, without an end")


def test_a_daemon_that_is_never_ready_is_killed(state: Path, impostor: Any) -> None:
    impostor("import sys, time\nprint('still replaying', file=sys.stderr, flush=True)\ntime.sleep(600)")
    daemon = Daemon(state)
    eventually(lambda: len(daemon._log.last_lines) > 0)
    with pytest.raises(DaemonError, match=r"(?s)not ready within 0\.1 s and was killed.*still replaying"):
        daemon.wait_ready(0.1)
    assert not alive(daemon.pid)


@pytest.mark.parametrize(
    "line", ["ready", "{}", "[]", "7", '{"ready": true}', '{"unix": null}', "x" * 70_000]
)
def test_a_daemon_that_says_something_else_is_killed(state: Path, impostor: Any, line: str) -> None:
    impostor(f"import time\nprint({line!r}, flush=True)\ntime.sleep(600)")
    with pytest.raises(DaemonError, match="did not say that it is ready"):
        Client.spawn(state, **OPTIONS)


def test_a_daemon_that_is_ready_and_does_not_listen_is_killed(state: Path, impostor: Any) -> None:
    pid_file = state.parent / "pid"
    impostor(
        f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        'print(\'{"unix": "/nowhere"}\', flush=True)\ntime.sleep(600)'
    )
    with pytest.raises(ConnectionLostError):
        Client.spawn(state, **OPTIONS)
    assert not alive(int(pid_file.read_text()))


def test_a_daemon_that_does_not_leave_is_killed_and_told(state: Path, impostor: Any) -> None:
    impostor(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        'print(\'{"unix": "/nowhere"}\', flush=True)\ntime.sleep(600)'
    )
    daemon = Daemon(state, stop_timeout_seconds=0.2)
    assert daemon.wait_ready(DEADLINE_SECONDS) == UnixAddress("/nowhere")
    with pytest.raises(DaemonError, match=r"did not leave within 0\.2 s and was killed") as failed:
        daemon.stop()
    assert failed.value.exit_code is None
    assert not alive(daemon.pid)


def test_a_python_that_cannot_be_run_leaves_nothing_behind(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(state.parent))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(FileNotFoundError):
        Client.spawn(state)
    assert list(state.parent.iterdir()) == []


def test_a_daemon_that_was_forgotten_is_killed(state: Path) -> None:
    daemon = Daemon(state)
    daemon.wait_ready(DEADLINE_SECONDS)
    pid = daemon.pid
    del daemon
    gc.collect()
    assert not alive(pid)


# ---------------------------------------------------------------- when the parent dies

PARENT = """
import os, sys
from handicapper.protocol import Client
client = Client.spawn(sys.argv[1], ready_timeout_seconds=60)
client.record_outcome(prediction_id="o", model_id="m", predicted_outcome="Y", actual_outcome="Y", resolved_at=0)
if sys.argv[2] == "fork":
    if os.fork() == 0:  # a child that outlives its parent must not keep the daemon alive
        os.close(1)
        os.read(0, 1)
        os._exit(0)
print(client.daemon.pid, flush=True)
os.read(0, 1)
"""


@pytest.mark.parametrize("how", ["plain", "fork"])
def test_a_daemon_leaves_when_its_parent_is_killed(state: Path, how: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(state), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(state.parent)},  # nobody is left to remove what it makes there
    )
    assert parent.stdin is not None and parent.stdout is not None
    with parent.stdin, parent.stdout:
        try:
            pid = int(parent.stdout.readline())
        finally:
            parent.kill()
            parent.wait(DEADLINE_SECONDS)
        eventually(lambda: not alive(pid))
    with Client.spawn(state, **OPTIONS) as client:
        assert client.report("m").n == 1


def test_a_forked_child_neither_stops_nor_kills_its_parent_s_daemon(state: Path) -> None:
    with Client.spawn(state, **OPTIONS) as client:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                client.close()
                del client
                gc.collect()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        assert client.ping() == "pong"


# ---------------------------------------------------------------------------- asyncio


def test_an_asyncio_client_spawns_as_well(state: Path) -> None:
    async def main() -> int:
        async with await AsyncClient.spawn(state, **OPTIONS) as client:
            assert (await client.record_outcome(outcome(1))).seq > 0
            assert client.daemon is not None
            return client.daemon.pid

    assert not alive(asyncio.run(main(), debug=True))
    with pytest.raises(DaemonError, match="exit code 64"):
        asyncio.run(spawn_badly(state))


async def spawn_badly(state: Path) -> None:
    await AsyncClient.spawn(state, args=["--nonsense"], **OPTIONS)


def test_spawning_may_be_cancelled(state: Path, impostor: Any) -> None:
    pid_file = state.parent / "pid"
    impostor(f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")

    async def main() -> None:
        spawning = asyncio.create_task(AsyncClient.spawn(state, **OPTIONS))
        while not (pid_file.exists() and pid_file.read_text()):
            await asyncio.sleep(0.001)
        spawning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await spawning

    asyncio.run(main(), debug=True)
    assert not alive(int(pid_file.read_text()))
