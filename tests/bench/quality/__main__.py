"""``python -m tests.bench.quality NAME [OPTION...]``: how good what is learned is, measured against peers.

Each name is a module of this folder, whose ``main`` is given the options; ``NAME --help`` lists them.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "bandits": "regret on piecewise-stationary, drifting and stationary bandits",
    "streams": "the pool on real streams",
}


def main(arguments: Sequence[str] | None = None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    epilog = "; ".join(f"{name}: {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality", description=__doc__, epilog=epilog)
    parser.add_argument("name", choices=COMMANDS)
    named = parser.parse_args(given[:1])
    importlib.import_module(f".{named.name}", __package__).main(given[1:])


if __name__ == "__main__":
    main()
