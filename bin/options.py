"""Option types and decorators that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import click

from .times import parse_time_ns

__all__ = ["STAKE", "TIME", "config_option", "json_option"]

F = TypeVar("F", bound=Callable[..., Any])


class TimeType(click.ParamType[int]):
    """An ISO 8601 time with an offset; the value is integer nanoseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse the text, or fail as a usage error."""
        if isinstance(value, int):
            return value
        try:
            return parse_time_ns(str(value).strip())
        except ValueError as error:
            self.fail(f"{value!r}; expected {error}", param, ctx)


class StakeType(click.ParamType[Decimal]):
    """A positive amount of money, exact."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Parse the text, or fail as a usage error."""
        try:
            stake = Decimal(str(value))
        except InvalidOperation:
            stake = Decimal(0)
        if not (stake.is_finite() and 0 < stake < 10**12 and round(stake, 6) == stake):
            self.fail(f"{value!r}; expected an amount above 0 with at most 6 decimals", param, ctx)
        return stake


TIME = TimeType()
STAKE = StakeType()

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, unrounded.")

config_option = click.option(
    "--config",
    "config_file",
    metavar="TOML",
    envvar="HANDICAPPER_CONFIG",
    show_envvar=True,
    help="Settings file; see 'handicapper config show'.",
)
