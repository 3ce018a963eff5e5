"""The pool on the real streams, beside what it has to beat: ``python -m tests.bench.quality.streams``.

Feedback is honoured at ``resolved_at``; every forecaster sees the same events in the same order; nothing is
drawn, so a run is the same every time. Three scores, of the forecast that stood when the event was predicted:

``brier``       ``(p − hit)²`` on the forecaster's own most probable label, the definition of the data's
                reference.json. With two labels that is ``(1 − p(actual))²``.
``brier_all``   ``½ Σ (p − y)²`` over all labels of the event; with two labels the same figure.
``log_loss``    ``−ln p(actual)``, p kept from 1e-6.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from math import log, sqrt
from pathlib import Path
from typing import Any, NamedTuple

from .forecasters import EqualWeights, Feeding, Fixed, FollowTheLeader, Forecaster, Hedge, Pool, Window
from .real_streams import DATA, FILES, Event, Stream, load, season

AIMS = {"precipitation": 0.1325, "mlb": 0.24178}
"""Brier scores the pool is to reach, with one setting for all."""
ETAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
WINDOW = 1_000
COVERAGE = 0.9
"""A fixed model is compared if it forecast this part of the events."""

Progress = Callable[[str], None]


class Score(NamedTuple):
    """Losses of one forecast."""

    brier: float
    brier_all: float
    log_loss: float


def score(p: Sequence[float], hit: int) -> Score:
    """Of the distribution ``p`` where label number ``hit`` happened."""
    top = max(range(len(p)), key=p.__getitem__)
    return Score(
        (p[top] - (top == hit)) ** 2,
        sum((q - (k == hit)) ** 2 for k, q in enumerate(p)) / 2.0,
        -log(max(p[hit], 1e-6)),
    )


def rows_of(event: Event, labels: Sequence[str]) -> dict[str, list[float]]:
    """Each model's distribution: the mass beside its label spread evenly over the others."""
    others = len(labels) - 1
    return {
        model: [c if name == label else (1.0 - c) / others for name in labels]
        for model, label, c in event.forecasts
    }


def forecasters_of(stream: Stream) -> dict[str, Forecaster]:
    """Everything that runs on a stream, by its name in the table."""
    window, everything = Window(WINDOW), Window(None)
    return {
        "pool": Pool(stream.labels),
        **{model: Fixed(model) for model in stream.models()},
        "equal weights": EqualWeights(),
        "follow the leader": FollowTheLeader(window),
        **{f"Hedge, window {WINDOW}, eta {eta:g}": Hedge(window, eta) for eta in ETAS},
        **{f"Hedge, all, eta {eta:g}": Hedge(everything, eta) for eta in ETAS},
        "window": Feeding(window),
        "everything": Feeding(everything),
    }


def run_stream(stream: Stream, progress: Progress) -> dict[str, dict[int, Score]]:
    """The scores of every forecaster, by event."""
    forecasters = forecasters_of(stream)
    scores: dict[str, dict[int, Score]] = {name: {} for name in forecasters}
    labels, events = stream.labels, stream.events
    for n, (resolves, i) in enumerate(stream.in_order()):
        event = events[i]
        rows = rows_of(event, labels)
        hit = labels.index(event.actual)
        if resolves:
            losses = {model: score(row, hit).brier for model, row in rows.items()}
            for forecaster in forecasters.values():
                forecaster.learn(event, losses)
        else:
            for name, forecaster in forecasters.items():
                forecast = forecaster.forecast(event, rows)
                if forecast is not None:
                    scores[name][i] = score(forecast, hit)
        if n % 1_000 == 0:
            progress(f"{stream.name}: {n / (2 * len(events)):.0%}")
    return scores


def mean_scores(scores: Sequence[Score]) -> dict[str, float]:
    """Means of the three scores."""
    n = len(scores)
    return {field: sum(getattr(s, field) for s in scores) / n for field in Score._fields}


def best(scores: dict[str, dict[int, Score]], names: Sequence[str]) -> str:
    """The name with the lowest Brier score, in hindsight."""
    return min(names, key=lambda name: mean_scores(list(scores[name].values()))["brier"])


