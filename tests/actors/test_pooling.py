"""The pool behind a learner: combined forecasts, what the weights follow, and that it survives what models survive."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from handicapper.actors import Learner
from handicapper.actors.learning import pooling
from handicapper.actors.records import encode
from handicapper.actors.restore import fold_entries
from handicapper.actors.runtime.clock import ManualClock
from handicapper.actors.state import pool_state
from handicapper.actors.state.book import Book
from handicapper.actors.state.pool_row import POOL_ID
from handicapper.actors.watching import DriftDetected
from handicapper.config import Settings, Supervision, Weights
from handicapper.protocol.errors import InvalidValueError, UnknownMarketError
from handicapper.protocol.messages import Forecast, MarketResolved, Prediction, SignalDecision

T0 = 1_700_000_000_000_000_000
HOUR = 3_600 * 10**9
NOW = T0 + 10_000 * HOUR


def open_at(directory: Path, settings: Settings | None = None) -> Learner:
    return Learner(directory, settings, clock=ManualClock(NOW, 0.0))


def record(learner: Learner, market: int, **confidences: float) -> None:
    learner.record_predictions(
        [
            Prediction(
                prediction_id=f"k{market}-{model}", model_id=model, market_id=f"k{market}", outcome="YES",
                confidence=confidence, predicted_at=T0 + market * HOUR,
            )
            for model, confidence in confidences.items()
        ]
    )  # fmt: skip


def teach(learner: Learner, count: int, first: int = 0) -> None:
    """``good`` says 0.9 and ``bad`` 0.1 of what always happens."""
    for market in range(first, first + count):
        record(learner, market, good=0.9, bad=0.1)
        learner.resolve_market(market_id=f"k{market}", winner="YES", resolved_at=T0 + market * HOUR + 1)


def signal(learner: Learner, number: int) -> SignalDecision:
    return learner.process_signal(
        prediction_id=f"s{number}", model_id="bad", market_id="s", outcome="YES", confidence=0.95,
        predicted_at=T0 + 1_000 * HOUR,
    )  # fmt: skip


def weight_of(learner: Learner, model_id: str) -> float:
    params = learner.get_adaptive_params(model_id)
    assert params is not None
    return params.weight


def stored(learner: Learner) -> bytes:
    """The pool's state, as it would be stored, with all that was acknowledged: of a correction that may be earlier."""
    learner.pool()
    return encode(state_of(learner).to_record())


def state_of(learner: Learner) -> Any:
    return learner._engine.roster.refs[POOL_ID].cell.actor.state


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Learner]:
    with open_at(tmp_path / "state") as opened:
        yield opened


# ------------------------------------------------------------------- combining


def test_pool_follows_the_model_that_was_right(learner: Learner) -> None:
    teach(learner, 50)
    record(learner, 99, good=0.8, bad=0.2)
    pooled = learner.combine("k99")
    assert pooled.market_id == "k99"
    assert pooled.n == 50
    assert (pooled.outcome, pooled.confidence) == ("YES", pooled.probabilities["YES"])
    assert pooled.confidence > 0.7
    assert [member.model_id for member in pooled.members] == ["good", "bad"]
    assert sum(member.share for member in pooled.members) == pytest.approx(1.0)
    assert pooled.members[0].share > 0.9
    assert pooled.disagreement > 0.0
    assert sum(pooled.forms.values()) == pytest.approx(1.0)


def test_forecasts_given_are_combined_and_not_recorded(learner: Learner) -> None:
    teach(learner, 50)
    before = learner.statistics()
    given = [Forecast(model_id=model, outcome="UP", confidence=0.7) for model in ("good", "bad", "stranger")]
    pooled = learner.combine(predictions=given)
    assert (pooled.market_id, pooled.outcome) == (None, "UP")
    assert pooled.confidence == pytest.approx(0.7, abs=0.1)
    assert pooled.disagreement == pytest.approx(0.0, abs=1e-12)
    shares = {member.model_id: member.share for member in pooled.members}
    assert shares["bad"] < shares["stranger"] < shares["good"]
    after = learner.statistics()
    assert (after.seq, after.models, after.predictions) == (before.seq, before.models, before.predictions)


