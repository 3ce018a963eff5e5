"""Opening a learner for a command: its settings, and its log on standard error.

The imports of the learner and its logger are inside the functions, because they bring in scipy, and
``handicapper --help`` must not wait for that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..actors import Learner
    from ..config import Settings

__all__ = ["LOG_LEVEL_VARIABLE", "log_to_stderr", "open_learner", "settings_from"]

LOG_LEVEL_VARIABLE = "HANDICAPPER_LOG_LEVEL"


def settings_from(config_file: str | None) -> Settings | None:
    """The settings in a file; None if there is none, which leaves them to the learner."""
    if config_file is None:
        return None
    from ..config import load_settings

    return load_settings(config_file)


def open_learner(state_dir: str, settings: Settings | None, *, create: bool) -> Learner:
    """A learner on the directory; the caller closes it."""
    from ..actors import Learner

    return Learner(state_dir, settings, create=create)


@contextlib.contextmanager
def log_to_stderr() -> Iterator[None]:
    """Log as JSON lines on standard error, from ``HANDICAPPER_LOG_LEVEL`` (warning) up.

    Standard output belongs to what the command prints. What was configured before holds again afterwards,
    so that a host that calls :func:`handicapper.bin.cli.main` keeps its own logging.
    """
    import structlog

    before = structlog.get_config()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_log_level()),
        logger_factory=_StderrLogger,
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _log_level() -> int:
    name = os.environ.get(LOG_LEVEL_VARIABLE, "warning")
    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        raise click.UsageError(f"{LOG_LEVEL_VARIABLE} is {name!r}; expected debug, info, warning or error")
    return level


class _StderrLogger:
    """Writes lines to whatever standard error is now; a log that nobody can read stops nothing."""

    def __init__(self, *_names: Any) -> None:
        pass

    def msg(self, line: str) -> None:
        """Write one line."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(line + "\n")

    debug = info = warning = warn = error = critical = exception = fatal = log = msg
