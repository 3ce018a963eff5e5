"""Commands about how it runs: what was counted, models given up, and messages nobody could handle."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from msgspec import structs

from .exit_codes import DIFFERENCES
from .figures import number
from .output import emit
from .state_commands import model_argument, state_command
from .tables import Column, Table, fields_table
from .target import Target, opened
from .times import format_time_ns

if TYPE_CHECKING:
    from ..protocol.messages import DeadLetter, Statistics

__all__ = ["SUPERVISION_COMMANDS"]


@state_command("statistics", "What is counted, and how it runs.")
def statistics_command(target: Target, as_json: bool) -> None:
    """What the learner has counted since it was opened, and how it is; of a daemon also what its server has.

    Notifications that were refused stand under 'server: notifications refused'; 'dead-letters' shows them.
    """
    with opened(target) as learner:
        statistics = learner.statistics()
    emit(as_json, statistics, fields_table("", _statistics_fields(statistics)))


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


def _statistics_fields(statistics: Statistics) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    for name, value in structs.asdict(statistics).items():
        heading = name.replace("_", " ")
        if name == "server":
            fields += [
                (f"server: {key.replace('_', ' ')}", _told(of)) for key, of in structs.asdict(value).items()
            ]
        elif name == "stuck":
            fields += [("stuck", f"{one.actor} for {number(one.seconds, 1)} s") for one in value]
        elif isinstance(value, tuple):
            fields += [(heading, str(item)) for item in value]
        else:
            fields.append((heading, _told(value)))
    return fields


def _told(value: Any) -> str:
    if value is None:
        return "none"
    return number(value, 3) if isinstance(value, float) else str(value)


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
    statistics_command,
    restart_command,
    dead_letters_command,
    replay_dead_letters_command,
)
