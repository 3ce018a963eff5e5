"""The bare threshold rule against relaxation, for a model that is overconfident and then mended."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import pytest

from handicapper.actors.learning.gate import passes_gate
from handicapper.actors.learning.threshold import adjust_threshold, relax_threshold, threshold_wall

HOUR = 3_600 * 10**9
INITIAL, MINIMUM, MAXIMUM, RATE = 0.60, 0.40, 0.90, 0.01
CONFIDENCES = (0.55, 0.65, 0.75, 0.85)
SICK, MENDED = 3_000, 2_000


class Run(NamedTuple):
    reached_wall: int | None
    """Predictions until the threshold rested on its upper bound."""
    accepted_after_mending: int
    accepted_at_the_end: int
    """Of the last 500 predictions."""


def simulate(seed: int, half_life_seconds: float, shadow: bool) -> Run:
    """One prediction an hour of confidence 0.55, 0.65, 0.75 or 0.85, right with confidence − 0.10
    while sick and with confidence once mended; the error is that of the last 100 scored ones."""
    rng = np.random.default_rng(seed)
    window: deque[float] = deque(maxlen=100)
    theta, scored, wall = INITIAL, 0, None
    accepted: list[bool] = []
    for i in range(SICK + MENDED):
        confidence = rng.choice(CONFIDENCES)
        x = float(rng.random() < confidence - (0.10 if i < SICK else 0.0))
        theta = relax_threshold(theta, INITIAL, HOUR, half_life_seconds)
        accepted.append(passes_gate(confidence, theta))
        if accepted[-1] or shadow:
            window.append(confidence - x)
            scored += 1
            if scored >= 10:
                error = sum(window) / len(window)
                theta = adjust_threshold(theta, error, RATE, MINIMUM, MAXIMUM)
        if wall is None and threshold_wall(theta, MINIMUM, MAXIMUM) == "max":
            wall = i
    return Run(wall, sum(accepted[SICK:]), sum(accepted[-500:]))


@pytest.mark.parametrize("seed", range(10))
def test_bare_rule_without_shadow_scoring_starves_a_mended_model_for_ever(seed: int) -> None:
    """Every scored outcome adds 0.001 on average, so 0.85 needs about 250 of them, and the last 100,
    of which one in four passes, 400 predictions: 3,000 suffice. From there on no confidence passes,
    nothing is scored, and nothing can move the threshold again."""
    run = simulate(seed, 0.0, shadow=False)
    assert run.accepted_after_mending == 0


@pytest.mark.parametrize("seed", range(10))
def test_bare_rule_with_shadow_scoring_runs_into_the_wall(seed: int) -> None:
    """0.30/0.001 = 300 outcomes on average. The sum of n errors has a standard deviation of about
    0.45·√n: at n = 1,000, 0.01·(100 − 5·14.2) = 0.29 at five of them; the 3,000 sick ones suffice."""
    run = simulate(seed, 0.0, shadow=True)
    assert run.reached_wall is not None
    assert run.reached_wall < SICK


@pytest.mark.parametrize("shadow", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_relaxation_lets_a_mended_model_back_in(seed: int, shadow: bool) -> None:
    """At half-life 168 h the threshold forgets 0.0041 of its distance an hour. Once mended the error
    is noise around 0 and the threshold an average of it over 243 outcomes: around 0.60, 9 half-lives
    on, with a standard deviation of 0.01·0.45·√(243/2) = 0.05. Two of the four confidences pass up to
    0.75, three deviations away, and one up to 0.85, five away. A fifth must pass of the last 500."""
    run = simulate(seed, 168 * 3_600.0, shadow)
    assert run.accepted_at_the_end >= 100
    assert run.accepted_after_mending >= 400


@pytest.mark.parametrize("seed", range(5))
def test_relaxation_keeps_an_overconfident_model_off_the_wall_but_above_its_start(seed: int) -> None:
    """Push 0.001 an outcome against a pull of 0.0041·(θ − 0.60): balance at θ = 0.84 with every
    prediction scored, and the noise of 0.05 on top; so a sick model is let in far less often."""
    rng = np.random.default_rng(seed)
    theta, window, thetas = INITIAL, deque[float](maxlen=100), []
    for i in range(4_000):
        confidence = rng.choice(CONFIDENCES)
        window.append(confidence - float(rng.random() < confidence - 0.10))
        theta = relax_threshold(theta, INITIAL, HOUR, 168 * 3_600.0)
        theta = adjust_threshold(theta, sum(window) / len(window), RATE, MINIMUM, MAXIMUM)
        if i >= 1_000:
            thetas.append(theta)
    assert 0.78 < sum(thetas) / len(thetas) < 0.88
