"""The real daemon in a process of its own, and what the kernel says about that process."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .wire import DEADLINE_SECONDS, Address, Wire


class Daemon:
    """``handicapper serve`` on a unix socket and on a TCP port of its choice."""

    def __init__(
        self,
        directory: Path,
        settings: str = "",
        options: tuple[str, ...] = (),
        module: str = "handicapper.bin",
        environment: dict[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._log = directory / "stderr"
        config = directory / "settings.toml"
        config.write_text(settings)
        # fmt: off
        command = [
            sys.executable, "-m", module, "serve", "--state", str(directory / "state"),
            "--unix", str(directory / "socket"), "--tcp", "127.0.0.1:0", "--config", str(config),
            "--log-format", "json", *options,
        ]
        # fmt: on
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | (environment or {}),
            )
        try:
            self.ready: dict[str, Any] = json.loads(self._line())
        except BaseException:
            self.kill()
            raise
        self.unix: Address = self.ready["unix"]
        host, port = self.ready["tcp"]
        self.tcp: Address = (host, port)

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        fd, line, deadline = self.process.stdout.fileno(), b"", time.monotonic() + DEADLINE_SECONDS
        while not line.endswith(b"\n"):
            assert select.select([fd], [], [], deadline - time.monotonic())[0], "the daemon is not ready"
            data = os.read(fd, 4096)
            assert data, f"the daemon ended before it was ready: {self.log()[-2000:]}"
            line += data
        return line

    def address(self, transport: str) -> Address:
        return self.unix if transport == "unix" else self.tcp

    def connect(self, transport: str = "unix", **options: Any) -> Wire:
        return Wire(self.address(transport), **options)

    # ------------------------------------------------------------------ looks

    def log(self) -> str:
        """Everything it has logged."""
        return self._log.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def statistics(self) -> dict[str, Any]:
        with self.connect() as wire:
            return wire.call("statistics")

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory_bytes(self) -> int:
        """Resident now."""
        return self._status("VmRSS")

    def peak_memory_bytes(self) -> int:
        """Most that was resident since :meth:`forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    # -------------------------------------------------------------------- end

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(DEADLINE_SECONDS)
        self._close()
        return status

    def kill(self) -> None:
        """End it, in whatever state it is; for the teardown."""
        if self.alive():
            self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        self._close()

    def _close(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def serving(
    directory: Path, settings: str = "", options: tuple[str, ...] = (), **how: Any
) -> Iterator[Daemon]:
    """A daemon that, whatever it goes through, leaves in the end as if nothing had been."""
    daemon = Daemon(directory, settings, options, **how)
    try:
        yield daemon
        assert daemon.alive(), daemon.log()[-5000:]
        assert daemon.stop() == 0, daemon.log()[-5000:]
        assert "Traceback" not in daemon.log()
    finally:
        daemon.kill()
