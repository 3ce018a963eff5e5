"""The edge policy in the fold, and Kelly's size in the gate."""

from __future__ import annotations

from math import exp, log, nan

import numpy as np
import pytest

from handicapper.actors.state import views
from handicapper.actors.state.events import Reset, RulesChanged
from handicapper.actors.state.model_state import ModelState
from handicapper.config import LearningRules

from .samples import HOUR, T0, rules, scored, taught

EDGE = rules(weight_policy="edge")
KELLY = rules(size_rule="kelly")
Row = tuple[float, float, float]
"""(x, confidence, price)."""


def priced(in_force: LearningRules, rows: list[Row]) -> ModelState:
    """A model that learned from priced rows, one an hour."""
    state = ModelState("m", in_force)
    for number, (x, confidence, price) in enumerate(rows, 1):
        state.apply([scored(number, x, confidence, T0 + (number - 1) * HOUR, price=price)], number)
    return state


def claims(n: int, truth: float, seed: int = 1, confidence: float = 0.65, price: float = 0.5) -> list[Row]:
    """Claims of ``confidence`` at ``price``, right with chance ``truth``."""
    random = np.random.default_rng(seed)
    return [(float(random.random() < truth), confidence, price) for _ in range(n)]


def test_weight_is_the_shrunk_wealth_of_the_bettor_by_hand() -> None:
    """Claims of 0.6 at 0.5: Kelly stakes a fifth, a quarter of it 0.05; won at even odds."""
    in_force = rules(weight_policy="edge", min_predictions_for_adaptation=1, decay_half_life_seconds=7_200.0)
    state = priced(in_force, [(1.0, 0.6, 0.5), (0.0, 0.6, 0.5), (1.0, 0.6, 0.5), (1.0, 0.4, 0.5)])
    shares = [0.5 ** (age / 2) for age in (2, 1, 0)]
    wealth = sum(s * log(g) for s, g in zip(shares, (1.05, 0.95, 1.05), strict=True))
    bets = sum(shares)
    for hours in (0, 1, 10):
        faded = 0.5 ** (hours / 2)
        expected = exp(wealth * faded * bets * faded / (bets * faded + 10.0))
        at = T0 + (2 + hours) * HOUR
        assert views.params(state, at).weight == pytest.approx(expected, rel=1e-12)
    assert views.report(state, T0 + 2 * HOUR).log_wealth == pytest.approx(wealth, rel=1e-12)


def test_late_outcome_counts_by_its_own_age() -> None:
    in_order, late = ModelState("m", EDGE), ModelState("m", EDGE)
    rows = [scored(1, 1.0, 0.6, T0, price=0.5), scored(2, 0.0, 0.7, T0 + 90 * HOUR, price=0.5)]
    in_order.apply(rows, 2)
    late.apply(rows[::-1], 2)
    assert in_order.now.edge is not None
    assert late.now.edge is not None
    assert late.now.edge.log_wealth == pytest.approx(in_order.now.edge.log_wealth, rel=1e-12)
    assert late.now.edge.bets == pytest.approx(in_order.now.edge.bets, rel=1e-12)


def test_model_without_prices_is_neutral() -> None:
    state = taught(EDGE, [(1.0, 0.7)] * 100)
    assert views.params(state, T0 + 100 * HOUR).weight == 1.0
    assert views.report(state, T0 + 100 * HOUR).log_wealth == 0.0


def test_model_that_never_sees_more_than_the_price_is_neutral() -> None:
    """It would not have bet; 0 and 1 are no prices at which anybody could."""
    rows = [(1.0, 0.5, 0.6), (1.0, 0.5, 0.5), (1.0, 0.5, 0.0), (0.0, 1.0, 1.0), (nan, nan, nan)] * 20
    assert views.params(priced(EDGE, rows), T0 + 100 * HOUR).weight == 1.0


def test_new_and_unadapted_models_are_neutral() -> None:
    assert views.params(ModelState("m", EDGE), T0).weight == 1.0
    assert views.params(priced(EDGE, [(1.0, 0.9, 0.5)] * 9), T0).weight == 1.0
    assert views.params(priced(EDGE, [(1.0, 0.9, 0.5)] * 10), T0 + 9 * HOUR).weight > 1.0


def test_thin_evidence_is_shrunk_and_fades_when_the_model_is_away() -> None:
    state = priced(EDGE, [(1.0, 0.9, 0.5)] * 10)
    weights = [views.params(state, T0 + (9 + weeks * 168) * HOUR).weight for weeks in (0, 1, 2, 40)]
    assert weights == sorted(weights, reverse=True)
    assert 1.0 < weights[0] < exp(10 * log(1.2)) ** 0.5
    assert weights[-1] == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("truth", "low", "high"), [(0.65, 1.3, 2.0), (0.50, 0.25, 1.0), (0.35, 0.25, 0.25)])