def test_pool_that_learned_nothing_weighs_all_alike(learner: Learner) -> None:
    record(learner, 1, a=0.8, b=0.6)
    pooled = learner.combine("k1")
    assert [member.share for member in pooled.members] == pytest.approx([0.5, 0.5])
    assert 0.6 < pooled.confidence < 0.8
    report = learner.pool()
    assert (report.n, report.shares, report.brier) == (0, (), None)


def test_several_outcomes_get_a_probability_each(learner: Learner) -> None:
    given = [
        Forecast(model_id="a", outcome="HOME", confidence=0.5),
        Forecast(model_id="b", outcome="AWAY", confidence=0.4),
        Forecast(model_id="c", outcome="DRAW", confidence=0.4),
    ]
    pooled = learner.combine(predictions=given)
    assert pooled.probabilities.keys() == {"HOME", "AWAY", "DRAW"}
    assert sum(pooled.probabilities.values()) == pytest.approx(1.0)
    assert pooled.outcome == "HOME"


def test_last_forecast_of_a_model_counts_and_one_made_later_does_not(learner: Learner) -> None:
    for number, (hour, confidence) in enumerate([(0, 0.6), (1, 0.7), (5, 0.9)]):
        learner.record_prediction(
            prediction_id=f"p{number}", model_id="m", market_id="k", outcome="YES", confidence=confidence,
            predicted_at=T0 + hour * HOUR,
        )  # fmt: skip
    assert learner.combine("k").members[0].confidence == 0.9
    with pytest.raises(UnknownMarketError):
        learner.combine("k", as_of=T0 - 1)


def test_market_that_left_memory_is_combined_all_the_same(learner: Learner) -> None:
    teach(learner, 30)
    learner.snapshot()
    assert learner.statistics().settled_in_memory == 0
    assert learner.combine("k7").market_id == "k7"
    learner.snapshot()
    assert learner.statistics().settled_in_memory == 0


def test_listener_that_combines_on_hearing_does_not_wait_for_itself(learner: Learner) -> None:
    """Nor does it send away the market that a signal is just being decided about."""
    teach(learner, 30)
    learner.snapshot()
    told: list[Any] = []

    def listener(_: Any) -> None:
        told.append(learner.combine("k7", timeout=5.0).n)
        with pytest.raises(UnknownMarketError):
            learner.combine("nowhere", timeout=5.0)

    learner.watch(listener)
    again = Prediction(prediction_id="k7-good", model_id="good", market_id="k7", outcome="YES", confidence=0.9,
                       predicted_at=T0 + 7 * HOUR)  # fmt: skip
    receipt = learner.record_prediction_nowait(again)
    resolved = learner.resolve_market_nowait(
        market_id="k29", winner="NO", revision=1, resolved_at=T0 + 30 * HOUR
    )
    decision = learner.process_signal(again)
    resolved.get(5.0)
    assert decision.reason == "recorded_before"
    assert receipt.get(5.0).duplicate
    teach(learner, 1, first=30)
    assert told[-1] == 31
    learner.snapshot()
    assert learner.statistics().settled_in_memory == 0
    assert learner.verify().ok


def test_market_that_nobody_forecast_is_refused_by_name(learner: Learner) -> None:
    with pytest.raises(
        UnknownMarketError, match=r'market "nowhere" has no prediction to combine; record one'
    ):
        learner.combine("nowhere")
    learner.resolve_market(market_id="k", winner="YES", resolved_at=T0)
    with pytest.raises(UnknownMarketError):
        learner.combine("k")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "market_id"),
        ({"market_id": "k", "predictions": []}, "market_id"),
        ({"predictions": []}, "predictions"),
        ({"predictions": "abc"}, "predictions"),
        ({"predictions": [3]}, r"predictions\[0\]"),
        (
            {"predictions": [Forecast(model_id="m", outcome="Y", confidence=2.0)]},
            r"predictions\[0\].confidence",
        ),
        ({"predictions": [Forecast(model_id="", outcome="Y", confidence=0.5)]}, r"predictions\[0\].model_id"),
        ({"market_id": ""}, "market_id"),
        ({"market_id": "k", "as_of": "now"}, "as_of"),
    ],
)
def test_wrong_arguments_are_named(learner: Learner, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidValueError, match=named):
        learner.combine(**arguments)


