"""``handicapper config``: check a settings file, show what is in force."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import click

from ..protocol.errors import SettingsError
from .exit_codes import BAD_SETTINGS
from .options import json_option
from .output import emit_json
from .target import connect_option, connected

if TYPE_CHECKING:
    from ..config import Settings

__all__ = ["config_group"]


@click.group("config")
def config_group() -> None:
    """Check and show settings."""


@config_group.command("check")
@click.argument("file", metavar="[FILE]", required=False)
@json_option
@click.pass_context
def check_command(ctx: click.Context, file: str | None, as_json: bool) -> None:
    """Check a settings file and name every problem in it. Without FILE, check the shipped defaults.

    Exits with 78 if there are problems.
    """
    from ..config import load_settings, parse_settings, shipped_toml  # lazily: not needed for --help

    source = "the shipped settings" if file is None else file
    problems: tuple[str, ...] = ()
    try:
        if file is None:
            parse_settings(shipped_toml(), source)
        else:
            load_settings(file)
    except SettingsError as error:
        problems = error.problems
    if as_json:
        emit_json({"file": file, "ok": not problems, "problems": problems})
    elif not problems:
        sys.stdout.write(f"{source}: ok\n")
    for problem in problems:
        sys.stderr.write(f"handicapper: SETTINGS_INVALID {source}: {problem}\n")
    if problems:
        ctx.exit(BAD_SETTINGS)


@config_group.command("show")
@click.argument("file", metavar="[FILE]", required=False)
@connect_option
@json_option
def show_command(file: str | None, connect: str | None, token_file: str | None, as_json: bool) -> None:
    """Print the settings as TOML with every key explained: the defaults, or those of FILE completed.

    With --connect, those in force in a running daemon.

    The output is a valid settings file: handicapper config show > my.toml
    """
    from ..config import default_settings, load_settings, settings_to_dict, settings_to_toml

    if connect is not None and file is not None:
        raise click.UsageError("FILE or --connect: settings come from one of them")
    if connect is not None:
        settings = _of_daemon(connect, token_file)
    else:
        settings = default_settings() if file is None else load_settings(file)
    if as_json:
        emit_json(settings_to_dict(settings))
    else:
        sys.stdout.write(settings_to_toml(settings))


def _of_daemon(address: str, token_file: str | None) -> Settings:
    """The settings in force in a running daemon; what waits for its restart is said on standard error."""
    from ..config import settings_from_dict

    with connected(address, token_file) as client:
        reply = client.config()
    for key in reply.needs_restart:
        sys.stderr.write(
            f"handicapper: {key} was changed in {reply.source}, and holds from the next start on\n"
        )
    return settings_from_dict(_with_infinity(reply.settings), str(address))


def _with_infinity(value: Any) -> Any:
    """``"inf"`` as the number that MessagePack has, but the protocol has not."""
    if isinstance(value, dict):
        return {key: _with_infinity(item) for key, item in value.items()}
    return math.inf if value == "inf" else value
