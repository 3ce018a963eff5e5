"""MessagePack-RPC without a socket: messages as bytes to calls, answers to bytes.

What a peer sends is never trusted: whatever cannot be read becomes one :class:`BadMessageError`, which
knows the msgid to answer to if there was one.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple, cast

import msgspec
from msgspec import Meta, Raw

from .decoding import DECODE_ERRORS, check_depth, generic
from .errors import BadMessageError, ProtocolError, error_from_wire, error_to_wire
from .framing import Framer
from .parts import LARGE_BYTES
from .wording import shown

__all__ = [
    "MSGID_MAX",
    "NOTIFICATION",
    "REQUEST",
    "RESPONSE",
    "BadCall",
    "Call",
    "Framer",
    "Response",
    "call_of",
    "encode",
    "encode_error",
    "encode_notification",
    "encode_request",
    "encode_response",
    "msgid_of_head",
    "plain_call_of",
    "result_decoder",
]

REQUEST: Final = 0
RESPONSE: Final = 1
NOTIFICATION: Final = 2
MSGID_MAX: Final = 2**32 - 1
DEPTH_READ_MAX: Final = 128
"""Beyond it the decoder may refuse the whole message; a server's own limit is far below."""
MESSAGE_BYTES_SHOWN: Final = 200
"""Of a bad message; a longer one is shown as bytes, for decoding it takes time."""

_UINT_BYTES: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}

MsgId = Annotated[int, Meta(ge=0, le=MSGID_MAX)]


class Call(NamedTuple):
    """A request or, without ``msgid``, a notification."""

    msgid: int | None
    method: str
    params: Raw


class Response(NamedTuple):
    """An answer: ``error`` as it travelled, or nil; ``result`` undecoded."""

    msgid: int | None
    error: Any
    result: Raw


class BadCall(Exception):  # noqa: N818  # carries the error, is none itself
    """A message that cannot be served. ``msgid``: whom to answer; ``answerable``: whether anybody waits."""

    def __init__(self, error: ProtocolError, msgid: int | None = None, answerable: bool = True) -> None:
        super().__init__(error)
        self.error = error
        self.msgid = msgid
        self.answerable = answerable


_decode_request = msgspec.msgpack.Decoder(tuple[int, MsgId, str, Raw]).decode
_decode_notification = msgspec.msgpack.Decoder(tuple[int, str, Raw]).decode
_decode_parts = msgspec.msgpack.Decoder(list[Raw]).decode


def call_of(raw: bytes) -> tuple[int | None, str, Raw]:
    """(msgid, method, params) of one message, as a framer gives it: of a request; msgid None for a notification.

    >>> msgid, method, params = call_of(bytes.fromhex("940007a470696e67c0"))
    >>> msgid, method
    (7, 'ping')

    Raises:
        BadCall: it is neither.

    """
    if len(raw) > LARGE_BYTES and (call := _large_call_of(raw)) is not None:
        return call
    return plain_call_of(raw) or _call_slowly(raw)


def plain_call_of(raw: bytes) -> tuple[int | None, str, Raw] | None:
    """The same of a message in the form that nearly all have; None for another, or if it is not one whole message."""
    try:
        if raw[0] == 0x94:
            kind, msgid, method, params = _decode_request(raw)
            if kind == REQUEST:
                return msgid, method, params
        elif raw[0] == 0x93:
            kind, method, params = _decode_notification(raw)
            if kind == NOTIFICATION:
                return None, method, params
    except DECODE_ERRORS:
        pass
    return None


_decode_method = msgspec.msgpack.Decoder(str).decode


def _large_call_of(raw: bytes) -> tuple[int | None, str, Raw] | None:
    """The same of a large message: params are what is behind the method, and are not walked over for that."""
    if raw[:2] not in (b"\x94\x00", b"\x93\x02"):
        return None
    msgid, at = None, 2
    if raw[0] == 0x94:
        msgid = msgid_of_head(raw)
        if msgid is None:
            return None
        at += 1 + _UINT_BYTES.get(raw[2], 0)
    end = at + 1 + (raw[at] - 0xA0 if 0xA0 <= raw[at] <= 0xBF else len(raw))
    if end >= len(raw):
        return None
    try:
        return msgid, _decode_method(raw[at:end]), Raw(raw[end:])
    except DECODE_ERRORS:
        return None


