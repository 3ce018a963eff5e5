"""Draws, posterior and ranking together: does the selection find the best model?"""

from __future__ import annotations

from math import inf

import numpy as np

from handicapper.actors.learning.draws import draw_key, few_beta_draws, stream_of
from handicapper.actors.learning.posterior import add_outcome, posterior_parameters
from handicapper.actors.learning.selection import rank

HIT_RATES = {"coin": 0.50, "fair": 0.55, "good": 0.65}
Evidence = dict[str, tuple[float, float, int]]


def select(evidence: Evidence, selection_id: str) -> str:
    key, streams = draw_key(2024, selection_id), [stream_of(model_id) for model_id in evidence]
    posteriors = [
        posterior_parameters(successes, failures, 1.0, 1.0) for successes, failures, _ in evidence.values()
    ]
    draws = few_beta_draws(key, streams, [a for a, _ in posteriors], [b for _, b in posteriors])
    return rank(zip(evidence, draws, strict=True))[0][0]


def test_thompson_with_every_outcome_known_selects_the_best_model_nearly_always() -> None:
    """2,000 outcomes a model: posterior and its centre each have a standard deviation of at most
    √(0.25/2000) = 0.0112, so the difference of two draws has at most 0.0224 around 0.10 or more: 4.5
    standard deviations, a miss with 4e-6 a rival and selection. Over 500 selections 0.004 misses are
    expected; 5 are allowed.
    """
    rng = np.random.default_rng(17)
    evidence: Evidence = {}
    for model_id, rate in HIT_RATES.items():
        state = (0.0, 0.0, 0)
        for i, x in enumerate((rng.random(2_000) < rate).astype(float).tolist()):
            state = add_outcome(*state, x, i, inf)
        evidence[model_id] = state
    picks = [select(evidence, f"s{i}") for i in range(500)]
    assert picks.count("good") >= 495


def test_thompson_that_learns_only_from_the_selected_model_converges_on_the_best() -> None:
    """Lai and Robbins: a rival is pulled about ln T / KL times in T = 5,000, that is 8.5/0.0209 = 408
    (fair) and 8.5/0.0466 = 183 (coin); the last 1,000 hold ln(5/4) = 0.22 / KL of them, 11 and 5. Ten
    times that is allowed there, and twice over all.
    """
    rng = np.random.default_rng(18)
    evidence: Evidence = dict.fromkeys(HIT_RATES, (0.0, 0.0, 0))
    picks: list[str] = []
    for i in range(5_000):
        model_id = select(evidence, f"s{i}")
        x = float(rng.random() < HIT_RATES[model_id])
        evidence[model_id] = add_outcome(*evidence[model_id], x, i, inf)
        picks.append(model_id)
    assert picks.count("good") >= 5_000 - 2 * (408 + 183)
    assert picks[-1_000:].count("good") >= 1_000 - 10 * (11 + 5)


def test_thompson_with_decay_finds_a_model_that_became_the_best() -> None:
    """Half-life 200 outcomes, 2,000 of them since the change: 2⁻¹⁰ of the old evidence is left, and the
    new is worth 200/ln 2 = 288. A posterior has a standard deviation of √(0.25/288) = 0.0295, its centre
    √(0.25/577) = 0.0208; of a difference, 0.0417 and 0.0294. Fewer than 80 % of the selections are right
    only if the centres are closer than 0.84·0.0417 = 0.035 instead of 0.15: 3.9 standard deviations, 5e-5.
    """
    rng = np.random.default_rng(19)
    second = 10**9
    evidence: Evidence = {}
    for model_id, before, after in (("faded", 0.65, 0.50), ("risen", 0.50, 0.65)):
        state = (0.0, 0.0, 0)
        for i in range(4_000):
            x = float(rng.random() < (before if i < 2_000 else after))
            state = add_outcome(*state, x, i * second, 200.0)
        evidence[model_id] = state
    picks = [select(evidence, f"s{i}") for i in range(500)]
    assert picks.count("risen") >= 400
