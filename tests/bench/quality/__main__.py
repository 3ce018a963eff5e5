"""``python -m tests.bench.quality NAME``: how good what is learned is, measured against peers.

Every sub-command is a module of this folder with ``HELP``, ``add_arguments(parser)`` and ``run(arguments)``; those
that are there are offered.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

COMMANDS = ("bandits", "streams")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quality", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="NAME")
    for name in COMMANDS:
        if (Path(__file__).parent / f"{name}.py").exists():
            module = importlib.import_module(f".{name}", __package__)
            command = commands.add_parser(name, help=module.HELP)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    given = parser.parse_args(arguments)
    given.run(given)


if __name__ == "__main__":
    main()
