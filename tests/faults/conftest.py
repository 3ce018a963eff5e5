"""A fork server for processes that are to die, and small state directories to damage."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .images import Image, make_image

collect_ignore = ["backup_jobs.py", "disk_jobs.py", "fork_server.py", "jobs.py", "traced_jobs.py"]
"""Scripts of the forked processes: they import one another by plain name."""

DEADLINE_SECONDS = 60.0
"""Far beyond anything expected: reached only when something hangs."""


class Job:
    """A running job: its messages as they come."""

    def __init__(self, server: ForkServer, name: str, args: dict[str, Any]) -> None:
        self._server = server
        self.messages: list[dict[str, Any]] = []
        self.status: int | None = None
        server.send({"job": name, "args": args})
        started = self.next(DEADLINE_SECONDS)
        while started is not None and "pid" not in started:
            # The child may be quicker than the line that announces it.
            self.messages.append(started)
            started = self.next(DEADLINE_SECONDS)
        assert started is not None
        self.pid: int = started["pid"]

    def next(self, timeout: float) -> dict[str, Any] | None:
        """The next message; None if none came in time, or the job has ended."""
        message = None if self.status is not None else self._server.receive(timeout)
        if message is not None and "ended" in message:
            self.status = message["ended"]
            return None
        return message

    def kill(self) -> None:
        """SIGKILL, if it is still there, and read to the end."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> list[dict[str, Any]]:
        """Every message until the job ended by itself."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.status is None:
            message = self.next(deadline - time.monotonic())
            if message is not None:
                self.messages.append(message)
            elif self.status is None:
                os.kill(self.pid, signal.SIGKILL)
                pytest.fail(f"the job hangs; it had said {self.messages[-3:]}")
        return self.messages

    @property
    def signal(self) -> int:
        """The signal that ended it, or 0."""
        assert self.status is not None
        return self.status & 0x7F


class ForkServer:
    """See ``fork_server.py``."""

    def __init__(self) -> None:
        script = Path(__file__).parent / "fork_server.py"
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        self._buffer = b""
        assert self.receive(DEADLINE_SECONDS) == {"ready": True}

    def send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """The next whole line; None if there is none within ``timeout`` seconds."""
        assert self._process.stdout is not None
        fd, deadline = self._process.stdout.fileno(), time.monotonic() + timeout
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = rest
                try:
                    return json.loads(line)
                except ValueError:
                    continue  # empty, or cut off by the kill: it was not said
            if not select.select([fd], [], [], max(deadline - time.monotonic(), 0))[0]:
                return None
            data = os.read(fd, 1 << 16)
            assert data, "the fork server died"
            self._buffer += data

    def start(self, job: str, **args: Any) -> Job:
        return Job(self, job, args)

    def run(self, job: str, **args: Any) -> Job:
        """Start a job and wait for its end."""
        running = self.start(job, **args)
        running.wait()
        return running

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(DEADLINE_SECONDS)
        self._process.stdout.close()


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return make_image(tmp_path_factory.mktemp("image"))
