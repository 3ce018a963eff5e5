"""Mean cumulative regret on bandit problems: one arm observed a round, and every arm (``full``)."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .bandit_tables import ALL, HALF_LIFE, ONE, OURS, PLAIN, SHARED, Table, document
from .documents import write_block
from .policies import ChangePoint, Policy, Thompson, mabwiser_thompson, river_thompson
from .problems import DRIFTING, PIECEWISE, ROUNDS, change_points, means_of

HALF_LIVES = (10, 20, 30, 50, 80, 120, 200)
LIBRARY_REPETITIONS_MAX = 4
"""A library's bandit takes up to a millisecond a round."""

Make = Callable[[tuple[int, int], int, str], Policy]


def _thompson(**options: Any) -> Make:
    return lambda shape, seed, problem: Thompson(shape, np.random.default_rng([seed, 2]), **options)


def _oracle(greedy: bool, rounds: int) -> Make:
    return lambda shape, seed, problem: Thompson(
        shape,
        np.random.default_rng([seed, 2]),
        restarts=frozenset(change_points(problem, rounds)),
        greedy=greedy,
    )


def policies(full: bool, rounds: int) -> dict[str, Make]:
    """Everything that is compared, by the name it has in the table."""
    made: dict[str, Make] = {
        OURS: lambda shape, seed, problem: ChangePoint(shape, np.random.default_rng([seed, 2]), greedy=full),
        "oracle restarts": _oracle(full, rounds),
        PLAIN: _thompson(greedy=full),
    }
    if full:
        made[SHARED] = lambda shape, seed, problem: ChangePoint(
            shape, np.random.default_rng([seed, 2]), greedy=True, shared=True
        )
        made |= {
            f"{HALF_LIFE}{rounds_}": _thompson(keep=0.5 ** (1 / rounds_), greedy=True)
            for rounds_ in HALF_LIVES
        }
        return made
    made[f"{HALF_LIFE}100"] = _thompson(keep=0.5**0.01)
    for gamma in (0.99, 0.995, 0.998):
        # As SMPyBandits has it: what is played fades, once for every other arm.
        made[f"discounted {gamma} (played arm)"] = lambda shape, seed, problem, gamma=gamma: Thompson(
            shape, np.random.default_rng([seed, 2]), keep=gamma ** shape[1], played_only=True
        )
    return made


def regret(policy: Policy, problem: str, repetitions: int, seed: int, full: bool, rounds: int) -> list[float]:
    """Cumulative regret of each repetition, against the best arm of every round."""
    means = means_of(problem, rounds)
    generator = np.random.default_rng([seed, 1])
    total = np.zeros(repetitions)
    rows = np.arange(repetitions)
    for t, mean in enumerate(means):
        arms = policy.choose(t)
        x = (generator.random((repetitions, len(mean))) < mean).astype(np.float64)
        total += mean.max() - mean[arms]
        if full:
            policy.learn_all(t, x)
        else:
            policy.learn(t, arms, x[rows, arms])
    return total.tolist()


def _figures(values: list[float], seconds: float) -> dict[str, float]:
    spread = float(np.std(values) / max(len(values) - 1, 1) ** 0.5)
    return {"mean": float(np.mean(values)), "error": spread, "repetitions": len(values), "seconds": seconds}


def _measure(given: argparse.Namespace, full: bool, table: Table, save: Callable[[], None]) -> None:
    """Fills ``table``, and has it saved after every figure: a run that is stopped keeps what it has."""
    problems = [*given.problems, *(DRIFTING if full else ())]
    runs: list[tuple[str, Make, int]] = [
        (name, make, given.repetitions) for name, make in policies(full, given.rounds).items()
    ]
    if given.libraries and not full:
        few = min(given.repetitions, LIBRARY_REPETITIONS_MAX)
        runs.append(("River Thompson", lambda shape, seed, problem: river_thompson(shape, seed), few))
        runs.append(("MABWiser Thompson", lambda shape, seed, problem: mabwiser_thompson(shape, seed), few))
    for name, make, repetitions in runs:
        for problem in dict.fromkeys(problems):
            arms = means_of(problem, given.rounds).shape[1]
            try:
                policy = make((repetitions, arms), given.seed, problem)
            except ImportError as error:
                print(f"{name} skipped: {error}", file=sys.stderr)
                break
            begun = time.perf_counter()
            values = regret(policy, problem, repetitions, given.seed, full, given.rounds)
            taken = time.perf_counter() - begun
            table.setdefault(name, {})[problem] = _figures(values, taken)
            save()
            print(
                f"{name}, {problem}{' full' if full else ''}: {np.mean(values):.1f} ({taken:.0f} s)",
                file=sys.stderr,
                flush=True,
            )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="bandits", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--problems", nargs="*", default=list(PIECEWISE), choices=[*PIECEWISE, *DRIFTING])
    parser.add_argument(
        "--libraries", action="store_true", help="River and MABWiser too, where they are installed"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every figure there, each as it is found"
    )
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="put the tables between <!-- bandits --> and <!-- /bandits -->",
    )
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="JSON", help="tables of an earlier run; runs nothing"
    )
    return parser.parse_args(arguments)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Every figure, as it is kept in JSON."""
    tables: dict[str, Table] = {ONE: {}, ALL: {}}
    results = {
        "rounds": given.rounds,
        "repetitions": given.repetitions,
        "seed": given.seed,
        "tables": tables,
    }

    def save() -> None:
        if given.json is not None:
            given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    for feedback, table in tables.items():
        _measure(given, feedback == ALL, table, save)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    given = parsed(arguments)
    results = run(given) if given.source is None else json.loads(given.source.read_text(encoding="utf-8"))
    told = document(results)
    print(told)
    if given.markdown is not None:
        write_block(given.markdown, "bandits", told)


if __name__ == "__main__":
    main()
