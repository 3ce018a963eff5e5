"""Opening a learner for a command: its settings, and its log on standard error.

The imports of the learner are inside the functions, because they bring in scipy, and ``handicapper --help``
must not wait for that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

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


def open_learner(
    state_dir: str, settings: Settings | None, *, create: bool, future_inputs: bool = False
) -> Learner:
    """A learner on the directory; the caller closes it."""
    from ..actors import Learner

    return Learner(state_dir, settings, create=create, future_inputs=future_inputs)


@contextlib.contextmanager
def log_to_stderr() -> Iterator[None]:
    """Log as ``key=value`` lines on standard error, from ``HANDICAPPER_LOG_LEVEL`` (warning) up.

    Standard output belongs to what the command prints. Afterwards the loggers are as before, so that a
    host that calls :func:`handicapper.bin.cli.main` keeps its own logging.
    """
    logger, handler = logging.getLogger("handicapper"), _StderrHandler()
    handler.setFormatter(_Formatter("time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"))
    before = logger.level
    logger.setLevel(_log_level())
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def _log_level() -> int:
    name = os.environ.get(LOG_LEVEL_VARIABLE, "warning")
    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        raise click.UsageError(f"{LOG_LEVEL_VARIABLE} is {name!r}; expected debug, info, warning or error")
    return level


class _Formatter(logging.Formatter):
    converter = time.gmtime
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class _StderrHandler(logging.Handler):
    """Writes to whatever standard error is now; a log that nobody can read stops nothing."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(self.format(record) + "\n")
