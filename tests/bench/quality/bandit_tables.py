"""What the bandits' run says, in Markdown: a row a policy, and the aims beside what was reached."""

from __future__ import annotations

from math import hypot
from typing import Any

from .documents import verdict

Table = dict[str, dict[str, dict[str, float]]]
"""Figures by policy and problem."""

ONE, ALL = "one arm observed", "every arm observed"
OURS, PLAIN = "handicapper change points", "Thompson"
SHARED = "handicapper, shared changes"
HALF_LIFE = "half-life "

FIXED_AIMS = {ONE: {"1": 46.0, "2": 65.0, "3": 60.0, "4": 90.0}, ALL: {"1": 6.0, "3": 20.0}}
"""Mean cumulative regret over 5,000 rounds that one setting is to stay below."""
STATIONARY_FACTOR, DRIFTING_FACTOR = 1.05, 1.15


def table_of(measured: Table) -> str:
    """A row a policy, a column a problem; mean regret and its standard error."""
    problems = list(dict.fromkeys(problem for row in measured.values() for problem in row))
    usual = max((figure["repetitions"] for row in measured.values() for figure in row.values()), default=0)
    lines = ["| policy | " + " | ".join(problems) + " |", "|---|" + "---:|" * len(problems)]
    for name, row in measured.items():
        fewer = {figure["repetitions"] for figure in row.values()} - {usual}
        cells = [f"{row[p]['mean']:.1f} ± {row[p]['error']:.1f}" if p in row else "" for p in problems]
        told = name + "".join(f" ({count:.0f} repetitions)" for count in sorted(fewer))
        lines.append(f"| {told} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def aims_of(tables: dict[str, Table]) -> list[tuple[str, str, str, float, float]]:
    """(feedback, problem, words, aim, standard error of the aim) of what was measured."""
    found: list[tuple[str, str, str, float, float]] = []
    for feedback, table in tables.items():
        ours, plain = table.get(OURS, {}), table.get(PLAIN, {})
        for problem in ours:
            fixed = FIXED_AIMS[feedback].get(problem)
            if fixed is not None:
                found.append((feedback, problem, f"{fixed:g}", fixed, 0.0))
            elif feedback == ONE and problem in plain:
                factor = STATIONARY_FACTOR if problem == "stationary" else 1.0
                aim, error = (factor * plain[problem][of] for of in ("mean", "error"))
                found.append((feedback, problem, f"{factor:g} × {PLAIN}: {aim:.1f}", aim, error))
            elif problem in ("walk", "sinusoid"):
                name, figure = min(
                    ((name, row[problem]) for name, row in table.items() if name.startswith(HALF_LIFE)),
                    key=lambda pair: pair[1]["mean"],
                )
                aim, error = (DRIFTING_FACTOR * figure[of] for of in ("mean", "error"))
                words = f"{DRIFTING_FACTOR} × {name}, the best in hindsight: {aim:.1f}"
                found.append((feedback, problem, words, aim, error))
    return found


def aims_table(tables: dict[str, Table]) -> str:
    """Each aim, what our one setting gives, and whether that is enough."""
    lines = ["| feedback | problem | aim, at most | handicapper | |", "|---|---|---:|---:|---|"]
    for feedback, problem, words, aim, aim_error in aims_of(tables):
        figure = tables[feedback][OURS][problem]
        mean, error = figure["mean"], figure["error"]
        said = verdict(mean, aim, hypot(error, aim_error), 1)
        lines.append(f"| {feedback} | {problem} | {words} | {mean:.1f} ± {error:.1f} | {said} |")
    return "\n".join(lines)


def document(results: dict[str, Any]) -> str:
    """All of it."""
    tables: dict[str, Table] = results["tables"]
    parts = [f"{results['rounds']} rounds, {results['repetitions']} repetitions, seed {results['seed']}."]
    parts += [f"**{feedback.capitalize()}**\n\n{table_of(table)}" for feedback, table in tables.items()]
    parts.append(f"**Aims**\n\n{aims_table(tables)}")
    return "\n\n".join(parts)
