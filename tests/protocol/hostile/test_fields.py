"""Every field of every method with every kind of wrong value, and messages whose own parts are wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from handicapper.protocol.methods import METHODS

from ..daemon import Daemon
from ..inputs import T0
from ..wire import code_of, pairs, request
from .conftest import Watch
from .zoo import FIELDS, OF_METHOD, UNREADABLE, ZOO, Animal

_numbers = itertools.count()
CALLS_PER_PIPELINE = 500
NO_FAULT_OF_THE_FIELD = {
    "UNKNOWN_MODEL", "UNKNOWN_MARKET", "CONFLICT", "STALE_REVISION", "PREDICTED_AFTER_RESOLUTION", "TOO_LARGE",
    "BACKUP_FAILED",
}  # fmt: skip
"""Errors of a well-formed call."""
ONE_OF_TWO = ("market_id", "predictions")
"""What combine takes one of."""
NO_UTF8 = {"invalid_utf8", "cut_utf8", "surrogate", "overlong"}


def valid(method: str, field: str) -> dict[str, Any]:
    """Params that are right but for ``field``, and never the same twice."""
    number = next(_numbers)
    known: dict[str, Any] = {
        "prediction_id": f"z{number}", "model_id": "zoo", "market_id": f"z{number}", "outcome": "YES",
        "confidence": 0.5,
        "predicted_at": -2_000_000_000_000_000_000, "predicted_outcome": "YES", "actual_outcome": "YES",
        "resolved_at": T0, "predictions": [], "resolutions": [], "outcomes": [], "model_ids": ["zoo"], "samples": [],
        "dest": "/proc/copy",  # right, but nobody can write there
    }  # fmt: skip
    if field == "expires_at":  # must not be before it
        known["predicted_at"] = -2_208_988_800_000_000_000
    required = [info.name for info in msgspec.structs.fields(METHODS[method].params) if info.required]
    params = {name: known[name] for name in required}
    if method == "market_resolved" and field not in ("payouts", "winner", "void"):
        params["winner"] = "YES"
    if method == "combine" and field not in ONE_OF_TWO:
        params["market_id"] = known["market_id"]
    return params


def is_taken(method: str, field: str, animal: Animal) -> bool:
    if animal.value is UNREADABLE:
        return False
    info = next(info for info in msgspec.structs.fields(METHODS[method].params) if info.name == field)
    if animal.value is None:
        # One of payouts, winner and void has to be there, and here no other one is.
        needed = method == "combine" and field in ONE_OF_TWO
        return info.default is None and field not in ("payouts", "winner") and not needed
    return OF_METHOD.get((method, field), FIELDS[field])(animal.value)


def as_array(method: str, params: dict[str, Any], field: str) -> list[Any]:
    """The same params in documented order, up to ``field`` at least."""
    infos = msgspec.structs.fields(METHODS[method].params)
    last = max(index for index, info in enumerate(infos) if info.name in params or info.name == field)
    return [params.get(info.name, info.default) for info in infos[: last + 1]]


def cases(method: str) -> Iterator[tuple[str, Animal, Any]]:
    for field in METHODS[method].params.__struct_fields__:
        for animal in ZOO:
            params = valid(method, field) | {field: animal.data}
            yield field, animal, params
            array = as_array(method, valid(method, field) | {field: animal.data}, field)
            if len(array) > 1 or not 0x80 <= animal.data.data[0] < 0x90:  # [{…}] is a map of params
                yield field, animal, array


def test_every_field_is_described() -> None:
    fields = {field for method in METHODS.values() for field in method.params.__struct_fields__}
    assert fields == FIELDS.keys()


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.params.__struct_fields__])
def test_a_field_takes_what_is_documented_and_refuses_all_else_by_name(
    daemon: Daemon, watch: Watch, method: str
) -> None:
    listed = list(cases(method))
    wrong: list[str] = []
    with watch(f"{len(listed):,} values for {method}"), daemon.connect() as wire:
        for first in range(0, len(listed), CALLS_PER_PIPELINE):
            chunk = listed[first : first + CALLS_PER_PIPELINE]
            responses = wire.pipeline([(method, params) for _, _, params in chunk])
            for (field, animal, params), (_, _, error, result) in zip(chunk, responses, strict=True):
                if problem := judged(method, field, animal, error, result):
                    wrong.append(f"{field} = {animal.name}, {type(params).__name__}: {problem}")
        assert wire.call("ping") == "pong"
    assert wrong == []


def judged(method: str, field: str, animal: Animal, error: Any, result: Any) -> str | None:
    """What is wrong with the answer, if anything."""
    fault, text = error if isinstance(error, list) else (1, error)
    code = text.partition(" ")[0] if text else None
    if is_taken(method, field, animal):
        if error is not None and code not in NO_FAULT_OF_THE_FIELD:
            return f"refused: {text:.200}"
        return None
    if error is None:
        return f"taken: {result!r:.100}"
    if (fault, code) != (1, "INVALID_VALUE"):
        return f"refused as {text:.200}"
    if field not in text and animal.name not in NO_UTF8:  # those have a test of their own
        return f"not named: {text:.200}"
    return None


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.params.__struct_fields__])
def test_a_field_that_is_no_utf8_is_refused_by_name(daemon: Daemon, method: str) -> None:
    with daemon.connect() as wire:
        for field, animal, params in cases(method):
            if animal.name in NO_UTF8:
                refused = wire.refusal(method, params)
                assert (refused.fault, refused.code) == (1, "INVALID_VALUE")
                assert field in refused.text


@pytest.mark.parametrize("method", METHODS)
def test_params_of_no_map_or_array_are_refused(daemon: Daemon, method: str) -> None:
    with daemon.connect() as wire:
        for animal in ZOO:
            if (
                animal.value is None
                or isinstance(animal.value, list | dict)
                or animal.data.data[0] in range(0x80, 0xA0)
            ):
                continue
            refused = wire.refusal(method, animal.data)
            assert (refused.fault, refused.code) in ((1, "INVALID_VALUE"), (1, "BAD_MESSAGE")), animal.name


@pytest.mark.parametrize("method", METHODS)
def test_odd_keys_and_unknown_fields_never_end_the_connection(daemon: Daemon, method: str) -> None:
    good = list(valid(method, "").items())
    with daemon.connect() as wire:
        for animal in ZOO:
            for params in (
                pairs([*good, (animal.data, 1)]),
                pairs([*good, ("unknown", animal.data)]),
                pairs([*good, (animal.data, animal.data), (animal.data, animal.data)]),
            ):
                wire.send(request(1, method, params) + request(2, "ping"))
                answers = {message[1]: message for message in (wire.response(), wire.response())}
                assert answers[2][3] == "pong"
                error = answers[1][2]
                codes = NO_FAULT_OF_THE_FIELD | {"INVALID_VALUE", "BAD_MESSAGE"}
                assert error is None or code_of(error) in codes, (animal.name, error)


@pytest.mark.parametrize("method", METHODS)
def test_unknown_fields_change_nothing(daemon: Daemon, method: str) -> None:
    """Whatever a readable unknown field holds, the answer is that of a call without it."""
    with daemon.connect() as wire:
        for animal in ZOO:
            if animal.value is UNREADABLE:
                continue
            params = valid(method, "") | {"of_a_later_release": animal.data}
            wire.send(request(1, method, params))
            error = wire.response()[2]
            assert error is None or code_of(error) in NO_FAULT_OF_THE_FIELD, (animal.name, error)


@pytest.mark.parametrize("method", METHODS)
def test_more_array_params_than_are_known_are_ignored(daemon: Daemon, method: str) -> None:
    fields = METHODS[method].params.__struct_fields__
    if not fields:
        full: list[Any] = []
    else:
        full = as_array(
            method, valid(method, fields[-1]) | ({"winner": "YES"} if "winner" in fields else {}), fields[-1]
        )
    with daemon.connect() as wire:
        wire.send(request(1, method, [*full, 1, "x", {"y": [2]}]))
        error = wire.response()[2]
        assert error is None or code_of(error) in NO_FAULT_OF_THE_FIELD, error


@pytest.mark.parametrize("method", METHODS)
def test_required_fields_left_out_are_named(daemon: Daemon, method: str) -> None:
    required = [info.name for info in msgspec.structs.fields(METHODS[method].params) if info.required]
    with daemon.connect() as wire:
        for field in required:
            params = valid(method, "")
            del params[field]
            refused = wire.refusal(method, params)
            assert refused.code == "INVALID_VALUE"
            assert field in refused.text
        for length in range(len(required)):
            refused = wire.refusal(method, list(valid(method, "").values())[:length])
            assert refused.code == "INVALID_VALUE"
            assert required[length] in refused.text
        if required:
            assert required[0] in wire.refusal(method, None).text
            assert required[0] in wire.refusal(method, {}).text
