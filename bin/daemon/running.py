"""The daemon's life: open, listen, say so, serve, drain, snapshot, leave.

The state directory is locked before a socket is touched, and let go of after the last one is gone. The main
thread runs the event loop, and the loop runs the learner's actors; the journal has a thread to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ...actors import Learner
from ...actors.log import get_logger
from ...actors.state_directory import announce_daemon
from ...config import Settings, default_settings
from ...protocol.compiled import compiled_modules
from ...protocol.errors import HandicapperError, SettingsError, error_from_wire
from ...protocol.server import Server
from ..exit_codes import INTERNAL, OK, exit_code_of
from ..opening import settings_from
from .descriptors import raise_file_limit
from .endpoints import Endpoints
from .garbage import calm_collector
from .health import look_after
from .listening import Listener, listen
from .model_log import log_models
from .parent import watch_parent
from .readiness import announce, ready_line
from .reloading import Reloading
from .sdnotify import Activated, ServiceManager, activated_sockets
from .shutdown import PARENT_GONE_SECONDS, Shutdown
from .turn_limits import turn_problems
from .turns import Turns

if TYPE_CHECKING:
    from ..serve import ServeOptions

__all__ = ["LOOP_VARIABLE", "Daemon", "run_daemon"]

LOOP_VARIABLE: Final = "HANDICAPPER_LOOP"
DRAIN_SHARE: Final = 2 / 3
"""Of the time a stop may take: the rest is for the snapshot."""

BROKEN_SECONDS: Final = 2.0
"""For a stop when the actors cannot run: what is in flight cannot be answered any more."""

SWITCH_SECONDS: Final = 0.0005
"""For how long a thread that computes keeps the interpreter from the event loop, which asks for it some three times a
message: by Python's own 5 ms it waits 15 ms behind the reports of a thousand models."""

_log = get_logger("daemon")


