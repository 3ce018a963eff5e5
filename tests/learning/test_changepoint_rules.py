"""What a filter supposes at first is a distribution, whichever hypotheses there are."""

from __future__ import annotations

import pytest

from handicapper.actors.learning.changepoint import ChangePointFilter
from handicapper.actors.learning.changepoint_rules import ChangePointRules

DEFAULT = ChangePointRules()


@pytest.mark.parametrize("drifts", [(), DEFAULT.half_lives_seconds])
@pytest.mark.parametrize("trends", [(), DEFAULT.trend_half_lives_seconds])
def test_shares_of_a_segment_that_begins_sum_to_one(
    drifts: tuple[float, ...], trends: tuple[float, ...]
) -> None:
    rules = ChangePointRules(half_lives_seconds=drifts, trend_half_lives_seconds=trends)
    shares = [*rules.lasting_shares(), rules.run_share()]
    assert len(shares) == len(drifts) + len(trends) + 1
    assert min(shares) > 0.0
    assert sum(shares) == pytest.approx(1.0)
    filter_ = ChangePointFilter(rules)
    filter_.add(1.0, 0)
    assert sum(filter_.mixture(0).weights) == pytest.approx(1.0)


def test_a_trend_with_twice_the_half_life_begins_with_twice_the_share() -> None:
    rules = ChangePointRules(half_lives_seconds=(), trend_half_lives_seconds=(200.0, 100.0), trend_share=0.3)
    assert rules.lasting_shares() == pytest.approx([0.2, 0.1])
    assert rules.run_share() == pytest.approx(0.7)
