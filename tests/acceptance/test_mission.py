"""One test for every acceptance criterion of the mission, on the real learner: real actors, real LMDB."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

import handicapper.actors.learning as learning_package
from handicapper.actors import Learner
from handicapper.config import ThompsonSampling, Thresholds
from handicapper.protocol.messages import MarketResolved, ModelReport, Prediction, TradeOutcome

T0 = 1_700_000_000_000_000_000
HOUR = 3_600 * 10**9
OpenLearner = Callable[..., Learner]


def made(number: int, model: str, confidence: float, market: str | None = None) -> Prediction:
    """A prediction of YES, ``number`` hours after T0."""
    return Prediction(
        prediction_id=f"{model}-{number}",
        model_id=model,
        market_id=market or f"{model}-market-{number}",
        outcome="YES",
        confidence=confidence,
        predicted_at=T0 + number * HOUR,
    )


def ended(prediction: Prediction, right: bool) -> MarketResolved:
    """Its market, resolved half an hour later."""
    winner = "YES" if right else "NO"
    return MarketResolved(
        market_id=prediction.market_id, winner=winner, resolved_at=prediction.predicted_at + HOUR // 2
    )


def teach(learner: Learner, model: str, xs: list[bool], confidence: float = 0.7, start: int = 0) -> int:
    """Predict and resolve, an hour apart; returns the event time of the last resolution."""
    predictions = [made(number, model, confidence) for number in range(start, start + len(xs))]
    learner.record_predictions(predictions)
    learner.resolve_markets(ended(p, x) for p, x in zip(predictions, xs, strict=True))
    return predictions[-1].predicted_at + HOUR // 2


def test_ema_accuracy_is_tracked_for_every_model(open_learner: OpenLearner) -> None:
    """Criterion: "OnlineLearner core implemented with EMA accuracy tracking"."""
    learner = open_learner()
    random = np.random.default_rng(1)
    for model, rate in (("good", 0.8), ("bad", 0.3)):
        ema = 0.5
        for number, right in enumerate((random.random(50) < rate).tolist()):
            at_ns = teach(learner, model, [right], start=number)
            ema = 0.1 * right + 0.9 * ema
            params = learner.get_adaptive_params(model, as_of=at_ns)
            assert params is not None
            assert params.ema_accuracy == pytest.approx(ema, rel=1e-12)
            assert params.adapted is (number + 1 >= 10)
    assert learner.get_adaptive_params("never seen") is None


def test_thompson_sampling_ranks_every_model_and_prefers_the_better(open_learner: OpenLearner) -> None:
    """Criterion: "Thompson Sampling for model selection".

    100 outcomes each, 80, 60 and 40 of them right, without decay: Beta(81, 21), Beta(61, 41), Beta(41, 61).
    The means of the first two lie 0.196 apart, the standard deviation of the difference is
    √(0.794·0.206/103 + 0.598·0.402/103) = 0.0626: the first leads with probability Φ(3.13) = 0.9991. Of
    500 draws less than one is expected to go wrong, and ten would be nine deviations.
    """
    learner = open_learner(decay_half_life_hours=float("inf"))
    for model, right in (("c", 40), ("a", 80), ("b", 60)):
        at_ns = teach(learner, model, [True] * right + [False] * (100 - right))
    firsts = []
    for number in range(500):
        selection = learner.thompson_sample(selection_id=f"s{number}", seed=7, as_of=at_ns)
        assert {sample.model_id for sample in selection.ranked} == {"a", "b", "c"}
        drawn = [sample.sample for sample in selection.ranked]
        assert drawn == sorted(drawn, reverse=True)
        firsts.append(selection.ranked[0].model_id)
    assert firsts.count("a") > 490
    first = learner.thompson_sample(selection_id="s0", seed=7, as_of=at_ns)
    again = learner.thompson_sample(selection_id="s0", seed=7, as_of=at_ns)
    assert first == again, "a selection can be drawn again"


def test_thompson_sampling_alone_converges_to_the_best_model(open_learner: OpenLearner) -> None:
    """Testing strategy: "Unit tests for Thompson Sampling convergence".

    Nothing is known at first and only the model selected is tried: rates 0.3, 0.5 and 0.8 over 400
    rounds. A model with gap g is tried about ln(400)/(2g²) = 33 and 12 times for g = 0.3 and 0.5 (Lai &
    Robbins' rate, with Pinsker's bound for the divergence), nearly all of it early: in the last 100
    rounds some 33·100/400 + 12·100/400 = 11 at the most. 75 of them must go to the best.
    """
    learner = open_learner(decay_half_life_hours=float("inf"))
    rates = {"weak": 0.3, "fair": 0.5, "best": 0.8}
    learner.record_predictions(made(10_000, model, 0.7) for model in rates)
    random = np.random.default_rng(2)
    chosen: list[str] = []
    for number in range(400):
        at_ns = T0 + number * HOUR
        selection = learner.thompson_sample(selection_id=f"r{number}", seed=2, as_of=at_ns)
        model = selection.ranked[0].model_id
        chosen.append(model)
        teach(learner, model, [bool(random.random() < rates[model])], start=number)
    assert set(chosen[:30]) == set(rates), "every model is explored"
    assert chosen[-100:].count("best") >= 75


@pytest.mark.parametrize(("confidence", "right", "direction"), [(0.9, 5, 1), (0.5, 9, -1), (0.7, 7, 0)])
def test_threshold_adapts_to_the_calibration_of_the_model(
    open_learner: OpenLearner, confidence: float, right: int, direction: int
) -> None:
    """Criterion: "Adaptive confidence thresholds based on calibration": overconfident raises it,
    underconfident lowers it, by rate × (mean confidence − accuracy over the window) an outcome.

    Of every ten predictions ``right`` come true, so from the 10th outcome on the error of the window is
    confidence − right/10, up to the phase of the pattern: at most one outcome more or less, so that n of
    them move the threshold by up to 0.01·Σ1/n = 0.024 beside that, against 0.36 and 0.18.
    """
    learner = open_learner(thresholds=Thresholds(relaxation_half_life_hours=0.0))
    xs = [number % 10 < right for number in range(100)]
    at_ns = teach(learner, "m", xs, confidence)
    params = learner.get_adaptive_params("m", as_of=at_ns)
    assert params is not None
    theta = 0.6
    for n in range(10, 101):
        theta = min(max(theta + 0.01 * (confidence - sum(xs[:n]) / n), 0.40), 0.90)
    assert params.confidence_threshold == pytest.approx(theta, rel=1e-9)
    moved = params.confidence_threshold - 0.6
    assert (moved > 0.05) - (moved < -0.05) == direction
    report = learner.report("m", as_of=at_ns)
    assert report.calibration.signed_error == pytest.approx(confidence - right / 10)


def test_resolution_of_a_market_scores_every_prediction_of_every_model(open_learner: OpenLearner) -> None:
    """Criteria: "Integration with resolution events for outcome tracking" and "Integration tests for
    outcome tracking flow"."""
    learner = open_learner()
    for model, outcome in (("a", "YES"), ("b", "NO"), ("c", "YES")):
        for number in (1, 2):
            receipt = learner.record_prediction(
                prediction_id=f"{model}{number}", model_id=model, market_id="final", outcome=outcome,
                confidence=0.7, price=Decimal("0.6"), size=Decimal(10), predicted_at=T0 + number * HOUR,
            )  # fmt: skip
            assert receipt.scored == 0
    assert learner.statistics().predictions_pending == 6
    resolved = learner.resolve_market(market_id="final", winner="YES", resolved_at=T0 + 5 * HOUR)
    assert resolved.scored == 6
    again = learner.resolve_market(market_id="final", winner="YES", resolved_at=T0 + 5 * HOUR)
    assert again.duplicate
    assert again.scored == 0
    reports = {report.model_id: report for report in learner.reports(as_of=T0 + 5 * HOUR)}
    assert {m: (r.n, r.accuracy, r.pnl) for m, r in reports.items()} == {
        "a": (2, 1.0, Decimal(8)),
        "b": (2, 0.0, Decimal(-12)),
        "c": (2, 1.0, Decimal(8)),
    }
    assert (reports["b"].posterior_alpha, reports["b"].posterior_beta) == (1.0, 3.0)
    revised = learner.resolve_market(market_id="final", winner="NO", revision=1, resolved_at=T0 + 5 * HOUR)
    assert revised.revised == 6
    assert learner.report("b", as_of=T0 + 5 * HOUR).accuracy == 1.0
    told = learner.record_outcome(
        TradeOutcome(
            prediction_id="x", model_id="d", predicted_outcome="YES", actual_outcome="NO",
            pnl=Decimal("-1.5"), resolved_at=T0,
        )
    )  # fmt: skip
    assert told.scored == 1
    assert learner.report("d", as_of=T0).pnl == Decimal("-1.5")
    assert learner.statistics().predictions_pending == 0


