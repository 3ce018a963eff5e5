"""How much is measured."""

from __future__ import annotations

from typing import Final

__all__ = ["CALLS", "COUNTS", "ROUNDS", "SLOW_COUNT"]

ROUNDS: Final = 3
COUNTS: Final = {1: 2_000, 16: 20_000, 256: 200_000}
"""Requests of a run, by depth. At 256 as many as the daemon takes in between two snapshots by its shipped settings:
every run has its share of them."""
SLOW_COUNT: Final = 600
"""Of the naive servers, whatever the depth."""
CALLS: Final = {10: 100, 1_000: 10}
"""Selections of a block, by the number of models."""