def test_more_than_everybody_can_wait_for_is_refused(learner: Learner) -> None:
    """10,000 models that each name another outcome would take 10 GB and two minutes in the router's turn."""
    wide = [Forecast(model_id=f"m{n}", outcome=f"o{n}", confidence=0.5) for n in range(10_000)]
    expected = r"was \"100000000 models times outcomes\"; expected .* at most 32768"
    with pytest.raises(InvalidValueError, match="predictions " + expected):
        learner.combine(predictions=wide)
    assert len(learner.combine(predictions=wide[:181]).members) == 181
    learner.record_predictions(
        Prediction(prediction_id=f"w{n}", model_id=f"m{n}", market_id="w", outcome=f"o{n}", confidence=0.5,
                   predicted_at=T0)
        for n in range(182)
    )  # fmt: skip
    with pytest.raises(InvalidValueError, match='market_id was "33124 models times outcomes"'):
        learner.combine("w")


def test_answer_contains_every_input_sent_before(learner: Learner) -> None:
    for market in range(200):
        record(learner, market, good=0.9, bad=0.1)
    for market in range(200):
        learner.resolve_market_nowait(
            market_id=f"k{market}", winner="YES", resolved_at=T0 + market * HOUR + 1
        )
        if market % 50 == 49:
            assert learner.combine("k0").n == market + 1


def test_pool_is_no_model(learner: Learner) -> None:
    teach(learner, 20)
    assert [summary.model_id for summary in learner.models()] == ["bad", "good"]
    assert [report.model_id for report in learner.reports()] == ["bad", "good"]
    assert learner.statistics().models == learner.model_count() == 2
    selection = learner.thompson_sample()
    assert {sample.model_id for sample in selection.ranked} == {"bad", "good"}
    assert (selection.missing, selection.ineligible) == ((), ())
    assert learner.verify().models == 2


# --------------------------------------------------------------------- weights


SCORE = Settings(weights=Weights(policy="score"))


def test_weights_follow_the_pool_where_they_are_told_to(tmp_path: Path) -> None:
    with open_at(tmp_path / "state", SCORE) as learner:
        teach(learner, 40)
        shares = {share.model_id: share.weight for share in learner.pool().shares}
        expected = {model: min(max(weight, 0.25), 2.0) for model, weight in shares.items()}
        assert shares["good"] > 1.0 > shares["bad"]
        for model, weight in expected.items():
            params = learner.get_adaptive_params(model)
            assert params is not None
            assert params.weight == pytest.approx(weight)
            assert learner.get_adaptive_params_nowait(model).get(5.0).weight == pytest.approx(weight)
            assert learner.report(model).weight == pytest.approx(weight)
        assert {s.model_id: s.weight for s in learner.models()} == pytest.approx(expected)
        decision = learner.process_signal(
            prediction_id="s", model_id="good", market_id="s", outcome="YES", confidence=0.9,
            predicted_at=T0 + 1_000 * HOUR,
        )  # fmt: skip
        assert decision.weight == pytest.approx(expected["good"])
        assert decision.size_multiplier == pytest.approx(0.9 * expected["good"])


def test_model_the_pool_knows_nothing_of_has_a_neutral_weight(tmp_path: Path) -> None:
    with open_at(tmp_path / "state", SCORE) as learner:
        teach(learner, 40)
        for market in range(100, 120):
            record(learner, market, alone=0.9)
            learner.resolve_market(market_id=f"k{market}", winner="YES", resolved_at=T0 + market * HOUR + 1)
        params = learner.get_adaptive_params("alone")
        assert params is not None
        assert (params.adapted, params.weight) == (True, 1.0)


