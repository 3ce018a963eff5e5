from __future__ import annotations

import pytest

from handicapper.actors.learning.skill import skill_score


def test_skill_of_a_perfect_equal_and_worse_score() -> None:
    assert skill_score(0.0, 0.25) == 1.0
    assert skill_score(0.25, 0.25) == 0.0
    assert skill_score(0.30, 0.25) == pytest.approx(-0.2)


def test_skill_without_a_score_or_against_a_perfect_reference_is_none() -> None:
    assert skill_score(None, 0.25) is None
    assert skill_score(0.25, None) is None
    assert skill_score(0.0, 0.0) is None
