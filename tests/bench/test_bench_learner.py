"""The embedded learner, durable, against the disk it stands on; and how long it takes to open again.

The floor is measured in the same run: LMDB alone, appending one record of the same size for each input,
in as many transactions, each commit an fsync. A ratio of 0.1 means a tenth of what bare LMDB does.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from handicapper.actors import Learner
from handicapper.config import Limits, Persistence, Settings
from handicapper.protocol.messages import MarketResolved, Prediction, TradeOutcome

pytestmark = pytest.mark.bench

T0 = 1_700_000_000_000_000_000
SECOND = 10**9
MODELS = 20
ROUNDS = 3


def settings(**persistence: Any) -> Settings:
    kept: dict[str, Any] = {"save_interval_secs": 86_400.0, "snapshot_inputs_max": 10**9}
    return Settings(persistence=Persistence(**(kept | persistence)), limits=Limits())


def predictions(first: int, count: int) -> list[Prediction]:
    return [
        Prediction(
            prediction_id=f"prediction-{n}",
            model_id=f"model-{n % MODELS}",
            market_id=f"market-{n}",
            outcome="YES",
            confidence=0.5 + n % 50 / 100,
            predicted_at=T0 + n * SECOND,
        )
        for n in range(first, first + count)
    ]


def resolutions(first: int, count: int) -> list[MarketResolved]:
    return [
        MarketResolved(
            market_id=f"market-{n}", winner="YES" if n % 5 < 3 else "NO", resolved_at=T0 + (n + 1) * SECOND
        )
        for n in range(first, first + count)
    ]


def outcomes(first: int, count: int) -> list[TradeOutcome]:
    return [
        TradeOutcome(
            prediction_id=f"outcome-{n}",
            model_id=f"model-{n % MODELS}",
            predicted_outcome="YES",
            actual_outcome="YES" if n % 5 < 3 else "NO",
            resolved_at=T0 + n * SECOND,
        )
        for n in range(first, first + count)
    ]


def seconds_of(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


class Floor:
    """Bare LMDB: small records, appended in transactions that are synced."""

    def __init__(self, path: Path) -> None:
        self._env = lmdb.open(str(path), map_size=2**32, sync=True, metasync=True)
        self._key = 0

    def seconds(self, commits: int, records: int, record_bytes: int) -> float:
        """``records`` of that size, evenly in so many commits."""
        value = os.urandom(record_bytes)
        sizes = [records * (n + 1) // commits - records * n // commits for n in range(commits)]

        def append() -> None:
            for size in sizes:
                with self._env.begin(write=True) as txn:
                    for key in range(self._key, self._key + size):
                        txn.put(key.to_bytes(8, "big"), value, append=True)
                self._key += size

        return seconds_of(append)

    def close(self) -> None:
        self._env.close()


@pytest.fixture
def floor(tmp_path: Path) -> Iterator[Floor]:
    floor = Floor(tmp_path / "floor")
    yield floor
    floor.close()


def report(benchmark: Any, title: str, **figures: float) -> None:
    benchmark.extra_info.update(figures)
    shown = ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())
    print(f"\n{title}: {shown}")


def measure(
    benchmark: Any,
    learner: Learner,
    floor: Floor,
    title: str,
    outcomes_per_round: int,
    work: Callable[[int], Any],
    ratio_min: float,
) -> None:
    """Rounds of the learner and of the floor by turns, so that a change of the machine's pace meets both."""
    ours, bare = [], []
    commits = journal_bytes = 0
    for turn in range(ROUNDS):
        before = learner.statistics()
        ours.append(seconds_of(lambda turn=turn: work(turn)))
        after = learner.statistics()
        commits, journal_bytes = after.commits - before.commits, after.journal_bytes - before.journal_bytes
        inputs = after.seq - before.seq
        bare.append(floor.seconds(commits, inputs, journal_bytes // inputs))
    benchmark.pedantic(work, (ROUNDS,), rounds=1)
    median, median_bare = statistics.median(ours), statistics.median(bare)
    ratio = median_bare / median
    report(
        benchmark,
        title,
        outcomes_per_second=outcomes_per_round / median,
        floor_outcomes_per_second=outcomes_per_round / median_bare,
        times_the_floors_pace=ratio,
        commits=commits,
        journal_bytes_per_outcome=journal_bytes / outcomes_per_round,
    )
    assert ratio >= ratio_min


def test_bench_predictions_and_resolutions_in_bulk(benchmark: Any, floor: Floor, tmp_path: Path) -> None:
    """Two inputs an outcome: the prediction and the resolution of its market."""
    count = 50_000
    batches = [(predictions(n * count, count), resolutions(n * count, count)) for n in range(ROUNDS + 1)]
    with Learner(tmp_path / "state", settings()) as learner:

        def work(turn: int) -> None:
            predicted, resolved = batches[turn]
            assert learner.record_predictions(predicted).accepted == count
            assert learner.resolve_markets(resolved).scored == count

        measure(benchmark, learner, floor, "predictions + resolutions in bulk", count, work, 0.03)


def test_bench_trade_outcomes_in_bulk(benchmark: Any, floor: Floor, tmp_path: Path) -> None:
    count = 50_000
    batches = [outcomes(n * count, count) for n in range(ROUNDS + 1)]
    with Learner(tmp_path / "state", settings()) as learner:

        def work(turn: int) -> None:
            assert learner.record_outcomes(batches[turn]).scored == count

        measure(benchmark, learner, floor, "trade outcomes in bulk", count, work, 0.05)


def test_bench_trade_outcomes_one_by_one(benchmark: Any, floor: Floor, tmp_path: Path) -> None:
    """Each waits for its own fsync before the next is sent."""
    count = 500
    batches = [outcomes(n * count, count) for n in range(ROUNDS + 1)]
    with Learner(tmp_path / "state", settings()) as learner:

        def work(turn: int) -> None:
            for outcome in batches[turn]:
                learner.record_outcome(outcome)

        measure(benchmark, learner, floor, "trade outcomes one by one", count, work, 0.2)


def test_bench_trade_outcomes_one_by_one_not_waiting(benchmark: Any, floor: Floor, tmp_path: Path) -> None:
    """Single submissions, all sent before the first answer is looked at: group commit makes the batches."""
    count = 10_000
    batches = [outcomes(n * count, count) for n in range(ROUNDS + 1)]
    with Learner(tmp_path / "state", settings()) as learner:

        def work(turn: int) -> None:
            futures = [learner.record_outcome_nowait(outcome) for outcome in batches[turn]]
            assert all(future.get(60.0).scored for future in futures)

        measure(benchmark, learner, floor, "trade outcomes one by one, not waiting", count, work, 0.02)


def test_bench_signals_one_by_one(benchmark: Any, floor: Floor, tmp_path: Path) -> None:
    count = 500
    batches = [predictions(n * count, count) for n in range(ROUNDS + 1)]
    with Learner(tmp_path / "state", settings()) as learner:

        def work(turn: int) -> None:
            for prediction in batches[turn]:
                learner.process_signal(prediction)

        measure(benchmark, learner, floor, "signals one by one", count, work, 0.15)


# ------------------------------------------------------------------------- reopening

INPUTS = 1_000_000
SCORED = INPUTS // 2


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(directory as a killed learner left it, directory as a closed one left it): a million inputs each."""
    base = tmp_path_factory.mktemp("million")
    learner = Learner(base / "closed", settings())
    step = 25_000
    for first in range(0, SCORED, step):
        learner.record_predictions(predictions(first, step))
        learner.resolve_markets(resolutions(first, step))
    shutil.copytree(base / "closed", base / "killed", ignore=shutil.ignore_patterns("LOCK", "lock.mdb"))
    learner.close()
    return base / "killed", base / "closed"


def _open_rounds(benchmark: Any, title: str, source: Path, tmp_path: Path, rounds: int) -> None:
    times = []
    replayed = 0
    for turn in range(rounds):
        shutil.copytree(source, tmp_path / f"{turn}")
        began = time.perf_counter()
        learner = Learner(tmp_path / f"{turn}", settings())
        times.append(time.perf_counter() - began)
        now = learner.statistics()
        replayed = now.replayed
        assert (now.models, now.predictions_pending) == (MODELS, 0)
        assert sum(summary.n for summary in learner.models()) == SCORED
        learner.close()
        shutil.rmtree(tmp_path / f"{turn}")
    seconds = statistics.median(times)
    benchmark.pedantic(lambda: None, rounds=1)  # opening is timed above, without the copying around it
    report(
        benchmark,
        title,
        seconds=seconds,
        replayed=replayed,
        replayed_per_second=replayed / seconds,
        data_mib=(source / "data.mdb").stat().st_size / 2**20,
    )


def test_bench_reopening_after_a_clean_close(
    benchmark: Any, million: tuple[Path, Path], tmp_path: Path
) -> None:
    _open_rounds(benchmark, "reopening after a clean close", million[1], tmp_path, 3)


def test_bench_reopening_after_a_kill(benchmark: Any, million: tuple[Path, Path], tmp_path: Path) -> None:
    """No snapshot was ever taken: the whole journal is folded."""
    _open_rounds(benchmark, "reopening after a kill, whole journal", million[0], tmp_path, 1)
