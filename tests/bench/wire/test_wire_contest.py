"""The benchmark works: every server records every outcome of a few, and answers it. No figure is judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .contest import ARRAYS, MAPS, Contest, contest
from .outcomes import outcomes
from .selection import OURS, measure_selection
from .window import Run


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contest]:
    """Started once: they count on from one depth to the next."""
    with contest(tmp_path_factory.mktemp("contest")) as found:
        yield found


@pytest.mark.parametrize("depth", [1, 16, 256])
def test_every_contestant_acknowledges_and_counts_every_outcome(servers: Contest, depth: int) -> None:
    runs = servers.measure(depth, count=300, slow_count=20, rounds=2)
    assert {ARRAYS, MAPS} <= runs.keys()
    for done in runs.values():
        assert [sum(count for _, count in run.latencies) for run in done] == [run.requests for run in done]
    servers.check_counts()


def test_a_selection_over_the_wire_ranks_every_model(tmp_path: Path) -> None:
    assert OURS in measure_selection(tmp_path, models=10, calls=3)


def test_the_stream_is_the_same_every_time_and_the_next_run_gets_another() -> None:
    assert list(outcomes(0, 5)) == list(outcomes(0, 5))
    assert {o.prediction_id for o in outcomes(0, 5)}.isdisjoint(o.prediction_id for o in outcomes(5, 5))


def test_a_quantile_is_the_latency_that_so_many_requests_did_not_exceed() -> None:
    run = Run(100, 1.0, [(0.003, 1), (0.001, 90), (0.002, 9)])
    found = [run.quantile_us(share) for share in (0.5, 0.9, 0.95, 0.99, 1.0)]
    assert found == pytest.approx([1000, 1000, 2000, 2000, 3000])
