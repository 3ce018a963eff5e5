"""Structured log records, handed to the host's ``logging``: an embedded library prints nothing by itself.

Records go to the loggers ``handicapper.*`` as one line of ``key=value``; what the host does with them is
its own business. Every record names the model, market or path it is about.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog

__all__ = ["get_logger"]

# Without it Python prints to stderr what no host handles.
logging.getLogger("handicapper").addHandler(logging.NullHandler())

_PROCESSORS: list[Any] = [
    structlog.stdlib.filter_by_level,
    structlog.processors.format_exc_info,
    structlog.processors.LogfmtRenderer(key_order=["event"]),
]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger ``handicapper.<name>``."""
    return structlog.wrap_logger(
        logging.getLogger(f"handicapper.{name}"),
        processors=_PROCESSORS,
        wrapper_class=structlog.stdlib.BoundLogger,
    )
