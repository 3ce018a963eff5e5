"""Large messages are looked into before they are decoded: what is too much never becomes objects."""

import tracemalloc

import msgpack
import pytest

from handicapper.protocol.connection import call_of, encode_request
from handicapper.protocol.decoding import ParamsDecoder
from handicapper.protocol.errors import InvalidValueError, TooLargeError
from handicapper.protocol.explaining import explained
from handicapper.protocol.many import ManyDecoder
from handicapper.protocol.methods import METHODS
from handicapper.protocol.params import PredictionParams
from handicapper.protocol.parts import LARGE_BYTES, READ_BYTES_MAX, Part, fields_of
from handicapper.protocol.wording import shown

from .wire import Raw, pack

MANY = 1_000_000
NILS = Raw(b"\xdd" + MANY.to_bytes(4, "big") + b"\xc0" * MANY)
GOOD = {
    "prediction_id": "p",
    "model_id": "m",
    "market_id": "k",
    "outcome": "YES",
    "confidence": 0.5,
    "predicted_at": 1,
}
RESOLVED = {"market_id": "k", "resolved_at": 0}
LABELS = {f"o{n}": 0 for n in range(80_000)}
KEYS = {f"key{n}": n for n in range(60_000)}
PADDING = "x" * LARGE_BYTES
COPIES_MAX = 4
"""Of the message: what is looked into is copied; as objects it would take 8 to 100 times as much."""

REFUSED = [
    ("report", {"model_id": NILS}, "model_id was [nil, nil"),
    ("report", [NILS], "model_id was [nil, nil"),
    ("report", {"as_of": NILS, "model_id": "m"}, "as_of was [nil, nil"),
    ("ping", [NILS, {}], None),
    ("ping", {"unknown": NILS}, None),
    ("report", {"unknown": NILS, "model_id": "m"}, None),
    ("report", ["m", None, NILS], None),
    ("report", {f"unknown{n}": n for n in range(50_000)}, "more than 1000 fields that are unknown"),
    ("record_prediction", GOOD | {"metadata": KEYS}, '60000 items); expected at most 4096 bytes when encoded'),
    ("record_prediction", GOOD | {"metadata": {"b": 1, "a": NILS}}, 'metadata["a"] was [nil, nil'),
    ("record_prediction", GOOD | {"metadata": {7: PADDING}}, "key of metadata was 7; expected a string"),
    ("market_resolved", RESOLVED | {"payouts": LABELS}, "80000 items); expected a map of 1 to 256 outcome labels"),
    ("market_resolved", ["k", 0, LABELS], "80000 items); expected a map of 1 to 256 outcome labels"),
    ("market_resolved", RESOLVED | {"payouts": {"YES": NILS}}, 'payouts["YES"] was [nil, nil'),
    ("record_outcome_batch", {"outcomes": NILS}, "outcomes has 1000000 items, at most 16384 are allowed"),
    ("record_outcome_batch", [NILS], "outcomes has 1000000 items, at most 16384 are allowed"),
    ("combine", {"as_of": 1, "predictions": NILS}, "predictions has 1000000 items, at most 16384 are allowed"),
    ("combine", {"outcomes": NILS}, "outcomes has 1000000 items, at most 16384 are allowed"),
    ("get_adaptive_params_batch", {"model_ids": [NILS]}, "model_ids[0] was [nil, nil"),
    ("get_adaptive_params_batch", {"model_ids": ["m"] * 16_000 + [7]}, "model_ids[16000] was 7; expected an id"),
    ("thompson_sample", {"models": NILS}, "models has 1000000 items, at most 16384 are allowed"),
    ("replay_dead_letters", {"ids": NILS}, "ids has 1000000 items, at most 16384 are allowed"),
]  # fmt: skip


def decoder_of(method, items_max=16_384):
    return ParamsDecoder(METHODS[method].params, 32, items_max)


