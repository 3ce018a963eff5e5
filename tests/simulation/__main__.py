"""``python -m tests.simulation``: many seeds, or one again."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from .accounts import Figures
from .simulation import SimulationError, run_seed

PROGRESS_SECONDS = 5.0


def seeds_of(text: str) -> range:
    """``A-B``, both included."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them all; those that fail are listed, each with the command that runs it again."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="only this one, with the whole traceback")
    parser.add_argument("--seeds", type=seeds_of, default=range(1_000), metavar="A-B")
    parser.add_argument("--steps", type=int, default=200, help="of each seed (default 200)")
    given = parser.parse_args(arguments)
    figures = Figures()
    if given.seed is not None:
        run_seed(given.seed, given.steps, figures)
        print(figures)
        return 0
    failed = 0
    began = shown = time.monotonic()
    for seed in given.seeds:
        try:
            run_seed(seed, given.steps, figures)
        except SimulationError as error:
            failed += 1
            print(error, flush=True)
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            print(f"{shown - began:.0f} s: {figures}", file=sys.stderr, flush=True)
    print(f"{figures}; failed {failed}; {time.monotonic() - began:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
