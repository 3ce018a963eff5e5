"""``combine`` over the wire, at its largest: in pieces of a bounded size, and to the bit what the learner says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import pytest

from handicapper.actors import Learner
from handicapper.actors.pooling import COMBINED_CELLS_MAX
from handicapper.protocol.connection import encode
from handicapper.protocol.limits import WireLimits
from handicapper.protocol.messages import Forecast
from handicapper.protocol.serving import combining, pieces
from handicapper.protocol.serving.combining import PIECE_FORECASTS
from handicapper.protocol.serving.pieces import TURN_CELLS, PieceQueue
from handicapper.protocol.serving.session import SLOW_QUESTIONS_MAX
from handicapper.protocol.values import FORECASTS_MAX

from .daemon import serving
from .fuzz_harness import Done, Harness, MemoryBackend
from .inputs import SECOND, T0, prediction, resolution
from .wire import request

NOW = T0 + 10_000 * SECOND
SHAPES = [(10_000, 3), (1_000, 32), (128, 256), (1_500, 8), (30, 4), (1, 1)]
"""Models, outcomes."""


def forecasts(models: int, outcomes: int) -> list[Forecast]:
    chance = Random(models)
    made = [
        Forecast(model_id=f"m{n % models}", outcome=f"o{n % outcomes}", confidence=chance.random())
        for n in range(max(models, outcomes))
    ]
    chance.shuffle(made)
    return made


def taught(directory: Path) -> Learner:
    """A learner whose pool knows twenty of the models, some better than others."""
    learner, chance = Learner(directory / "state"), Random(7)
    for market in range(30):
        for n in range(20):
            sent = prediction(
                market, f"m{n}", market_id=f"k{market}", confidence=chance.random() ** (1 / (n + 1))
            )
            learner.record_prediction(**sent)
        learner.resolve_market(**resolution(market, market_id=f"k{market}"))
    return learner


def as_it_travels(result: Any) -> Any:
    return msgpack.unpackb(encode(result))


def test_large_combines_over_the_wire_are_to_the_bit_what_the_learner_says(tmp_path: Path) -> None:
    with taught(tmp_path) as learner:
        said = {shape: learner.combine(predictions=forecasts(*shape), as_of=NOW) for shape in SHAPES}
        of_market = learner.combine("k3", as_of=NOW)
    with serving(tmp_path) as daemon, daemon.connect() as wire:
        for shape, expected in said.items():
            given = [[each.model_id, each.outcome, each.confidence] for each in forecasts(*shape)]
            found = wire.call("combine", {"predictions": given, "as_of": NOW})
            assert found == as_it_travels(expected), shape
        assert wire.call("combine", {"market_id": "k3", "as_of": NOW}) == as_it_travels(of_market)


def test_members_stand_by_share_then_model_then_outcome_whatever_their_number(tmp_path: Path) -> None:
    given = [
        *forecasts(3_000, 5),
        *(Forecast(model_id="m7", outcome=f"o{n}", confidence=0.01) for n in range(5)),
    ]
    with taught(tmp_path) as learner:
        members = learner.combine(predictions=given).members
    key = [(-each.share, each.model_id, each.outcome) for each in members]
    assert key == sorted(key)
    assert sorted((m.model_id, m.outcome, m.confidence) for m in members) == sorted(
        (each.model_id, each.outcome, each.confidence) for each in given
    )


# -------------------------------------------------------------- how much in a turn


class Combining(MemoryBackend):
    """Computes nothing, in pieces."""

    def __init__(self, cells: int = 10) -> None:
        super().__init__()
        self.asked = 0
        self.cells = cells

    def combining_nowait(self, market_id: str | None = None, **given: Any) -> Done:
        self.asked += 1
        return super().combining_nowait(market_id, **given)

    def _combined(self, count: int) -> Iterator[int]:
        for _ in range(self.cells // 1_000):
            yield 1_000
        return (yield from super()._combined(1))


def array(models: int) -> list[list[Any]]:
    return [[f"m{n}", "YES", 0.5] for n in range(models)]


def test_no_turn_decodes_more_forecasts_than_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    harness = Harness(Combining(), WireLimits())
    turn, check = harness.session.turn, combining.check_forecasts

    def one_turn(now: float) -> None:
        checked.append(0)
        turn(now)

    def count(field: str, given: Any, first: int) -> Any:
        checked[-1] += len(given)
        return check(field, given, first)

    monkeypatch.setattr(harness.session, "turn", one_turn)
    monkeypatch.setattr(combining, "check_forecasts", count)
    harness.receive(b"".join(request(n, "combine", {"predictions": array(8_000)}) for n in range(3)))
    assert [message[2] for message in harness.messages()] == [None] * 3
    assert sum(checked) == 3 * 8_000
    assert max(checked) < 2 * PIECE_FORECASTS, "the rest of one call, and the beginning of the next"


def test_more_forecasts_than_allowed_are_refused_and_none_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Combining()
    harness = Harness(backend, WireLimits())
    monkeypatch.setattr(combining, "CombineRun", lambda *_: pytest.fail("it was begun"))
    harness.receive(request(7, "combine", {"predictions": array(FORECASTS_MAX + 1)}))
    ((_, msgid, (fault, text), _),) = harness.messages()
    assert (msgid, fault, backend.asked) == (7, 1, 0)
    assert "(10001 items); expected at most 10000 forecasts" in text


@pytest.mark.parametrize("wrong", [0, 511, 512, 1_999])
def test_a_wrong_forecast_is_named_and_nothing_is_asked(wrong: int) -> None:
    backend = Combining()
    harness = Harness(backend, WireLimits())
    for value, told in ((1.5, "a number from 0 to 1"), ("high", "a number from 0 to 1")):
        given = array(2_000)
        given[wrong][2] = value
        harness.receive(request(7, "combine", {"predictions": given}))
        assert f"predictions[{wrong}].confidence was " in harness.messages()[-1][2][1]
        assert told in harness.messages()[-1][2][1]
    assert backend.asked == 0
    assert harness.session.in_flight == 0


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "market_id was nil; expected a market or predictions, and not both"),
        ({"market_id": "k", "predictions": array(1)}, 'market_id was "k"; expected a market or predictions'),
        ({"predictions": []}, "predictions was []; expected at least one forecast"),
        ({"market_id": "k"}, "UNKNOWN_MARKET"),
    ],
)
def test_what_cannot_be_combined_is_answered_at_once(params: dict[str, Any], said: str) -> None:
    harness = Harness()
    harness.receive(request(7, "combine", params))
    ((_, msgid, (_, text), _),) = harness.messages()
    assert msgid == 7
    assert said in text


def test_a_turn_computes_a_bounded_number_of_cells_and_what_is_small_is_answered_in_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns: list[int] = []
    computed = pieces.run_for

    def count(job: Any, cells_max: int, done: Any) -> tuple[int, bool]:
        took, ended = computed(job, cells_max, done)
        turns.append(took)
        return took, ended

    monkeypatch.setattr(pieces, "run_for", count)
    monkeypatch.setattr(combining, "run_for", count)
    harness = Harness(Combining(cells=100_000))
    harness.receive(b"".join(request(n, "combine", {"predictions": array(3)}) for n in range(20)))
    assert [message[1] for message in harness.messages()] == list(range(20))
    assert sum(turns) == 20 * 100_001
    assert max(turns) <= TURN_CELLS + 1_000
    small = Harness(Combining(cells=500))
    turns.clear()
    small.session.receive(request(7, "combine", {"predictions": array(3)}))
    small.session.turn(0.0)
    assert turns == [1]
    assert not small.service._inbox


def test_a_market_of_a_thousand_models_and_eight_outcomes_is_combined() -> None:
    assert COMBINED_CELLS_MAX >= 1_500 * 8


# ------------------------------------------------------------------------ the queue


class Posted:
    def __init__(self) -> None:
        self.actions: list[Any] = []
        self.queue = PieceQueue(self.actions.append)

    def turn(self) -> None:
        (action,) = self.actions
        self.actions.clear()
        action()


def job(log: list[str], name: str, count: int, cells: int = TURN_CELLS) -> Iterator[int]:
    for _ in range(count):
        log.append(name)
        yield cells
    return name


def test_connections_take_turns_and_one_piece_is_done_in_each() -> None:
    posted, log, done = Posted(), [], []
    for name, count in (("a1", 2), ("b1", 2), ("a2", 1)):
        posted.queue.add(name[0], job(log, name, count), lambda *outcome: done.append(outcome), lambda: True)
    turns = []
    while posted.actions:
        posted.turn()
        turns.append(" ".join(log))
        log.clear()
    assert [turn for turn in turns if turn] == ["a1", "b1", "a1", "b1", "a2"]
    assert done == [("a1", None), ("b1", None), ("a2", None)]


def test_small_computations_share_a_turn() -> None:
    posted, log, done = Posted(), [], []
    for n in range(10):
        small = job(log, str(n), 1, cells=10)
        posted.queue.add(n // 2, small, lambda *outcome: done.append(outcome), lambda: True)
    posted.turn()
    assert {name for name, _ in done} == {str(n) for n in range(10)}
    assert not posted.actions


def test_what_nobody_waits_for_is_not_computed_and_what_fails_is_told() -> None:
    posted, log, done = Posted(), [], []

    def failing() -> Iterator[int]:
        yield 1
        raise OverflowError("too much")

    posted.queue.add("a", job(log, "a", 5), lambda *outcome: done.append(outcome), lambda: False)
    posted.queue.add("a", failing(), lambda *outcome: done.append(outcome), lambda: True)
    posted.turn()
    assert log == []
    assert [(result, type(error).__name__) for result, error in done] == [
        (None, "ClosedError"),
        (None, "OverflowError"),
    ]
    assert not posted.actions


def test_a_connection_has_few_computations_under_way_and_one_begun() -> None:
    backend = Combining(cells=100_000)
    harness = Harness(backend, WireLimits())
    harness.session.receive(b"".join(request(n, "combine", {"predictions": array(3)}) for n in range(20)))
    for _ in range(30):
        harness.session.turn(0.0)
    assert backend.asked == harness.session.slow_questions == SLOW_QUESTIONS_MAX
    harness.receive(b"")
    assert [message[1] for message in harness.messages()] == list(range(20))
    assert harness.session.slow_questions == harness.session.in_flight == 0
