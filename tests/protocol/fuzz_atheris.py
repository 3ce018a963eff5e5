"""The same checks as ``test_fuzz.py``, guided by coverage. Not part of the suite: it needs ``pip install atheris``.

    python -m tests.protocol.fuzz_atheris NEW_DIRECTORY tests/protocol/corpus -max_total_time=600

Inputs that reach something new go into the first directory; what breaks a rule is written to a file ``crash-...``
in the working directory: without its first byte, which says where it is cut, it belongs into ``corpus/``.
"""

from __future__ import annotations

import logging
import sys


def main() -> None:
    """Run until something is found, or for as long as libFuzzer is told to."""
    import atheris  # pyright: ignore[reportMissingImports]

    with atheris.instrument_imports(include=["handicapper.protocol"]):  # pyright: ignore
        from .fuzzing import check

    logging.getLogger("handicapper").setLevel(logging.CRITICAL)

    def one_input(data: bytes) -> None:
        # The first byte says where the rest is cut.
        check(data[1:], range(1, len(data), data[0] + 1) if data else [])

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
