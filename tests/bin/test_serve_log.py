"""The daemon's log as records, lines and a queue in front of a descriptor."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from handicapper.actors.log import get_logger
from handicapper.bin.daemon import log as serve_log
from handicapper.bin.daemon.log import LogSink, event_of, formatter_of

DEADLINE_SECONDS = 30.0


def record_of(message: str = "text", **attributes: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "handicapper.x", "levelname": "INFO", "msg": message, **attributes})


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """What our loggers hand to ``logging``."""
    found: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    logger, handler = logging.getLogger("handicapper"), Keep()
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_keys_and_values_of_our_records_stay_apart(records: list[logging.LogRecord]) -> None:
    get_logger("engine").warning("100% odd", model="a b", prediction="p1", n=3, ratio=float("nan"))
    (record,) = records
    assert 'model="a b"' in record.getMessage()  # for a host that has only text
    event = json.loads(formatter_of("json").format(record))
    event.pop("ts")
    assert event == {
        "level": "warning",
        "logger": "handicapper.engine",
        "event": "100% odd",
        "model": "a b",
        "prediction": "p1",
        "n": 3,
        "ratio": None,
    }


def test_records_of_others_keep_their_text_and_what_is_attached(records: list[logging.LogRecord]) -> None:
    logging.getLogger("handicapper.other").info("n was %d", 3, extra={"connection": "c1"})
    event = event_of(records[0])
    assert (event["event"], event["connection"]) == ("n was 3", "c1")


def test_a_traceback_is_one_line_of_json_and_several_for_people(records: list[logging.LogRecord]) -> None:
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        get_logger("x").error("went wrong", exc_info=True)
    line = formatter_of("json").format(records[0])
    assert "\n" not in line
    assert "ZeroDivisionError" in json.loads(line)["exception"]
    assert "\nZeroDivisionError" in formatter_of("console").format(records[0])


def test_a_field_cannot_pass_for_the_level_or_the_time() -> None:
    event = event_of(record_of(fields={"event": "e", "level": "debug", "ts": 1}))
    assert (event["level"], event["level_"], event["ts_"]) == ("info", "debug", 1)


def test_values_that_json_does_not_know_are_shown_all_the_same() -> None:
    fields = {"event": "e", "a": {1, 2}, "b": object, "c": "\udc80", "d": b"x", "e": ValueError("v")}
    event = json.loads(formatter_of("json").format(record_of(fields=fields)))
    assert "udc80" in event["c"]
    assert "ValueError" in event["e"]


def test_what_a_client_sent_cannot_move_the_cursor_of_a_terminal() -> None:
    shown = formatter_of("console").format(record_of(fields={"event": "e", "model": "\x1b[2Jgone\n"}))
    assert "\x1b" not in shown
    assert "x1b[2Jgone" in shown
    assert "\n" not in shown


def test_lines_are_written_in_order_and_the_rest_at_the_close(pipe: tuple[int, int]) -> None:
    sink = LogSink(pipe[1], formatter_of("json"))
    for number in range(100):
        sink.handle(record_of(str(number)))
    sink.close_within(DEADLINE_SECONDS)
    with os.fdopen(os.dup(pipe[0])) as lines:
        assert [json.loads(line)["event"] for line in lines] == [str(number) for number in range(100)]


def test_a_full_pipe_costs_records_which_are_counted_and_reported_once_it_is_read(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_log, "QUEUE_BYTES_MAX", 100_000)
    sink = LogSink(os.dup(pipe[1]), formatter_of("json"))
    text = "x" * 1000
    emitted = 1000
    for _ in range(emitted):
        sink.handle(record_of(text))  # never waits
    assert sink.dropped > 0
    dropped = sink.dropped
    assert not sink.flush_within(0.01)

    records: list[dict[str, Any]] = []

    def read() -> None:
        with os.fdopen(os.dup(pipe[0])) as lines:
            records.extend(map(json.loads, lines))

    reader = threading.Thread(target=read)
    reader.start()
    assert sink.flush_within(DEADLINE_SECONDS)
    sink.handle(record_of("after"))
    sink.close_within(DEADLINE_SECONDS)
    os.close(pipe[1])
    reader.join(DEADLINE_SECONDS)
    received = [record["event"] for record in records]
    assert received.count(text) == emitted - dropped
    assert received[-1] == "after"
    # In one record or in several: the writer may get a turn before the pipe is full.
    reports = [record for record in records if record["event"] == "log records dropped"]
    assert sum(record["records"] for record in reports) == dropped


def test_a_reader_that_is_gone_is_counted_and_nothing_else(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    sink = LogSink(os.dup(pipe[1]), formatter_of("json"))
    for _ in range(10):
        sink.handle(record_of())
    assert sink.flush_within(DEADLINE_SECONDS)
    assert sink.dropped == 10
    sink.last_words(logging.ERROR, "bye")
    sink.close_within(DEADLINE_SECONDS)


def test_a_value_that_cannot_be_shown_costs_its_record_only(pipe: tuple[int, int]) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    sink = LogSink(os.dup(pipe[1]), formatter_of("json"))
    sink.handle(record_of(fields={"event": "e", "value": Broken()}))
    assert sink.dropped == 1
    sink.close_within(DEADLINE_SECONDS)


def test_without_a_descriptor_nothing_is_written_or_waited_for() -> None:
    sink = LogSink(None, formatter_of("json"))
    sink.handle(record_of())
    sink.last_words(logging.ERROR, "bye")
    assert sink.flush_within(0)
    sink.close_within(0)


def test_what_nobody_catches_is_logged_instead_of_printed(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with os.fdopen(os.dup(pipe[1]), "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with serve_log.serve_log("json", "info"):
            thread = threading.Thread(target=lambda: 1 // 0, name="worker")
            thread.start()
            thread.join()
            logging.getLogger("handicapper.x").debug("below the level")
            logging.getLogger("asyncio").warning("of others too")
    os.close(pipe[1])
    with os.fdopen(os.dup(pipe[0])) as lines:
        said = [json.loads(line) for line in lines]
    assert [(record["event"], record["level"]) for record in said] == [
        ("exception in a thread", "critical"),
        ("of others too", "warning"),
    ]
    assert said[0]["thread_name"] == "worker"
    assert "ZeroDivisionError" in said[0]["exception"]


def test_a_stderr_without_a_descriptor_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with serve_log.serve_log("json", "info") as sink:
        logging.getLogger("handicapper.x").info("nowhere")
    assert sink.dropped == 1
