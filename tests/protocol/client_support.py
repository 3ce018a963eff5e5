"""Servers for the clients' tests: the real one on a thread, and scripted ones that misbehave on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgpack
import msgspec

from handicapper.actors import Learner
from handicapper.bin.daemon.turns import Turns
from handicapper.config import Persistence, Settings
from handicapper.protocol.limits import WireLimits
from handicapper.protocol.messages import (
    ConfigReply,
    HelloReply,
    MarketResolved,
    Prediction,
    TradeOutcome,
)
from handicapper.protocol.server import Server

T0 = 1_700_000_000_000_000_000
MINUTE = 60 * 10**9
DEADLINE_SECONDS = 60.0
"""Far beyond anything expected: reached only when something is broken."""
SOON_SECONDS = 0.05
"""A deadline that is meant to pass, because nobody answers."""
ANSWERED_SECONDS = 2.0
"""One that is meant to pass after others were answered, on a busy machine too."""
SMALL = Settings(
    persistence=Persistence(save_interval_secs=86_400.0, initial_map_mib=4, idempotency_filter_mib=1)
)


def prediction(number: int, model: str = "m", **fields: Any) -> Prediction:
    known: dict[str, Any] = {
        "prediction_id": f"p{number}",
        "model_id": model,
        "market_id": f"k{number}",
        "outcome": "YES",
        "confidence": 0.7,
        "predicted_at": T0 + number * MINUTE,
    }
    return Prediction(**(known | fields))


def resolution(number: int, **fields: Any) -> MarketResolved:
    known: dict[str, Any] = {"market_id": f"k{number}", "resolved_at": T0 + number * MINUTE + 1}
    return MarketResolved(**(known | ({} if fields else {"winner": "YES"}) | fields))


def outcome(number: int, model: str = "m", **fields: Any) -> TradeOutcome:
    known: dict[str, Any] = {
        "prediction_id": f"o{number}",
        "model_id": model,
        "predicted_outcome": "YES",
        "actual_outcome": "YES" if number % 3 else "NO",
        "resolved_at": T0 + number * MINUTE,
    }
    return TradeOutcome(**(known | fields))


def eventually(condition: Callable[[], bool]) -> None:
    """Look again and again for something that no event announces."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "condition never became true"
        time.sleep(0.001)


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose name leaves room for a socket's."""
    made = tempfile.mkdtemp(prefix="hc-", dir="/tmp")
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)


