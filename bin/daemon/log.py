"""The daemon's log: JSON lines, or lines for people, on a standard error that may be full, or gone.

Whoever logs only puts a line into a bounded queue; one thread writes. A reader that stopped reading costs
records, which are counted and reported once it reads again, and never holds anybody up.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, Final, Literal

import msgspec
import structlog

from .descriptors import select_writable, write_all

__all__ = ["LogFormat", "LogSink", "event_of", "formatter_of", "serve_log"]

LogFormat = Literal["json", "console"]

QUEUE_BYTES_MAX: Final = 4 * 1024 * 1024
CLOSE_SECONDS: Final = 1.0
_RESERVED: Final = ("ts", "level", "logger", "event")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "fields", "taskName"}


def event_of(record: logging.LogRecord) -> dict[str, Any]:
    """Everything a record says, flat: ``ts``, ``level``, ``logger``, ``event``, then what it is about.

    >>> record = logging.makeLogRecord({"name": "a", "levelname": "INFO", "msg": "n was %d", "args": (3,)})
    >>> event = event_of(record)
    >>> event.pop("ts")[-1], event
    ('Z', {'level': 'info', 'logger': 'a', 'event': 'n was 3'})
    """
    fields = getattr(record, "fields", None)
    if not isinstance(fields, dict):
        # Not one of ours: the text, and whatever was attached to it.
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        fields["event"] = record.getMessage()
    written_at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
    event: dict[str, Any] = {
        "ts": written_at.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": fields.get("event", ""),
    }
    event |= {f"{name}_" if name in _RESERVED else name: fields[name] for name in fields if name != "event"}
    if record.exc_info and "exception" not in event:
        event["exception"] = logging.Formatter().formatException(record.exc_info)
    return event


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = event_of(record)
        try:
            return msgspec.json.encode(event, enc_hook=repr).decode()
        except (TypeError, ValueError, RecursionError):
            # Such as text that is not Unicode. Repeated with a way around each.
            return json.dumps({name: repr(value) for name, value in event.items()})


class _ConsoleFormatter(logging.Formatter):
    def __init__(self, *, colors: bool) -> None:
        super().__init__()
        self._render = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)

    def format(self, record: logging.LogRecord) -> str:
        event = event_of(record)
        trace = event.pop("exception", None)
        # What a client sent must not move the cursor.
        shown = {name: _printable(value) for name, value in event.items()}
        shown["timestamp"] = shown.pop("ts")
        if trace is not None:
            shown["exception"] = trace
        return str(self._render(None, record.levelname.lower(), shown))


def _printable(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if text.isprintable() else repr(text)


def formatter_of(log_format: LogFormat, *, colors: bool = False) -> logging.Formatter:
    """What makes one line of a record; with its traceback below it for people."""
    return _JsonFormatter() if log_format == "json" else _ConsoleFormatter(colors=colors)


class LogSink(logging.Handler):
    """Writes records to a descriptor in a thread of its own; without one it drops them.

    Emitting takes the handler's lock, so there is one at a time that puts, and one that writes: each has its
    counters to itself.
    """

    def __init__(self, fd: int | None, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._fd = fd
        self._queue: SimpleQueue[bytes | threading.Event | None] = SimpleQueue()
        self._put_bytes = self._written_bytes = 0
        self._refused = self._lost = self._reported = 0
        self._thread = threading.Thread(target=self._write_all, name="handicapper-log", daemon=True)
        if fd is not None:
            self._thread.start()

    @property
    def dropped(self) -> int:
        """Records nobody will read."""
        return self._refused + self._lost

    def emit(self, record: logging.LogRecord) -> None:
        """Put it into the queue, unless that is full."""
        if self._fd is None or self._put_bytes - self._written_bytes >= QUEUE_BYTES_MAX:
            self._refused += 1
            return
        try:
            line = self._line(record)
        except Exception:  # noqa: BLE001  # a value whose repr raises: what it is logged for goes on
            self._refused += 1
            return
        self._put_bytes += len(line)
        self._queue.put(line)

    def flush_within(self, seconds: float) -> bool:
        """Wait until everything logged so far is written, ``seconds`` at most; whether it is."""
        if not self._thread.is_alive():
            return True
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(seconds)

    def last_words(self, level: int, event: str, **fields: Any) -> None:
        """Write a record now, past the queue, if that takes no time: for signal handlers."""
        if self._fd is None or not select_writable(self._fd, 0):
            return
        record = logging.makeLogRecord(
            {
                "name": "handicapper.daemon",
                "levelno": level,
                "levelname": logging.getLevelName(level),
                "fields": {"event": event, **fields},
            }
        )
        with contextlib.suppress(OSError):
            os.write(self._fd, self._line(record))

    def close_within(self, seconds: float) -> None:
        """Write what waits, ``seconds`` at most, and let go of the descriptor."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(seconds)
        if self._fd is not None and not self._thread.is_alive():
            os.close(self._fd)
            self._fd = None
        self.close()

    def _line(self, record: logging.LogRecord) -> bytes:
        return self.format(record).encode("utf-8", "backslashreplace") + b"\n"

    def _write_all(self) -> None:
        assert self._fd is not None
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            self._report_dropped(self._fd)
            if not write_all(self._fd, item):
                self._lost += 1
            self._written_bytes += len(item)

    def _report_dropped(self, fd: int) -> None:
        dropped = self.dropped
        if dropped == self._reported:
            return
        record = logging.makeLogRecord(
            {
                "name": "handicapper.log",
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "fields": {"event": "log records dropped", "records": dropped - self._reported},
            }
        )
        if write_all(fd, self._line(record)):
            self._reported = dropped


@contextlib.contextmanager
def serve_log(log_format: LogFormat | None, level: str) -> Iterator[LogSink]:
    """Everything that is logged in this process goes to standard error; afterwards all is as it was.

    Without a format: JSON, unless standard error is a terminal.
    """
    fd = _stderr_copy()
    is_terminal = fd is not None and os.isatty(fd)
    sink = LogSink(fd, formatter_of(log_format or ("console" if is_terminal else "json"), colors=is_terminal))
    root, ours = logging.getLogger(), logging.getLogger("handicapper")
    before = ours.level
    root.addHandler(sink)
    ours.setLevel(level.upper())
    logging.captureWarnings(True)
    restore_hooks = _hook_uncaught()
    try:
        yield sink
    finally:
        restore_hooks()
        logging.captureWarnings(False)
        ours.setLevel(before)
        root.removeHandler(sink)
        sink.close_within(CLOSE_SECONDS)


def _stderr_copy() -> int | None:
    """A descriptor nobody else closes, or that could come to mean another file; None if there is none."""
    try:
        return os.dup(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return None


def _hook_uncaught() -> Callable[[], None]:
    """Log what would be printed: to a pipe nobody reads, printing would wait for ever."""
    logger = logging.getLogger("handicapper.uncaught")

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit and args.exc_value is not None:
            trace = (args.exc_type, args.exc_value, args.exc_traceback)
            name = args.thread.name if args.thread else "?"
            logger.critical("exception in a thread", exc_info=trace, extra={"thread_name": name})

    def unraisable(args: Any) -> None:
        trace = (args.exc_type, args.exc_value, args.exc_traceback)
        logger.error(args.err_msg or "exception ignored", exc_info=trace, extra={"object": repr(args.object)})

    before = threading.excepthook, sys.unraisablehook
    threading.excepthook, sys.unraisablehook = in_thread, unraisable

    def restore() -> None:
        threading.excepthook, sys.unraisablehook = before

    return restore
