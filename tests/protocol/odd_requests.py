"""Requests of every kind, right and wrong in every way known, in runs of one kind as well as mixed."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from handicapper.protocol.values import TIME_NS_MAX, TIME_NS_MIN

from .inputs import T0, outcome, prediction, resolution
from .wire import Raw, notification, pack, pairs, request

IDS = [
    "",
    "x" * 256,
    "x" * 257,
    "é",
    "é" * 128,
    "é" * 129,
    "a\n",
    "\x7f",
    "\x85",
    "\u202e",
    "𝟚",
    "a b",
    "conflict-1",
]
LABELS = ["YES", "Yes", "", "x" * 64, "x" * 65, "é" * 32, "é" * 33, "\x00"]
TIMES = [T0, 0, -5, TIME_NS_MIN, TIME_NS_MIN - 1, TIME_NS_MAX, TIME_NS_MAX + 1, 2**63, 2**64 - 1]
SHARES = [0, 1, 0.5, 0.0, -0.0, 1.0, 1.0000001, -1e-300, 5e-324, float("nan"), float("inf"), -float("inf"), 2]
AMOUNTS = [
    "12.50", "-12.50", "0", "-0", "00.50", "-.5", "5.", ".", "-", "--1", "1-2", "1.2.3", "", " 1", "1 ", "+1", "1e5",
    "1E-19", "1e-18", "nan", "-NaN", "sNaN", "inf", "Infinity", "1_000", "٣", "１", "0x1", "1,5", "9" * 17, "9" * 18,
    "9" * 19, "0" * 18, "0" * 30, "0." + "1" * 16, "0." + "1" * 18, "0." + "1" * 19, "0.0000001", "0." + "0" * 15,
    "1\n", "9" * 500, 0, 5, -5, 10**18 - 1, 10**18, 2**64 - 1, -(2**63),
]  # fmt: skip
"""Decimals as people, programs and attackers write them."""
OF_NO_TYPE = [None, True, 1.5, "text", b"YES", [], ["YES"], {}, {"a": 1}, 7]

ids = st.text(max_size=6) | st.sampled_from(IDS)
labels = st.sampled_from(LABELS) | st.text(max_size=3)
times = st.sampled_from(TIMES) | st.integers(-(2**63), 2**64 - 1)
shares = st.sampled_from(SHARES) | st.floats()
amounts = st.none() | st.sampled_from(AMOUNTS) | st.from_regex(r"[-+.0-9eE_ ]{1,22}", fullmatch=True)

_FIELDS: dict[str, Any] = {
    "prediction_id": ids, "model_id": ids, "market_id": ids, "outcome": labels, "predicted_outcome": labels,
    "actual_outcome": labels, "winner": labels, "source": labels, "confidence": shares, "predicted_at": times,
    "resolved_at": times, "expires_at": times, "pnl": amounts, "price": amounts, "size": amounts, "fee": amounts,
    "revision": st.sampled_from([0, 1, -1, 2**31 - 1, 2**31]), "status": st.sampled_from(["final", "proposed", "?"]),
    "void": st.booleans(), "payouts": st.dictionaries(labels, shares, max_size=2),
    "metadata": st.dictionaries(ids, amounts | shares, max_size=2),
}  # fmt: skip

OPTIONAL: dict[str, list[str]] = {
    "record_outcome": ["pnl", "confidence"],
    "record_prediction": ["price", "size", "fee", "expires_at", "metadata"],
    "process_signal": ["price", "size", "fee", "expires_at", "metadata"],
    "market_resolved": ["payouts", "void", "status", "revision", "source"],
}
_PLAIN: dict[str, Any] = {
    "record_outcome": outcome,
    "record_prediction": prediction,
    "process_signal": prediction,
    "market_resolved": resolution,
}


@st.composite
def fields(draw: DrawFn, method: str, number: int) -> dict[str, Any]:
    """Params as a map: mostly right, or with some fields odd, missing, unknown or of another type."""
    params: dict[str, Any] = _PLAIN[method](number, "m")
    for name in draw(st.lists(st.sampled_from(OPTIONAL[method]), max_size=2, unique=True)):
        params[name] = draw(_FIELDS[name])
    if draw(st.integers(0, 3)):
        return params
    name = draw(st.sampled_from(sorted(params)))
    what = draw(st.sampled_from(["odd", "odd", "odd", "another type", "missing", "unknown"]))
    if what == "odd":
        params[name] = draw(_FIELDS[name])
    elif what == "another type":
        params[name] = draw(st.sampled_from(OF_NO_TYPE))
    elif what == "missing":
        del params[name]
    else:
        params["unknown"] = draw(st.sampled_from(OF_NO_TYPE))
    return params


ORDER: dict[str, list[str]] = {
    "record_outcome": [*outcome(), "pnl", "confidence"],
    "record_prediction": [*prediction(), "price", "size", "fee", "expires_at", "metadata"],
    "process_signal": [*prediction(), "price", "size", "fee", "expires_at", "metadata"],
    "market_resolved": [
        "market_id",
        "resolved_at",
        "payouts",
        "winner",
        "void",
        "status",
        "revision",
        "source",
    ],
}
FORMS = ["map", "map", "array", "array", "map in array", "longer array", "twice", "nil", "scalar", "deep"]


def formed(method: str, params: dict[str, Any], form: str) -> Any:
    """Params in one of the forms that a client may send, or should not."""
    defaults = {"void": False, "status": "final", "revision": 0}
    known = [name for name in ORDER[method] if name in params]
    reached = ORDER[method][: ORDER[method].index(known[-1]) + 1] if known else []
    array = [params.get(name, defaults.get(name)) for name in reached]
    if form == "map in array":
        return [params]
    if form == "twice":  # a field that comes twice: the last one counts
        return pairs([*params.items(), *list(params.items())[:1]])
    if form == "deep":
        return {**params, "unknown": Raw(b"\x91" * 40 + b"\xc0")}
    return {"map": params, "array": array, "longer array": [*array, *[None] * 9], "nil": None, "scalar": 5}[
        form
    ]


ODD_MESSAGES = [
    request(1, "ping"), request(1, "get_adaptive_params", ["m"]), request(1, "no_such_method", {"a": 1}),
    request(1, "pause", {"model_id": "m"}), request(1, "pause", ["unknown"]), request(1, "record_outcome"),
    request(1, "record_outcome_batch", [[outcome(1), 5]]), request(1, Raw(b"\xc4\x04ping")), request(1, 5),
    Raw(b"\xdc\x00\x04" + pack(0) + pack(1) + pack("ping") + pack(None)).data, pack([0, -1, "ping", None]),
    pack([0, 2**32, "ping", None]), pack([0, 1.0, "ping", None]), pack([0.0, 1, "ping", None]),
    pack([1, 1, None, None]), pack([3, 1, "ping", None]), pack([0, 1, "ping"]), pack([0, 1, "ping", None, 1]),
    pack([]), pack(5), pack({}), notification("ping"), notification("record_outcome", 5),
]  # fmt: skip
"""Whatever else a connection may bring; the msgid is that of no input."""


@st.composite
def runs(draw: DrawFn, first: int, inputs_only: bool = False) -> list[bytes]:
    """Messages next to each other that are of one method and one form, but for a few."""
    if not inputs_only and not draw(st.integers(0, 4)):
        return draw(st.lists(st.sampled_from(ODD_MESSAGES), min_size=1, max_size=3))
    method = draw(st.sampled_from(sorted(ORDER)))
    form = draw(st.sampled_from(FORMS))
    messages: list[bytes] = []
    for number in range(first, first + draw(st.integers(1, 9))):
        exception = not draw(st.integers(0, 9))
        params = formed(
            method, draw(fields(method, number)), draw(st.sampled_from(FORMS)) if exception else form
        )
        told = not inputs_only and not draw(st.integers(0, 19))
        messages.append(notification(method, params) if told else request(number, method, params))
    return messages


@st.composite
def streams(draw: DrawFn, inputs_only: bool = False) -> list[bytes]:
    """Several runs; inputs have msgids from 100 on, each its own."""
    messages: list[bytes] = []
    for index in range(draw(st.integers(1, 5))):
        messages += draw(runs(100 * (index + 1), inputs_only))
    return messages
