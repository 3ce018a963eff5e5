"""The daemon over its unix socket beside Redis and a naive server, in one run; see README.md here.

The guards are loose: they find what broke, not what is a little slower. The aims are printed, reached or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .contest import ARRAYS, contest
from .figures import aims_of_outcomes, aims_of_selection, table_of_outcomes, table_of_selection
from .peers import filesystem_of, missing
from .selection import OURS, measure_selection
from .sizes import CALLS, COUNTS, ROUNDS, SLOW_COUNT

pytestmark = [pytest.mark.bench, pytest.mark.skipif(missing() is not None, reason=missing() or "")]


def test_bench_outcomes_over_the_wire(benchmark: Any, tmp_path: Path) -> None:
    if filesystem_of(tmp_path) in ("tmpfs", "ramfs"):
        pytest.skip("the temporary directory is in memory, where fsync is free; name another with --basetemp")
    runs = {}
    with contest(tmp_path) as found:
        for depth, count in COUNTS.items():
            runs[depth] = found.measure(depth, count, SLOW_COUNT, ROUNDS)
            print(f"\n{table_of_outcomes(depth, runs[depth])}")
        ours = next(contestant for contestant in found.contestants if contestant.name == ARRAYS)
        benchmark.pedantic(found.run, (ours, 256, COUNTS[256]), rounds=1)
        found.check_counts()
    aims = aims_of_outcomes(runs)
    print("", *aims, sep="\n")
    benchmark.extra_info.update({aim.text: round(aim.found, 2) for aim in aims})
    assert [str(aim) for aim in aims if not aim.guarded] == []


@pytest.mark.parametrize("models", list(CALLS))
def test_bench_selection_over_the_wire(benchmark: Any, tmp_path: Path, models: int) -> None:
    seconds = benchmark.pedantic(measure_selection, (tmp_path, models, CALLS[models]), rounds=1)
    aims = aims_of_selection({models: seconds})
    print("", table_of_selection(models, seconds), *aims, sep="\n")
    benchmark.extra_info["p50_us"] = {name: round(min(blocks) * 1e6, 1) for name, blocks in seconds.items()}
    assert OURS in seconds
    assert [str(aim) for aim in aims if not aim.guarded] == []
