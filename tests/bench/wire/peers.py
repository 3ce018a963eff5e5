"""The servers that are measured, each a process of its own on a unix socket, with its data on a real disk."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from .outcomes import resp
from .window import RedisReplies, ask, connect

__all__ = ["LUA", "Redis", "filesystem_of", "missing", "start_daemon", "start_naive", "start_redis"]

LUA = Path(__file__).parent / "lua"
_DEADLINE_SECONDS = 30.0
"""To start, and to stop by itself: reached only when something hangs."""


def missing() -> str | None:
    """Why Redis cannot be measured here; None if it can."""
    if shutil.which("redis-server") is None:
        return "redis-server is not installed (Debian: apt-get install redis-server)"
    try:
        import hiredis
    except ImportError:
        return "hiredis is not installed (pip install hiredis)"
    return None if hasattr(hiredis, "pack_command") else "hiredis is older than 2.1"


def filesystem_of(path: Path) -> str:
    """The type of the file system a path is on, such as ``ext4``; a tmpfs would make every fsync free."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted, found, *_ = line.split(" ")
        if len(mounted) >= len(best) and path.resolve().is_relative_to(mounted):
            best, kind = mounted, found
    return kind


class Redis:
    """A running redis-server, and its scripts."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.scripts: dict[str, str] = {}

    def ask(self, *command: str | bytes) -> Any:
        """One command, one reply; an error reply is raised."""
        import hiredis

        replies = RedisReplies()
        with connect(self.path) as connection:
            ask(connection, resp(*command), replies)
        (value,) = replies.values
        if isinstance(value, hiredis.ReplyError):
            raise value
        return value

    def load_scripts(self) -> None:
        """Compile every Lua file; ``scripts`` then has their digests by name."""
        for source in LUA.glob("*.lua"):
            self.scripts[source.stem] = self.ask("SCRIPT", "LOAD", source.read_bytes()).decode()

    def command_microseconds(self) -> dict[str, float]:
        """Mean time the server spent on each kind of command since it started."""
        rows = self.ask("INFO", "commandstats").decode().splitlines()
        stats = (row.removeprefix("cmdstat_").split(":", 1) for row in rows if row.startswith("cmdstat_"))
        return {name: float(rest.split("usec_per_call=")[1].split(",")[0]) for name, rest in stats}


@contextlib.contextmanager
def start_redis(directory: Path, appendfsync: str) -> Iterator[Redis]:
    """redis-server with an append-only file; a used directory is loaded again.

    The file is never rewritten while it is measured: that would only slow Redis down.
    """
    directory.mkdir(exist_ok=True)
    socket_path = directory / "redis.sock"
    options = {
        "--port": "0",
        "--unixsocket": str(socket_path),
        "--dir": str(directory),
        "--appendonly": "yes",
        "--appendfsync": appendfsync,
        "--save": "",
        "--auto-aof-rewrite-percentage": "0",
        "--loglevel": "warning",
        "--daemonize": "no",
    }
    words = ["redis-server", *(word for option in options.items() for word in option)]
    with _running(words, directory / "redis.log") as process:
        redis = Redis(str(socket_path))
        _wait_until_answering(redis, process, directory / "redis.log")
        redis.load_scripts()
        yield redis


def _wait_until_answering(redis: Redis, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it has loaded its file; nothing announces that to a client, so it is asked again and again."""
    import hiredis

    deadline = time.monotonic() + _DEADLINE_SECONDS
    while True:
        try:
            if redis.ask("PING") == b"PONG":
                return
        except (OSError, hiredis.ReplyError):
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"redis-server did not start:\n{log.read_text()}")
        select.select([], [], [], 0.01)


@contextlib.contextmanager
def start_daemon(
    directory: Path, *, settings: str | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """``handicapper serve``; gives the path of its socket, and the process."""
    directory.mkdir(exist_ok=True)
    socket_path = directory / "daemon.sock"
    words = [sys.executable, "-m", "handicapper.bin", "serve", "--state", str(directory / "state")]
    words += ["--unix", str(socket_path), "--log-level", "warning"]
    if settings is not None:
        (directory / "settings.toml").write_text(settings)
        words += ["--config", str(directory / "settings.toml")]
    with _running(words, directory / "daemon.log", announces=True, environment=environment) as process:
        line = _first_line(process, directory / "daemon.log")
        assert json.loads(line)["ready"] is True, line
        yield str(socket_path), process


@contextlib.contextmanager
def start_naive(directory: Path, journal_mode: str) -> Iterator[tuple[str, Path]]:
    """The naive server; gives the path of its socket, and its database."""
    directory.mkdir(exist_ok=True)
    socket_path, database = str(directory / "naive.sock"), directory / "naive.sqlite"
    script = Path(__file__).parent / "naive_server.py"
    words = [sys.executable, str(script), socket_path, str(database), journal_mode]
    with _running(words, directory / "naive.log", announces=True) as process:
        assert _first_line(process, directory / "naive.log") == b"ready\n"
        yield socket_path, database


@contextlib.contextmanager
def _running(
    words: Sequence[str], log: Path, *, announces: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process until the end of the block: asked to end, then killed."""
    with log.open("ab") as errors:
        output: int | IO[bytes] = subprocess.PIPE if announces else errors
        inherited = {**os.environ, **(environment or {})}
        process = subprocess.Popen(
            words, stdout=output, stderr=errors, stdin=subprocess.DEVNULL, env=inherited
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _first_line(process: subprocess.Popen[bytes], log: Path) -> bytes:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _DEADLINE_SECONDS)
    line = process.stdout.readline() if ready else b""
    if not line.endswith(b"\n"):
        raise RuntimeError(f"{process.args} did not say that it is ready:\n{log.read_text()}")
    return line
