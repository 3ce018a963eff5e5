from __future__ import annotations

from collections.abc import Callable
from math import isfinite, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning.calibration import bins_of, new_bins
from handicapper.actors.learning.scores import brier_loss, log_loss, murphy_decomposition

unit = st.floats(0.0, 1.0)
pairs_of = st.lists(st.tuples(unit, st.sampled_from([0.0, 0.5, 1.0, 0.37])), min_size=1, max_size=80)


@given(pairs_of, st.sampled_from([1, 2, 10, 20]))
def test_murphy_parts_of_any_binned_forecasts_sum_to_the_brier_score(
    pairs: list[tuple[float, float]], bins: int
) -> None:
    """Every term is a mean of at most 80 numbers in [0, 1], so rounding stays below 80·4·2⁻⁵³ < 1e-13."""
    sums = bins_of(*zip(*pairs, strict=True), bins=bins)
    parts = murphy_decomposition(sums, sum(x * x for _, x in pairs))
    assert parts is not None
    mean_loss = sum(brier_loss(c, x) for c, x in pairs) / len(pairs)
    total = parts.brier_reliability - parts.brier_resolution + parts.brier_uncertainty
    total += parts.within_bin_variance - parts.within_bin_covariance
    assert parts.brier == pytest.approx(mean_loss, abs=1e-13)
    assert total == pytest.approx(mean_loss, abs=1e-13)


@given(pairs_of)
def test_murphy_parts_equal_their_definitions_over_the_kept_pairs(pairs: list[tuple[float, float]]) -> None:
    groups: dict[int, list[tuple[float, float]]] = {}
    for c, x in pairs:
        groups.setdefault(min(int(c * 10), 9), []).append((c, x))
    n = len(pairs)
    base = sum(x for _, x in pairs) / n
    reliability = resolution = variance = covariance = 0.0
    for group in groups.values():
        mean_c = sum(c for c, _ in group) / len(group)
        mean_x = sum(x for _, x in group) / len(group)
        reliability += len(group) * (mean_c - mean_x) ** 2 / n
        resolution += len(group) * (mean_x - base) ** 2 / n
        variance += sum((c - mean_c) ** 2 for c, _ in group) / n
        covariance += 2 * sum((c - mean_c) * (x - mean_x) for c, x in group) / n
    uncertainty = sum((x - base) ** 2 for _, x in pairs) / n
    parts = murphy_decomposition(bins_of(*zip(*pairs, strict=True)), sum(x * x for _, x in pairs))
    assert parts is not None
    assert parts[1:] == pytest.approx((reliability, resolution, uncertainty, variance, covariance), abs=1e-13)


def test_murphy_uncertainty_of_binary_outcomes_is_that_of_the_base_rate() -> None:
    parts = murphy_decomposition(bins_of([0.5, 0.6, 0.7, 0.8], [1.0, 0.0, 1.0, 1.0]), 3.0)
    assert parts is not None
    assert parts.brier_uncertainty == pytest.approx(0.75 * 0.25)


def test_murphy_decomposition_of_one_confidence_per_bin_has_no_within_bin_terms() -> None:
    parts = murphy_decomposition(bins_of([0.15] * 3 + [0.95] * 2, [0.0, 1.0, 0.0, 1.0, 1.0]), 3.0)
    assert parts is not None
    assert parts.within_bin_variance == pytest.approx(0.0, abs=1e-15)
    assert parts.within_bin_covariance == pytest.approx(0.0, abs=1e-15)


def test_murphy_decomposition_without_data_is_none() -> None:
    assert murphy_decomposition(new_bins(), 0.0) is None


@given(unit, st.sampled_from([0.0, 0.5, 1.0]))
def test_log_loss_of_any_confidence_equals_the_definition(confidence: float, x: float) -> None:
    c = min(max(confidence, 1e-6), 1 - 1e-6)
    assert log_loss(confidence, x) == pytest.approx(-(x * log(c) + (1 - x) * log(1 - c)), rel=1e-9)


@pytest.mark.parametrize("confidence", [0.0, 5e-324, 1 - 2**-53, 1.0])
@pytest.mark.parametrize("x", [0.0, 0.5, 1.0])
def test_log_loss_of_certainty_is_finite_and_bounded_by_the_clip(confidence: float, x: float) -> None:
    loss = log_loss(confidence, x)
    assert isfinite(loss)
    assert 0.0 < loss <= -log(1e-6) + 1e-9


@pytest.mark.parametrize("loss", [brier_loss, log_loss])
@pytest.mark.parametrize("truth", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_loss_is_least_in_expectation_for_the_honest_probability(
    loss: Callable[[float, float], float], truth: float
) -> None:
    grid = [i / 100 for i in range(101)]
    expected = [truth * loss(c, 1.0) + (1 - truth) * loss(c, 0.0) for c in grid]
    assert grid[expected.index(min(expected))] == truth
    split = [loss(c, truth) for c in grid]
    assert grid[split.index(min(split))] == truth
