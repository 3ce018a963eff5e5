"""What holds for any bytes that a connection gets, in any pieces: every fuzzer (hypothesis, atheris, the corpus) asks
for the same."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgpack
import msgspec

from handicapper.protocol.errors import HandicapperError, ProtocolError
from handicapper.protocol.framing import Framer
from handicapper.protocol.limits import BAD_MESSAGES_MAX

from .fuzz_harness import FULL_FOR, LIMITS, Harness

CODES = {
    "BAD_MESSAGE", "UNKNOWN_METHOD", "INVALID_VALUE", "TOO_DEEP", "TOO_LARGE", "UNFRAMEABLE", "PROTOCOL_UNSUPPORTED",
    "CONFLICT", "UNKNOWN_MODEL", "UNKNOWN_MARKET", "BUSY",
}  # fmt: skip


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """``data`` cut at these places."""
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


def framed(
    chunks: Iterable[bytes], bytes_max: int, count_max: int = 3
) -> tuple[list[bytes], str | None, bool]:
    """(messages, code of the fault, whether a message was begun) of a stream in pieces."""
    framer = Framer(bytes_max)
    messages: list[bytes] = []
    for chunk in chunks:
        framer.feed(chunk)
        while batch := framer.next_messages(count_max):
            messages += batch
    assert framer.fault is None or isinstance(framer.fault, ProtocolError)
    return messages, framer.fault.code if framer.fault else None, framer.partial


def answered(chunks: Iterable[bytes]) -> list[Any]:
    """What a client gets that sends this and then nothing more; checked for all that always holds."""
    harness = Harness()
    try:
        for chunk in chunks:
            harness.receive(chunk)
        harness.end()
        messages = harness.messages()
    finally:
        harness.service.close()
    assert harness.finished, "a client that sends no more is let go"
    assert harness.session.in_flight == 0
    assert harness.service.in_flight == 0
    for message in messages:
        _check_message(message)
    assert all(isinstance(error, HandicapperError) for _, error in harness.backend.letters)
    return messages


def _check_message(message: Any) -> None:
    kind, msgid, error, result = message
    assert kind == 1
    assert msgid is None or 0 <= msgid < 2**32
    if error is None:
        return
    assert result is None
    if isinstance(error, list):
        fault, text = error
        assert fault in (0, 1)
    else:
        text = error
    code = text.partition(" ")[0]
    assert code in CODES, text
    assert len(text.encode()) < 2_000


def expected_msgids(data: bytes) -> tuple[Counter[int | None], bool]:
    """The msgids to be answered, as another reader of MessagePack sees the stream; and whether it reads to its end.

    The one who sees no request where we see one, or the other way round, is wrong.
    """
    unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=0, unicode_errors="surrogateescape")
    unpacker.feed(data)
    msgids: Counter[int | None] = Counter()
    start, bad = 0, 0
    while True:
        try:
            unpacker.skip()
        except msgpack.OutOfData:
            return msgids, len(data) - start <= LIMITS.message_bytes_max
        except ValueError:
            return msgids, False
        end = unpacker.tell()
        if end - start > LIMITS.message_bytes_max:
            return msgids, False
        waits, msgid = _waits_for(data[start:end])
        bad = bad + 1 if waits is None else 0
        if bad > BAD_MESSAGES_MAX:
            return msgids, False
        if waits:
            msgids[msgid] += 1
        start = end


def _waits_for(message: bytes) -> tuple[bool | None, int | None]:
    """(whether it is a request, None for neither request nor notification; its msgid)."""
    try:
        parts = msgspec.msgpack.decode(message, type=list[msgspec.Raw])
        plain = [_scalar(part) for part in parts[:3]]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None, None
    if len(parts) == 4 and plain[0] == 0 and type(plain[0]) is int and isinstance(plain[2], str):
        if type(plain[1]) is int and 0 <= plain[1] < 2**32:
            return True, plain[1]
    elif len(parts) == 3 and plain[0] == 2 and type(plain[0]) is int and isinstance(plain[1], str):
        return False, None
    return None, None


def _scalar(raw: msgspec.Raw) -> Any:
    """The value of a scalar; None for what is none, or no text."""
    try:
        value = msgpack.unpackb(bytes(raw), strict_map_key=False)
        return value.decode() if isinstance(value, bytes) else value
    except (ValueError, TypeError, msgpack.UnpackException):
        return None  # a map whose keys are lists cannot be made here; it is no scalar either


def check(data: bytes, cuts: Sequence[int]) -> None:
    """Everything that holds for any bytes in any pieces."""
    whole, cut = [data], pieces(data, cuts)
    assert framed(whole, LIMITS.message_bytes_max) == framed(cut, LIMITS.message_bytes_max)
    at_once, in_pieces = answered(whole), answered(cut)
    if FULL_FOR.encode() not in data:  # what is told BUSY depends on what came together
        assert _comparable(at_once) == _comparable(in_pieces)
    expected, readable = expected_msgids(data)
    requests = Counter(message[1] for message in at_once if not _is_bad_message(message))
    if readable:
        assert requests == expected
    else:
        # One error more says why the rest is not read; it may be that of a request of which a part came.
        assert expected <= requests
        assert (requests - expected).total() <= 1


def _is_bad_message(message: Any) -> bool:
    error = message[2]
    return error is not None and (error[1] if isinstance(error, list) else error).startswith("BAD_MESSAGE")


def _comparable(messages: list[Any]) -> list[str]:
    """Answers without their order, which depends on what came together, and without counters of bytes."""
    for message in messages:
        if isinstance(message[3], dict) and "server" in message[3] and "seq" in message[3]:
            del message[3]["server"]
        if "TOO_LARGE a message" in str(message[2]):
            message[2] = "TOO_LARGE"  # how large it is going to be is not known when only a part is there
    return sorted(map(repr, messages))
