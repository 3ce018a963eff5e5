"""The framer: any split of the stream gives the same messages, and what is no MessagePack ends it by name."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.protocol.errors import TooLargeError, UnframeableError
from handicapper.protocol.framing import Framer

VALUES = [
    [0, 1, "ping", None],
    [2, "record_outcome", {"a": "x" * 300}],
    7,
    "text",
    [[[]]],
    {"k": b"\x00\xc1"},
]
STREAM = b"".join(msgpack.packb(value) for value in VALUES)


def cut(framer, data, sizes=(1_000_000,), count_max=1000):
    messages, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        framer.feed(data[at : at + size])
        at, turn = at + size, turn + 1
        while framer.pending:
            messages += framer.next_messages(count_max)
    return messages


@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=20), count_max=st.integers(1, 4))
def test_the_same_messages_come_out_however_the_stream_is_split(sizes, count_max):
    messages = cut(Framer(10_000), STREAM, sizes, count_max)
    assert [msgpack.unpackb(message) for message in messages] == VALUES


def test_a_begun_message_is_partial_until_its_last_byte():
    framer = Framer(10_000)
    framer.feed(STREAM[:3])
    assert framer.next_messages(10) == []
    assert framer.partial
    framer.feed(STREAM[3:])
    assert len(framer.next_messages(100)) == len(VALUES)
    assert not framer.partial


def test_more_messages_than_asked_for_stay_pending():
    framer = Framer(10_000)
    framer.feed(STREAM)
    assert len(framer.next_messages(2)) == 2
    assert framer.pending
    assert not framer.partial
    assert len(framer.next_messages(100)) == len(VALUES) - 2
    assert not framer.pending


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b"\xc1", UnframeableError),
        (b"\x91" * 2_000 + b"\xc0", UnframeableError),
        (b"\xdd\xff\xff\xff\xff" + b"\x01" * 200, TooLargeError),
        (b"\xdf\xff\xff\xff\xff" + b"\x01" * 200, TooLargeError),
        (b"\xdb\xff\xff\xff\xff" + b"\x01" * 200, TooLargeError),
        (b"\xc6\xff\xff\xff\xff" + b"\x01" * 200, TooLargeError),
        (b"\xd9\xc8" + b"x" * 200, TooLargeError),
    ],
)
def test_what_cannot_be_framed_ends_the_stream_after_the_messages_before_it(bad, error):
    framer = Framer(100)
    messages = cut(framer, b"\x01\x02" + bad + b"\x03")
    assert messages == [b"\x01", b"\x02"]
    assert isinstance(framer.fault, error)
    framer.feed(b"\x04")
    assert framer.next_messages(10) == []
    assert not framer.partial


def test_a_message_of_exactly_the_limit_passes_and_one_byte_more_does_not():
    for size, passes in ((100, True), (101, False)):
        framer = Framer(100)
        framer.feed(b"\xd9" + bytes([size - 2]) + b"x" * (size - 2))
        assert len(framer.next_messages(10)) == passes
        assert (framer.fault is None) == passes


def test_bytes_that_were_given_out_are_not_kept():
    framer = Framer(100_000)
    message = msgpack.packb("x" * 1_000)
    for _ in range(1_000):
        framer.feed(message[:500])
        framer.next_messages(10)
        framer.feed(message[500:])
        assert len(framer.next_messages(10)) == 1
        assert framer.waiting_bytes == 0
        assert len(framer._data) < 3_000


def test_a_message_may_pass_by_unless_something_waits_before_it() -> None:
    framer = Framer(message_bytes_max=10)
    ping = b"\x93\x02\xa4ping\xc0"
    assert framer.may_pass_by(ping)
    assert not framer.may_pass_by(b"\xc0" * 11)
    assert not framer.may_pass_by(b"")
    framer.feed(ping[:3])
    assert not framer.may_pass_by(ping)
    framer.feed(ping[3:])
    assert not framer.may_pass_by(ping)
    assert framer.next_messages(10) == [ping]
    assert framer.may_pass_by(ping)
    framer.feed(b"\xc1")
    assert framer.next_messages(10) == []
    assert framer.fault is not None
    assert not framer.may_pass_by(ping)
