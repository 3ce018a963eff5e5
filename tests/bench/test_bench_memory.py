"""What a model weighs, and that memory does not grow with what is settled."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handicapper.actors import Learner
from handicapper.config import Persistence, Settings
from handicapper.protocol.messages import Prediction

pytestmark = pytest.mark.bench

BYTES_PER_MODEL_MAX = 8 * 1024
RSS_GROWTH_MIB_MAX = 48
"""For 1.8 million predictions: what the allocator keeps for itself, and less than 28 bytes each. Held in memory
in any form they would take ten times that."""


def test_bench_memory_of_a_model_with_an_empty_window(benchmark: Any, tmp_path: Path) -> None:
    """10,000 models with one pending prediction each, which is counted too; the aim is 8 KiB a model.

    Python's own allocations, by tracemalloc: state, actor, mailbox, ref, and the entries in every table.
    """
    count = 10_000
    settings = Settings(persistence=Persistence(save_interval_secs=86_400.0, snapshot_inputs_max=10**9))
    inputs = [
        Prediction(
            prediction_id=f"p{n}",
            model_id=f"model-{n}",
            market_id="k",
            outcome="YES",
            confidence=0.7,
            predicted_at=0,
        )
        for n in range(count)
    ]
    with Learner(tmp_path / "state", settings) as learner:
        gc.collect()
        tracemalloc.start()
        learner.record_predictions(inputs)
        assert len(learner.models()) == count
        gc.collect()
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        benchmark.pedantic(learner.models, rounds=3)
    per_model = used / count
    benchmark.extra_info["bytes_per_model"] = round(per_model)
    print(f"\n{per_model:,.0f} bytes per model with an empty window (aim: {BYTES_PER_MODEL_MAX:,})")
    assert per_model <= BYTES_PER_MODEL_MAX


_SETTLE = """
import gc, json, sys
from handicapper.actors import Learner
from handicapper.config import Persistence, Settings
from handicapper.protocol.messages import MarketResolved, Prediction

T0, STEP = 1_700_000_000_000_000_000, 10_000

def rss():
    found = {}
    with open("/proc/self/status") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name in ("RssAnon", "RssFile", "VmRSS"):
                found[name] = int(value.split()[0]) / 1024
    return found

def settle(learner, first):
    numbers = range(first, first + STEP)
    learner.record_predictions(
        Prediction(prediction_id=f"prediction-{n}", model_id=f"model-{n % 20}", market_id=f"market-{n}",
                   outcome="YES", confidence=0.5 + n % 50 / 100, predicted_at=T0 + n)
        for n in numbers
    )
    learner.resolve_markets(
        MarketResolved(market_id=f"market-{n}", winner="YES" if n % 5 < 3 else "NO", resolved_at=T0 + n + STEP)
        for n in numbers
    )

marks = [int(mark) for mark in sys.argv[2:]]
rules = Persistence(save_interval_secs=86_400.0, snapshot_inputs_max=50_000)
with Learner(sys.argv[1], Settings(persistence=rules)) as learner:
    for first in range(0, marks[-1], STEP):
        settle(learner, first)
        if first + STEP in marks:
            learner.snapshot()
            gc.collect()
            known = {"settled": first + STEP, "in_memory": learner.statistics().settled_in_memory}
            print(json.dumps(known | rss()), flush=True)
"""


def test_bench_memory_does_not_grow_with_settled_predictions(benchmark: Any, tmp_path: Path) -> None:
    """RSS after 200,000 and after 2,000,000 settled predictions, in a process of its own.

    RssAnon is what the process holds. RssFile is mostly the map of LMDB: pages of a file that the kernel
    drops when it needs the room, growing with the file; it is shown and not bounded.
    """
    marks = [200_000, 1_000_000, 2_000_000]

    def run() -> list[dict[str, float]]:
        done = subprocess.run(
            [sys.executable, "-c", _SETTLE, str(tmp_path / "state"), *map(str, marks)],
            capture_output=True,
            text=True,
            check=True,
            timeout=1_800,
        )
        return [msgspec.json.decode(line) for line in done.stdout.splitlines()]

    rows = benchmark.pedantic(run, rounds=1)
    print()
    for row in rows:
        benchmark.extra_info[f"rss_anon_mib_after_{row['settled']:.0f}"] = row["RssAnon"]
        print(
            f"{row['settled']:>9,.0f} settled: RssAnon {row['RssAnon']:.0f} MiB, RssFile {row['RssFile']:.0f} MiB, "
            f"settled in memory {row['in_memory']:.0f}"
        )
    assert [row["in_memory"] for row in rows] == [0, 0, 0]
    assert rows[-1]["RssAnon"] - rows[0]["RssAnon"] <= RSS_GROWTH_MIB_MAX
