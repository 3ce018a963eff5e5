"""Neighbours at once: requests, params and answers that lie next to each other, each in one call of the codec.

A call of Python costs more than decoding a request does. So what is plain (requests of one method, with the fields
it has and nothing else) is handled many at a time; whatever is not is left to the way of one by one, which knows
every form and names every error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct

from .connection import REQUEST, RESPONSE, MsgId, encode
from .decoding import DECODE_ERRORS, is_array
from .messages import Receipt
from .params import array_form, strict_form
from .rows import plain_messages
from .validation import check_input

__all__ = [
    "ManyDecoder",
    "RequestParts",
    "array_of",
    "checked_message",
    "checked_messages",
    "encode_receipts",
    "requests_of",
]

RequestParts = tuple[int, int, str, Raw]
"""(0, msgid, method, params)."""

_decode_requests = msgspec.msgpack.Decoder(list[tuple[int, MsgId, str, Raw]]).decode


def _array_of(items: Sequence[bytes | Raw]) -> bytes:
    """MessagePack values as one array of them."""
    return b"\xdd" + len(items).to_bytes(4, "big") + b"".join(items)


def requests_of(messages: Sequence[bytes]) -> list[RequestParts] | None:
    """The parts of messages all of which are requests; None if one is something else.

    >>> [(msgid, method) for _, msgid, method, _ in requests_of([bytes.fromhex("940007a470696e67c0")] * 2)]
    [(7, 'ping'), (7, 'ping')]
    >>> requests_of([bytes.fromhex("9302a470696e67c0")]) is None
    True
    """
    try:
        parts = _decode_requests(_array_of(messages))
    except DECODE_ERRORS:
        return None
    return parts if {kind for kind, _, _, _ in parts} == {REQUEST} else None


class ManyDecoder:
    """Decodes the params of many calls of one method."""

    def __init__(self, kind: type[Struct]) -> None:
        # Indexed by "is an array".
        self._decode: tuple[Callable[[bytes], list[Any]], ...] = (
            msgspec.msgpack.Decoder(cast("Any", list[strict_form(kind)])).decode,
            msgspec.msgpack.Decoder(cast("Any", list[strict_form(array_form(kind))])).decode,
        )

    def decode(self, params: Sequence[Raw]) -> list[Any] | None:
        """The params, if all have the form of the first and are right; else None."""
        data = _array_of(params)
        if len(data) == 5:
            return []
        try:
            return self._decode[is_array(data[5:6])](data)
        except DECODE_ERRORS:
            return None


def checked_messages(params: Sequence[Any]) -> list[Any]:
    """The checked message of each params, in the place of an invalid one its error."""
    return plain_messages(params) or [checked_message(each) for each in params]


def checked_message(params: Any) -> Any:
    """The same of one."""
    try:
        return check_input(params.message())
    except Exception as error:  # noqa: BLE001  # a defect of ours costs this one its place, not the others theirs
        return error


def encode_receipts(msgids: Sequence[int], receipts: Sequence[Receipt]) -> bytes:
    """The answers to requests that all have a receipt.

    >>> encode_receipts([7, 8], [Receipt(seq=1), Receipt(seq=2)]).hex()
    '940107c081a373657101940108c081a373657102'
    """
    data = encode([(RESPONSE, msgid, None, receipt) for msgid, receipt in zip(msgids, receipts, strict=True)])
    # Without the head of the array: its length takes no byte of its own, two or four.
    count = len(receipts)
    return data[1 if count < 16 else 3 if count < 65_536 else 5 :]


def array_of(count: int, parts: Iterable[bytes]) -> bytes:
    """``count`` values, encoded already and one or more of them a part, as one array.

    >>> array_of(3, [b"\\x07\\x08", b"\\xc0"]) == encode([7, 8, None])
    True
    """
    if count < 16:
        head = bytes([0x90 | count])
    elif count < 65_536:
        head = b"\xdc" + count.to_bytes(2, "big")
    else:
        head = b"\xdd" + count.to_bytes(4, "big")
    return b"".join([head, *parts])  # one copy of what may be megabytes
