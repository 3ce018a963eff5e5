"""``handicapper replay``: past predictions and how they ended, as if they happened now."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from msgspec.structs import replace

from .driver import ReplayCounts, drive
from .errors import OutputUnwritableError
from .figures import by_brier, replay_figures, replay_table
from .interrupts import Interrupts
from .opening import log_to_stderr, open_learner, settings_from
from .options import STAKE, config_option, json_option
from .output import emit_json
from .progress import progress_bar
from .rows import read_rows
from .sources import STDIN, TextSource
from .stream import EventStream, merge_rows
from .tables import show
from .target import connect_option, connected

if TYPE_CHECKING:
    from ..config import Settings
    from ..protocol.messages import ModelReport, PoolReport
    from .target import Asked

__all__ = ["replay_command"]


_BATCH_ITEMS_MAX = 1024
_IN_FLIGHT_INPUTS_MAX = 16_384


class _Result(NamedTuple):
    stream: EventStream
    counts: ReplayCounts
    reports: list[ModelReport]
    pool: PoolReport
    seconds: float


@click.command("replay", short_help="Replay CSV files of predictions and outcomes.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--state",
    "state_dir",
    metavar="DIR",
    # Not from HANDICAPPER_STATE: a replay must not end up in a live state by accident.
    help="State directory, created if missing and kept. Without it a temporary one is used and removed.",
)
@connect_option
@config_option
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="Seed of the Thompson draws.")
@click.option("--stake", type=STAKE, default="1", show_default=True, help="Money staked on every priced row.")
@click.option("--no-progress", is_flag=True, help="No progress bar on a terminal.")
@json_option
def replay_command(
    files: tuple[str, ...],
    state_dir: str | None,
    connect: str | None,
    token_file: str | None,
    config_file: str | None,
    seed: int | None,
    stake: Decimal,
    no_progress: bool,
    as_json: bool,
) -> None:
    """Replay CSV files of predictions and outcomes in event-time order, and print what is believed then.

    FILE is CSV, plain or gzip, or - for standard input; several are merged by time. The columns, in any
    order: event_id, predicted_at, resolved_at, model_id, outcome_label, confidence, price (may be empty)
    and actual; others are ignored. Rows are sorted by predicted_at. Times are ISO 8601 with an offset.

    The last line is the pool: the models' forecasts as one, as it was before each event resolved.

    Every outcome is held back until its resolved_at, so that no prediction meets a later fact. With --connect
    a running daemon is told, and what it knew before counts too; rows dated in the future are taken as far as
    its limits.future_seconds_max allows.
    """
    if files.count(STDIN) > 1:
        raise click.UsageError("standard input (-) can be read only once")
    if connect is not None and (state_dir is not None or config_file is not None or seed is not None):
        raise click.UsageError(
            "--state, --config and --seed are the daemon's business; leave out --connect or them"
        )
    settings = _settings(config_file, seed)
    with contextlib.ExitStack() as stack:
        stack.enter_context(log_to_stderr())
        interrupts = stack.enter_context(Interrupts())
        sources = [stack.enter_context(TextSource(path)) for path in files]
        if connect is not None:

            def opened() -> Asked:
                return connected(connect, token_file)
        else:
            directory = stack.enter_context(_state_directory(state_dir))

            def opened() -> Asked:
                return open_learner(directory, settings, create=True, future_inputs=True)

        result = _run(sources, opened, stake, not no_progress, interrupts)
    kept = connect or state_dir
    if as_json:
        emit_json(_document(result, kept))
    else:
        show(replay_table(result.reports, result.pool))
        if any(report.at_wall for report in result.reports):
            sys.stdout.write("* rests on the bound of its range\n")
        sys.stdout.write(f"\n{_footer(result, kept)}\n")


def _settings(config_file: str | None, seed: int | None) -> Settings | None:
    """Settings asked for on the command line; None leaves them to the learner."""
    settings = settings_from(config_file)
    if seed is None:
        return settings
    if settings is None:
        from ..config import default_settings  # lazily: not needed for --help

        settings = default_settings()
    return replace(settings, thompson_sampling=replace(settings.thompson_sampling, seed=seed))


@contextlib.contextmanager
def _state_directory(given: str | None) -> Iterator[str]:
    """The directory given, or a temporary one that is removed whatever happens."""
    if given is not None:
        yield given
        return
    try:
        made = tempfile.mkdtemp(prefix="handicapper-")
    except OSError as error:
        raise OutputUnwritableError(f"cannot create a temporary state directory: {error}") from error
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _run(
    sources: list[TextSource],
    opened: Callable[[], Asked],
    stake: Decimal,
    progress: bool,
    interrupts: Interrupts,
) -> _Result:
    with contextlib.ExitStack() as stack:
        with interrupts.shielded():
            learner = opened()
            stack.push(_shielded_exit(learner, interrupts))
        batch_items_max, in_flight_inputs_max = _bounds(learner)
        rows = merge_rows([read_rows(source.text, source.name, stake) for source in sources])
        stream = EventStream(rows, batch_items_max=batch_items_max)
        started = time.perf_counter()
        with progress_bar(sources, wanted=progress) as advance:
            counts = drive(
                stream,
                learner,
                in_flight_inputs_max=in_flight_inputs_max,
                shielded=interrupts.shielded,
                on_batch=advance,
            )
        seconds = time.perf_counter() - started
        with interrupts.shielded():
            reports = by_brier(learner.reports(as_of=stream.last_event_at))
            pool = learner.pool(as_of=stream.last_event_at)
    return _Result(stream, counts, reports, pool, seconds)


def _bounds(learner: Asked) -> tuple[int, int]:
    """(inputs of a batch, inputs in flight) that the learner takes; a client keeps to its daemon's by itself."""
    settings = getattr(learner, "settings", None)
    if settings is None:
        return _BATCH_ITEMS_MAX, _IN_FLIGHT_INPUTS_MAX
    limits = settings.limits
    return min(_BATCH_ITEMS_MAX, limits.batch_inputs_max), min(
        _IN_FLIGHT_INPUTS_MAX, limits.in_flight_inputs_max
    )


