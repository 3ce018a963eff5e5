"""Properties over all settings: round trips, agreement with msgspec, and no problem left out."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from handicapper.config import (
    LearningRules,
    Settings,
    check_settings,
    describe_settings,
    parse_settings,
    settings_from_dict,
    settings_to_dict,
    settings_to_toml,
)
from handicapper.config.schema import KeySchema, TableSchema, document_schema
from handicapper.config.settings import SettingsDocument
from handicapper.protocol.errors import SettingsError

KEYS = [key for table in document_schema().walk() for key in table.keys.values()]


def allowed_values(key: KeySchema) -> st.SearchStrategy[Any]:
    match key.kind:
        case "boolean":
            return st.booleans()
        case "choice":
            return st.sampled_from(key.choices)
        case "string":
            names = st.from_regex(r"\A[A-Za-z0-9_]{1,57}\Z")
            if key.name == "tcp":
                return st.tuples(names.map(lambda name: name.replace("_", "-")), st.integers(0, 65535)).map(
                    lambda pair: f"{pair[0]}:{pair[1]}"
                )
            # Letters alone would be no test of a path.
            return names.map(lambda name: f"states_{name}" if key.name == "db_table" else f"/run/Ä '#{name}")
        case "integer":
            assert key.maximum is not None
            return st.integers(int(key.minimum), int(key.maximum))
        case "number":
            return st.floats(
                min_value=key.minimum,
                max_value=key.maximum,
                exclude_min=key.minimum_excluded,
                allow_nan=False,
            )


def nested(path: str, value: object) -> dict[str, Any]:
    document: Any = value
    for name in reversed(path.split(".")):
        document = {name: document}
    return document


def draw_table(draw: st.DrawFn, table: TableSchema) -> dict[str, Any]:
    """Allowed values for some of the keys, in order where they have to be."""
    left_out = draw(st.sets(st.sampled_from(sorted(table.keys.keys() - set(table.ascending)))))
    values = {name: draw(allowed_values(key)) for name, key in table.keys.items() if name not in left_out}
    in_order = sorted(values[name] for name in table.ascending)
    return values | dict(zip(table.ascending, in_order, strict=True))


@st.composite
def valid_settings(draw: st.DrawFn) -> Settings:
    top = document_schema().tables["online_learning"]
    document = draw_table(draw, top) | {name: draw_table(draw, table) for name, table in top.tables.items()}
    return settings_from_dict({"online_learning": document})


def bits(settings: Settings) -> bytes:
    """Equal bits, not only equal values: 0.0 == -0.0 would hide a difference."""
    return msgspec.msgpack.encode(settings)


@hypothesis_settings(deadline=None, max_examples=60)
@given(valid_settings())
def test_settings_survive_toml_dict_and_check_bit_for_bit(settings: Settings) -> None:
    assert bits(settings) == bits(parse_settings(settings_to_toml(settings)))
    assert bits(settings) == bits(settings_from_dict(settings_to_dict(settings)))
    assert bits(settings) == bits(check_settings(settings))


@hypothesis_settings(deadline=None, max_examples=60)
@given(valid_settings())
def test_learning_rules_of_any_settings_survive_msgpack_bit_for_bit(settings: Settings) -> None:
    rules = settings.learning_rules()
    read_back = msgspec.msgpack.decode(msgspec.msgpack.encode(rules), type=LearningRules)

    for name in LearningRules.__struct_fields__:
        before, after = getattr(rules, name), getattr(read_back, name)
        if isinstance(before, float):
            before, after = struct.pack("<d", before), struct.pack("<d", after)
        assert before == after
    assert rules.relaxation_half_life_seconds < float("inf")


anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-3, 120)
    | st.floats()
    | st.floats(-1, 2)
    | st.text(max_size=70)
    | st.sampled_from(["final", "posterior", "meta", "meta_", "states\n"])
    | st.sampled_from(["localhost:65535", "localhost:65536", "[::1]:0", "::1:0", ":1", "a/b", 'a"b', "a\\b"])
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)


@hypothesis_settings(deadline=None, max_examples=400)
@given(key=st.sampled_from(KEYS), value=anything)
def test_value_is_refused_exactly_where_msgspec_refuses_it(key: KeySchema, value: object) -> None:
    """msgspec is the second opinion. Not of the seed: it can express no bound beyond 2^63."""
    document = nested(key.path, value)
    try:
        msgspec.convert(document, SettingsDocument)
        expected = key.name != "seed" or not isinstance(value, int) or value < 2**64
    except msgspec.ValidationError:
        expected = False
    try:
        settings_from_dict(document)
        accepted = True
    except SettingsError as error:
        # Out of order with a default is another matter: that problem starts with the table.
        accepted = not any(problem.startswith(f"{key.path} was ") for problem in error.problems)

    assert expected == accepted


@hypothesis_settings(deadline=None, max_examples=60)
@given(st.sets(st.sampled_from([row.key for row in describe_settings()]), min_size=1))
def test_every_bad_key_is_reported_exactly_once(bad_keys: set[str]) -> None:
    document: dict[str, Any] = {"online_learning": {}}
    for path in bad_keys:
        *parents, name = path.split(".")
        table = document
        for parent in parents:
            table = table.setdefault(parent, {})
        table[name] = [object]

    with pytest.raises(SettingsError) as caught:
        settings_from_dict(document)

    assert sorted(problem.split(" ")[0] for problem in caught.value.problems) == sorted(bad_keys)


@hypothesis_settings(deadline=None, max_examples=100)
@given(st.text(max_size=60) | st.text(alphabet="[]online_learning=.\n\"'#0159-e", max_size=80))
def test_parse_of_any_text_raises_nothing_but_settings_error(text: str) -> None:
    try:
        parse_settings(text)
    except SettingsError as error:
        assert error.problems
