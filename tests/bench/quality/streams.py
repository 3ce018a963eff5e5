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

from .documents import write_block
from .forecasters import EqualWeights, Feeding, Fixed, FollowTheLeader, Forecaster, Hedge, Pool, Window
from .real_streams import DATA, FILES, Event, Stream, load, season
from .river_weights import RiverWeights
from .stream_changes import changes_of, ends_of
from .stream_tables import EQUAL, POOL, document

ETAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
WINDOW = 1_000
RIVER = "River's EWARegressor, learning rate 0.5"
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


def forecasters_of(stream: Stream, libraries: bool) -> dict[str, Forecaster]:
    """Everything that runs on a stream, by its name in the table."""
    window, everything = Window(WINDOW), Window(None)
    made: dict[str, Forecaster] = {
        POOL: Pool(stream.labels),
        **{model: Fixed(model) for model in stream.models()},
        EQUAL: EqualWeights(),
        "follow the leader": FollowTheLeader(window),
        **{f"Hedge, window {WINDOW}, eta {eta:g}": Hedge(window, eta) for eta in ETAS},
        **{f"Hedge, all, eta {eta:g}": Hedge(everything, eta) for eta in ETAS},
        "window": Feeding(window),
        "everything": Feeding(everything),
    }
    if libraries and len(stream.labels) == 2:
        try:
            made[RIVER] = RiverWeights(stream.labels, stream.models())
        except ImportError as error:
            print(f"{RIVER} skipped: {error}", file=sys.stderr)
    return made


def run_stream(stream: Stream, progress: Progress, libraries: bool = False) -> dict[str, dict[int, Score]]:
    """The scores of every forecaster, by event."""
    forecasters = forecasters_of(stream, libraries)
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
        POOL: scores[POOL],
        f"best fixed model in hindsight ({fixed})": scores[fixed],
        EQUAL: scores[EQUAL],
        f"follow the leader, last {WINDOW}": scores["follow the leader"],
        f"{hedge}, best eta in hindsight": scores[hedge],
        f"{whole}, best eta in hindsight": scores[whole],
        **({RIVER: scores[RIVER]} if RIVER in scores else {}),
    }
    return [
        {
            "stream": stream.name,
            "forecaster": name,
            "events": len(of_name),
            **mean_scores(list(of_name.values())),
            "pool_brier_same_events": mean_scores([scores[POOL][i] for i in of_name])["brier"],
        }
        for name, of_name in named.items()
    ] + market_figures(stream, scores[POOL])


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
    for i, ours in scores[POOL].items():
        pair = (ours, scores[EQUAL][i])
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
    libraries: bool = False,
) -> dict[str, list[dict[str, Any]]]:
    """``figures``, ``seasons``, ``changes`` and ``ends`` of the streams named, as rows for JSON and tables."""
    results: dict[str, list[dict[str, Any]]] = {"figures": [], "seasons": [], "changes": [], "ends": []}
    for name in names:
        stream = load(name, events_max)
        scores = run_stream(stream, progress, libraries)
        results["figures"] += figures(stream, scores)
        results["seasons"] += seasons(stream, scores)
        results["changes"] += changes_of(stream)
        results["ends"] += ends_of(stream)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streams", description="The pool on the real streams, beside others."
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there too")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="put the tables between <!-- streams --> and <!-- /streams -->",
    )
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="JSON", help="tables of an earlier run; runs nothing"
    )
    parser.add_argument(
        "--stream", action="append", choices=list(FILES), help="this one only; may be repeated"
    )
    parser.add_argument("--libraries", action="store_true", help="River too, where it is installed")
    parser.add_argument("--events", type=int, metavar="N", help="the first N events of each")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.source is None and not DATA.is_dir():
        parser.error(f"the streams were not found: {DATA} is no directory")

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{text:<40}", end="", file=sys.stderr, flush=True)

    if options.source is not None:
        results = json.loads(options.source.read_text(encoding="utf-8"))
    else:
        results = run(options.stream or tuple(FILES), progress, options.events, options.libraries)
        progress("")
    told = document(results)
    print(told)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.markdown is not None:
        write_block(options.markdown, "streams", told)


if __name__ == "__main__":
    main()