def _shielded_exit(learner: Asked, interrupts: Interrupts) -> Callable[..., bool | None]:
    """The learner's ``__exit__``, which no signal may break into."""

    def leave(*reason: Any) -> None:
        with interrupts.shielded():
            learner.__exit__(*reason)

    return leave


def _document(result: _Result, state_dir: str | None) -> dict[str, Any]:
    stream, counts = result.stream, result.counts
    return {
        "models": [replay_figures(report) for report in result.reports],
        "pool": result.pool,
        "rows": stream.rows,
        "events": stream.events,
        "resolutions": stream.resolutions,
        "unresolved_events": stream.unresolved_events,
        "unresolved_predictions": stream.unresolved_predictions,
        "duplicates": counts.duplicates,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "as_of": stream.last_event_at,
        "seconds": result.seconds,
        "rows_per_second": _rate(result),
        "state": state_dir,
    }


def _footer(result: _Result, state_dir: str | None) -> str:
    stream = result.stream
    parts = [f"{stream.rows} rows", f"{stream.events} events"]
    parts.append(f"{stream.unresolved_events} unresolved ({stream.unresolved_predictions} predictions)")
    if result.counts.duplicates:
        parts.append(f"{result.counts.duplicates} inputs were already in the state and not counted again")
    parts.append(f"{result.seconds:.2f} s")
    parts.append(f"{_rate(result):.0f} rows/s")
    parts.append("temporary state, removed" if state_dir is None else f"state in {state_dir}")
    return ", ".join(parts)


def _rate(result: _Result) -> float:
    return result.stream.rows / result.seconds if result.seconds > 0 else 0.0