def test_learning_state_persists_over_a_restart(open_learner: OpenLearner) -> None:
    """Criterion: "Persistence of learning state to database"."""
    learner = open_learner()
    at_ns = teach(learner, "m", [number % 3 > 0 for number in range(150)], 0.8)
    learner.snapshot()
    teach(learner, "m", [True, False, True], 0.8, start=200)
    learner.record_prediction(made(500, "m", 0.9, "open market"))
    learner.pause("m", reason="travelling")
    as_of = at_ns + 500 * HOUR
    before = learner.report("m", as_of=as_of), learner.get_adaptive_params("m", as_of=as_of)
    drawn = learner.thompson_sample(selection_id="s", seed=1, as_of=as_of)
    learner.close()

    learner = open_learner()
    assert (learner.report("m", as_of=as_of), learner.get_adaptive_params("m", as_of=as_of)) == before
    assert learner.thompson_sample(selection_id="s", seed=1, as_of=as_of) == drawn
    assert learner.statistics().predictions_pending == 1
    assert learner.record_prediction(made(3, "m", 0.8)).duplicate, "ids are remembered"
    receipt = learner.resolve_market(market_id="open market", winner="YES", resolved_at=T0 + 501 * HOUR)
    assert receipt.scored == 1
    assert learner.report("m", as_of=as_of).n == before[0].n + 1