def _call_slowly(raw: bytes) -> Call:
    """The same for unusual forms: long headers, a method as bin; or what is wrong."""
    try:
        parts = _decode_parts(raw)
        kind = generic(parts[0]) if parts else None
    except DECODE_ERRORS:
        try:
            check_depth(raw, DEPTH_READ_MAX)
        except ProtocolError as error:
            raise BadCall(error, msgid_of_head(raw), answerable=raw[0] != 0x93) from None
        raise BadCall(_bad(f"the message {_shown(raw)}")) from None
    if kind == NOTIFICATION and type(kind) is int:
        return Call(None, *_named(parts, 3, None, answerable=False))
    if type(kind) is not int or kind not in (REQUEST, RESPONSE):
        raise BadCall(_bad(f"the message {_shown(raw)}"))
    msgid = _msgid(parts)
    if msgid is None:
        raise BadCall(_bad(f"the msgid of {_shown(raw)}"))
    if kind == RESPONSE:
        raise BadCall(_bad("a response, although the server never asks,"), None, answerable=False)
    return Call(msgid, *_named(parts, 4, msgid, answerable=True))


def _named(parts: list[Raw], length: int, msgid: int | None, answerable: bool) -> tuple[str, Raw]:
    """Method and params, the last two of ``length`` parts."""
    if len(parts) != length:
        raise BadCall(_bad(f"a message of {len(parts)} elements"), msgid, answerable)
    try:
        method = generic(parts[length - 2])
        if isinstance(method, bytes):
            method = method.decode()
    except DECODE_ERRORS:
        method = None
    if not isinstance(method, str):
        told = _shown(bytes(parts[length - 2]))
        raise BadCall(_bad(f"the method {told}, no string in UTF-8,"), msgid, answerable)
    return method, parts[length - 1]


def _msgid(parts: list[Raw]) -> int | None:
    try:
        msgid = generic(parts[1])
    except (*DECODE_ERRORS, IndexError):
        return None
    return msgid if type(msgid) is int and 0 <= msgid <= MSGID_MAX else None


def _bad(what: str) -> BadMessageError:
    return BadMessageError(
        f"{what} was no call; expected [0, msgid, method, params] or [2, method, params] "
        "with a msgid from 0 to 4294967295"
    )


def _shown(raw: bytes) -> str:
    try:
        check_depth(raw[:MESSAGE_BYTES_SHOWN], 8)
        return shown(generic(raw) if len(raw) <= MESSAGE_BYTES_SHOWN else raw)
    except (*DECODE_ERRORS, ProtocolError, IndexError):
        return shown(raw)


def msgid_of_head(head: bytes) -> int | None:
    """The msgid of a request of which only the beginning is there, if it can be seen.

    >>> msgid_of_head(bytes.fromhex("9400cd0102a4"))
    258
    """
    if len(head) < 3 or head[0] != 0x94 or head[1] != REQUEST:
        return None
    if head[2] <= 0x7F:
        return head[2]
    width = _UINT_BYTES.get(head[2], 0)
    digits = head[3 : 3 + width]
    msgid = int.from_bytes(digits, "big")
    return msgid if width and len(digits) == width and msgid <= MSGID_MAX else None


# ------------------------------------------------------------------- encoding


def _encode_unknown(value: Any) -> Any:
    """Errors inside a result travel as pairs."""
    if isinstance(value, BaseException):
        return error_to_wire(value)
    raise NotImplementedError(f"{type(value).__name__} does not travel")


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_unknown, decimal_format="string")
encode = _encoder.encode
"""Any value of the protocol as MessagePack."""


def encode_request(msgid: int, method: str, params: Any) -> bytes:
    """A request.

    >>> encode_request(7, "ping", None).hex()
    '940007a470696e67c0'
    """
    return encode((REQUEST, msgid, method, params))


def encode_notification(method: str, params: Any) -> bytes:
    """A notification."""
    return encode((NOTIFICATION, method, params))


def encode_response(msgid: int | None, result: Any) -> bytes:
    """The answer to a request that succeeded."""
    return encode((RESPONSE, msgid, None, result))


def encode_error(msgid: int | None, error: BaseException, as_text: bool = False) -> bytes:
    """The answer to a request that failed."""
    pair = error_to_wire(error)
    return encode((RESPONSE, msgid, pair[1] if as_text else pair, None))


# ------------------------------------------------------------------- decoding


def _decode_known(kind: type, value: Any) -> Any:
    if kind is Exception:
        return error_from_wire(value)
    raise NotImplementedError(f"{kind.__name__} does not travel")


def result_decoder(result: Any) -> msgspec.msgpack.Decoder[Any]:
    """A decoder of one method's results; errors inside become exceptions again."""
    return msgspec.msgpack.Decoder(cast("type[Any]", result), dec_hook=_decode_known)
