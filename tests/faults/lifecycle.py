"""Real daemons for the lifecycle tests, started as a parent in any language would, and spoken to in raw bytes."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgpack
import pytest

DEADLINE_SECONDS = 60.0
"""Far beyond anything expected: reached only when something hangs."""

NOW = 1_767_225_600_000_000_000
SERVE = [sys.executable, "-m", "handicapper.bin", "serve"]


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of the condition, for what nothing announces."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"never: {what}"
        select.select([], [], [], 0.01)
    return value


class Peer:
    """A connection that speaks MessagePack-RPC by hand."""

    def __init__(self, address: str | tuple[str, int]) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(DEADLINE_SECONDS)
        self.sock.connect(address)
        self._unpacker = msgpack.Unpacker()
        self._msgids = itertools.count()

    def send(self, method: str, params: Any = None) -> int:
        msgid = next(self._msgids)
        self.sock.sendall(msgpack.packb([0, msgid, method, params]))
        return msgid

    def notify(self, method: str, params: Any = None) -> None:
        """Send one that is not answered."""
        self.sock.sendall(msgpack.packb([2, method, params]))

    def next(self) -> list[Any] | None:
        """The next message; None at the end of the stream."""
        while True:
            for message in self._unpacker:
                return message
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._unpacker.feed(data)

    def call(self, method: str, params: Any = None) -> Any:
        """The result of a call; the test fails if it was refused."""
        msgid = self.send(method, params)
        answer = self.next()
        assert answer is not None and answer[:3] == [1, msgid, None], answer
        return answer[3]

    def refusal(self, method: str, params: Any = None) -> str:
        """The text of the error that a call ended in."""
        self.send(method, params)
        answer = self.next()
        assert answer is not None and answer[2] is not None, answer
        return answer[2][1]

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Daemon:
    """One process of ``handicapper serve``. Its log goes to a file, unless ``stderr`` says otherwise."""

    def __init__(self, log_path: Path, command: list[str], **popen: Any) -> None:
        self._log_path = log_path
        self._out = b""
        popen = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **popen}
        with log_path.open("wb") as log:
            popen.setdefault("stderr", log)
            self.process = subprocess.Popen(command, **popen)
        self.pid = self.process.pid

    # ------------------------------------------------------------ what it says

    def wait_ready(self) -> dict[str, Any]:
        """The line on standard output."""
        line = self.read_line()
        assert line, f"ended with {self.wait()} before it was ready: {self.log()}"
        self.ready: dict[str, Any] = json.loads(line)
        return self.ready

    def read_line(self) -> bytes:
        """The next line of standard output; empty at its end."""
        assert self.process.stdout is not None
        fd, deadline = self.process.stdout.fileno(), time.monotonic() + DEADLINE_SECONDS
        while b"\n" not in self._out:
            assert select.select([fd], [], [], max(deadline - time.monotonic(), 0))[0], self.log()
            data = os.read(fd, 4096)
            if not data:
                return b""
            self._out += data
        line, _, self._out = self._out.partition(b"\n")
        return line

    def log(self) -> str:
        return self._log_path.read_text()

    def events(self) -> list[dict[str, Any]]:
        """The records of a JSON log, those that are whole."""
        *lines, _ = self.log().split("\n")
        return [json.loads(line) for line in lines]

    def event(self, name: str, count: int = 1) -> dict[str, Any]:
        """The record of an event, once it is there (``count`` times)."""

        def found() -> dict[str, Any] | None:
            records = [record for record in self.events() if record["event"] == name]
            return records[count - 1] if len(records) >= count else None

        return until(found, f"{name} in {self.log()}")

    def connect(self, kind: str = "unix") -> Peer:
        return Peer(self.ready["unix"] if kind == "unix" else tuple(self.ready["tcp"]))

    # ------------------------------------------------------------------- ends

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, once it has ended by itself."""
        try:
            return self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the daemon hangs: {self.log()[-3000:]}")

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it, in whatever state it is."""
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


class Daemons:
    """Starts daemons on the same state directory, unless told otherwise; none of them outlives the test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        self._started: list[Daemon] = []

    @property
    def latest(self) -> Daemon:
        return self._started[-1]

    def begin(self, *options: object, command: list[str] | None = None, **popen: Any) -> Daemon:
        """Start one, and do not wait for it."""
        arguments = [str(option) for option in options]
        if "--state" not in arguments:
            arguments += ["--state", str(self.state)]
        log = self.directory / f"log-{len(self._started)}"
        daemon = Daemon(log, [*(command or SERVE), *arguments], **popen)
        self._started.append(daemon)
        return daemon

    def start(self, *options: object, **popen: Any) -> Daemon:
        """Start one, and wait until it is ready."""
        daemon = self.begin(*options, **popen)
        daemon.wait_ready()
        return daemon

    def refused(self, *options: object, **popen: Any) -> tuple[int, str]:
        """Start one that has to end before it is ready: its exit status and log."""
        daemon = self.begin(*options, **popen)
        status = daemon.wait()
        assert daemon.read_line() == b"", "it was ready, or said something"
        return status, daemon.log()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for daemon in self._started:
            daemon.close()


def outcome(number: int, model: str = "m") -> dict[str, Any]:
    """Params of one trade outcome."""
    return {
        "prediction_id": f"p{number}",
        "model_id": model,
        "predicted_outcome": "A",
        "actual_outcome": "A",
        "resolved_at": NOW + number,
    }


def handles_signals(daemon: Daemon) -> bool:
    """Whether its own handler of SIGTERM is in place (proc(5), SigCgt)."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def patched(code: str) -> list[str]:
    """A command that serves with ``code`` run just before: for faults that cannot be had from outside."""
    # Not before it has blocked its signals: what the code imports starts threads.
    wrapper = f"""
import sys
import handicapper.bin.daemon.log as module
serve_log = module.serve_log
def patch_and_log(*options):
    exec({code!r}, {{}})
    return serve_log(*options)
module.serve_log = patch_and_log
from handicapper.bin.cli import main
sys.exit(main(["serve", *sys.argv[1:]]))
"""
    return [sys.executable, "-c", wrapper]
