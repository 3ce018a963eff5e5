"""The ``handicapper`` command: its group of commands, and how errors end.

No import at the top of a command module may bring in numpy, scipy or lmdb: ``handicapper --help`` and a
wrong argument answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata

import click

from ..protocol.compiled import compiled_modules
from ..protocol.errors import HandicapperError
from . import exit_codes
from .config_commands import config_group
from .pool_commands import POOL_COMMANDS
from .replay import replay_command
from .serve import serve_command
from .simulate import simulate_command
from .state_commands import STATE_COMMANDS
from .supervision_commands import SUPERVISION_COMMANDS
from .tables import printable

__all__ = ["cli", "main"]

_EXIT_CODES = "\b\nExit codes:\n" + "\n".join(
    f"{code:>5}  {said}" for code, said in exit_codes.DESCRIPTIONS.items()
)


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        count = len(compiled_modules())
        how = f"{count} modules compiled" if count else "pure Python"
        click.echo(f"handicapper {metadata.version('handicapper')} ({how})")
        ctx.exit()


@click.group(epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version, and whether modules run compiled.",
)
def cli() -> None:
    """Decide how far to trust each prediction model, from how its predictions ended."""


cli.add_command(replay_command)
cli.add_command(simulate_command)
cli.add_command(serve_command)
cli.add_command(config_group)
for _command in (*STATE_COMMANDS, *POOL_COMMANDS, *SUPERVISION_COMMANDS):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code (see :mod:`handicapper.bin.exit_codes`).

    Errors end as one line on standard error. With ``HANDICAPPER_TRACEBACK`` set in the environment, an
    error inside handicapper leaves its traceback instead.
    """
    code = _guarded(lambda: _invoke(arguments))
    flushed = _guarded(_flush)
    if flushed != exit_codes.OK:
        # What could not be written stays in the buffer, and the interpreter would complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code or flushed


def _invoke(arguments: Sequence[str] | None) -> int:
    """Run click without its own exits; commands that end early return their code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stdout is None:  # started with standard output closed
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    with cli.make_context("handicapper", args) as ctx:
        cli.invoke(ctx)
    return exit_codes.OK


def _flush() -> int:
    sys.stdout.flush()
    return exit_codes.OK


def _guarded(action: Callable[[], int]) -> int:
    """What ``action`` returns, or the exit code of how it failed, said in one line."""
    try:
        return action()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return exit_codes.BAD_USAGE
    except (click.Abort, KeyboardInterrupt):
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        return exit_codes.BROKEN_PIPE
    except HandicapperError as error:
        _complain(str(error))
        return exit_codes.exit_code_of(error)
    except OSError as error:
        if os.environ.get("HANDICAPPER_TRACEBACK"):
            raise
        _complain(f"OS_ERROR {error}")
        return exit_codes.CANNOT_WRITE
    except Exception as error:
        if os.environ.get("HANDICAPPER_TRACEBACK"):
            raise
        _complain(f"INTERNAL {type(error).__name__}: {error} (set HANDICAPPER_TRACEBACK=1 to see where)")
        return exit_codes.INTERNAL


def _complain(text: str) -> None:
    """One line on standard error; a reader that went away is no further error."""
    line = printable(" ".join(text.split()))
    try:
        sys.stderr.write(f"handicapper: {line}\n")
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
