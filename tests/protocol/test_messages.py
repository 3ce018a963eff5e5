from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.protocol import messages
from handicapper.protocol.messages import Input, MarketResolved, Prediction, TradeOutcome

from .golden import GOLDEN
from .samples import INPUTS, WIRE, example, values

kinds = pytest.mark.parametrize("kind", WIRE, ids=lambda kind: kind.__name__)


@kinds
@given(data=st.data())
def test_message_survives_msgpack_and_json(kind: Any, data: st.DataObject) -> None:
    message = data.draw(values(kind))
    for codec in (msgspec.msgpack, msgspec.json):
        back = codec.decode(codec.encode(message), type=kind)
        assert back == message
        assert repr(back) == repr(message), "as many digits, and the same kinds of numbers"


@given(values(Prediction) | values(MarketResolved) | values(TradeOutcome))
def test_input_says_by_its_tag_which_message_it_is(message: Input) -> None:
    for codec in (msgspec.msgpack, msgspec.json):
        back = codec.decode(codec.encode(message), type=Input)
        assert type(back) is type(message)
        assert back == message


@kinds
def test_message_with_fields_of_a_later_release_is_read_without_them(kind: Any) -> None:
    message = example(kind)
    later = msgspec.to_builtins(message) | {"of_a_later_release": {"nested": [1, None, "x"]}}
    for codec in (msgspec.msgpack, msgspec.json):
        assert codec.decode(codec.encode(later), type=kind) == message


@kinds
def test_message_bytes_are_pinned(kind: Any) -> None:
    message = example(kind)
    assert msgspec.msgpack.encode(message).hex() == GOLDEN[kind.__name__]
    assert msgspec.msgpack.decode(bytes.fromhex(GOLDEN[kind.__name__]), type=kind) == message


def test_every_message_has_pinned_bytes() -> None:
    assert GOLDEN.keys() == {kind.__name__ for kind in WIRE}
    assert len(WIRE) == 32


@kinds
def test_message_cannot_be_changed(kind: Any) -> None:
    message = example(kind)
    field = kind.__struct_fields__[0]
    with pytest.raises(AttributeError):
        setattr(message, field, getattr(message, field))


@pytest.mark.parametrize("kind", INPUTS)
def test_input_of_an_earlier_release_without_optional_fields_is_read_with_defaults(kind: Any) -> None:
    full = msgspec.to_builtins(example(kind))
    required = {name for name, field in _fields(kind).items() if field.required}
    assert required | {"type"} < full.keys()
    least = {name: value for name, value in full.items() if name in required or name == "type"}
    message = msgspec.msgpack.decode(msgspec.msgpack.encode(least), type=kind)
    for name, field in _fields(kind).items():
        assert getattr(message, name) == (full[name] if name in required else field.default)


@pytest.mark.parametrize("kind", INPUTS)
def test_input_without_a_required_field_is_refused(kind: Any) -> None:
    full = msgspec.to_builtins(example(kind))
    for name in (name for name, field in _fields(kind).items() if field.required):
        least = {key: value for key, value in full.items() if key != name}
        with pytest.raises(msgspec.ValidationError, match=name):
            msgspec.msgpack.decode(msgspec.msgpack.encode(least), type=kind)


def test_money_travels_as_text_and_times_as_integers() -> None:
    plain = msgspec.to_builtins(example(Prediction))
    assert (plain["price"], plain["size"]) == ("12.50", "12.50")
    assert plain["predicted_at"] == 1_700_000_000_000_000_000


def test_tags_of_the_inputs_are_pinned() -> None:
    tags = {kind.__name__: kind.__struct_config__.tag for kind in INPUTS}
    assert tags == {
        "Prediction": "prediction",
        "MarketResolved": "market_resolved",
        "TradeOutcome": "trade_outcome",
    }


def test_every_public_name_exists() -> None:
    assert all(hasattr(messages, name) for name in messages.__all__)
    assert list(messages.__all__) == sorted(messages.__all__)


def _fields(kind: Any) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(kind)}
