"""``handicapper serve``: the learner as a daemon.

The command itself only checks what it was told; the daemon is imported once there is something to run.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ..protocol.addresses import TcpAddress
from ..protocol.errors import SettingsError
from .daemon.descriptors import check_ready_fd, secure_standard_fds
from .daemon.endpoints import SOCKET_NAME, TCP_ADDRESS, Endpoints
from .daemon.parent import require_stdin
from .exit_codes import BAD_SETTINGS, INTERNAL, OK
from .opening import LOG_LEVEL_VARIABLE, settings_from
from .options import config_option

if TYPE_CHECKING:
    from .daemon.log import LogFormat

__all__ = ["ServeOptions", "serve_command"]

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What the command line says."""

    state_dir: str
    config_file: str | None
    endpoints: Endpoints
    ready_fd: int | None
    parent_watch: bool
    log_format: LogFormat | None
    log_level: str


@click.command("serve", short_help="Serve a learner on a unix socket and TCP.")
@click.option(
    "--state",
    "state_dir",
    metavar="DIR",
    envvar="HANDICAPPER_STATE",
    show_envvar=True,
    help="State directory; made if it is not there.",
)
@config_option
@click.option(
    "--unix",
    metavar="PATH",
    help=f"Unix socket to listen on; default: unix_path of the settings; without that, --tcp and a socket handed over: "
    f"{SOCKET_NAME} in the state directory.",
)
@click.option(
    "--tcp", type=TCP_ADDRESS, metavar="HOST:PORT", help="TCP address to listen on; port 0: a free one."
)
@click.option("--host", metavar="HOST", help="The same as --tcp, with --port; default: 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT", help="See --host.")
@click.option(
    "--token-file",
    metavar="FILE",
    help="Token that clients on TCP must bring; needed beyond loopback. Mode 0600 or stricter.",
)
@click.option(
    "--ready-fd",
    type=click.IntRange(3),
    metavar="N",
    help="Write the line that standard output gets also to this descriptor, and close it.",
)
@click.option("--parent-watch", is_flag=True, help="Leave when standard input ends: when the parent does.")
@click.option("--check-config", is_flag=True, help="Name every problem of the settings, and exit: 0 or 78.")
@click.option(
    "--log-format",
    type=click.Choice(["json", "console"]),
    help="Of the log on standard error; default: json, on a terminal console.",
)
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS, case_sensitive=False),
    envvar=LOG_LEVEL_VARIABLE,
    show_envvar=True,
    default="info",
    show_default=True,
    help="Least level to be logged.",
)
@click.pass_context
def serve_command(ctx: click.Context, check_config: bool, **values: Any) -> None:
    """Serve a learner on a unix socket and on TCP, in MessagePack-RPC (see PROTOCOL.md).

    Prints one line of JSON when it is ready, and nothing else; logs to standard error.

    SIGTERM and SIGINT end it: what is in flight is answered, then a snapshot is written. A second one ends it
    at once; what was acknowledged is durable either way. SIGHUP reads the settings file again.
    """
    options = _options(**values, checking=check_config)
    if check_config:
        ctx.exit(_check(options))
    if options.parent_watch:
        require_stdin()
    if options.ready_fd is not None:
        check_ready_fd(options.ready_fd)
    secure_standard_fds()
    ctx.exit(_serve(options))


def _options(
    *,
    state_dir: str | None,
    unix: str | None,
    tcp: TcpAddress | None,
    host: str | None,
    port: int | None,
    token_file: str | None,
    checking: bool,
    **others: Any,
) -> ServeOptions:
    if not state_dir and not checking:
        raise click.UsageError("Missing option '--state' (env var: 'HANDICAPPER_STATE').")
    if port is None and host is not None:
        raise click.UsageError("--host needs --port")
    if port is not None:
        if tcp is not None:
            raise click.UsageError("--tcp and --port say the same; give one of them")
        tcp = TcpAddress(host or "127.0.0.1", port)
    if unix == "":
        raise click.UsageError("--unix was empty; expected a path")
    endpoints = Endpoints(unix=unix, tcp=tcp, token_file=token_file)
    return ServeOptions(state_dir=state_dir or "", endpoints=endpoints, **others)


def _check(options: ServeOptions) -> int:
    """Everything that can be told without touching the state directory, one problem a line."""
    from ..config import default_settings
    from .daemon.turn_limits import turn_problems

    source = options.config_file or "the shipped settings"
    problems: list[str] = []
    server = default_settings().server
    try:
        settings = settings_from(options.config_file)
        if settings is not None:
            server = settings.server
            problems.extend(turn_problems(settings))
    except SettingsError as error:
        problems.extend(error.problems)
    chosen = Endpoints.choose(
        options.endpoints, server, options.state_dir or None, activated="LISTEN_FDS" in os.environ
    )
    problems.extend(chosen.problems())
    for problem in problems:
        sys.stderr.write(f"handicapper: SETTINGS_INVALID {source}: {problem}\n")
    return BAD_SETTINGS if problems else OK


def _serve(options: ServeOptions) -> int:
    from .daemon.log import serve_log  # lazily, all of these: --help must not wait for them
    from .daemon.shutdown import Shutdown

    shutdown = Shutdown()
    with shutdown.installed(), serve_log(options.log_format, options.log_level) as shutdown.log:
        try:
            from .daemon.running import run_daemon

            return run_daemon(options, shutdown)
        except Exception:
            # The last place where it can be told: standard error may be a pipe that nobody reads.
            logging.getLogger("handicapper.daemon").critical(
                "internal error", exc_info=True, extra={"exit_code": INTERNAL}
            )
            return INTERNAL
