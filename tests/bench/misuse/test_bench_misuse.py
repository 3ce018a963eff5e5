"""One connection's misuse beside clients that did nothing wrong. The guard is loose: it finds what broke."""

from __future__ import annotations

from pathlib import Path

import pytest

from .__main__ import HEADER, attacked_row, measure, waits

TURN_MS_MAX = 200.0
"""Far above any turn there is today; one that looked at all of a 16 MB message, or a batch in one go, is longer."""


def test_waits_are_the_middle_one_the_99th_of_100_and_the_longest() -> None:
    assert waits([n / 1e3 for n in range(101)]) == pytest.approx((50.0, 99.0, 100.0))


@pytest.mark.bench
@pytest.mark.parametrize(
    "name", ["200,000 refused", "1 MiB begun, refused at its end", "combine, 1,000 × 32"]
)
def test_bench_misuse(tmp_path: Path, name: str) -> None:
    rounds = measure([name], 1, 0.5, tmp_path / "daemon")[name]
    print("", HEADER, attacked_row(name, rounds), sep="\n")
    assert max(rounds[0].turns.values()) < TURN_MS_MAX