def test_signal_processing_uses_the_adaptive_parameters(open_learner: OpenLearner) -> None:
    """Criterion: "ML processor updated to use adaptive parameters": the learned threshold instead of the
    static one, the learned weight in the size, and an answer that says why."""
    learner = open_learner(thresholds=Thresholds(adjustment_rate=0.2))
    start = 1_000
    fresh = learner.process_signal(made(start, "new", 0.61))
    assert (fresh.accepted, fresh.confidence_threshold, fresh.weight) == (True, 0.6, 1.0)
    teach(learner, "boaster", [False, True] * 20, 0.95, start=start - 50)
    teach(learner, "modest", [True] * 40, 0.55, start=start - 50)

    refused = learner.process_signal(made(start, "boaster", 0.75))
    assert (refused.accepted, refused.reason, refused.size_multiplier) == (False, "below_threshold", 0.0)
    assert refused.confidence_threshold > 0.75 > 0.6
    assert refused.adapted

    taken = learner.process_signal(made(start, "modest", 0.50))
    assert taken.accepted
    assert taken.confidence_threshold < 0.50 < 0.6
    assert taken.weight > 1.5
    assert taken.size_multiplier == 0.50 * taken.weight
    params = learner.get_adaptive_params("modest", as_of=T0 + start * HOUR)
    assert params is not None
    assert (taken.confidence_threshold, taken.weight) == (params.confidence_threshold, params.weight)

    report = learner.report("boaster")
    assert (report.rejected, report.shadow) == (1, 0)
    learner.resolve_market(ended(made(start, "boaster", 0.75), right=True))
    assert learner.report("boaster").shadow == 1, "what was refused is scored all the same"


def test_learner_follows_a_synthetic_model_that_turns_bad(open_learner: OpenLearner) -> None:
    """Testing strategy: "Simulation tests with synthetic outcomes".

    "steady" is right 62 times in 100, "turncoat" 75 and from hour 400 on 35. A week's half-life holds the
    evidence of about 168/ln 2 = 242 outcomes: posterior means have a standard deviation of
    √(0.24/2/242) = 0.022 once it is full. Before the turn they are 0.13 apart, six deviations of one; 400
    hours after it turncoat has kept 2^(−400/168) = 0.19 of its past: 0.35 + 0.19·0.40 = 0.43, 0.19 below.
    """
    learner = open_learner()
    random = np.random.default_rng(4)
    best: list[str] = []
    reports: dict[str, ModelReport] = {}
    for slate in range(80):
        predictions = [
            made(slate * 10 + i, model, 0.7) for i in range(10) for model in ("steady", "turncoat")
        ]
        rates = {"steady": 0.62, "turncoat": 0.75 if slate < 40 else 0.35}
        learner.process_signals(predictions)
        learner.resolve_markets(ended(p, bool(random.random() < rates[p.model_id])) for p in predictions)
        if slate in (39, 79):
            as_of = T0 + (slate * 10 + 10) * HOUR
            reports = {report.model_id: report for report in learner.reports(as_of=as_of)}
            best.append(max(reports, key=lambda model: reports[model].probability_best or 0.0))
            assert reports[best[-1]].probability_best is not None
            assert (reports[best[-1]].probability_best or 0.0) > 0.9
    assert best == ["turncoat", "steady"]
    steady, turncoat = reports["steady"], reports["turncoat"]
    assert turncoat.weight < steady.weight
    assert turncoat.confidence_threshold > steady.confidence_threshold
    assert turncoat.n == steady.n == 800


def test_every_learning_algorithm_has_unit_tests() -> None:
    """Criterion: "Unit tests for all learning algorithms": a file of tests beside every module of maths."""
    modules = {path.stem for folder in learning_package.__path__ for path in Path(folder).glob("*.py")}
    tests = {path.stem.removeprefix("test_") for path in (Path(__file__).parents[1] / "learning").iterdir()}
    assert len(modules) > 10
    assert modules - {"__init__"} <= tests


def test_selection_settings_of_the_mission_are_honoured(open_learner: OpenLearner) -> None:
    """Configuration: ``[online_learning.thompson_sampling]`` with its prior and its switch."""
    settings = ThompsonSampling(enabled=False, prior_alpha=3.0, prior_beta=1.0)
    learner = open_learner(thompson_sampling=settings, decay_half_life_hours=float("inf"))
    teach(learner, "m", [False, False])
    (sample,) = learner.thompson_sample().ranked
    assert (sample.alpha, sample.beta, sample.sample) == (3.0, 3.0, 0.5)
