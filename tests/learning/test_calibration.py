from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handicapper.actors.learning import calibration

pairs_of = st.lists(st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=60)


def grouped(pairs: list[tuple[float, float]], bins: int) -> dict[int, list[tuple[float, float]]]:
    """The reference: the pairs themselves, kept by bin."""
    groups: dict[int, list[tuple[float, float]]] = {}
    for c, x in pairs:
        groups.setdefault(min(int(c * bins), bins - 1), []).append((c, x))
    return groups


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@given(pairs_of, st.sampled_from([1, 5, 10, 15]))
def test_calibration_figures_at_every_step_equal_those_of_the_kept_pairs(
    pairs: list[tuple[float, float]], bins: int
) -> None:
    sums = calibration.new_bins(bins)
    for step, (c, x) in enumerate(pairs, 1):
        calibration.add_to_bins(sums, c, x)
        groups = grouped(pairs[:step], bins)
        gaps = {k: abs(mean([c for c, _ in g]) - mean([x for _, x in g])) for k, g in groups.items()}
        seen = pairs[:step]
        signed = mean([c for c, _ in seen]) - mean([x for _, x in seen])
        assert calibration.count(sums) == step
        assert calibration.signed_calibration_error(sums) == pytest.approx(signed, abs=1e-12)
        expected = sum(len(groups[k]) * gap for k, gap in gaps.items()) / step
        assert calibration.expected_calibration_error(sums) == pytest.approx(expected, abs=1e-12)
        assert calibration.maximum_calibration_error(sums) == pytest.approx(max(gaps.values()), abs=1e-12)


@given(pairs_of)
def test_reliability_bins_hold_every_pair_once_and_no_empty_bin(pairs: list[tuple[float, float]]) -> None:
    points = calibration.reliability_bins(calibration.bins_of(*zip(*pairs, strict=True)))
    groups = grouped(pairs, 10)
    assert [round(lower * 10) for lower, *_ in points] == sorted(groups)
    for lower, upper, n, mean_c, mean_x in points:
        group = groups[round(lower * 10)]
        assert n == len(group)
        assert mean_c == pytest.approx(mean([c for c, _ in group]))
        assert mean_x == pytest.approx(mean([x for _, x in group]))
        assert lower - 1e-12 <= mean_c <= upper + 1e-12


@pytest.mark.parametrize("tenth", range(10))
def test_confidence_on_a_bin_edge_belongs_to_the_bin_it_opens(tenth: int) -> None:
    sums = calibration.bins_of([tenth / 10], [1.0])
    assert sums[calibration.FIELDS * tenth] == 1.0


def test_confidence_of_one_belongs_to_the_last_bin() -> None:
    assert calibration.bins_of([1.0], [1.0])[calibration.FIELDS * 9] == 1.0


def test_calibration_without_data_is_none_and_not_zero() -> None:
    sums = calibration.new_bins()
    assert calibration.count(sums) == 0
    assert calibration.signed_calibration_error(sums) is None
    assert calibration.expected_calibration_error(sums) is None
    assert calibration.maximum_calibration_error(sums) is None
    assert calibration.reliability_bins(sums) == []


def test_calibration_of_a_perfect_forecaster_is_zero_and_not_none() -> None:
    sums = calibration.bins_of([1.0, 0.0], [1.0, 0.0])
    assert calibration.signed_calibration_error(sums) == 0.0
    assert calibration.expected_calibration_error(sums) == 0.0


def test_bins_kept_in_a_list_read_like_bins_kept_in_an_array() -> None:
    sums = list(calibration.new_bins())
    calibration.add_to_bins(sums, 0.62, 1.0)
    assert sums == list(calibration.bins_of([0.62], [1.0]))


def test_bins_of_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        calibration.bins_of([0.5, 0.6], [1.0])


def test_bins_fewer_than_one_are_refused() -> None:
    with pytest.raises(ValueError, match="bins was 0"):
        calibration.new_bins(0)


def test_calibration_of_ten_million_equal_predictions_is_finite_and_right() -> None:
    sums = calibration.bins_of([0.7], [1.0])
    for i in range(len(sums)):
        sums[i] *= 1e7
    assert calibration.count(sums) == 10_000_000
    assert calibration.signed_calibration_error(sums) == pytest.approx(-0.3)
