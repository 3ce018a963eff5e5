"""``handicapper config``: check a settings file, show what is in force."""

from __future__ import annotations

import sys

import click

from ..protocol.errors import SettingsError
from .exit_codes import BAD_SETTINGS
from .options import json_option
from .output import emit_json

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
@json_option
def show_command(file: str | None, as_json: bool) -> None:
    """Print the settings as TOML with every key explained: the defaults, or those of FILE completed.

    The output is a valid settings file: handicapper config show > my.toml
    """
    from ..config import default_settings, load_settings, settings_to_dict, settings_to_toml

    settings = default_settings() if file is None else load_settings(file)
    if as_json:
        emit_json(settings_to_dict(settings))
    else:
        sys.stdout.write(settings_to_toml(settings))
