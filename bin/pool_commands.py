"""Commands about the pool: the models' forecasts of a market combined, and what the pool thinks of the models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .figures import number, pool_tables
from .options import TIME
from .output import emit
from .state_commands import state_command
from .tables import Column, Table, fields_table
from .target import Target, opened
from .times import format_time_ns

if TYPE_CHECKING:
    from ..protocol.messages import Forecast, PooledForecast

__all__ = ["POOL_COMMANDS"]

as_of_option = click.option("--as-of", type=TIME, help="Event time to combine for; default: now.")


@state_command("combine", "Combine the models' forecasts of a market.")
@click.argument("market_id", metavar="[MARKET]", required=False)
@click.option(
    "--forecast",
    "given",
    metavar="MODEL=OUTCOME:PROBABILITY",
    multiple=True,
    help="A forecast to combine instead of the market's; may be repeated.",
)
@click.option(
    "--outcome",
    "outcomes",
    metavar="OUTCOME",
    multiple=True,
    help="A further outcome that the market can have; may be repeated.",
)
@as_of_option
def combine_command(
    target: Target,
    as_json: bool,
    market_id: str | None,
    given: tuple[str, ...],
    outcomes: tuple[str, ...],
    as_of: int | None,
) -> None:
    """The recorded forecasts of MARKET as one probability for each outcome; or the forecasts given."""
    if (market_id is None) == (not given):
        raise click.UsageError("give a MARKET, or one --forecast or more, and not both")
    predictions = [_forecast(text) for text in given] or None
    with opened(target) as learner:
        pooled = learner.combine(market_id, predictions=predictions, outcomes=outcomes, as_of=as_of)
    emit(as_json, pooled, *_pooled_tables(pooled))


@state_command("pool", "What the pool thinks of the models.")
@as_of_option
def pool_command(target: Target, as_json: bool, as_of: int | None) -> None:
    """Every model's share of the pool, and whether combining paid."""
    with opened(target) as learner:
        report = learner.pool(as_of=as_of)
    emit(as_json, report, *pool_tables(report))


def _forecast(text: str) -> Forecast:
    """The last = and : count, so that a model's id may hold others."""
    from ..protocol.messages import Forecast  # lazily: not needed for --help

    claim, colon, probability = text.rpartition(":")
    model_id, equals, outcome = claim.rpartition("=")
    try:
        confidence = float(probability)
    except ValueError:
        colon = ""
        confidence = 0.0
    if not colon or not equals:
        raise click.BadParameter(
            f"{text!r} is not MODEL=OUTCOME:PROBABILITY, such as elo=HOME:0.64", param_hint="--forecast"
        )
    return Forecast(model_id=model_id, outcome=outcome, confidence=confidence)


def _pooled_tables(pooled: PooledForecast) -> list[Table]:
    outcomes = sorted(pooled.probabilities.items(), key=lambda item: (-item[1], item[0]))
    members = [
        [member.model_id, member.outcome, number(member.confidence), number(member.share)]
        for member in pooled.members
    ]
    fields = [
        *((f"probability of {label}", number(probability)) for label, probability in outcomes),
        *((("probability of others", number(pooled.remainder)),) if pooled.remainder else ()),
        ("disagreement", number(pooled.disagreement)),
        *((f"by {form}", number(weight)) for form, weight in pooled.forms.items()),
        ("markets learned from", str(pooled.n)),
        ("as of", format_time_ns(pooled.as_of)),
    ]
    columns = [
        Column("model", numeric=False),
        Column("outcome", numeric=False),
        Column("confidence"),
        Column("share"),
    ]
    return [fields_table("", fields), Table("", columns, members)]


POOL_COMMANDS: tuple[click.Command, ...] = (combine_command, pool_command)
