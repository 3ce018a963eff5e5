"""Online beta calibration against its definition, and against the same map fitted to everything at once."""

from __future__ import annotations

from itertools import pairwise
from math import exp, log, log1p, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from handicapper.actors.learning.calibration import bins_of, expected_calibration_error
from handicapper.actors.learning.recalibration import (
    CONFIDENCE_CLIP,
    EVIDENCE_FIELDS,
    IDENTITY,
    SHIFT_PRECISION,
    SLOPE_PRECISION,
    CalibrationMap,
    add_calibration_outcome,
    calibration_map,
    recalibrate,
)

unit = st.floats(0.0, 1.0)
edges = st.sampled_from([0.0, 5e-324, 1e-9, 0.5, 1.0 - 2**-53, 1.0])
outcomes = st.lists(st.tuples(unit | edges, unit | edges), max_size=60)
CONFIDENCES = (0.55, 0.65, 0.75, 0.85, 0.95)


def learned(pairs: list[tuple[float, float]], keep: float = 1.0) -> list[float]:
    """The evidence of (confidence, x) pairs."""
    evidence = [0.0] * EVIDENCE_FIELDS
    for confidence, x in pairs:
        add_calibration_outcome(evidence, confidence, x, keep)
    return evidence


def stream(seed: int, n: int, bias: float) -> tuple[np.ndarray, np.ndarray]:
    """Stated confidences, and outcomes that are right with confidence − bias."""
    random = np.random.default_rng(seed)
    stated = random.choice(CONFIDENCES, n)
    return stated, (random.random(n) < stated - bias).astype(float)


def played(stated: np.ndarray, x: np.ndarray, memory: float = 1000.0) -> np.ndarray:
    """What the map made of each confidence before it learned the outcome."""
    evidence, keep = [0.0] * EVIDENCE_FIELDS, 1.0 - 1.0 / memory
    pairs = zip(stated.tolist(), x.tolist(), strict=True)
    return np.array([add_calibration_outcome(evidence, c, y, keep) for c, y in pairs])


def ece(confidences: np.ndarray, x: np.ndarray) -> float:
    error = expected_calibration_error(bins_of(confidences.tolist(), x.tolist()))
    assert error is not None
    return error


@given(unit | edges)
def test_map_without_evidence_leaves_every_confidence_as_it_is_bit_for_bit(confidence: float) -> None:
    evidence = [0.0] * EVIDENCE_FIELDS
    assert calibration_map(evidence) == IDENTITY
    assert recalibrate(confidence, IDENTITY) == confidence
    assert add_calibration_outcome(evidence, confidence, 1.0) == confidence


@given(outcomes, st.sampled_from([1.0, 0.9, 0.5]))
def test_map_of_any_outcomes_is_finite_and_never_turns_an_order_round(
    pairs: list[tuple[float, float]], keep: float
) -> None:
    by = calibration_map(learned(pairs, keep))
    assert by.a >= 0.0
    assert by.b >= 0.0
    grid = [0.0, 1e-12, *(i / 200 for i in range(1, 200)), 1.0 - 1e-12, 1.0]
    worth = [recalibrate(confidence, by) for confidence in grid]
    assert all(0.0 <= q <= 1.0 for q in worth)
    assert all(low <= high + 1e-12 for low, high in pairwise(worth))


@given(outcomes, unit | edges, unit | edges)
def test_outcome_moves_its_own_confidence_towards_itself_and_never_beyond(
    pairs: list[tuple[float, float]], confidence: float, x: float
) -> None:
    """The step is implicit: at its end the confidence still lies between where it was and the outcome. Where the
    slopes are held at 0 the map cannot follow freely, so such maps are left out."""
    evidence = learned(pairs)
    clipped = min(max(confidence, CONFIDENCE_CLIP), 1.0 - CONFIDENCE_CLIP)
    before = recalibrate(clipped, calibration_map(evidence))
    add_calibration_outcome(evidence, clipped, x)
    by = calibration_map(evidence)
    after = recalibrate(clipped, by)
    if by.a > 0.0 and by.b > 0.0:
        low, high = min(before, x), max(before, x)
        assert low - 1e-4 <= after <= high + 1e-4, "a Newton step that ended at 1e-2 is off by its square"


@given(outcomes)
def test_discarded_evidence_gives_the_identity_again(pairs: list[tuple[float, float]]) -> None:
    """As evidence fades the map goes back to what it was without: linearly, so to first order in what is left."""
    evidence = learned(pairs)
    assert calibration_map(evidence, 0.0) == IDENTITY
    by = calibration_map(evidence, 1e-9)
    assert all(abs(was - now) < 1e-5 for was, now in zip(IDENTITY, by, strict=True))


