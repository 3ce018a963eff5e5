"""What a refused message was about: the ids in it for the log, its values for a dead letter.

Refusals may come in floods, so nothing here takes long: what is large is not looked into.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw, Struct

from ..decoding import DECODE_ERRORS, generic
from ..methods import METHODS
from ..values import ID_BYTES_MAX
from ..wording import plain

__all__ = ["readable", "subject_of"]

BYTES_READ_MAX: Final = 4_096

_NAMES: Final = {"model_id": "model", "market_id": "market", "prediction_id": "prediction"}
"""Fields that say whom a message is about, and what the log calls them."""


def readable(params: object) -> object:
    """Params as values, if they came as bytes that can be read in no time; else as they are.

    >>> readable(bytes.fromhex("81a86d6f64656c5f6964a3656c6f"))
    {'model_id': 'elo'}
    """
    if not isinstance(params, bytes | Raw):
        return params
    raw = bytes(params)
    if len(raw) > BYTES_READ_MAX:
        return raw
    try:
        return generic(raw)
    except (*DECODE_ERRORS, TypeError, ValueError):
        return raw


def subject_of(method: str, message: object) -> dict[str, str]:
    """The ids of the model, market and prediction that a message is about, as far as it has them.

    Args:
        method: which it was sent to, or as an item of.
        message: params or an item of a batch, as bytes or decoded; a message; None.

    >>> subject_of("record_outcome", bytes.fromhex("92a27031a3656c6f"))
    {'prediction': 'p1', 'model': 'elo'}
    """
    return {
        _NAMES[field]: plain(value, ID_BYTES_MAX)
        for field, value in _fields(method, readable(message))
        if field in _NAMES and isinstance(value, str)
    }


def _fields(method: str, message: Any) -> list[tuple[Any, Any]]:
    if isinstance(message, Struct):
        return [(field, getattr(message, field, None)) for field in _NAMES]
    if isinstance(message, list) and len(message) == 1 and isinstance(message[0], dict):
        message = message[0]
    if isinstance(message, dict):
        return list(message.items())
    if isinstance(message, list) and method in METHODS:
        row = METHODS[method]
        return list(zip(METHODS[row.item_of or method].params.__struct_fields__, message, strict=False))
    return []
