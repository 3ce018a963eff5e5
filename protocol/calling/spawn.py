"""A daemon as a child of this process: started, waited for, stopped, and never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import IO, Any, Final

from ..addresses import UNIX_PATH_BYTES_MAX, Address, TcpAddress, UnixAddress
from ..errors import ConnectionLostError, HandicapperError, InvalidValueError, RuntimeFaultError
from .child_log import ChildLog

__all__ = ["Daemon", "DaemonError"]

READY_BYTES_MAX: Final = 65_536
KILL_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.05
"""Between looks at whether it still lives: the end of its standard output does not tell, where a process that
it started, or one that was forked here meanwhile, holds that too."""
ENDING_SECONDS: Final = 0.5
"""From the end of its connections, or of its standard output, to the end of the process."""
_SOCKET_NAME: Final = "socket"


class DaemonError(RuntimeFaultError):
    """A daemon did not become ready, or did not leave as it should have.

    ``exit_code`` is negative where a signal ended it, and None where it had to be killed for taking too long;
    ``last_lines`` are the last of its log.
    """

    code = "DAEMON_FAILED"

    def __init__(self, message: str, exit_code: int | None, last_lines: Sequence[str] = ()) -> None:
        shown = "".join(f"\n  {line}" for line in last_lines)
        super().__init__(f"{message}; the last of its log:{shown}" if shown else message)
        self.exit_code = exit_code
        self.last_lines = tuple(last_lines)


class Daemon:
    """``handicapper serve``, run by this Python and owned by this object.

    It leaves when its standard input ends, and this process holds the other end: whatever ends this process
    ends the daemon, after its last snapshot. See :meth:`.client.Client.spawn` for the arguments.
    """

    def __init__(
        self,
        state_dir: str | os.PathLike[str],
        *,
        config: str | os.PathLike[str] | None = None,
        unix: str | os.PathLike[str] | None = None,
        tcp: str | None = None,
        args: Sequence[str] = (),
        token: str | bytes | None = None,
        stop_timeout_seconds: float = 30.0,
    ) -> None:
        if isinstance(args, str):
            raise InvalidValueError("args", args, "a sequence of options, such as ['--log-level', 'debug']")
        self._stop_timeout_seconds = stop_timeout_seconds
        self._owner = os.getpid()
        self._over_tcp = tcp is not None and unix is None
        self._private = Path(_short_directory())
        self.ready: dict[str, Any] = {}
        """The line it printed when it was ready."""
        command = [sys.executable, "-m", "handicapper.bin", "serve", "--parent-watch", "--log-format", "json"]
        command += ["--state", os.fspath(state_dir)]
        try:
            if config is not None:
                command += ["--config", os.fspath(config)]
            if not self._over_tcp:
                command += ["--unix", os.fspath(self._private / _SOCKET_NAME if unix is None else unix)]
            if tcp is not None:
                command += ["--tcp", tcp]
            if token is not None:
                command += ["--token-file", str(_write_token(self._private / "token", token))]
            # A session of its own: Ctrl-C in a terminal is for us, and we stop it in our own time.
            self._process = subprocess.Popen(
                [*command, *args],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(self._private, ignore_errors=True)
            raise
        _held_pipes.add(_pipe(self._process.stdin))
        self._log = ChildLog(_pipe(self._process.stderr).fileno())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    # -------------------------------------------------------------------- ready

    def wait_ready(self, timeout_seconds: float) -> Address:
        """Return where to reach it once it is ready.

        Raises:
            DaemonError: it ended before it was ready, or took longer than ``timeout_seconds``; it is stopped.

        """
        try:
            line = self._ready_line(monotonic() + timeout_seconds)
            self.ready = json.loads(line)
            if not self._over_tcp:
                return UnixAddress(self.ready["unix"])
            host, port = self.ready["tcp"]
            return TcpAddress(host, port)
        except TimeoutError:
            raise self._failed_start(f"was not ready within {timeout_seconds:g} s and was killed") from None
        except (ValueError, KeyError, TypeError) as error:
            raise self._failed_start(f"did not say that it is ready ({error}) and was killed") from None
        except BaseException:
            self.kill()
            raise

    def _ready_line(self, deadline: float) -> bytes:
        """The line on its standard output; TimeoutError if it does not come before the deadline."""
        output = _pipe(self._process.stdout).fileno()
        poll = select.poll()
        poll.register(output, select.POLLIN)
        line = b""
        while not line.endswith(b"\n") and len(line) < READY_BYTES_MAX:
            # Looked at before the output: what it wrote before its end is read all the same.
            ended = self._process.poll() is not None
            if poll.poll(0 if ended else min(max(deadline - monotonic(), 0.0), LOOK_SECONDS) * 1000):
                data = os.read(output, 4096)
                if not data:
                    raise self._ended_early()
                line += data
            elif ended:
                raise self._ended_early()
            elif monotonic() >= deadline:
                raise TimeoutError
        return line

    def _ended_early(self) -> DaemonError:
        exit_code = self._reaped(ENDING_SECONDS)
        if exit_code is None:
            return self._failed_start("closed its standard output before it was ready, and was killed")
        return self._failed_start(f"ended before it was ready, with {_told(exit_code)}", exit_code)

    def _failed_start(self, what: str, exit_code: int | None = None) -> DaemonError:
        self.kill()
        return DaemonError(f"the daemon {what}", exit_code, self._log.last_lines)

    def why_lost(self, error: ConnectionLostError) -> HandicapperError:
        """What to raise for the first connection to a daemon that was ready: its end, if it has ended, or ``error``."""
        exit_code = self._reaped(ENDING_SECONDS)
        if exit_code is None:
            return error
        return self._failed_start(f"ended as soon as it was ready, with {_told(exit_code)}", exit_code)

    def gone(self) -> DaemonError | None:
        """Its end, once it has ended: nobody will answer at its address again."""
        exit_code = self._process.poll()
        if exit_code is None:
            return None
        text = (
            f"the daemon left with {_told(exit_code)}: what was not answered may have taken effect; start another on "
            "its state directory and repeat it"
        )
        return DaemonError(text, exit_code, self._log.last_lines)

    # --------------------------------------------------------------------- ends

    def stop(self) -> None:
        """Have it write its last snapshot and leave. Safe to call twice.

        Raises:
            DaemonError: it took too long and was killed, or left with another exit code than 0. What it had
                acknowledged is durable all the same.

        """
        if _pipe(self._process.stdin).closed or os.getpid() != self._owner:
            return
        # Not by closing its standard input: then it would have to hurry, as if its parent had died.
        self._process.terminate()
        exit_code = self._reaped(self._stop_timeout_seconds)
        self.kill()
        if exit_code is None:
            text = f"the daemon did not leave within {self._stop_timeout_seconds:g} s and was killed"
            raise DaemonError(text, None, self._log.last_lines)
        if exit_code:
            raise DaemonError(f"the daemon left with {_told(exit_code)}", exit_code, self._log.last_lines)

    def end_now(self) -> None:
        """Send it SIGKILL, if it lives, and leave the rest to whoever waits for it."""
        if os.getpid() == self._owner:
            self._process.kill()

    def kill(self) -> None:
        """End it at once, if it lives, and give back everything that belongs to it. Safe to call twice."""
        process = self._process
        if os.getpid() != self._owner:
            return
        self.end_now()
        self._reaped(KILL_SECONDS)
        self._log.finish()
        for pipe in (process.stdin, process.stdout, process.stderr):
            # A pipe whose reader is gone may complain when it is closed; nothing was ever written to it.
            with contextlib.suppress(OSError):
                _pipe(pipe).close()
        _held_pipes.discard(_pipe(process.stdin))
        shutil.rmtree(self._private, ignore_errors=True)

    def __del__(self) -> None:
        if hasattr(self, "_log") and not _pipe(self._process.stdin).closed:
            self.kill()

    def _reaped(self, timeout_seconds: float) -> int | None:
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None


_held_pipes: weakref.WeakSet[IO[bytes]] = weakref.WeakSet()
"""The ends of daemons' standard inputs that this process holds."""


def _let_go_in_child() -> None:
    """A forked child that kept them would keep the daemon alive after this process has died."""
    for pipe in _held_pipes:
        with contextlib.suppress(OSError):
            pipe.close()


os.register_at_fork(after_in_child=_let_go_in_child)


def _short_directory() -> str:
    """A private directory whose name leaves room for a socket's in what the kernel takes for a path."""
    made = tempfile.mkdtemp(prefix="handicapper-")
    if len(os.fsencode(os.path.join(made, _SOCKET_NAME))) <= UNIX_PATH_BYTES_MAX:
        return made
    os.rmdir(made)
    return tempfile.mkdtemp(prefix="handicapper-", dir="/tmp")


def _write_token(path: Path, token: str | bytes) -> Path:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(token.encode() if isinstance(token, str) else token)
    return path


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "all three were asked for"
    return pipe


def _told(exit_code: int) -> str:
    """An exit code in words, for errors.

    >>> _told(78), _told(-9)
    ('exit code 78', 'exit code -9 (SIGKILL)')
    """
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = "a signal"
    return f"exit code {exit_code} ({name})"