def test_outcome_with_no_share_teaches_nothing() -> None:
    evidence = learned([(0.7, 1.0), (0.6, 0.0)])
    before = evidence.copy()
    add_calibration_outcome(evidence, 0.9, 0.0, share=0.0)
    assert evidence == before


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bias", [0.0, 0.10, -0.05])
def test_map_learned_one_by_one_is_that_of_all_at_once(seed: int, bias: float) -> None:
    """Against the maximum of the penalised likelihood, found by an optimiser. The sequential expansion is a normal
    approximation, whose error falls with the evidence; after 2,000 outcomes the two lie within a third of the
    posterior's own standard deviation, which is at most √(3·0.25/(2000·0.09)) ≈ 0.065 in log-odds, or 0.016 in
    probability: 0.005."""
    stated, x = stream(seed, 2_000, bias)
    u, v = np.log(stated), -np.log1p(-stated)

    def penalised(theta: np.ndarray) -> float:
        z = theta[0] * u + theta[1] * v + theta[2]
        prior = (
            SLOPE_PRECISION * ((theta[0] - 1) ** 2 + (theta[1] - 1) ** 2) + SHIFT_PRECISION * theta[2] ** 2
        )
        return float(np.sum(np.logaddexp(0.0, z) - x * z) + 0.5 * prior)

    best = minimize(penalised, [1.0, 1.0, 0.0], method="BFGS").x
    by = calibration_map(learned(list(zip(stated.tolist(), x.tolist(), strict=True))))
    for confidence in CONFIDENCES:
        exact = 1.0 / (1.0 + exp(-(best[0] * log(confidence) - best[1] * log1p(-confidence) + best[2])))
        assert recalibrate(confidence, by) == pytest.approx(exact, abs=0.005)


def test_fractional_outcomes_are_learned_as_what_they_are() -> None:
    """A model that says 0.7 where splits pay 0.3: no noise, so 400 of them outweigh the prior. The log-odds at 0.7
    have a prior variance of (0.36² + 1.20²)/16 + 1/4 = 0.35, the outcomes 400·0.21: what is left of the distance of
    1.69 is 1/(1 + 0.35·84), 0.06 in log-odds and 0.012 in probability."""
    by = calibration_map(learned([(0.7, 0.3)] * 400))
    assert recalibrate(0.7, by) == pytest.approx(0.3, abs=0.015)


def test_certainty_that_is_often_wrong_is_taken_for_what_it_is() -> None:
    """Confidence 1, right 3 times in 4: from the 300th outcome on within three standard errors of 0.75, of 300
    outcomes: 3·√(0.19/300) = 0.075."""
    random = np.random.default_rng(1)
    x = (random.random(1_000) < 0.75).astype(float)
    worth = played(np.ones(1_000), x)
    assert worth[0] == 1.0
    assert np.all(np.abs(worth[300:] - 0.75) < 0.075)


@pytest.mark.parametrize("seed", range(5))
def test_overconfident_model_is_mended(seed: int) -> None:
    """States c, is right with c − 0.10. As stated its ECE is 0.10, less than 4 standard errors of the mean outcome,
    4·√(0.25/20000) = 0.014, away. Recalibrated it is what is left: of sampling, five bins' |x̄ − p| of mean
    √(2/π)·√(0.25·5/20000) = 0.006 each; of the map, whose family has no exact c − 0.10, less than 0.003; of the
    first 100 outcomes, less than 0.10·100/20000; together below 0.015. So the margin is 0.10 − 0.014 − 0.015."""
    stated, x = stream(seed, 20_000, 0.10)
    assert ece(played(stated, x), x) < ece(stated, x) - 0.071


@pytest.mark.parametrize("seed", range(5))
def test_calibrated_model_stays_as_it_is_within_the_noise_of_the_memory(seed: int) -> None:
    """Three coefficients estimated from a discounted sum of 1,000 outcomes, whose variance is that of 2,000: the
    square of q − c is 3·p(1 − p)/2000 on average, at most 0.00038, and that is what Brier's score loses. Doubled,
    for a run is one sample of the noise (20 memories, so within 1 ± 2·√(2/(3·20)))."""
    stated, x = stream(seed, 20_000, 0.0)
    worth = played(stated, x)
    assert float(np.mean((worth - stated) ** 2)) < 2 * 0.00038
    assert float(np.mean((worth - x) ** 2) - np.mean((stated - x) ** 2)) < 2 * 0.00038
    assert ece(worth, x) < 0.015


def test_memory_follows_a_change_within_its_length() -> None:
    """Overconfident by 0.10 for 5,000 outcomes, then calibrated. After three memories of 300 the old evidence is
    e^−3 of what it was: the bias left is 0.005, the noise of a memory √(3·0.2/600) ≈ 0.032 at any one confidence,
    and of its mean over the last 3,000 outcomes, ten memories, 0.01."""
    sick, well = stream(1, 5_000, 0.10), stream(2, 4_000, 0.0)
    stated, x = np.concatenate([sick[0], well[0]]), np.concatenate([sick[1], well[1]])
    gap = (played(stated, x, memory=300.0) - stated)[6_000:]
    assert abs(float(gap.mean())) < 0.005 + 3 * 0.01


def test_map_by_hand() -> None:
    by = CalibrationMap(0.5, 2.0, -0.1)
    z = 0.5 * log(0.3) - 2.0 * log(0.7) - 0.1
    assert recalibrate(0.3, by) == pytest.approx(1 / (1 + exp(-z)), rel=1e-15)
    assert recalibrate(1.0, by) == recalibrate(1.0 - CONFIDENCE_CLIP, by) < 1.0
    assert recalibrate(0.0, by) == recalibrate(CONFIDENCE_CLIP, by) > 0.0
    assert sqrt(1.0 / SLOPE_PRECISION) == 0.25, "the standard deviation that the documentation names"
