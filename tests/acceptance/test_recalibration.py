"""Recalibration where it has to prove itself: on real forecasts, and with the threshold behind it."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from handicapper.actors import Learner
from handicapper.actors.state import views
from handicapper.actors.state.events import Scored
from handicapper.actors.state.model_state import ModelState
from handicapper.config import Recalibration, Settings, Sizing, ThompsonSampling, Weights
from handicapper.protocol.messages import MarketResolved, ModelReport, Prediction

from .test_threshold_curve import MENDED, curve

T0 = 1_700_000_000_000_000_000
HOUR = 3_600 * 10**9
DATA = Path(__file__).parents[2].parent / "shared" / "data"
ON = Recalibration(enabled=True)
CHANGING = ThompsonSampling(posterior="changepoint")
EVERY_POLICY = Settings(
    recalibration=ON,
    weights=Weights(policy="edge"),
    sizing=Sizing(rule="kelly"),
    thompson_sampling=CHANGING,
)
OpenLearner = Callable[..., Learner]


class Briers(NamedTuple):
    """Brier scores of one model, and what is reported of it in the end."""

    stated: float
    worth: float
    """Of each confidence as it was recalibrated when it was stated, by what had resolved until then."""
    report: ModelReport


def ns(text: str) -> int:
    return int(np.datetime64(text.rstrip("Z"), "ns").astype(np.int64))


def played(name: str, models: set[str]) -> dict[str, Briers]:
    """A real stream in the order of its times: an outcome is learned when it is known, a forecast recalibrated when
    it is made."""
    path = DATA / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"the real streams are not there: {path}")
    with gzip.open(path, "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if row["model_id"] in models]
    rules = Settings(recalibration=ON).learning_rules()
    states = {model: ModelState(model, rules) for model in models}
    errors: dict[str, list[tuple[float, float]]] = {model: [] for model in models}
    worth: dict[int, float] = {}
    times = [(ns(row["resolved_at"]), 0, n) for n, row in enumerate(rows)]
    times += [(ns(row["predicted_at"]), 1, n) for n, row in enumerate(rows)]
    for seq, (at_ns, is_prediction, number) in enumerate(sorted(times), 1):
        row = rows[number]
        state, confidence = states[row["model_id"]], float(row["confidence"])
        if is_prediction:
            decided = views.decide_gate(state, confidence, at_ns).calibrated_confidence
            assert decided is not None
            worth[number] = decided
            continue
        x = float(row["outcome_label"] == row["actual"])
        state.apply([Scored(number, at_ns, x, confidence)], seq)
        errors[row["model_id"]].append(((confidence - x) ** 2, (worth.pop(number) - x) ** 2))
    found: dict[str, Briers] = {}
    for model, state in states.items():
        stated, recalibrated = np.mean(errors[model], axis=0)
        found[model] = Briers(float(stated), float(recalibrated), views.report(state, state.now.last_at_ns))
        assert found[model].report.calibration.brier == pytest.approx(stated, rel=1e-9)
    return found


def test_precipitation_recalibrated_is_better_by_the_figures_that_the_readme_states() -> None:
    """``hres_det`` is always certain and right 73.06 % of the time: no fixed map does better than 0.7306·0.2694 =
    0.1968. What is reported knew a little more than what was decided by: forecasts are made up to five days ahead, and
    the report recalibrates each when it resolves."""
    found = played("precip_pop_2012_2017", {"hres_det", "ens_freq", "hclr"})
    figures = {model: (round(each.stated, 4), round(each.worth, 4)) for model, each in found.items()}
    assert figures == {"hres_det": (0.2694, 0.1973), "ens_freq": (0.2090, 0.1824), "hclr": (0.1358, 0.1357)}
    for each in found.values():
        mended = each.report.recalibrated
        assert mended is not None
        assert (mended.expected_calibration_error or 1.0) < 0.01
        assert mended.brier == pytest.approx(each.worth, abs=0.0025)


def test_baseball_recalibrated_mends_what_is_wrong_and_leaves_what_is_right() -> None:
    """``vegas_open`` is calibrated (ECE 0.002): a memory of 1,000 outcomes may cost it 3·0.24/2000 = 0.00036."""
    found = played("mlb_2010_2019", {"k29", "vegas_open"})
    figures = {model: (round(each.stated, 4), round(each.worth, 4)) for model, each in found.items()}
    assert figures == {"k29": (0.2528, 0.2490), "vegas_open": (0.2417, 0.2420)}
    assert found["vegas_open"].worth - found["vegas_open"].stated < 0.00036


@pytest.mark.parametrize("seed", range(4))
def test_threshold_of_a_calibrated_model_stays_near_its_start_with_every_policy_on(seed: int) -> None:
    """±0.05 for 20,000 outcomes, one an hour. The threshold moves only while the error of the window lies beyond 2.5
    standard errors, and then by a hundredth of what is beyond. The average of 100 outcomes has a standard error of
    0.045 and forgets within 50 outcomes: 400 independent looks, the largest of which is some 3.2 standard errors
    away. To move 0.05 takes 111 standard errors beyond, summed over outcomes: two looks next to each other at 3.6.
    The chance of that is 400·(3·10⁻⁴)², and less because the threshold relaxes meanwhile.

    Without recalibration the bare window's noise has a standard deviation of 0.05 (test_threshold_curve)."""
    random = np.random.default_rng(seed)
    state = ModelState("m", EVERY_POLICY.learning_rules())
    stated = (
        random.choice([0.55, 0.65, 0.75, 0.85], 20_000) if seed % 2 else random.uniform(0.5, 0.98, 20_000)
    )
    prices = random.uniform(0.3, 0.9, 20_000)
    rights = random.random(20_000) < stated
    furthest = 0.0
    for number in range(20_000):
        row = Scored(
            number, T0 + number * HOUR, float(rights[number]), float(stated[number]), float(prices[number])
        )
        state.apply([row], number + 1)
        furthest = max(furthest, abs(state.now.threshold - 0.60))
    assert 0.0 < furthest < 0.05
    assert views.report(state, T0).last_change is None, "and no change is found where nothing changed"
    assert views.report(state, T0 + 20_000 * HOUR).at_wall is None