def test_weights_are_worked_out_once_for_each_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands of models they take milliseconds, and every signal and every question needs them."""
    counted: list[int] = []
    worked_out = pooling.relative_weights

    def counting(*given: Any) -> dict[str, float]:
        counted.append(1)
        return worked_out(*given)

    monkeypatch.setattr(pooling, "relative_weights", counting)
    with open_at(tmp_path / "state", SCORE) as learner:
        teach(learner, 30)
        before = [weight_of(learner, "bad") for _ in range(10)]
        assert (len(counted), set(before)) == (1, {0.25})
        for market in (50, 51):
            record(learner, market, good=0.01, bad=0.99)
            learner.resolve_market(market_id=f"k{market}", winner="YES", resolved_at=T0 + market * HOUR + 1)
        after = {share.model_id: share.weight for share in learner.pool().shares}
        assert weight_of(learner, "good") == pytest.approx(min(after["good"], 2.0))
        assert len(counted) == 2


def test_pool_that_cannot_say_the_weights_costs_no_input_and_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> dict[str, float]:
        raise OverflowError("too much")

    with open_at(tmp_path / "state", SCORE) as learner, caplog.at_level(logging.INFO, "handicapper"):
        teach(learner, 30)
        assert weight_of(learner, "bad") == 0.25
        with monkeypatch.context() as patched:
            patched.setattr(pooling, "relative_weights", broken)
            teach(learner, 1, first=30)
            for number in range(3):
                assert signal(learner, number).weight == 1.0
            assert weight_of(learner, "bad") == 1.0
            teach(learner, 1, first=31)
        assert signal(learner, 3).weight == 0.25
        assert learner.verify().ok
    said = [record.getMessage() for record in caplog.records if "weights" in record.getMessage()]
    assert len(said) == 2
    assert "neutral" in said[0] and "again" in said[1]


def test_pool_that_does_not_answer_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every signal would hold up everybody for as long, and leave a letter until the pool's mailbox is full."""
    entered, released, fold = Event(), Event(), pool_state.fold_row

    def stuck(*given: Any) -> None:
        entered.set()
        assert released.wait(60.0)
        fold(*given)

    with open_at(tmp_path / "state", SCORE) as learner:
        teach(learner, 30)
        with monkeypatch.context() as patched:
            patched.setattr(pool_state, "fold_row", stuck)
            teach(learner, 1, first=30)
            assert entered.wait(60.0)
            weights = [signal(learner, 0).weight]
            waiting = len(learner._engine.roster.refs[POOL_ID].cell)
            weights += [signal(learner, number).weight for number in range(1, 20)]
            assert len(learner._engine.roster.refs[POOL_ID].cell) == waiting
            assert weights == [1.0] * 20
            released.set()
        assert learner.pool(timeout=60.0).n == 31
        assert signal(learner, 20).weight == 0.25


# ---------------------------------------------------------------------- faults


def test_pool_is_the_same_after_a_restart_with_and_without_a_snapshot(tmp_path: Path) -> None:
    with open_at(tmp_path / "state") as learner:
        teach(learner, 100)
        learner.snapshot()
        teach(learner, 30, first=100)
        learner.resolve_market(market_id="k120", winner="NO", revision=1, resolved_at=T0 + 121 * HOUR)
        before = stored(learner)
        assert learner.verify().ok
    with open_at(tmp_path / "state") as learner:
        assert stored(learner) == before
        assert learner.verify().ok


def test_correction_far_back_rebuilds_the_pool_from_disk(tmp_path: Path) -> None:
    with open_at(tmp_path / "state") as learner, open_at(tmp_path / "other") as other:
        teach(learner, 200)
        learner.snapshot()
        learner.resolve_market(market_id="k3", winner="NO", revision=1, resolved_at=T0 + 3 * HOUR + 1)
        assert learner.pool().n == 200
        assert learner.verify().ok
        for market in range(200):
            record(other, market, good=0.9, bad=0.1)
            winner = "NO" if market == 3 else "YES"
            other.resolve_market(market_id=f"k{market}", winner=winner, resolved_at=T0 + market * HOUR + 1)
        assert encode(state_of(learner).now) == encode(state_of(other).now)


