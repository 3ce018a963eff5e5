"""Commands about what went wrong: models given up, and messages nobody could handle."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from .exit_codes import DIFFERENCES
from .output import emit
from .state_commands import model_argument, state_command
from .tables import Column, Table, fields_table
from .target import Target, opened
from .times import format_time_ns

if TYPE_CHECKING:
    from ..protocol.messages import DeadLetter

__all__ = ["SUPERVISION_COMMANDS"]


@state_command("restart", "Bring back a model that was given up.")
@model_argument
def restart_command(target: Target, as_json: bool, model_id: str) -> None:
    """Bring back MODEL, which was given up: rebuilt from its whole history.

    Nothing happens to one that was not. Opening a state directory brings all models back by itself, so that this is for
    a running daemon.
    """
    with opened(target) as learner:
        receipt = learner.restart(model_id)
    fields = [("restarted", "yes" if receipt.restarted else "no: it was not given up")]
    if receipt.restarted:
        fields.append(("applied up to", str(receipt.applied_seq)))
    emit(as_json, receipt, fields_table("", fields))


@state_command("dead-letters", "List the messages nobody could handle.")
def dead_letters_command(target: Target, as_json: bool) -> None:
    """List the newest messages that nobody could handle, oldest first. They are held in memory."""
    with opened(target) as learner:
        letters = learner.dead_letters()
    emit(as_json, {"dead_letters": letters}, _letters_table(letters))


@state_command("replay-dead-letters", "Try dead letters again.")
@click.argument("ids", metavar="[ID...]", nargs=-1, type=click.IntRange(min=0))
@click.pass_context
def replay_dead_letters_command(
    ctx: click.Context, target: Target, as_json: bool, ids: tuple[int, ...]
) -> None:
    """Try the dead letters with these ids again, or all of them; exit with 1 if one was refused again.

    Inputs go the ordinary way, where repeating one is safe; a model that could not fold an event is rebuilt.
    """
    with opened(target) as learner:
        replay = learner.replay_dead_letters(list(ids) or None)
    fields = [
        ("replayed", _listed(replay.replayed)),
        *((f"failed: {number}", str(error)) for number, error in replay.failed),
        ("not replayable", _listed(replay.not_replayable)),
        *([("unknown", _listed(replay.unknown))] if replay.unknown else []),
    ]
    shown = {
        "replayed": replay.replayed,
        "failed": [{"id": number, "error": str(error)} for number, error in replay.failed],
        "not_replayable": replay.not_replayable,
        "unknown": replay.unknown,
    }
    emit(as_json, shown, fields_table("", fields))
    if replay.failed:
        sys.stdout.flush()
        ctx.exit(DIFFERENCES)


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _letters_table(letters: list[DeadLetter]) -> Table:
    columns = [
        Column("id"),
        *(
            Column(heading, numeric=False)
            for heading in ("at", "for", "tries", "replayable", "reason", "message")
        ),
    ]
    rows = [
        [
            str(letter.id),
            format_time_ns(letter.at),
            letter.recipient,
            str(letter.attempts),
            "yes" if letter.replayable else "no",
            letter.reason,
            letter.message,
        ]
        for letter in letters
    ]
    return Table("", columns, rows)


SUPERVISION_COMMANDS: tuple[click.Command, ...] = (
    restart_command,
    dead_letters_command,
    replay_dead_letters_command,
)
