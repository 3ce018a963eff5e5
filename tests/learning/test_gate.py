from __future__ import annotations

from handicapper.actors.learning.gate import passes_gate, size_multiplier


def test_gate_refuses_below_the_threshold_and_passes_equality() -> None:
    assert not passes_gate(0.6 - 2**-53, 0.6)
    assert passes_gate(0.6, 0.6)
    assert passes_gate(1.0, 0.6)


def test_size_multiplier_is_confidence_times_weight() -> None:
    assert size_multiplier(0.75, 2.0) == 1.5
    assert size_multiplier(0.0, 2.0) == 0.0
