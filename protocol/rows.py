"""Ordinary inputs as rows: many requests decoded, bounded and checked at once.

A row has the fields of an input in their documented order. Lengths and ranges are the decoder's to check; what is
left is asked of the texts of all rows, one behind the other: whether they have a character that is none of the usual
ones. Whatever is not plain is left to the ways that know every form and name every error (:mod:`.many`,
:mod:`.validation`), which say the same of what is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias, cast, get_args

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import astuple, fields

from .connection import MsgId
from .decoding import DECODE_ERRORS
from .framing import Chunk
from .messages import Prediction, TradeOutcome
from .params import OutcomeParams, PredictionParams, array_form
from .values import ID_BYTES_MAX, LABEL_BYTES_MAX, MONEY_DIGITS_MAX, TIME_NS_MAX, TIME_NS_MIN

__all__ = ["PlainRequests", "plain_messages", "plain_requests"]

_Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=ID_BYTES_MAX)]
_Label: TypeAlias = Annotated[str, Meta(min_length=1, max_length=LABEL_BYTES_MAX)]
_Time: TypeAlias = Annotated[int, Meta(ge=TIME_NS_MIN, le=TIME_NS_MAX)]
_Probability: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
_Amount: TypeAlias = Annotated[str, Meta(max_length=MONEY_DIGITS_MAX)] | None

_OutcomeRow = tuple[_Id, _Id, _Label, _Label, _Time, _Amount, _Probability | None]
_PredictionRow = tuple[_Id, _Id, _Id, _Label, _Probability, _Time, _Amount, _Amount, None, None, None]
"""Without a fee, an expiry or metadata."""

_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_UNSIGNED: Final = b".0123456789"
_SIGNED: Final = b"-" + _UNSIGNED


def _are_printable(texts: Sequence[str]) -> bool:
    joined = "".join(texts)
    return joined.isascii() and not joined.encode().translate(None, _PRINTABLE)


def _have_only(texts: Sequence[str], characters: bytes) -> bool:
    return not "".join(texts).encode().translate(None, characters)


def _outcomes(rows: Sequence[Any]) -> list[TradeOutcome] | None:
    names: list[str] = []
    amounts: list[str] = []
    for prediction_id, model_id, predicted, actual, _, pnl, _ in rows:
        names.append(prediction_id)
        names.append(model_id)
        names.append(predicted)
        names.append(actual)
        if pnl is not None:
            amounts.append(pnl)
    if not (_are_printable(names) and _have_only(amounts, _SIGNED)):
        return None
    try:
        return [
            TradeOutcome(
                prediction_id=prediction_id,
                model_id=model_id,
                predicted_outcome=predicted,
                actual_outcome=actual,
                resolved_at=resolved_at,
                pnl=None if pnl is None else Decimal(pnl),
                confidence=confidence,
            )
            for prediction_id, model_id, predicted, actual, resolved_at, pnl, confidence in rows
        ]
    except InvalidOperation:
        return None


def _predictions(rows: Sequence[Any]) -> list[Prediction] | None:
    names: list[str] = []
    amounts: list[str] = []
    for prediction_id, model_id, market_id, outcome, _, _, price, size, _, _, _ in rows:
        names += (prediction_id, model_id, market_id, outcome)
        if price is not None:
            amounts.append(price)
        if size is not None:
            amounts.append(size)
    if not (_are_printable(names) and _have_only(amounts, _UNSIGNED)):
        return None
    try:
        found = [
            Prediction(
                prediction_id=prediction_id,
                model_id=model_id,
                market_id=market_id,
                outcome=outcome,
                confidence=confidence,
                predicted_at=predicted_at,
                price=None if price is None else Decimal(price),
                size=None if size is None else Decimal(size),
            )
            for prediction_id, model_id, market_id, outcome, confidence, predicted_at, price, size, _, _, _ in rows
        ]
    except InvalidOperation:
        return None
    return None if any(each.price is not None and each.price > 1 for each in found) else found


class PlainRequests(NamedTuple):
    """Requests of one method, all of them right."""

    method: str
    msgids: list[int]
    messages: list[Any]


def _plain_form(params: type[Struct], row: Any) -> type[Struct]:
    """Params with the bounds of a row, refusing fields they do not know."""
    types = zip(fields(params), get_args(row), strict=True)
    return msgspec.defstruct(
        f"{params.__name__}Plain",
        [
            (field.name, kind) if field.required else (field.name, kind, field.default)
            for field, kind in types
        ],
        forbid_unknown_fields=True,
        gc=False,
    )


class _Method:
    """Decodes requests of one method."""

    def __init__(self, name: str, params: type[Struct], row: Any, build: Callable[[Any], Any]) -> None:
        def decoder(of: Any) -> Callable[[bytes], list[Any]]:
            request: Any = tuple[Literal[0], MsgId, Literal[name], of]  # pyright: ignore[reportInvalidTypeForm]
            return msgspec.msgpack.Decoder(cast("Any", list[request])).decode

        self.name = name
        self.build = build
        self._rows: Any = list[row]
        self._whole_array = 0x90 + len(params.__struct_fields__)
        self._decode_rows = decoder(row)
        plain = _plain_form(params, row)
        self._decode_arrays = decoder(array_form(plain))
        self._decode_maps = decoder(plain)

    def decode(self, data: bytes, params_head: int) -> tuple[list[int], list[Any]]:
        """(msgids, rows) of requests whose params all have the form that begins with such a byte.

        Raises:
            DECODE_ERRORS: one is something else, or not plain.

        """
        if params_head == self._whole_array:
            requests = self._decode_rows(data)
            rows = [row for _, _, _, row in requests]
        else:
            requests = (self._decode_arrays if 0x90 <= params_head <= 0x9F else self._decode_maps)(data)
            rows = [astuple(params) for _, _, _, params in requests]
        return [msgid for _, msgid, _, _ in requests], rows

    def rows_of(self, params: Sequence[Any]) -> list[Any]:
        """The rows of params.

        Raises:
            DECODE_ERRORS: one is not plain.

        """
        return msgspec.convert(list(map(astuple, params)), self._rows)


_METHODS: Final = {
    method.name.encode(): method
    for method in (
        _Method("record_outcome", OutcomeParams, _OutcomeRow, _outcomes),
        _Method("record_prediction", PredictionParams, _PredictionRow, _predictions),
        _Method("process_signal", PredictionParams, _PredictionRow, _predictions),
    )
}
_BY_PARAMS: Final = (
    (OutcomeParams, _METHODS[b"record_outcome"]),
    (PredictionParams, _METHODS[b"record_prediction"]),
)
_MSGID_BYTES: Final = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9}


def plain_requests(chunk: Chunk) -> PlainRequests | None:
    """The checked messages of a chunk, if all of it are plain requests of one method of inputs, in one form.

    >>> plain_requests(Chunk(bytes.fromhex("940007a470696e67c0"), [9])) is None
    True
    """
    data = chunk.data
    if len(data) < 4 or data[0] != 0x94:
        return None
    at = 2 + (1 if data[2] <= 0x7F else _MSGID_BYTES.get(data[2], 0))
    end = at + 1 + (data[at : at + 1] or b"\0")[0] - 0xA0
    method = _METHODS.get(data[at + 1 : end])
    if method is None or end >= len(data):
        return None
    try:
        msgids, rows = method.decode(b"\xdd" + len(chunk.ends).to_bytes(4, "big") + data, data[end])
    except DECODE_ERRORS:
        return None
    messages = method.build(rows)
    return None if messages is None else PlainRequests(method.name, msgids, messages)


def plain_messages(params: Sequence[Any]) -> list[Any] | None:
    """The checked messages of params of one method of inputs, if all of them are plain.

    >>> found = plain_messages([OutcomeParams(prediction_id="p", model_id="m", predicted_outcome="YES",
    ...                                       actual_outcome="NO", resolved_at=0, pnl="-1.50")])
    >>> found and found[0].pnl
    Decimal('-1.50')
    """
    for kind, method in _BY_PARAMS:
        if params and isinstance(params[0], kind):
            try:
                rows = method.rows_of(params)
            except DECODE_ERRORS:
                return None
            return method.build(rows)
    return None
