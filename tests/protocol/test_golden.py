"""The bytes of every method and notification, as they travel.

``golden/<method>.txt`` holds the request with its params as a map and as an array, the response, a request that
is refused, and its error. A change of these bytes is a change of the protocol (PROTOCOL.md, Evolution). Where it
is meant, they are written anew by

    HANDICAPPER_GOLDEN=write .venv/bin/pytest tests/protocol/test_golden.py

and looked at in the diff before they are committed.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest

from handicapper.protocol.calling.events import EVENTS, DriftDetected, EventsMissed, event_of
from handicapper.protocol.connection import (
    call_of,
    encode_error,
    encode_notification,
    encode_request,
    encode_response,
    result_decoder,
)
from handicapper.protocol.decoding import ParamsDecoder
from handicapper.protocol.errors import RemoteError, error_from_wire
from handicapper.protocol.limits import WireLimits
from handicapper.protocol.methods import METHODS

from . import golden_files
from .golden_server import SCENARIO, Played, as_array, play

WRITE = os.environ.get("HANDICAPPER_GOLDEN") == "write"
DOCUMENT = Path(__file__).parents[2] / "protocol" / "PROTOCOL.md"

VARIES: dict[str, set[str]] = {
    "hello": {"pid", "server"},
    "snapshot": {"bytes", "seconds"},
    "backup": {"bytes", "seconds"},
    "statistics": {"journal_bytes", "commits", "opened_in_seconds", "bytes_in", "bytes_out"},
}
"""Fields that differ from run to run; of their values only the kind is compared."""
NUMERIC: dict[str, set[str]] = {
    name: {
        "sample", "samples", "posterior_low", "posterior_high", "probability_best", "brier_reliability",
        "brier_resolution", "brier_uncertainty", "log_loss",
    }
    for name in ("thompson_sample", "thompson_sample_batch", "report", "reports")
}  # fmt: skip
"""Figures of which another processor or release of scipy may give another last digit."""
RELATIVE_ERROR_MAX = 1e-9

methods = pytest.mark.parametrize("method", METHODS)
notifications = pytest.mark.parametrize("name", EVENTS)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Played, Played]:
    """What went each way, with params as maps and as arrays; written down if so asked."""
    directory = tmp_path_factory.mktemp("golden")
    in_maps, in_arrays = play(directory / "maps", False), play(directory / "arrays", True)
    if WRITE:
        for method in METHODS:
            parts = in_maps[method]
            ordered = {"request": parts["request"], "request_array": in_arrays[method]["request_array"]}
            golden_files.write(method, ordered | parts)
        for name in EVENTS:
            golden_files.write(
                _file_of(name), in_maps[name] if name in in_maps else {"notification": unplayed(name)}
            )
    return in_maps, in_arrays


def _file_of(notification: str) -> str:
    return f"notification.{notification}"


def unplayed(name: str) -> bytes:
    """Notifications that need 1,000 others before them, or a policy that detects drift."""
    events = {"drift": DriftDetected(model_id="elo"), "events_missed": EventsMissed(count=17)}
    return encode_notification(name, [events[name]])


def likened(value: Any, golden: Any, varying: set[str], numeric: set[str], name: str = "") -> Any:
    """``value``, with the golden one wherever they may differ and are alike."""
    if isinstance(value, dict) and isinstance(golden, dict) and value.keys() == golden.keys():
        return {key: likened(item, golden[key], varying, numeric, key) for key, item in value.items()}
    if isinstance(value, list) and isinstance(golden, list) and len(value) == len(golden):
        return [
            likened(item, other, varying, numeric, name) for item, other in zip(value, golden, strict=True)
        ]
    if name in varying and type(value) is type(golden):
        return golden
    if name in numeric and isinstance(value, float) and isinstance(golden, float):
        return golden if math.isclose(value, golden, rel_tol=RELATIVE_ERROR_MAX) else value
    return value


# ------------------------------------------------------------------------ the files


def test_every_method_and_notification_has_golden_bytes(played: tuple[Played, Played]) -> None:
    assert golden_files.names() == {*METHODS, *map(_file_of, EVENTS)}
    assert [method for method, _, _ in SCENARIO if method not in METHODS] == []
    parts = ["request", "request_array", "response", "error_request", "error"]
    assert all(list(golden_files.read(method)) == parts for method in METHODS)


@methods
def test_the_server_answers_with_the_golden_bytes(played: tuple[Played, Played], method: str) -> None:
    golden = golden_files.read(method)
    expected = msgpack.unpackb(golden["response"])
    for side in played:
        response = side[method]["response"]
        assert msgpack.packb(msgpack.unpackb(response)) == response, "the shortest form of everything"
        varying, numeric = VARIES.get(method, set()), NUMERIC.get(method, set())
        answer = likened(msgpack.unpackb(response), expected, varying, numeric)
        assert answer == expected
        assert msgpack.packb(answer) == golden["response"]


@methods
def test_the_server_refuses_with_the_golden_code(played: tuple[Played, Played], method: str) -> None:
    """Texts are for people and may change; fault and code do not."""
    golden = golden_files.read(method)
    kind, msgid, (fault, text), result = msgpack.unpackb(golden["error"])
    assert (kind, result) == (1, None)
    for side in played:
        assert side[method]["error_request"] == golden["error_request"]
        answered = msgpack.unpackb(side[method]["error"])
        assert answered[:2] == [1, msgid]
        assert answered[3] is None
        assert answered[2][0] == fault
        assert answered[2][1].partition(" ")[0] == text.partition(" ")[0]


@notifications
def test_the_server_notifies_with_the_golden_bytes(played: tuple[Played, Played], name: str) -> None:
    golden = golden_files.read(_file_of(name))["notification"]
    told = [side[name]["notification"] for side in played if name in side] or [unplayed(name)]
    assert set(told) == {golden}


# ----------------------------------------------------------------- by the one table


@methods
def test_requests_are_the_golden_bytes_whoever_packs_them(method: str) -> None:
    golden = golden_files.read(method)
    _, params, _ = next(row for row in SCENARIO if row[0] == method)
    for part, form in (("request", params), ("request_array", as_array(method, params))):
        kind, msgid, name, sent = msgpack.unpackb(golden[part])
        assert (kind, name, sent) == (0, method, form)
        assert msgpack.packb([0, msgid, method, form]) == golden[part]
        assert encode_request(msgid, method, form) == golden[part]


@methods
def test_requests_as_map_and_as_array_mean_the_same(method: str) -> None:
    golden = golden_files.read(method)
    decoder = ParamsDecoder(METHODS[method].params, WireLimits().depth_max)
    decoded = []
    for part in ("request", "request_array"):
        _, name, params = call_of(golden[part])
        assert name == method
        decoded.append(decoder.decode(params))
    first, second = ({name: getattr(one, name) for name in one.__struct_fields__} for one in decoded)
    if METHODS[method].item_of is None:
        assert first == second
    assert (
        msgspec.structs.fields(type(decoded[0])) == msgspec.structs.fields(type(decoded[1]))
        or first.keys() == second.keys()
    )


@methods
def test_responses_are_read_and_written_again_as_the_golden_bytes(method: str) -> None:
    golden = golden_files.read(method)["response"]
    _, msgid, error, result = msgspec.msgpack.decode(golden, type=tuple[int, int, Any, msgspec.Raw])
    assert error is None
    decoded = result_decoder(METHODS[method].result).decode(result)
    assert encode_response(msgid, decoded) == golden


@methods
def test_errors_are_read_and_written_again_as_the_golden_bytes(method: str) -> None:
    golden = golden_files.read(method)["error"]
    _, msgid, pair, _ = msgpack.unpackb(golden)
    error = error_from_wire(pair)
    assert not isinstance(error, RemoteError)
    assert encode_error(msgid, error) == golden
    assert msgpack.unpackb(encode_error(msgid, error, as_text=True)) == [1, msgid, pair[1], None]


@notifications
def test_notifications_are_read_and_written_again_as_the_golden_bytes(name: str) -> None:
    golden = golden_files.read(_file_of(name))["notification"]
    _, told, params = msgspec.msgpack.decode(golden, type=tuple[int, str, msgspec.Raw])
    event = event_of(told, params)
    assert type(event) is EVENTS[name]
    assert encode_notification(name, [event]) == golden


# --------------------------------------------------------------------- the document


def documented() -> dict[str, list[tuple[str, str | None]]]:
    """(field, default as written) of each method's params, as PROTOCOL.md tells them."""
    methods: dict[str, list[tuple[str, str | None]]] = {}
    section = DOCUMENT.read_text().partition("## Methods")[2].partition("\n### ")[0]
    for name, params in re.findall(r"^\| `(\w+)` \|(.*?)\|", section, re.MULTILINE):
        params = re.sub(r"\(or [^)]*\)|: a list .*", "", params).strip()
        if alias := re.fullmatch(r"as `(\w+)`", params):
            methods[name] = methods[alias[1]]
            continue
        listed = ", ".join(re.findall(r"`([^`]+)`", params))
        fields = [field.partition("=") for field in re.split(r", (?![^\[]*\])", listed) if field]
        methods[name] = [(field, default if equals else None) for field, equals, default in fields]
    return methods


def test_the_document_lists_every_method_and_no_other() -> None:
    assert documented().keys() == METHODS.keys()


@methods
def test_the_document_tells_the_params_in_their_order_and_with_their_defaults(method: str) -> None:
    written = {"nil": None, '""': "", "false": False, '"final"': "final", '"pair"': "pair", "[1,0]": (1, 0)}
    infos = msgspec.structs.fields(METHODS[method].params)
    told = documented()[method]
    assert [name for name, _ in told] == [info.name for info in infos]
    for (name, default), info in zip(told, infos, strict=True):
        assert (default is None) == info.required, name
        if default is not None:
            assert info.default == (written[default] if default in written else int(default)), name