def test_weight_tells_claims_that_pay_from_those_that_do_not(truth: float, low: float, high: float) -> None:
    """Claims of 0.65 at 0.50 stake 0.075: a bet grows by ln 1.075·p + ln 0.925·(1 − p) = 0.0197, −0.0028 and −0.0253
    for p = 0.65, 0.50 and 0.35, with a deviation of 0.15·√(p(1 − p)) = 0.075 at most. 1,000 of them an hour apart are
    242 effective bets at a half-life of 168 h, whose squares sum to 121: 4.8, −0.7 and −6.1, ± 0.83. So within three
    of those: above e^(2.3·0.96), that is at the maximum of 2; below e^(1.8); at the minimum. The middle one is
    asked of the mean of 20 models: −0.7 ± 0.19."""
    at = T0 + 1_000 * HOUR
    if truth == 0.50:
        wealth = [
            views.report(priced(EDGE, claims(1_000, truth, seed)), at).log_wealth or 0.0 for seed in range(20)
        ]
        assert -0.7 - 3 * 0.19 < sum(wealth) / 20 < -0.7 + 3 * 0.19
        return
    assert low <= views.params(priced(EDGE, claims(1_000, truth)), at).weight <= high


def test_one_long_shot_counts_for_no_more_than_the_cap() -> None:
    """Ten losses and a claim at 0.01 that came true, which would have multiplied a quarter-Kelly wealth by ten."""
    rows = [(0.0, 0.6, 0.5)] * 10
    before = priced(EDGE, rows).now.edge
    after = priced(EDGE, [*rows, (1.0, 0.5, 0.01)]).now.edge
    assert before is not None
    assert after is not None
    assert after.log_wealth - before.log_wealth == pytest.approx(0.25, abs=0.01)
    loose = priced(
        rules(weight_policy="edge", outcome_log_wealth_max=100.0), [*rows, (1.0, 0.5, 0.01)]
    ).now.edge
    assert loose is not None
    assert loose.log_wealth > 1.5


def test_edge_stakes_on_recalibrated_confidence_where_there_is_one() -> None:
    """Overconfident by 0.2, at prices that are right: as stated every claim is a bet that loses; recalibrated there
    soon is hardly any."""
    random = np.random.default_rng(4)
    rows = [
        (float(random.random() < c - 0.2), float(c), float(c) - 0.2) for c in random.uniform(0.5, 0.9, 1_000)
    ]
    as_stated = priced(EDGE, rows)
    both = priced(rules(weight_policy="edge", recalibration_enabled=True), rows)
    at = T0 + 1_000 * HOUR
    assert views.params(as_stated, at).weight < 0.5
    assert views.params(both, at).weight > 0.9


def test_edge_is_learned_only_under_its_policy_and_forgotten_with_it() -> None:
    state = priced(EDGE, claims(50, 0.65))
    assert state.now.edge is not None
    state.apply([RulesChanged(rules())], 51)
    assert state.now.edge is None
    assert views.report(state, T0).log_wealth is None
    assert priced(rules(), claims(50, 0.65)).now.edge is None
    again = priced(EDGE, claims(50, 0.65))
    again.apply([Reset(51)], 51)
    assert again.now.edge == ModelState("m", EDGE).now.edge


def test_kelly_size_by_hand() -> None:
    """(0.8 − 0.5)/(1 − 0.5) = 0.6, a quarter of it 0.15; the weight of a new model is 1."""
    state = ModelState("m", KELLY)
    decided = views.decide_gate(state, 0.8, T0, 0.5)
    assert (decided.accepted, decided.reason) == (True, "accepted")
    assert decided.size_multiplier == pytest.approx(0.15, rel=1e-12)
    taught_one = priced(KELLY, claims(100, 0.65))
    sized = views.decide_gate(taught_one, 0.8, T0 + 100 * HOUR, 0.5)
    assert sized.size_multiplier == pytest.approx(0.15 * sized.weight, rel=1e-12)


def test_kelly_size_is_capped_at_the_whole_bankroll() -> None:
    state = priced(rules(size_rule="kelly", kelly_fraction=1.0), [(1.0, 0.9, 0.5)] * 50)
    decided = views.decide_gate(state, 1.0, T0 + 50 * HOUR, 0.01)
    assert decided.weight > 1.5
    assert decided.size_multiplier == 1.0


@pytest.mark.parametrize(
    ("price", "reason"),
    [(None, "no_price"), (0.7, "no_edge"), (0.75, "no_edge"), (1.0, "no_edge"), (0.69, "accepted")],
)
def test_kelly_refuses_what_has_no_price_or_no_edge(price: float | None, reason: str) -> None:
    decided = views.decide_gate(ModelState("m", KELLY), 0.7, T0, price)
    assert decided.reason == reason
    assert (decided.size_multiplier > 0.0) is decided.accepted is (reason == "accepted")


def test_threshold_comes_before_the_price() -> None:
    assert views.decide_gate(ModelState("m", KELLY), 0.5, T0, None).reason == "below_threshold"


def test_price_makes_no_difference_to_the_size_by_confidence() -> None:
    state = ModelState("m", rules())
    sizes = {views.decide_gate(state, 0.7, T0, price).size_multiplier for price in (None, 0.1, 0.9)}
    assert sizes == {0.7}


def test_kelly_sizes_by_what_the_confidence_is_worth() -> None:
    """Overconfident by 0.2 its 0.9 is worth 0.7: no bet at 0.80, which as stated would be a large one."""
    random = np.random.default_rng(5)
    rows = [(float(random.random() < c - 0.2), float(c), nan) for c in random.choice([0.7, 0.8, 0.9], 600)]
    at = T0 + 600 * HOUR
    as_stated = views.decide_gate(priced(KELLY, rows), 0.9, at, 0.80)
    worth = views.decide_gate(
        priced(rules(size_rule="kelly", recalibration_enabled=True), rows), 0.9, at, 0.80
    )
    assert as_stated.size_multiplier > 0.05
    assert (worth.accepted, worth.reason) == (False, "no_edge")
