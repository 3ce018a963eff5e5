"""Commands about an existing state directory: look at it, pause and reset models, snapshot, back up, verify."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

import click

from ..config.rules import Posterior, SelectionMode
from ..protocol.errors import UnknownModelError
from .exit_codes import DIFFERENCES
from .figures import map_text, number, report_tables
from .opening import log_to_stderr, settings_from
from .options import TIME, json_option
from .output import emit
from .tables import Column, Table, fields_table
from .target import Target, connected, existing, opened, target_options
from .times import format_time_ns

if TYPE_CHECKING:
    from ..protocol.messages import BackupReceipt, ModelSummary, Receipt, Selection, VerifyReport

__all__ = ["STATE_COMMANDS", "model_argument", "state_command"]

LONG_SECONDS = 86_400.0
"""For what reads all of a daemon's state: it takes as long as it takes."""


def state_command(name: str, short_help: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with ``--state`` or ``--connect``, ``--config`` and ``--json``."""

    def make(function: Callable[..., Any]) -> click.Command:
        return click.command(name, short_help=short_help)(target_options(json_option(function)))

    return make


model_argument = click.argument("model_id", metavar="MODEL")
as_of_option = click.option("--as-of", type=TIME, help="Event time to decay the evidence to; default: now.")


@state_command("models", "List the models.")
@as_of_option
def models_command(target: Target, as_json: bool, as_of: int | None) -> None:
    """List the models, one line each."""
    with opened(target) as learner:
        summaries = learner.models(as_of=as_of)
    emit(as_json, {"models": summaries}, _models_table(summaries))


@state_command("report", "Everything believed about a model.")
@model_argument
@as_of_option
def report_command(target: Target, as_json: bool, model_id: str, as_of: int | None) -> None:
    """Everything believed about MODEL, and what it is based on."""
    with opened(target) as learner:
        report = learner.report(model_id, as_of=as_of)
    emit(as_json, report, *report_tables(report))


@state_command("params", "The adaptive parameters of a model.")
@model_argument
@as_of_option
def params_command(target: Target, as_json: bool, model_id: str, as_of: int | None) -> None:
    """The adaptive parameters in force for MODEL."""
    with opened(target) as learner:
        params = learner.get_adaptive_params(model_id, as_of=as_of)
    if params is None:
        raise UnknownModelError(model_id)
    fields = [
        ("confidence threshold", number(params.confidence_threshold)),
        ("weight", number(params.weight)),
        ("EMA accuracy", number(params.ema_accuracy)),
        ("adapted", "yes" if params.adapted else "no"),
        *([] if params.calibration_map is None else [("recalibration", map_text(params.calibration_map))]),
    ]
    emit(as_json, params, fields_table("", fields))


@state_command("sample", "Rank the models by a Thompson sample.")
@click.option("-n", "n", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Draws a model.")
@click.option("--selection-id", help="Name of the selection; the same name draws the same numbers.")
@click.option(
    "--mode",
    type=click.Choice(get_args(SelectionMode)),
    help="How to rank; default: as thompson_sampling.mode has it.",
)
@as_of_option
def sample_command(
    target: Target,
    as_json: bool,
    n: int,
    selection_id: str | None,
    mode: SelectionMode | None,
    as_of: int | None,
) -> None:
    """Rank the models by a Thompson sample from their posteriors, highest first, or in another mode."""
    with opened(target) as learner:
        selection = learner.thompson_sample(n=n, as_of=as_of, selection_id=selection_id, mode=mode)
    emit(as_json, selection, *_selection_tables(selection))


@state_command("pause", "Keep a model out of selections and reject its signals.")
@model_argument
@click.option("--until", type=TIME, help="When the pause ends by itself; default: with 'resume'.")
@click.option("--reason", default="", help="Why; shown in reports.")
def pause_command(target: Target, as_json: bool, model_id: str, until: int | None, reason: str) -> None:
    """Keep MODEL out of selections and reject its signals; it goes on learning."""
    with opened(target) as learner:
        receipt = learner.pause(model_id, until=until, reason=reason)
    _show_receipt(as_json, receipt)


@state_command("resume", "End the pause of a model.")
@model_argument
def resume_command(target: Target, as_json: bool, model_id: str) -> None:
    """End the pause of MODEL."""
    with opened(target) as learner:
        receipt = learner.resume(model_id)
    _show_receipt(as_json, receipt)


@state_command("reset", "Forget what was learned about a model.")
@model_argument
@click.option("--reason", default="", help="Why; kept in the journal.")
def reset_command(target: Target, as_json: bool, model_id: str, reason: str) -> None:
    """Forget what was learned about MODEL; the journal keeps how it came about."""
    with opened(target) as learner:
        receipt = learner.reset(model_id, reason=reason)
    _show_receipt(as_json, receipt)


@state_command("set-posterior", "How the evidence of a model ages.")
@model_argument
@click.argument("posterior", type=click.Choice([*get_args(Posterior), "settings"]))
def set_posterior_command(target: Target, as_json: bool, model_id: str, posterior: str) -> None:
    """Have the evidence of MODEL age by half-life or by change points; 'settings': as the settings say."""
    chosen: Any = None if posterior == "settings" else posterior
    with opened(target) as learner:
        receipt = learner.set_posterior(model_id, chosen)
    _show_receipt(as_json, receipt)


@state_command("snapshot", "Write a snapshot now.")
def snapshot_command(target: Target, as_json: bool) -> None:
    """Write a snapshot now, so that the next start has little to replay."""
    with opened(target) as learner:
        receipt = learner.snapshot()
    fields = [
        ("sequence number", str(receipt.seq)),
        ("models", str(receipt.models)),
        ("markets", str(receipt.markets)),
        ("bytes", str(receipt.bytes)),
        ("seconds", number(receipt.seconds, 3)),
    ]
    emit(as_json, receipt, fields_table("", fields))


@state_command("backup", "Copy the state while it is in use.")
@click.argument("dest", metavar="DEST", type=click.Path(path_type=str))
def backup_command(target: Target, as_json: bool, dest: str) -> None:
    """Copy the state directory into DEST, as of one input, while inputs go on.

    DEST does not exist, or is an empty directory; it is there as a whole afterwards, or not at all. A daemon takes
    the path as it sees it.
    """
    receipt = _backed_up(target, os.path.abspath(dest))
    fields = [
        ("directory", os.path.abspath(dest)),
        ("sequence number", str(receipt.seq)),
        ("bytes", str(receipt.bytes)),
        ("seconds", number(receipt.seconds, 3)),
    ]
    emit(as_json, receipt, fields_table("", fields))


def _backed_up(target: Target, dest: str) -> BackupReceipt:
    """Of a directory nobody uses, without opening it for writing; or of a running daemon."""
    if target.connect is not None:
        with connected(target.connect, target.token_file) as client:
            return client.backup(dest, timeout=LONG_SECONDS)
    settings = settings_from(target.config_file)
    assert target.state_dir is not None
    directory = existing(target.state_dir)
    from ..actors import backup_state  # lazily: imports scipy

    with log_to_stderr():
        return backup_state(directory, dest, settings)


@state_command("verify", "Check every record against the state.")
@click.pass_context
def verify_command(ctx: click.Context, target: Target, as_json: bool) -> None:
    """Read back every record and derive the state again from the journal; exit with 1 on any difference."""
    report = _verified(target)
    fields = [
        ("result", "ok" if report.ok else "DAMAGED"),
        ("records", str(report.records)),
        ("sequence numbers", f"{report.first_seq}..{report.last_seq}"),
        ("models", str(report.models)),
        *(("damaged", item) for item in report.damaged),
        *(("difference", item) for item in report.differences),
    ]
    emit(as_json, report, fields_table("", fields))
    if not report.ok:
        sys.stdout.flush()
        ctx.exit(DIFFERENCES)


def _verified(target: Target) -> VerifyReport:
    """Of a directory nobody uses, without opening it for writing; or of a running daemon."""
    if target.connect is not None:
        with connected(target.connect, target.token_file) as client:
            return client.verify(timeout=LONG_SECONDS)
    settings = settings_from(target.config_file)
    assert target.state_dir is not None
    directory = existing(target.state_dir)
    from ..actors import verify_state  # lazily: imports scipy

    with log_to_stderr():
        return verify_state(directory, settings)


def _show_receipt(as_json: bool, receipt: Receipt) -> None:
    fields = [("sequence number", str(receipt.seq)), ("duplicate", "yes" if receipt.duplicate else "no")]
    emit(as_json, receipt, fields_table("", fields))


def _models_table(summaries: list[ModelSummary]) -> Table:
    columns = [
        Column("model", numeric=False),
        *(Column(heading) for heading in ("n", "EMA", "posterior", "ESS", "threshold", "weight")),
        *(Column(heading, numeric=False) for heading in ("adapted", "eligible", "paused", "status")),
    ]
    rows = [
        [
            s.model_id,
            str(s.n),
            number(s.ema_accuracy),
            number(s.posterior_mean),
            number(s.effective_sample_size, 1),
            number(s.confidence_threshold),
            number(s.weight),
            *("yes" if flag else "no" for flag in (s.adapted, s.eligible, s.paused)),
            s.status,
        ]
        for s in summaries
    ]
    return Table("", columns, rows)


def _selection_tables(selection: Selection) -> list[Table]:
    columns = [
        Column("rank"),
        Column("model", numeric=False),
        Column("sample"),
        Column("alpha"),
        Column("beta"),
    ]
    rows = [
        [str(rank), m.model_id, number(m.sample, 6), number(m.alpha, 3), number(m.beta, 3)]
        for rank, m in enumerate(selection.ranked, start=1)
    ]
    fields = [
        ("selection", selection.selection_id),
        ("seed", str(selection.seed)),
        ("mode", selection.mode),
        ("as of", format_time_ns(selection.as_of)),
        *(("missing", model_id) for model_id in selection.missing),
        *(("ineligible", model_id) for model_id in selection.ineligible),
    ]
    return [Table("", columns, rows), fields_table("", fields)]


STATE_COMMANDS: tuple[click.Command, ...] = (
    models_command,
    report_command,
    params_command,
    sample_command,
    pause_command,
    resume_command,
    reset_command,
    set_posterior_command,
    snapshot_command,
    backup_command,
    verify_command,
)
