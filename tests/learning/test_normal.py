from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from handicapper.actors.learning.normal import quantile

probabilities = st.floats(0.0, 1.0, exclude_min=True, exclude_max=True)


@given(probabilities)
def test_it_has_the_bits_of_the_vector_form(probability: float) -> None:
    """A draw alone and one among many are the same draw."""
    assert quantile(probability) == ndtri(np.array([probability]))[0]


@given(st.floats(1e-12, 1.0 - 1e-12))
def test_it_is_the_inverse_of_the_distribution(probability: float) -> None:
    """Against another implementation, Wichura's AS 241 to about 1e-16."""
    assert quantile(probability) == pytest.approx(NormalDist().inv_cdf(probability), rel=1e-10, abs=1e-12)


def test_ends_are_infinite() -> None:
    assert (quantile(0.0), quantile(1.0)) == (-float("inf"), float("inf"))
