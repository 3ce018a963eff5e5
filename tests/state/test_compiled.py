"""Compiled modules and their sources: the same states, to the last bit. Runs where modules are compiled, as in CI."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from math import inf, nan
from pathlib import Path

import msgspec
import pytest

from handicapper.actors.records import encode
from handicapper.actors.state.events import (
    ChangeShared,
    Counted,
    ModelEvent,
    PosteriorSet,
    Rescored,
    Reset,
    Resumed,
    RulesChanged,
    Scored,
)
from handicapper.actors.state.model_state import ModelState
from handicapper.config import Settings
from handicapper.protocol.compiled import compiled_modules
from handicapper.protocol.values import TIME_NS_MAX, TIME_NS_MIN

STREAMS = 150
T0 = 1_700_000_000 * 10**9
HOUR = 3_600 * 10**9
HALF_LIVES = (168.0, 0.001, 1e6, inf)


def some_rules(chance: random.Random) -> msgspec.Struct:
    return msgspec.structs.replace(
        Settings().learning_rules(),
        calibration_window=chance.choice([10, 10, 100]),
        min_predictions_for_adaptation=chance.choice([0, 10]),
        decay_half_life_seconds=chance.choice(HALF_LIVES) * 3_600.0,
        relaxation_half_life_seconds=chance.choice([*HALF_LIVES[:3], 0.0]) * 3_600.0,
        adjustment_rate=chance.choice([0.01, 0.3]),
        enabled=chance.random() < 0.9,
        recalibration_enabled=chance.random() < 0.3,
        weight_policy=chance.choice(["accuracy", "edge"]),
    )


def some_row(chance: random.Random, row_id: int, at_ns: int) -> Scored:
    hit = chance.random()
    x = 1.0 if hit < 0.5 else 0.0 if hit < 0.85 else chance.choice([0.5, chance.random(), nan])
    sure = chance.random()
    confidence = sure if sure < 0.7 else chance.choice([nan, 0.0, 1.0, 0.1, 0.9, 1e-7, 1.0 - 1e-7, 5e-324])
    pnl = None if chance.random() < 0.3 else Decimal(chance.randrange(-(10**6), 10**6)) / 100
    stake = None if chance.random() < 0.5 else Decimal(chance.randrange(1, 10**4)) / 100
    price = chance.choice([nan, 0.0, 1.0, chance.random()])
    return Scored(row_id, at_ns, x, confidence, price, chance.random() < 0.2, stake, pnl)


def some_time(chance: random.Random, now_ns: int) -> int:
    """Mostly later; sometimes at once, late, or as far away as a time may be."""
    kind = chance.random()
    if kind < 0.6:
        return now_ns + chance.randrange(5 * HOUR)
    if kind < 0.75:
        return now_ns
    return now_ns - chance.randrange(500 * HOUR) if kind < 0.98 else chance.choice([TIME_NS_MIN, TIME_NS_MAX])


def some_events(chance: random.Random, seq: int, now_ns: int, told: list[Scored]) -> Iterator[ModelEvent]:
    kind = chance.random()
    if kind < 0.04:
        yield chance.choice(
            [
                Reset(seq),
                Resumed(),
                Counted(1, 2, 3, 1),
                RulesChanged(some_rules(chance)),
                PosteriorSet(chance.choice([None, "half_life", "changepoint"])),
                ChangeShared(some_time(chance, now_ns), "other", chance.random() < 0.2),
            ]
        )
        return
    if kind < 0.25 and told:
        old = chance.choice(told[-40:])
        told[told.index(old)] = new = some_row(chance, old.row_id, some_time(chance, old.at_ns))
        yield Rescored(old.row_id, old, new)
        return
    for place in range(chance.choice([1, 1, 3, 13, 40])):
        row = some_row(chance, seq * 100 + place, some_time(chance, now_ns))
        told.append(row)
        yield row


def states_of(seed: int) -> bytes:
    """A hash of every state that a random stream leads through."""
    chance = random.Random(seed)
    state, told, digest = ModelState("m", some_rules(chance)), list[Scored](), sha256()
    for seq in range(1, 120):
        events = list(some_events(chance, seq, T0 + seq * HOUR, told))
        rebuild = state.apply(events, seq)
        digest.update(bytes([rebuild]) + encode(state.to_record()))
    return digest.digest()


def all_states() -> str:
    digest = sha256()
    for seed in range(STREAMS):
        digest.update(states_of(seed))
    return digest.hexdigest()


def run_pure(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "HANDICAPPER_PURE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def loaded_from_binaries(code: str = "") -> str:
    """Code that prints which of our modules came from a binary."""
    return (
        f"import sys, handicapper.bin.cli, handicapper.actors, handicapper.protocol.server\n{code}\n"
        "print(*sorted(n for n, m in list(sys.modules.items())"
        " if n.startswith('handicapper.') and str(getattr(m, '__file__', '')).endswith('.so')))"
    )


def test_the_wheel_is_compiled_and_an_editable_install_is_not() -> None:
    installed = os.environ.get("HANDICAPPER_INSTALL", "editable")
    if os.environ.get("HANDICAPPER_PURE"):
        assert compiled_modules() == []
    elif installed == "wheel":
        assert "handicapper.actors.state.fold" in compiled_modules()
        assert "handicapper.protocol.many" in compiled_modules()
    elif (Path(__file__).parents[2] / "actors") == Path(
        sys.modules[ModelState.__module__].__file__ or ""
    ).parents[1]:
        assert compiled_modules() == []


def test_what_is_said_to_be_compiled_is_what_was_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", loaded_from_binaries()], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == compiled_modules()


def test_an_environment_variable_has_the_sources_run() -> None:
    assert run_pure(loaded_from_binaries()) == ""
    assert run_pure("from handicapper.bin.cli import main; main(['--version'])").endswith("(pure Python)")


def test_compiled_modules_and_their_sources_lead_through_the_same_states() -> None:
    if not compiled_modules():
        pytest.skip(
            "nothing is compiled here: an editable install, or a wheel built without Cython or a compiler"
        )
    assert run_pure("from tests.state.test_compiled import *; print(all_states())") == all_states()


def test_times_three_centuries_apart_are_told_apart() -> None:
    """Their difference is beyond a signed word, which the compiled fold counts in."""
    rules = msgspec.structs.replace(Settings().learning_rules(), decay_half_life_seconds=3e9, enabled=True)
    for times in ((TIME_NS_MIN, TIME_NS_MAX), (TIME_NS_MAX, TIME_NS_MIN)):
        state = ModelState("m", rules)
        state.apply([Scored(1, times[0], 1.0, 0.5), Scored(2, times[1], 1.0, 0.5)], 2)
        share = 2.0 ** (-(TIME_NS_MAX - TIME_NS_MIN) / 3e18)
        assert state.now.successes == pytest.approx(1.0 + share, rel=1e-15)