def run_daemon(options: ServeOptions, shutdown: Shutdown) -> int:
    """Serve until told to leave; returns the exit code. Why it cannot, if so, is in the log."""
    manager = ServiceManager.from_environment(os.environ)
    try:
        activated = activated_sockets(os.environ)
        settings = settings_from(options.config_file)
        server = (settings or default_settings()).server
        endpoints = Endpoints.choose(options.endpoints, server, options.state_dir, activated=bool(activated))
        problems = endpoints.problems()
        if problems:
            raise SettingsError(problems, "addresses")
        if settings is not None and (problems := turn_problems(settings)):
            raise SettingsError(problems, options.config_file or "settings")
        daemon = Daemon(options, settings, endpoints, activated, shutdown, manager)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(daemon.run())
    except HandicapperError as error:
        code = exit_code_of(error)
        details = {"problems": list(error.problems)} if isinstance(error, SettingsError) else {}
        _log.critical("cannot serve", error=str(error), code=error.code, exit_code=code, **details)
        manager.stopping(str(error))
        return code


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop, where it is installed and not declined."""
    wanted = os.environ.get(LOOP_VARIABLE, "auto")
    if wanted not in ("auto", "asyncio", "uvloop"):
        raise SettingsError(
            [f"{LOOP_VARIABLE} was {wanted!r}; expected asyncio, uvloop or auto (uvloop if there)"],
            "environment",
        )
    if wanted == "asyncio":
        return None
    try:
        import uvloop  # pyright: ignore[reportMissingImports]  # optional
    except ImportError:
        if wanted == "uvloop":
            raise SettingsError(
                [f"{LOOP_VARIABLE} was 'uvloop', which is not installed: pip install handicapper[speed]"],
                "environment",
            ) from None
        return None
    return uvloop.new_event_loop


@dataclass
class Daemon:
    """One life of the daemon; see the module."""

    options: ServeOptions
    settings: Settings | None
    endpoints: Endpoints
    activated: list[Activated]
    shutdown: Shutdown
    manager: ServiceManager
    _code: int = field(default=OK, init=False)

    async def run(self) -> int:
        """From opening to leaving; returns the exit code.

        Raises:
            HandicapperError: it could not begin.

        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_loop_error)
        leave = asyncio.Event()
        self.shutdown.on_request = lambda: _call_soon(loop, leave.set)
        if self.options.parent_watch:
            watch_parent(lambda: self.shutdown.request("standard input has ended", PARENT_GONE_SECONDS))
        with self._opened(loop) as learner:
            self.shutdown.opening = False
            self.shutdown.stop_seconds = learner.settings.supervision.stop_timeout_secs
            if self.shutdown.reason is None:
                async with self._serving(learner, loop):
                    await leave.wait()
                    _log.info("stopping", reason=self.shutdown.reason)
                    self.manager.stopping(f"stopping: {self.shutdown.reason}")
            self._close(learner)
        return self._code

    @contextlib.contextmanager
    def _opened(self, loop: asyncio.AbstractEventLoop) -> Iterator[Learner]:
        def failed(error: Exception) -> None:
            _log.critical("internal error: the actors cannot run", error=repr(error), exc_info=error)
            self._code = self.shutdown.hard_exit_code = INTERNAL
            self.shutdown.request("internal error", BROKEN_SECONDS)

        turns = Turns(loop, failed)
        self.manager.status("opening the state directory")
        with Learner(self.options.state_dir, self.settings, wake=turns.wake) as learner:
            turns.drive(learner)
            log_models(learner)
            yield learner

    @contextlib.asynccontextmanager
    async def _serving(self, learner: Learner, loop: asyncio.AbstractEventLoop) -> AsyncIterator[None]:
        """Listening, answering, told to everybody; afterwards drained, and the sockets gone."""
        state_dir = os.path.abspath(self.options.state_dir)
        reloading = Reloading(learner, self.options.config_file, self.manager)
        listeners = listen(self.endpoints, self.activated)
        self.shutdown.at_hard_stop = lambda: _remove(listeners)
        server = None
        try:
            announce_daemon(state_dir, [one.address for one in listeners if one.reachable])
            server = self._server(learner, reloading, state_dir)
            for listener in listeners:
                if listener.kind == "unix":
                    await server.start_unix(listener.sock)
                else:
                    await server.start_tcp(sock=listener.sock)
            calm_collector()
            sys.setswitchinterval(SWITCH_SECONDS)
            self._tell_ready(learner, listeners, state_dir)
            self.shutdown.on_reload = lambda: _call_soon(loop, reloading.ask)
            if self.shutdown.reload_asked:
                reloading.ask()
            looking = asyncio.create_task(look_after(learner, self.manager))
            try:
                yield
            finally:
                looking.cancel()
        finally:
            _remove(listeners)
            if server is not None:
                await server.stop(self.shutdown.seconds_left * DRAIN_SHARE)
            for listener in listeners:
                listener.close()

    def _server(self, learner: Learner, reloading: Reloading, state_dir: str) -> Server:
        limits = (self.settings or default_settings()).server.wire_limits()
        room = raise_file_limit(limits.connections_max)
        if room < limits.connections_max:
            _log.warning(
                "fewer file descriptors than connections; raise the limit (ulimit -n, LimitNOFILE=)",
                connections_max=limits.connections_max,
                room_for=room,
            )
        return Server(
            learner, limits, token=self.endpoints.token(), state_dir=state_dir, config=reloading.config
        )

    def _tell_ready(self, learner: Learner, listeners: list[Listener], state_dir: str) -> None:
        seq = learner.statistics().durable_seq
        announce(ready_line(listeners, journal_seq=seq, state_dir=state_dir), self.options.ready_fd)
        addresses = [listener.address for listener in listeners]
        self.manager.ready(f"serving on {', '.join(addresses)}")
        _log.info(
            "ready",
            addresses=addresses,
            pid=os.getpid(),
            state_dir=state_dir,
            journal_seq=seq,
            compiled_modules=len(compiled_modules()),
        )

    def _close(self, learner: Learner) -> None:
        """The last snapshot; and the exit code, if anything was wrong."""
        failure = learner.statistics().failure
        try:
            learner.close()
        except HandicapperError as error:
            failure = str(error)
            _log.error("the last snapshot was not written; the next start replays more", error=failure)
        if self._code == OK and failure is not None:
            self._code = exit_code_of(error_from_wire(failure))
        self.shutdown.hard_exit_code = self._code  # nothing is left but the log
        _log.info("stopped", reason=self.shutdown.reason, exit_code=self._code)


def _call_soon(loop: asyncio.AbstractEventLoop, action: Callable[[], Any]) -> None:
    """On the loop's thread, from anywhere; nothing once the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(action)


def _remove(listeners: list[Listener]) -> None:
    for listener in listeners:
        listener.remove()


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What went wrong in a callback: the others go on."""
    error = context.get("exception")
    _log.error("error in the event loop", message=context.get("message"), error=repr(error), exc_info=error)
