"""The soak, a few seconds of it: that it runs, and that it notices what is not flat. See ``bin/test --soak``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .soak import ROWS_MIN, Row, judge

ROOT = Path(__file__).parents[2]
FLAT = Row(0.0, 1000, 100.0, 90.0, 60.0, 18, 11, 1, 2.0, 5.0, 95.0, 10, 5)


def test_soak_of_some_seconds_shows_a_row_for_every_moment_and_ends_well() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.soak", "0.08"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    # So short it may not be flat; then it says so, and nothing else may be wrong.
    assert "refused" not in done.stdout and "verify" not in done.stdout, done.stdout
    assert done.returncode == ("NOT FLAT" in done.stdout), done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.lstrip()[:1].isdigit()]
    assert len(rows) >= ROWS_MIN - 2, done.stdout


def test_rows_that_stay_as_they_are_are_flat() -> None:
    assert judge([FLAT] * 20) == []


@pytest.mark.parametrize(
    ("field", "growth"),
    [("own_mib", 4.0), ("fds", 0.5), ("threads", 0.2), ("segments", 0.3), ("pages_per_1000", 2.0)],
)
def test_what_grows_row_by_row_is_named(field: str, growth: float) -> None:
    rows = [FLAT._replace(**{field: getattr(FLAT, field) + growth * number}) for number in range(20)]
    assert len(judge(rows)) == 1
