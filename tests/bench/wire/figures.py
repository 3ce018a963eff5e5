"""Figures as tables, and the aims beside them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import truediv

from .contest import ALWAYS, ALWAYS_MINIMAL, ARRAYS, EVERYSEC, EVERYSEC_MINIMAL, MAPS, NAIVE, NAIVE_WAL, Runs
from .selection import BEST, GATHER, OURS, RANKED

__all__ = ["Aim", "aims_of_outcomes", "aims_of_selection", "table_of_outcomes", "table_of_selection"]


@dataclass(frozen=True)
class Aim:
    """A ratio, what was wanted of it (None: it is only shown), and what a test still lets pass."""

    text: str
    found: float
    wanted: float | None = None
    guard: float | None = None
    at_least: bool = True

    @property
    def guarded(self) -> bool:
        """Not so far off that something must have broken."""
        return self.guard is None or self._meets(self.guard)

    def _meets(self, bound: float) -> bool:
        return self.found >= bound if self.at_least else self.found <= bound

    def __str__(self) -> str:
        shown = f"{self.text}: {self.found:.2f} ×"
        if self.wanted is None:
            return shown
        verdict = "reached" if self._meets(self.wanted) else "NOT reached"
        return f"{shown} (aim {'≥' if self.at_least else '≤'} {self.wanted:g} ×: {verdict})"


def per_second(runs: Runs, name: str) -> float:
    """Median of the runs' outcomes a second."""
    return statistics.median(run.per_second for run in runs[name])


def latency_us(runs: Runs, name: str, share: float) -> float:
    """Median of the runs' quantiles."""
    return statistics.median(run.quantile_us(share) for run in runs[name])


def aims_of_outcomes(runs: Mapping[int, Runs]) -> list[Aim]:
    """Every ratio for which there are runs; without an aim those that are only for comparison."""
    aims: list[Aim] = []
    deep, alone = runs.get(256, {}), runs.get(1, {})
    for name, other, wanted, guard in (
        (ARRAYS, EVERYSEC, 1.5, 0.25),
        (ARRAYS, ALWAYS, 2.0, 0.35),
        (MAPS, EVERYSEC, 1.5, 0.2),
        (MAPS, ALWAYS, 2.0, 0.3),
        (ARRAYS, NAIVE, 60.0, 10.0),
        (ARRAYS, EVERYSEC_MINIMAL, None, None),
        (ARRAYS, ALWAYS_MINIMAL, None, None),
        (ARRAYS, NAIVE_WAL, None, None),
    ):
        if other in deep:
            ratio = per_second(deep, name) / per_second(deep, other)
            aims.append(Aim(f"outcomes/s at depth 256, {name} to {other}", ratio, wanted, guard))
    if ALWAYS in alone:
        for share, words, wanted, guard in ((0.5, "p50", 1.7, 10.0), (0.99, "p99", None, None)):
            ratio = latency_us(alone, ARRAYS, share) / latency_us(alone, ALWAYS, share)
            text = f"{words} at depth 1, {ARRAYS} to {ALWAYS}"
            aims.append(Aim(text, ratio, wanted, guard, at_least=False))
    return aims


def aims_of_selection(seconds: Mapping[int, Mapping[str, Sequence[float]]]) -> list[Aim]:
    """No slower than Redis gathering is the aim; its variants that draw, or rank too, are for comparison."""
    aims: list[Aim] = []
    for models, found in seconds.items():
        for other, wanted, guard in ((GATHER, 1.0, 20.0), (BEST, None, None), (RANKED, None, None)):
            if other in found:
                # Of blocks that followed one another: a machine that was slow was so for both.
                ratio = statistics.median(map(truediv, found[OURS], found[other]))
                text = f"selection over {models:,} models, p50, to {other}"
                aims.append(Aim(text, ratio, wanted, guard, at_least=False))
    return aims


def table_of_outcomes(depth: int, runs: Runs) -> str:
    """A line a contestant: medians of its runs, the range of their speed, and the longest wait in any of them."""
    lines = [
        f"{f'depth {depth}':<40}{'outcomes/s':>12}  {'range':>17}{'p50 µs':>10}{'p99 µs':>10}{'longest µs':>12}"
    ]
    for name, found in runs.items():
        speeds = [run.per_second for run in found]
        extent = f"{min(speeds):,.0f}-{max(speeds):,.0f}"
        p50, p99 = latency_us(runs, name, 0.5), latency_us(runs, name, 0.99)
        longest = max(run.longest_us for run in found)
        times = f"{p50:>10,.0f}{p99:>10,.0f}{longest:>12,.0f}"
        lines.append(f"{name:<40}{per_second(runs, name):>12,.0f}  {extent:>17}{times}")
    return "\n".join(lines)


def table_of_selection(models: int, seconds: Mapping[str, Sequence[float]]) -> str:
    """A line a contestant: the median of the blocks' medians, and their range."""
    lines = [f"{f'selection over {models:,} models':<40}{'p50 µs':>12}  {'range':>17}"]
    for name, blocks in seconds.items():
        extent = f"{min(blocks) * 1e6:,.0f}-{max(blocks) * 1e6:,.0f}"
        lines.append(f"{name:<40}{statistics.median(blocks) * 1e6:>12,.0f}  {extent:>17}")
    return "\n".join(lines)
