"""One example of every message with every field set, and strategies for any value of its fields."""

from __future__ import annotations

import types
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from handicapper.protocol import messages

WIRE: list[type[msgspec.Struct]] = [
    getattr(messages, name)
    for name in messages.__all__
    if isinstance(getattr(messages, name), type)
    and name not in ("BatchResult", "DeadLetterReplay", "SignalBatch")
]
"""Every message but those that hold exceptions: they travel by way of the connection, which has its own tests."""

INPUTS = (messages.Prediction, messages.MarketResolved, messages.TradeOutcome)


def example(kind: Any, name: str = "x") -> Any:
    """A fixed value of a field's type; texts are the field's name."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return example(next(arg for arg in args if arg is not type(None)), name)
    if origin is Literal:
        return args[0]
    if origin is tuple:
        return tuple(example(arg, name) for arg in args if arg is not ...)
    if origin is dict:
        return {"k": example(args[1], name)}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind(**{field: example(hint, field) for field, hint in get_type_hints(kind).items()})
    fixed: dict[Any, Any] = {Any: name, str: name, int: 1_700_000_000_000_000_000, float: 0.625, bool: True}
    return Decimal("12.50") if kind is Decimal else fixed[kind]


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type that JSON and msgpack can carry."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of(*[st.none() if arg is type(None) else values(arg) for arg in args])
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple and args[-1] is not ...:
        return st.tuples(*map(values, args))
    if origin is tuple:
        return st.lists(values(args[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(texts, values(args[1]), max_size=3)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return st.builds(kind, **{name: values(hint) for name, hint in get_type_hints(kind).items()})
    return {Any: texts, str: texts, int: integers, float: floats, bool: st.booleans(), Decimal: decimals}[
        kind
    ]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9)
