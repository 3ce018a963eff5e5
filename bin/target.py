"""Whom a command asks: the learner in a state directory, or a daemon that runs one."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import click

from ..protocol.addresses import parse_address
from ..protocol.errors import InvalidValueError, SettingsError
from .errors import StateMissingError
from .opening import log_to_stderr, open_learner, settings_from
from .options import config_option

if TYPE_CHECKING:
    from ..actors import Learner
    from ..protocol import Client

    Asked: TypeAlias = Learner | Client

__all__ = [
    "CONNECT_VARIABLE",
    "STATE_VARIABLE",
    "Target",
    "connect_option",
    "connected",
    "existing",
    "opened",
    "target_options",
]

F = TypeVar("F", bound=Callable[..., Any])

STATE_VARIABLE = "HANDICAPPER_STATE"
CONNECT_VARIABLE = "HANDICAPPER_CONNECT"


class Target(NamedTuple):
    """Either ``state_dir`` or ``connect`` is given."""

    state_dir: str | None
    connect: str | None
    token_file: str | None
    config_file: str | None


def _address(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    return None if text is None else checked_address(text, "--connect")


def connect_option(function: F) -> F:
    """``--connect`` and ``--token-file``, of a command that asks a daemon only where it is told to."""
    return _connect_options(function, "")


def _connect_options(function: F, from_environment: str) -> F:
    token = click.option("--token-file", metavar="FILE", help="The daemon's token, where it wants one (TCP).")
    connect = click.option(
        "--connect",
        metavar="ADDRESS",
        callback=_address,
        help=f"Ask a running daemon: unix:PATH or tcp:HOST:PORT.{from_environment}",
    )
    return connect(token(function))


def checked_address(text: str, source: str) -> str:
    """The text, if it is an address.

    Raises:
        SettingsError: it is none.

    """
    try:
        parse_address(text)
    except InvalidValueError as error:
        raise SettingsError([error.message], source) from None
    return text


def target_options(function: F) -> F:
    """Options of a command that asks a learner, wherever it runs; it is called with ``target``."""

    @functools.wraps(function)
    def command(
        *arguments: Any,
        state_dir: str | None,
        connect: str | None,
        token_file: str | None,
        config_file: str | None,
        **options: Any,
    ) -> Any:
        target = _chosen(state_dir, connect, token_file, config_file)
        return function(*arguments, target=target, **options)

    state = click.option(
        "--state",
        "state_dir",
        metavar="DIR",
        help=f"State directory; must exist. [env var: {STATE_VARIABLE}]",
    )
    asked = _connect_options(config_option(command), f" [env var: {CONNECT_VARIABLE}]")
    return state(asked)  # pyright: ignore[reportReturnType]


def _chosen(
    state_dir: str | None, connect: str | None, token_file: str | None, config_file: str | None
) -> Target:
    """What the options ask for; what stands in the environment only counts where they ask for nothing."""
    if state_dir is None and connect is None:
        state_dir = os.environ.get(STATE_VARIABLE) or None
        connect = os.environ.get(CONNECT_VARIABLE) or None
        if state_dir is not None and connect is not None:
            raise click.UsageError(
                f"both {STATE_VARIABLE} and {CONNECT_VARIABLE} are set; say --state or --connect"
            )
        if connect is not None:
            connect = checked_address(connect, CONNECT_VARIABLE)
    if state_dir is not None and connect is not None:
        raise click.UsageError("--state opens a directory, --connect asks the daemon that runs it; give one")
    if state_dir is None and connect is None:
        raise click.UsageError("--state DIR is missing, or --connect ADDRESS to ask a running daemon")
    source = click.get_current_context().get_parameter_source("config_file")
    if connect is not None and config_file is not None:
        if source is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("--config cannot be given with --connect: the daemon has its own settings")
        config_file = None
    return Target(state_dir, connect, token_file, config_file)


def existing(state_dir: str) -> str:
    """The directory, if it holds a state: looking at one must not make one."""
    found = None
    if not os.path.lexists(state_dir):
        found = "does not exist"
    elif not os.path.isdir(state_dir):
        found = "is not a directory"
    else:
        from ..actors.state_directory import DATA_FILE, MARKER_FILE  # lazily: imports scipy

        if not any(os.path.exists(os.path.join(state_dir, name)) for name in (DATA_FILE, MARKER_FILE)):
            found = "holds no state"
    if found is not None:
        raise StateMissingError(
            f"state directory {state_dir} {found}; 'replay --state', 'serve' or a learner makes one"
        )
    return state_dir


@contextlib.contextmanager
def opened(target: Target) -> Iterator[Asked]:
    """The learner of the directory, opened; or a client of the daemon, which has the same calls."""
    if target.connect is not None:
        with connected(target.connect, target.token_file) as client:
            yield client
        return
    assert target.state_dir is not None
    settings = settings_from(target.config_file)
    with log_to_stderr(), open_learner(existing(target.state_dir), settings, create=False) as learner:
        yield learner


def connected(address: str, token_file: str | None) -> Client:
    """A client of a running daemon."""
    from ..protocol import Client  # lazily: not needed for --help
    from .daemon.token_file import read_token

    token = None if token_file is None else read_token(token_file)
    return Client(address, token=token, client_name="handicapper command")