@pytest.mark.parametrize("shadow", [True, False])
def test_overconfident_model_is_neither_walled_nor_starved_with_every_policy_that_needs_no_price(
    open_learner: OpenLearner, shadow: bool
) -> None:
    """The model of :mod:`.test_threshold_curve`, overconfident by 0.10 until it is mended. Recalibrated, its 0.75 is
    worth 0.65 and passes, its 0.65 is worth 0.55 and does not: half of the signals, whether or not the others are
    ever resolved. Mended, three in four would pass; the map remembers 1,000 outcomes, of which the last 1,500 are
    good ones, so that 0.65 is worth more than 0.60 again."""
    learner = open_learner(recalibration=ON, weights=Weights(policy="edge"), thompson_sampling=CHANGING)
    points = curve(learner, shadow=shadow)
    sick = MENDED // 25
    assert not any(point.at_wall or point.starved for point in points)
    assert all(0.40 < point.accepted < 0.60 for point in points[1:sick])
    assert abs(points[-1].threshold - 0.60) < 0.05
    if shadow:
        assert points[-1].accepted > 0.60


def test_both_confidences_are_shown_and_journaled_and_a_decision_can_be_recomputed(
    open_learner: OpenLearner,
) -> None:
    """Through the learner: signals, outcomes, a decision, its repetition, a restart, and the same decision again."""
    learner = open_learner(recalibration=ON, weights=Weights(policy="edge"), sizing=Sizing(rule="kelly"))

    def signal(number: int, confidence: float, price: str | None) -> Prediction:
        return Prediction(
            prediction_id=f"p{number}",
            model_id="m",
            market_id=f"k{number}",
            outcome="YES",
            confidence=confidence,
            predicted_at=T0 + number * HOUR,
            price=None if price is None else Decimal(price),
        )

    first = learner.process_signal(signal(0, 0.8, "0.5"))
    assert (first.confidence, first.calibrated_confidence) == (0.8, 0.8)
    assert first.size_multiplier == pytest.approx(0.25 * 0.6)
    learner.record_predictions(signal(number, 0.8, "0.5") for number in range(1, 200))
    learner.resolve_markets(
        MarketResolved(market_id=f"k{n}", winner="YES" if n % 10 < 7 else "NO", resolved_at=T0 + n * HOUR + 1)
        for n in range(200)
    )
    decided = learner.process_signal(signal(200, 0.8, "0.5"))
    worth = decided.calibrated_confidence
    assert decided.confidence == 0.8
    assert worth == pytest.approx(0.7, abs=0.03)
    assert decided.weight > 1.0
    assert decided.size_multiplier == pytest.approx(0.25 * (worth - 0.5) / 0.5 * decided.weight, rel=1e-12)
    assert learner.process_signal(signal(201, 0.8, None)).reason == "no_price"
    assert learner.process_signal(signal(202, 0.8, "0.79")).reason == "no_edge"
    report = learner.report("m", as_of=T0 + 200 * HOUR)
    assert report.recalibrated is not None
    assert report.recalibrated.count == 200
    assert report.log_wealth is not None
    assert report.log_wealth > 0.0
    assert learner.get_adaptive_params("m", as_of=T0 + 200 * HOUR).calibration_map == report.calibration_map  # type: ignore[union-attr]
    assert learner.verify().ok
    learner.close()
    again = open_learner(recalibration=ON, weights=Weights(policy="edge"), sizing=Sizing(rule="kelly"))
    repeated = again.process_signal(signal(200, 0.8, "0.5"))
    assert repeated.duplicate
    assert repeated.calibrated_confidence == worth
    assert again.report("m", as_of=T0 + 200 * HOUR) == report
