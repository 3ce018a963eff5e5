"""What the run over the streams says, in Markdown."""

from __future__ import annotations

from typing import Any

from .documents import verdict

Rows = list[dict[str, Any]]

AIMS = {"precipitation": 0.1325, "mlb": 0.24178}
"""Brier scores the pool is to reach, with one setting for all."""
CHANGED = ("nfl", "fte_published", "2019")
"""The one known change: from then on it is another model under the same name."""
POOL, EQUAL = "pool", "equal weights"


def figures_table(figures: Rows) -> str:
    """A row a forecaster."""
    lines = [
        "| stream | forecaster | events | Brier | Brier, all labels | log loss | pool's Brier, same events |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['stream']} | {row['forecaster']} | {row['events']} | {row['brier']:.6f} | {row['brier_all']:.6f} "
        f"| {row['log_loss']:.5f} | {row['pool_brier_same_events']:.6f} |"
        for row in figures
    ]
    return "\n".join(lines)


def seasons_table(seasons: Rows) -> str:
    """A row a season: the pool minus equal weights."""
    lines = [
        "| stream | season | events | own label | ± se | all labels | ± se |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in seasons:
        own, own_se, every, every_se = (
            1e5 * row[field] for field in ("brier", "brier_se", "brier_all", "brier_all_se")
        )
        lines.append(
            f"| {row['stream']} | {row['season']} | {row['events']} "
            f"| {own:.1f} | {own_se:.1f} | {every:.1f} | {every_se:.1f} |"
        )
    return "\n".join(lines)


def changes_table(changes: Rows) -> str:
    """A row a model: the changes of its hit rate that were told of."""
    lines = ["| stream | model | outcomes | changes told of | the first of them |", "|---|---|---:|---:|---|"]
    for row in changes:
        first = "; ".join(
            f"{change['day']}: {change['before']:.2f} → {change['after']:.2f}" for change in row["changes"]
        )
        lines.append(f"| {row['stream']} | {row['model']} | {row['outcomes']} | {row['count']} | {first} |")
    return "\n".join(lines)


def ends_table(ends: Rows) -> str:
    """A row an end: a model that no longer says what another says."""
    lines = ["| stream | model | said the same as | until | told of on |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['stream']} | {row['model']} | {row['peer']} | {row['day']} | {row['told']} |" for row in ends
    ]
    return "\n".join(lines)


def aims_table(results: dict[str, Rows]) -> str:
    """Each aim, what was measured, and whether that is enough."""
    lines = ["| stream | aim | handicapper | |", "|---|---|---|---|"]
    brier = {(row["stream"], row["forecaster"]): row for row in results["figures"]}
    whole = {row["stream"]: row for row in results["seasons"] if row["season"] == "all"}
    for (stream, forecaster), row in brier.items():
        if forecaster != POOL:
            continue
        if stream in AIMS:
            error = whole[stream]["brier_se"]
            said = verdict(row["brier"], AIMS[stream], error, 6)
            lines.append(f"| {stream} | pool's Brier at most {AIMS[stream]} | {row['brier']:.6f} | {said} |")
        else:
            equal, error = brier[stream, EQUAL]["brier_all"], whole[stream]["brier_all_se"]
            said = verdict(row["brier_all"], equal, error, 6)
            words = f"pool's Brier, all labels, at most that of {EQUAL}: {equal:.6f}"
            lines.append(f"| {stream} | {words} | {row['brier_all']:.6f} | {said} |")
    stream, model, year = CHANGED
    if stream in whole:
        ends = [row["day"] for row in results["ends"] if (row["stream"], row["model"]) == (stream, model)]
        found = len(ends) == 1 and ends[0].startswith(year)
        said = "reached" if found else "not reached"
        told = ", ".join(ends) or "none"
        lines.append(
            f"| {stream} | the change of {model} in {year} told of, and no other | {told} | {said} |"
        )
    return "\n".join(lines)


def document(results: dict[str, Rows]) -> str:
    """All of it."""
    parts = [
        f"**Aims**; ± is the standard error of the difference to {EQUAL}.",
        aims_table(results),
        "**Scores**",
        figures_table(results["figures"]),
        f"**Pool minus {EQUAL}** on the same events, in 1e-5 of Brier score; below 0 the pool is better.",
        seasons_table(results["seasons"]),
        "**Changes of a model's hit rate** that its change-point filter told of.",
        changes_table(results["changes"]),
        "**Models that no longer say what another says**, as the pool tells of them.",
        ends_table(results["ends"]),
    ]
    return "\n\n".join(parts)
