"""A daemon under attack, and a watch over it and over a client that did nothing wrong."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..daemon import Daemon, serving
from ..wire import DEADLINE_SECONDS, Address, eventually

collect_ignore = ["bystander.py"]

MIB = 2**20
# Python gives memory back late: what 4,096 requests in flight take as objects may stay for a while. What an attack
# sends is many times that, so a leak shows all the same.
GROWTH_BYTES_MAX = 96 * MIB
"""More than an attack may make resident at any moment. The server may hold, of one connection: a message being
put together (1 MiB) with the copy its framer reads, one read, 4,096 requests in flight (1 KB each) and as many answers;
beside that the bystander's own predictions (1 KB each), journal pages and the allocator's slack. What it must not
hold is what the attacks send: 200,000 requests as objects would be over 100 MB, one 16 MB message twice 32 MB."""
SETTINGS = """
[online_learning.server]
partial_message_timeout_secs = 2.0
read_timeout_secs = 4.0

[online_learning.persistence]
save_interval_secs = 86400
snapshot_inputs_max = 1000000000
"""
"""Times shorter than by default, so that a test need not wait long for them. No snapshot comes in between: what it
takes of memory and time is not the attack's."""

Watch = Callable[..., AbstractContextManager[None]]

_names = itertools.count(1)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon under all attacks of a module. At the end it leaves as if nothing had been."""
    with serving(tmp_path_factory.mktemp("hostile"), SETTINGS) as daemon:
        yield daemon


@pytest.fixture(params=["unix", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def watch(daemon: Daemon) -> Watch:
    """``with watch("flood"):`` another client is served meanwhile, memory stays bounded, nothing leaks."""

    @contextmanager
    def watching(
        attack: str, growth_bytes_max: int = GROWTH_BYTES_MAX, busy_allowed: bool = False
    ) -> Iterator[None]:
        watched = Watched(daemon, attack, Bystander(daemon.unix))
        try:
            yield
            figures = watched.bystander.stop()
        finally:
            watched.bystander.kill()
        growth = watched.report(figures)
        assert figures["mistakes"] == []
        assert busy_allowed or figures["busy"] == 0
        assert growth <= growth_bytes_max
        eventually(lambda: daemon.open_files() <= watched.files_before, "every connection closed")
        assert daemon.alive()

    return watching


class Bystander:
    """``bystander.py``, running."""

    def __init__(self, address: Address) -> None:
        script = Path(__file__).with_name("bystander.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), json.dumps(address), f"bystander{next(_names)}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert self._process.stdout is not None
            assert json.loads(self._process.stdout.readline()) == {"ready": True}
        except BaseException:
            self.kill()
            raise

    def stop(self) -> dict[str, Any]:
        """Let it finish, and what it saw."""
        output, _ = self._process.communicate(timeout=DEADLINE_SECONDS)
        assert self._process.returncode == 0
        return json.loads(output)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


@dataclass
class Watched:
    """A daemon before an attack."""

    daemon: Daemon
    attack: str
    bystander: Bystander

    def __post_init__(self) -> None:
        self.files_before = self.daemon.open_files()
        self.daemon.forget_peak()
        self.bytes_before = self.daemon.memory_bytes()

    def report(self, figures: dict[str, Any]) -> int:
        """Print what the attack did to others and to memory; by how many bytes that grew at its highest."""
        after, peak = self.daemon.memory_bytes(), self.daemon.peak_memory_bytes()
        question, given = figures["question"], figures["input"]
        print(
            f"\n{self.attack:<44} another client: question p50 {question['p50_ms']:.2f} p99 {question['p99_ms']:.2f} "
            f"max {question['max_ms']:.1f} ms, durable input p50 {given['p50_ms']:.2f} p99 {given['p99_ms']:.2f} ms "
            f"({question['count']} and {given['count']}, {figures['busy']} busy); RSS {self.bytes_before / MIB:.1f} → "
            f"{after / MIB:.1f}, peak {peak / MIB:.1f} MiB"
        )
        return peak - self.bytes_before