def figures(stream: Stream, scores: dict[str, dict[int, Score]]) -> list[dict[str, Any]]:
    """The rows of the table: each forecaster, and the pool on the same events."""
    n = len(stream.events)
    fixed = best(scores, [m for m in stream.models() if len(scores[m]) >= COVERAGE * n])
    hedge = best(scores, [name for name in scores if name.startswith(f"Hedge, window {WINDOW}")])
    whole = best(scores, [name for name in scores if name.startswith("Hedge, all")])
    named = {
        "pool": scores["pool"],
        f"best fixed model in hindsight ({fixed})": scores[fixed],
        "equal weights": scores["equal weights"],
        f"follow the leader, last {WINDOW}": scores["follow the leader"],
        f"{hedge}, best eta in hindsight": scores[hedge],
        f"{whole}, best eta in hindsight": scores[whole],
    }
    return [
        {
            "stream": stream.name,
            "forecaster": name,
            "events": len(of_name),
            **mean_scores(list(of_name.values())),
            "pool_brier_same_events": mean_scores([scores["pool"][i] for i in of_name])["brier"],
        }
        for name, of_name in named.items()
    ] + market_figures(stream, scores["pool"])


def market_figures(stream: Stream, pool: dict[int, Score]) -> list[dict[str, Any]]:
    """The price as a forecast, in the events of two labels where there is one; margins are left in."""
    if len(stream.labels) != 2:
        return []
    scores: dict[int, Score] = {}
    for i, event in enumerate(stream.events):
        first, second = (event.prices.get(label) for label in stream.labels)
        if first is None and second is None:
            continue
        p = first / (first + second) if first and second else first if first else 1.0 - (second or 0.0)
        scores[i] = score([p, 1.0 - p], stream.labels.index(event.actual))
    if not scores:
        return []
    return [
        {
            "stream": stream.name,
            "forecaster": "market price",
            "events": len(scores),
            **mean_scores(list(scores.values())),
            "pool_brier_same_events": mean_scores([pool[i] for i in scores])["brier"],
        }
    ]


def seasons(stream: Stream, scores: dict[str, dict[int, Score]]) -> list[dict[str, Any]]:
    """Pool minus equal weights on the same events, per season, with standard errors of the mean."""
    by_season: dict[int, list[tuple[Score, Score]]] = {}
    for i, ours in scores["pool"].items():
        pair = (ours, scores["equal weights"][i])
        by_season.setdefault(season(stream.events[i].resolved_at), []).append(pair)
    rows: list[dict[str, Any]] = []
    every = [pair for pairs in by_season.values() for pair in pairs]
    for name, pairs in [*sorted(by_season.items()), ("all", every)]:
        row: dict[str, Any] = {"stream": stream.name, "season": name, "events": len(pairs)}
        for field in ("brier", "brier_all"):
            differences = [getattr(ours, field) - getattr(equal, field) for ours, equal in pairs]
            mean = sum(differences) / len(pairs)
            row[field] = mean
            row[field + "_se"] = sqrt(sum((d - mean) ** 2 for d in differences)) / len(pairs)
        rows.append(row)
    return rows


def run(
    names: Sequence[str] = tuple(FILES),
    progress: Progress = lambda _: None,
    events_max: int | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """``figures`` and ``seasons`` of the streams named, as rows for JSON and tables."""
    results: dict[str, list[dict[str, Any]]] = {"figures": [], "seasons": []}
    for name in names:
        stream = load(name, events_max)
        scores = run_stream(stream, progress)
        results["figures"] += figures(stream, scores)
        results["seasons"] += seasons(stream, scores)
    return results


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """The figures, in Markdown."""
    lines = [
        "| stream | forecaster | events | Brier | Brier, all labels | log loss | pool's Brier, same events |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["figures"]:
        aim = AIMS.get(row["stream"]) if row["forecaster"] == "pool" else None
        name = row["forecaster"] + (f" (aim {aim})" if aim else "")
        lines.append(
            f"| {row['stream']} | {name} | {row['events']} | {row['brier']:.6f} | {row['brier_all']:.6f} "
            f"| {row['log_loss']:.5f} | {row['pool_brier_same_events']:.6f} |"
        )
    lines += [
        "",
        "Pool minus equal weights on the same events, in 1e-5 of Brier; below 0 the pool is better.",
        "",
        "| stream | season | events | own label | ± se | all labels | ± se |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["seasons"]:
        own, own_se, every, every_se = (
            1e5 * row[field] for field in ("brier", "brier_se", "brier_all", "brier_all_se")
        )
        lines.append(
            f"| {row['stream']} | {row['season']} | {row['events']} "
            f"| {own:.1f} | {own_se:.1f} | {every:.1f} | {every_se:.1f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="streams", description="The pool on the real streams, beside others."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there too")
    parser.add_argument(
        "--stream", action="append", choices=list(FILES), help="this one only; may be repeated"
    )
    parser.add_argument("--events", type=int, metavar="N", help="the first N events of each")
    options = parser.parse_args(arguments)
    if not DATA.is_dir():
        parser.error(f"the streams were not found: {DATA} is no directory")

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{text:<40}", end="", file=sys.stderr, flush=True)

    results = run(options.stream or tuple(FILES), progress, options.events)
    progress("")
    print("\n" + table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