@pytest.mark.parametrize(("method", "params", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_a_large_message_has_too_much_of_never_becomes_objects(method, params, said):
    raw, decoder = pack(params), decoder_of(method)
    assert len(raw) > LARGE_BYTES
    tracemalloc.start()
    try:
        if said is None:
            decoder.decode(raw)
        else:
            with pytest.raises((InvalidValueError, TooLargeError)) as caught:
                decoder.decode(raw)
            assert said in str(caught.value)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < COPIES_MAX * len(raw) + 2 * MANY


@pytest.mark.parametrize(("method", "params", "said"), REFUSED, ids=range(len(REFUSED)))
def test_of_a_large_message_only_what_is_told_is_read(monkeypatch, method, params, said):
    read = []
    monkeypatch.setattr(
        "handicapper.protocol.parts.generic", lambda raw: read.append(len(raw)) or msgpack.unpackb(raw)
    )
    monkeypatch.setattr(
        "handicapper.protocol.explaining.generic",
        lambda raw: pytest.fail(f"{len(raw)} bytes were read whole"),
    )
    if said is None:
        decoder_of(method).decode(pack(params))
    else:
        with pytest.raises((InvalidValueError, TooLargeError)):
            decoder_of(method).decode(pack(params))
    assert all(size <= READ_BYTES_MAX for size in read)


@pytest.mark.parametrize("large", [LABELS, KEYS])
def test_a_map_with_too_many_entries_in_one_item_of_many_is_refused_by_its_head_too(large):
    field = "payouts" if large is LABELS else "metadata"
    method = "market_resolved" if large is LABELS else "record_prediction"
    item = pack((RESOLVED if large is LABELS else GOOD) | {field: large})
    tracemalloc.start()
    try:
        assert ManyDecoder(METHODS[method].params).decode([item, item]) is None
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < COPIES_MAX * 2 * len(item)


def test_the_bound_of_lists_is_the_one_that_was_set():
    raw = pack({"model_ids": ["m" * 250] * 101})
    with pytest.raises(TooLargeError, match="model_ids has 101 items, at most 100 are allowed"):
        decoder_of("get_adaptive_params_batch", items_max=100).decode(raw)
    assert len(decoder_of("get_adaptive_params_batch", items_max=101).decode(raw).model_ids) == 101


@pytest.mark.parametrize("unknown", [NILS, Raw(pack({"a": [1] * LARGE_BYTES})), Raw(b"\xa1\xff"), PADDING])
@pytest.mark.parametrize("first", [True, False])
def test_unknown_fields_of_a_large_message_are_ignored_wherever_they_stand(unknown, first):
    known = GOOD | {"metadata": {"a": 1}}
    padded = {"unknown2": PADDING}
    params = {"unknown": unknown, **padded, **known} if first else {**known, **padded, "unknown": unknown}
    decoded = decoder_of("record_prediction").decode(pack(params))
    assert (decoded.model_id, decoded.metadata) == ("m", {"a": 1})
    row = [*GOOD.values(), None, None, None, None, {"a": 1}]
    assert decoder_of("record_prediction").decode(pack([*row, PADDING, unknown])).metadata == {"a": 1}


@pytest.mark.parametrize(
    "params",
    [
        {"confidence": "high"},
        {"metadata": {"b": 1, "a": [1]}},
        {"metadata": {"a": 1, 7: 2}},
        {"metadata": [1]},
        {"metadata": Raw(b"\x81\xa1a\xa1\xff")},
        {"model_id": Raw(b"\xa1\xff")},
        {"model_id": Raw(b"\xd6\x05\x00\x00\x00\x00")},
        {"expires_at": True},
        {7: 1},
    ],
)
def test_a_large_message_is_refused_in_the_same_words_as_a_small_one(params):
    decoder = decoder_of("record_prediction")
    with pytest.raises(InvalidValueError) as small:
        decoder.decode(pack(GOOD | params))
    with pytest.raises(InvalidValueError) as large:
        decoder.decode(pack(GOOD | {"price": "1", "unknown": PADDING} | params))
    assert str(large.value) == str(small.value)


@pytest.mark.parametrize("method", ["combine", "x" * 31])
@pytest.mark.parametrize("msgid", [0, 127, 128, 255, 2**16 - 1, 2**32 - 1])
def test_a_large_call_has_the_same_parts_as_a_small_one(method, msgid):
    for params in ({"a": PADDING}, [[1]] * LARGE_BYTES):
        message = encode_request(msgid, method, params)
        *who, what = call_of(message)
        assert (who, bytes(what)) == ([msgid, method], pack(params))
    *who, what = call_of(b"\x93\x02\xa4ping" + pack(PADDING))
    assert (who, bytes(what)) == ([None, "ping"], pack(PADDING))


def test_fields_are_told_apart_without_walking_over_the_last():
    raw = pack({"a": [1, 2], "b": "x"}) + b"behind it"
    assert [(field.key, field.entries) for field in fields_of(raw)] == [("a", 2), ("b", None)]


def test_what_cannot_be_read_of_a_large_value_is_told_in_words():
    rubbish = b"\xdd" + (5_000).to_bytes(4, "big") + b"\xa1\xff" * 5_000
    assert shown(Part(rubbish).read()).startswith("[something of 2 bytes that cannot be read, some")
    deep = b"\x91" * 10_000 + b"\xc0"
    assert shown(Part(deep).read()) == "[[[[...]]]]"


def test_an_error_of_a_large_message_that_names_no_field_is_told_as_one_of_the_whole():
    raw = pack(GOOD | {"metadata": {"a": PADDING}})
    error = explained(raw, OverflowError("too big"), PredictionParams, False, "")
    assert "expected valid MessagePack" in str(error)
