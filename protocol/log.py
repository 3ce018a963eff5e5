"""Structured log records, handed to the host's ``logging``: an embedded library prints nothing by itself.

Records go to the loggers ``handicapper.*`` as one line of ``key=value``; what the host does with them is
its own business. Every record names the model, market or path it is about. A formatter that can do more
with the keys and values than print them finds them in the record's ``fields``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

import structlog

__all__ = ["debugging", "get_logger"]

# Without it Python prints to stderr what no host handles.
logging.getLogger("handicapper").addHandler(logging.NullHandler())

_logfmt = structlog.processors.LogfmtRenderer(key_order=["event"])


def _text_and_fields(
    logger: Any, method: str, event_dict: MutableMapping[str, Any]
) -> tuple[tuple[str], dict[str, Any]]:
    """Arguments of the ``logging`` call: the text, and as ``extra`` what it was made from."""
    return (str(_logfmt(logger, method, dict(event_dict))),), {"extra": {"fields": dict(event_dict)}}


_PROCESSORS: list[Any] = [
    structlog.stdlib.filter_by_level,
    structlog.processors.format_exc_info,
    _text_and_fields,
]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger ``handicapper.<name>``."""
    return structlog.wrap_logger(
        logging.getLogger(f"handicapper.{name}"),
        processors=_PROCESSORS,
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def debugging(name: str) -> Callable[[], bool]:
    """Tells whether the logger's debug records are written: asked before one is made that takes work."""
    return partial(logging.getLogger(f"handicapper.{name}").isEnabledFor, logging.DEBUG)