def test_pool_learns_as_after_a_restart_when_the_rules_are_among_the_inputs_lost() -> None:
    """The shipped rules stand for them, and a snapshot taken meanwhile says that these are in force."""
    book = Book()
    given = [
        Prediction(
            prediction_id=model, model_id=model, market_id="k", outcome="YES", confidence=0.5, predicted_at=T0
        )
        for model in ("a", "b")
    ]
    resolution = MarketResolved(market_id="k", resolved_at=T0 + HOUR, payouts={"YES": 1.0})
    states: dict[str, Any] = {}
    list(fold_entries(book, 5, [*given, resolution], states))
    assert book.rules_at(book.seq).pool is not None
    assert book.pooling
    assert states[POOL_ID].now.n == 1


@dataclass
class Broken:
    """A fold of the pool that raises for one market, as often as it is told to."""

    left: int
    n: int = 10

    def __post_init__(self) -> None:
        self.fold = pool_state.fold_row

    def __call__(self, statistics: Any, row: Any, in_force: Any) -> None:
        if statistics.n == self.n and self.left:
            self.left -= 1
            raise RuntimeError("the fold broke")
        self.fold(statistics, row, in_force)


def test_pool_that_raises_is_rebuilt_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken(1)
    with open_at(tmp_path / "state") as learner:
        monkeypatch.setattr(pool_state, "fold_row", broken)
        teach(learner, 30)
        assert learner.pool().n == 30
        assert broken.left == 0
        assert learner.statistics().restarts == 1
        assert learner.verify().ok


def test_pool_that_is_given_up_costs_no_model_anything_and_is_brought_back_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(10**9)
    settings = Settings(supervision=Supervision(restarts_max=0))
    with open_at(tmp_path / "state", settings) as learner:
        with monkeypatch.context() as patched:
            patched.setattr(pool_state, "fold_row", broken)
            teach(learner, 30)
            with pytest.raises(Exception, match=r'model "\(pool\)" was given up'):
                learner.pool()
            record(learner, 99, **{"(pool)": 0.5})  # a model may have that name too
            assert learner.statistics().models_failed == ("(pool)",)
        assert [report.n for report in learner.reports()] == [0, 30, 30]
        selection = learner.thompson_sample()
        assert (len(selection.ranked), selection.missing) == (3, ())
        receipt = learner.restart("(pool)")
        assert (receipt.model_id, receipt.restarted) == ("(pool)", True)
        assert learner.pool().n == 30
        assert learner.statistics().models_failed == ()
        assert learner.verify().ok


# --------------------------------------------------------------------- repeats


def say_the_same(learner: Learner, markets: range, confidence: float | None = None) -> None:
    """``good`` and ``twin`` say the same; with a confidence, ``twin`` says that."""
    for market in markets:
        stated = 0.5 + (market * 37 % 50) / 100
        record(learner, market, good=stated, twin=stated if confidence is None else confidence)
        learner.resolve_market(market_id=f"k{market}", winner="YES", resolved_at=T0 + market * HOUR + 1)


def test_end_of_a_repetition_is_told_once_and_not_again_after_a_restart(tmp_path: Path) -> None:
    told: list[Any] = []

    def listen(event: Any) -> None:
        if isinstance(event, DriftDetected):
            told.append(event)

    with open_at(tmp_path / "state") as learner:
        learner.watch(listen)
        say_the_same(learner, range(200))
        assert {share.model_id: share.repeats for share in learner.pool().shares} == {
            "good": None,
            "twin": "good",
        }
        say_the_same(learner, range(200, 220), 0.3)
        (ended,) = learner.pool().repeats_ended
        (event,) = told
        assert (event.model_id, event.peer, event.changed_at) == ("twin", "good", T0 + 200 * HOUR + 1)
        assert (ended.model_id, ended.peer, ended.changed_at) == ("twin", "good", event.changed_at)
        # A correction of the past does not tell it again.
        learner.resolve_market(market_id="k215", winner="NO", revision=1, resolved_at=T0 + 215 * HOUR + 1)
        assert learner.pool().repeats_ended == (ended,)
    with open_at(tmp_path / "state") as learner:
        learner.watch(listen)
        assert learner.pool().repeats_ended == (ended,)
        say_the_same(learner, range(220, 230), 0.3)
        assert learner.verify().ok
    assert told == [event]
