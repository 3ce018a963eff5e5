"""Any bytes, in any pieces: one family of errors, the same messages, the same answers.

A short run belongs to the suite; ``HANDICAPPER_FUZZ_EXAMPLES=100000 pytest tests/protocol/test_fuzz.py`` is a long one.
What a run finds goes into ``corpus/`` (any file name, the bytes as they are), where it is tried every time.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from handicapper.protocol.decoding import DECODE_ERRORS, check_depth
from handicapper.protocol.errors import TooDeepError
from handicapper.protocol.methods import METHODS

from .fuzz_harness import LIMITS
from .fuzzing import answered, check, framed, pieces
from .wire import nested, notification, pack, request

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())
EXAMPLES = int(os.environ.get("HANDICAPPER_FUZZ_EXAMPLES", "150"))

fuzzed = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
    deadline=None,
)

# ------------------------------------------------------------------ what is tried

_words = st.sampled_from(
    [
        "m",
        "unknown",
        "full",
        "p",
        "conflict",
        "YES",
        "final",
        "0.5",
        "1e5",
        "NaN",
        "pair",
        "text",
        "models",
        "ü",
        "",
    ]
)
_integers = st.one_of(
    st.integers(-2, 20), st.integers(-(2**63), 2**64 - 1), st.just(1_700_000_000_000_000_000)
)
_scalars = st.one_of(
    st.none(), st.booleans(), _integers, st.floats(), _words, st.text(max_size=5), st.binary(max_size=5),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=4)),
    st.builds(msgpack.Timestamp, st.integers(0, 2**34 - 1)),
)  # fmt: skip
_keys = st.one_of(
    st.sampled_from(sorted({name for row in METHODS.values() for name in row.params.__struct_fields__})),
    _words,
    _integers,
)
_values: st.SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_keys, inner, max_size=4)),
    max_leaves=12,
)


def _likely(name: str) -> st.SearchStrategy[Any]:
    """A value that a field may well take, or anything."""
    if name.endswith("_at") or name in ("as_of", "until"):
        return st.integers(0, 2**62)
    if name == "confidence":
        return st.floats(0, 1)
    return st.one_of(_words, _values)


@st.composite
def _params(draw: st.DrawFn, method: str) -> Any:
    fields = METHODS[method].params.__struct_fields__
    kind = draw(st.sampled_from(["map", "array", "map in array", "anything", "nil"]))
    if kind == "anything":
        return draw(_values)
    if kind == "nil":
        return None
    drawn = {name: draw(_likely(name)) for name in fields}
    if kind == "array":
        return list(drawn.values())[: draw(st.integers(0, len(fields)))]
    if draw(st.booleans()):
        drawn[draw(_words)] = draw(_values)
    return drawn if kind == "map" else [drawn]


@st.composite
def _calls(draw: st.DrawFn) -> bytes:
    method = draw(st.one_of(st.sampled_from(sorted(METHODS)), _words))
    params = draw(_params(method)) if method in METHODS else draw(_values)
    try:
        if draw(st.integers(0, 5)) == 0:
            return notification(method, params)
        return request(draw(st.integers(0, 2**32 - 1)), method, params)
    except (OverflowError, UnicodeEncodeError):
        return b"\xc0"


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(
        draw(st.one_of(_calls(), st.sampled_from([path.read_bytes()[:2_000] for path in CORPUS])))
    )
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["replace", "insert", "delete", "cut", "repeat"])):
            case "replace" if place < len(data):
                data[place] = draw(st.integers(0, 255))
            case "insert":
                data[place:place] = draw(st.binary(min_size=1, max_size=4))
            case "delete":
                del data[place : place + draw(st.integers(1, 4))]
            case "cut":
                del data[place:]
            case _:
                data += data[place : place + 20]
    return bytes(data)


_parts = st.one_of(_calls(), _calls(), _mutated(), _values.map(pack), st.binary(max_size=30))
_streams = st.lists(_parts, max_size=8).map(b"".join)
_cuts = st.lists(st.integers(0, 2_000), max_size=12)


# ---------------------------------------------------------------------- what holds


@pytest.fixture(autouse=True)
def unlogged(caplog: pytest.LogCaptureFixture) -> None:
    """Of thousands of refusals each is logged; that costs more than finding them."""
    caplog.set_level("CRITICAL", "handicapper")


@given(_streams, _cuts)
@fuzzed
def test_any_stream_in_any_pieces_is_answered_alike(data: bytes, cuts: list[int]) -> None:
    check(data, cuts)


@given(st.lists(_calls(), max_size=12).map(b"".join), _cuts)
@fuzzed
def test_any_calls_in_any_pieces_are_each_answered(data: bytes, cuts: list[int]) -> None:
    check(data, cuts)


@given(st.binary(max_size=400), _cuts)
@fuzzed
@example(b"\xc1", [])
@example(b"\xdd\xff\xff\xff\xff", [1, 2, 3])
def test_random_bytes_are_answered_alike(data: bytes, cuts: list[int]) -> None:
    check(data, cuts)


@given(st.lists(_values.map(pack), max_size=20), _cuts, st.integers(1, 7))
@fuzzed
def test_values_are_cut_out_whole_wherever_the_stream_was_cut(
    values: list[bytes], cuts: list[int], count_max: int
) -> None:
    data = b"".join(values)
    assert framed(pieces(data, cuts), 10_000, count_max) == (values, None, False)
    if data:
        messages, fault, partial = framed(pieces(data[:-1], cuts), 10_000, count_max)
        assert (messages, fault, partial) == (values[:-1], None, len(values[-1]) > 1)


@given(_values, st.integers(1, 12))
@fuzzed
def test_depth_is_counted_as_the_nesting_of_the_value(value: Any, depth_max: int) -> None:
    try:
        check_depth(pack(value), depth_max)
    except TooDeepError:
        assert _depth(value) > depth_max
    else:
        assert _depth(value) <= depth_max


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    # An extension is a tuple of Python's, and one flat value of MessagePack's.
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@given(st.binary(min_size=1, max_size=200))
@fuzzed
def test_depth_of_bytes_that_are_cut_off_is_counted_without_an_error_of_its_own(data: bytes) -> None:
    try:
        check_depth(data, 4)
    except (TooDeepError, *DECODE_ERRORS):
        pass


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    data, chance = path.read_bytes(), random.Random(path.name)
    check(data, range(len(data)) if len(data) < 3_000 else [])
    for _ in range(5):
        check(data, [chance.randrange(len(data) + 1) for _ in range(6)])


def test_a_stream_of_everything_at_once_is_answered() -> None:
    """More requests than may be in flight, batches of more than a piece, notifications between them."""
    calls = [request(n, method, None) + notification(method) for n, method in enumerate(METHODS)] * 5
    messages = answered([b"".join(calls)])
    assert len(messages) == len(calls)


def test_nesting_of_any_depth_is_framed_or_refused() -> None:
    for depth in [*range(1, 40), 500, 511, 512, 513, 600, 5_000]:
        data = nested(depth).data
        messages, fault, _ = framed([data], 10_000)
        assert (messages, fault) in (([data], None), ([], "UNFRAMEABLE"))
        assert fault is None or depth > LIMITS.depth_max
