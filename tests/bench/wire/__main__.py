"""``python -m tests.bench.wire``: every figure of this folder, as tables on standard output."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .contest import contest
from .figures import aims_of_outcomes, aims_of_selection, table_of_outcomes, table_of_selection
from .peers import filesystem_of, missing
from .selection import measure_selection
from .sizes import CALLS, COUNTS, ROUNDS, SLOW_COUNT

_QUICK_SHARE = 0.02


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.wire", description=__doc__)
    parser.add_argument(
        "--dir", type=Path, default=Path(tempfile.gettempdir()), help="where data goes: a real disk"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--depths", type=int, nargs="*", default=list(COUNTS))
    parser.add_argument("--models", type=int, nargs="*", default=list(CALLS))
    parser.add_argument(
        "--quick", action="store_true", help="a fiftieth of the requests: shows that it works"
    )
    parser.add_argument("--loop", help="value of HANDICAPPER_LOOP for the daemon")
    given = parser.parse_args(arguments)
    share = _QUICK_SHARE if given.quick else 1.0
    environment = {} if given.loop is None else {"HANDICAPPER_LOOP": given.loop}
    print(
        f"data in {given.dir} ({filesystem_of(given.dir)}), {given.rounds} rounds; Redis: {missing() or 'present'}"
    )
    with tempfile.TemporaryDirectory(prefix="wire-", dir=given.dir) as directory:
        base = Path(directory)
        runs = {}
        with contest(base, environment=environment) as found:
            for depth in given.depths:
                count = max(round(COUNTS[depth] * share), 1)
                runs[depth] = found.measure(depth, count, max(round(SLOW_COUNT * share), 1), given.rounds)
                print(f"\n{table_of_outcomes(depth, runs[depth])}", flush=True)
            found.check_counts()
        seconds = {}
        for models in given.models:
            place = base / f"selection-{models}"
            place.mkdir()
            seconds[models] = measure_selection(
                place, models, max(round(CALLS[models] * share), 1), environment=environment
            )
            print(f"\n{table_of_selection(models, seconds[models])}", flush=True)
    print("", *aims_of_outcomes(runs), *aims_of_selection(seconds), sep="\n")


if __name__ == "__main__":
    main()