class Serving:
    """The real server and a real learner, on a thread of their own; may be stopped and started again."""

    def __init__(
        self, directory: Path, *, token: bytes | None = None, settings: Settings = SMALL, **limits: Any
    ) -> None:
        self.directory = directory
        self.path = str(directory / "socket")
        self.unix = f"unix:{self.path}"
        self.tcp = ""
        self._token = token
        self._settings = settings
        self._limits = WireLimits(**limits)
        self._thread: threading.Thread | None = None
        self.learner: Learner
        self.server: Server

    def start(self) -> Serving:
        started = threading.Event()
        failures: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self._serve(started))
            except BaseException as error:  # noqa: BLE001  # the test is to see it
                failures.append(error)
                started.set()

        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert started.wait(DEADLINE_SECONDS)
        if failures:
            raise failures[0]
        return self

    async def _serve(self, started: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        failures: list[Exception] = []
        turns = Turns(loop, failures.append)
        with Learner(self.directory / "state", self._settings, wake=turns.wake) as self.learner:
            turns.drive(self.learner)
            self.server = Server(
                self.learner,
                self._limits,
                token=self._token,
                config=lambda: ConfigReply(settings={"a": 1}, source=None),
            )
            await self.server.start_unix(self.path)
            host, port = await self.server.start_tcp()
            self.tcp = f"tcp:{host}:{port}"
            self._loop = loop
            self._over = asyncio.Event()
            started.set()
            await self._over.wait()
            await self.server.stop(5.0)
        assert not failures
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            thread.join(DEADLINE_SECONDS)
            assert not thread.is_alive()

    def on_loop(self, action: Callable[[], Any]) -> Any:
        """Do something on the server's thread."""

        async def act() -> Any:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(DEADLINE_SECONDS)

    def hang_up(self) -> None:
        """Cut every connection."""
        self.on_loop(lambda: [edge.abort() for edge in list(self.server._edges)])

    @property
    def connections(self) -> int:
        return self.server.statistics.connections_total


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[Serving]:
    """The real server in a directory of its own."""
    with short_directory() as directory:
        made = Serving(directory, **options).start()
        try:
            yield made
        finally:
            made.stop()


class Peer:
    """The server's end of one connection, by hand."""

    def __init__(self, made: socket.socket) -> None:
        self.socket = made
        self._unpacker = msgpack.Unpacker(strict_map_key=False)

    def message(self) -> list[Any]:
        """The next message; EOFError at the end."""
        while True:
            for message in self._unpacker:
                return message
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError
            self._unpacker.feed(data)

    def call(self) -> tuple[int, str, Any]:
        """The next request: msgid, method, params."""
        kind, msgid, method, params = self.message()
        assert kind == 0
        return msgid, method, params

    def greet(self, protocol: tuple[int, int] = (1, 0), **limits: Any) -> Any:
        """Answer ``hello``; returns its params."""
        msgid, method, params = self.call()
        assert method == "hello"
        reply = HelloReply(
            server="scripted 0",
            protocol=protocol,
            pid=1,
            state_dir="",
            limits=WireLimits(**limits),
            methods=(),
            topics=(),
        )
        self.answer(msgid, msgspec.to_builtins(reply))
        return params

    def answer(self, msgid: int | None, result: Any) -> None:
        self.send([1, msgid, None, result])

    def refuse(self, msgid: int | None, fault: int, text: str) -> None:
        self.send([1, msgid, [fault, text], None])

    def send(self, message: Any) -> None:
        self.socket.sendall(msgpack.packb(message))

    def wait_for_end(self) -> None:
        """Until the client closes."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                self.message()


Script = Callable[[Peer], Any]


@contextlib.contextmanager
def scripted(*scripts: Script) -> Iterator[str]:
    """A server that plays one script per connection, the last one for all that come after. Gives its address.

    A connection is closed when its script ends. What a script raises (but for the client's leaving) fails the test.
    """
    with short_directory() as directory, ExitStack() as stack:
        path = str(directory / "s")
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(16)
        open_sockets: set[socket.socket] = set()
        failures: list[BaseException] = []
        threads: list[threading.Thread] = []

        def play(script: Script, made: socket.socket) -> None:
            try:
                script(Peer(made))
            except (EOFError, ConnectionResetError, BrokenPipeError):
                pass
            except BaseException as error:  # noqa: BLE001  # the test is to see it
                failures.append(error)
            finally:
                open_sockets.discard(made)
                made.close()

        def accept() -> None:
            for number in range(10**6):
                try:
                    made, _ = listener.accept()
                except OSError:
                    return
                open_sockets.add(made)
                script = scripts[min(number, len(scripts) - 1)]
                threads.append(threading.Thread(target=play, args=(script, made)))
                threads[-1].start()

        threads.append(threading.Thread(target=accept))
        threads[0].start()
        try:
            yield f"unix:{path}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            threads[0].join(DEADLINE_SECONDS)
            for made in list(open_sockets):
                with contextlib.suppress(OSError):
                    made.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(DEADLINE_SECONDS)
        assert not failures, failures


RECEIPT = {"seq": 7}


def answer_everything(peer: Peer, **limits: Any) -> None:
    """A well-behaved server whose every result is one receipt."""
    peer.greet(**limits)
    while True:
        message = peer.message()
        if message[0] == 0:
            peer.answer(message[1], "pong" if message[2] == "ping" else RECEIPT)


class Cut:
    """Between a client and the real server: can let a request through, and lose the answer with the connection."""

    def __init__(self, server_path: str, directory: Path) -> None:
        self.address = f"unix:{directory / 'cut'}"
        self.lose_answers = 0
        """To so many requests, one connection each, the answers are lost."""
        self.lost = 0
        self._server_path = server_path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / "cut"))
        self._listener.listen(16)
        self._sockets: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server_path)
            self._sockets |= {client, server}
            for source, target, name in ((client, server, "requests"), (server, client, "answers")):
                self._threads.append(threading.Thread(target=self._forward, args=(source, target, name)))
                self._threads[-1].start()

    def _forward(self, source: socket.socket, target: socket.socket, name: str) -> None:
        greeted = False
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if name == "answers" and greeted and self.lose_answers:
                    self.lose_answers -= 1
                    self.lost += 1
                    break
                greeted = True
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(DEADLINE_SECONDS)
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE_SECONDS)
        for each in self._sockets:
            each.close()
        self._listener.close()


@contextlib.contextmanager
def cut(server: Serving) -> Iterator[Cut]:
    """A :class:`Cut` in front of a server."""
    with short_directory() as directory:
        made = Cut(server.path, directory)
        try:
            yield made
        finally:
            made.close()
