"""Messages whose own parts are wrong: kind, msgid, method, length; and how many of them are borne."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..daemon import Daemon
from ..wire import Raw, Wire, code_of, notification, pack, request
from .conftest import Watch
from .zoo import UNREADABLE, ZOO


def odd_messages() -> Iterator[tuple[str, Raw, int | None]]:
    """(what, message, msgid of the answer) of messages that are no request and no notification."""
    for animal in ZOO:
        if animal.value != [1, 0]:  # a response, or the beginning of one: is not answered
            yield f"message {animal.name}", animal.data, None
        if animal.value is UNREADABLE or type(animal.value) is not int or animal.value not in (0, 1, 2):
            yield f"kind {animal.name}", Raw(pack([animal.data, 5, "ping", None])), None
        if type(animal.value) is not int or not 0 <= animal.value < 2**32:
            yield f"msgid {animal.name}", Raw(pack([0, animal.data, "ping", None])), None
        if not isinstance(animal.value, str | bytes):
            yield f"method {animal.name}", Raw(pack([0, 5, animal.data, None])), 5
    yield "kind 3", Raw(pack([3, 5, "ping", None])), None
    yield "kind 0.0", Raw(pack([0.0, 5, "ping", None])), None
    for length in range(4):
        yield f"request of {length}", Raw(pack([0, 5, "ping", None][:length])), 5 if length > 1 else None
    yield "request of 5", Raw(pack([0, 5, "ping", None, None])), 5
    yield "request as map", Raw(pack({0: 5, "ping": None})), None


def test_a_message_that_is_none_costs_one_error_and_the_next_is_served(daemon: Daemon, watch: Watch) -> None:
    with watch("messages whose parts are wrong"), daemon.connect() as wire:
        for number, (what, message, msgid) in enumerate(odd_messages()):
            wire.send(message.data + request(1_000_000 + number, "ping"))
            answers = [wire.response(), wire.response()]
            pong = [answer for answer in answers if answer[3] == "pong"]
            assert [answer[1] for answer in pong] == [1_000_000 + number], what
            ((_, answered, error, _),) = [answer for answer in answers if answer[3] != "pong"]
            assert (error[0], code_of(error)) == (1, "BAD_MESSAGE"), what
            assert answered == msgid, what


def test_method_names_that_are_no_method_are_unknown(daemon: Daemon) -> None:
    names = [
        "",
        "Ping",
        "ping ",
        "__class__",
        "hello\n",
        "x" * 100_000,
        "ü",
        b"nope",
        "record_prediction_batch_batch",
    ]
    with daemon.connect() as wire:
        for name in names:
            refused = wire.refusal(name)
            assert (refused.fault, refused.code) == (1, "UNKNOWN_METHOD")
            assert len(refused.text) < 1_000
        assert wire.refusal(b"\xff\xfe").code in ("BAD_MESSAGE", "UNKNOWN_METHOD")
        assert wire.call(b"ping") == "pong"


def test_odd_notifications_are_never_answered(daemon: Daemon) -> None:
    with daemon.connect() as wire:
        for animal in ZOO:
            wire.send(notification(animal.data) + notification("ping", animal.data))
            wire.send(
                notification("record_prediction", animal.data) + notification("no_such_method", animal.data)
            )
            wire.send(request(1, "ping"))
            assert wire.response() == [1, 1, None, "pong"], animal.name
        for length in (1, 2, 4):
            wire.send(pack([2, "ping", None, None][:length]))
        assert wire.call("ping") == "pong"


def test_more_than_100_bad_messages_in_a_row_end_the_connection(daemon: Daemon, transport: str) -> None:
    with daemon.connect(transport) as wire:
        for _ in range(3):  # a good one in between, and counting starts anew
            assert len(wire.exchange(b"\xc0" * 100, 100)) == 100
            assert wire.call("ping") == "pong"
        messages = wire.exchange(b"\xc0" * 150)
    assert 101 <= len(messages) <= 102
    assert all(code_of(message[2]) == "BAD_MESSAGE" for message in messages)


def test_bad_notifications_in_a_row_end_the_connection_too(daemon: Daemon) -> None:
    with daemon.connect() as wire:
        messages = wire.exchange(pack([2, 5, None]) * 200)
    assert len(messages) <= 1


def test_hello_twice_is_answered_twice_and_the_last_word_counts(daemon: Daemon, transport: str) -> None:
    with daemon.connect(transport) as wire:
        first = wire.call("hello", {"client": "one", "errors": "text"})
        assert isinstance(text_error(wire), str)
        second = wire.call("hello", {"client": "two"})
        assert isinstance(text_error(wire), list)
        assert first == second


def text_error(wire: Wire) -> Any:
    wire.send(request(77, "no_such_method"))
    return wire.response()[2]
