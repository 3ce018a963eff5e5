"""``bin/test --mutants``: plant each bug in a copy of the tree and see that the tests find it.

The tests named for a bug must pass in the copy as it is, and each of them must fail with the bug in it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .planted import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("actors", "bin", "config", "protocol")
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
TIMEOUT_SECONDS = 300.0
"""Far beyond what any of these tests takes."""


class Verdict(NamedTuple):
    """What a run of tests said."""

    passed: bool
    failed: bool
    """Tests ran, and one failed. Neither of both: they could not be run at all."""
    seconds: float
    text: str

    @property
    def finder(self) -> str:
        """The test that failed first."""
        found = re.search(r"^FAILED (\S+)", self.text, re.MULTILINE)
        return found[1].split("::")[-1] if found else "?"


class Copy:
    """A copy of the tree, whose tests import the copy and not the checkout."""

    def __init__(self, place: Path) -> None:
        self.tree = place / "tree"
        shutil.copytree(ROOT, self.tree, ignore=LEFT_OUT)
        package = place / "site" / "handicapper"
        package.mkdir(parents=True)
        for name in PACKAGES:
            (package / name).symlink_to(self.tree / name)
        # No byte code: a bug of the same length, planted within the second, would not be noticed.
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(place / "site"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        where = self._python("-c", "import handicapper.actors as a; print(a.__file__)").stdout.strip()
        if self.tree not in Path(where).resolve().parents:
            raise SystemExit(f"the tests would import {where}, not the copy in {self.tree}")

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.tree,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def test(self, tests: Iterable[str]) -> Verdict:
        """Run tests up to the first that fails."""
        began = time.monotonic()
        try:
            done = self._python("-m", "pytest", "-x", "-q", "-m", "not bench", "--no-header", *tests)
        except subprocess.TimeoutExpired:
            return Verdict(False, False, time.monotonic() - began, "not done in time")
        text = done.stdout + done.stderr
        return Verdict(done.returncode == 0, done.returncode == 1, time.monotonic() - began, text)

    @contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """The copy with a bug in it."""
        path = self.tree / mutant.path
        sound = path.read_text()
        path.write_text(with_bug(mutant, sound))
        try:
            yield
        finally:
            path.write_text(sound)


def with_bug(mutant: Mutant, text: str) -> str:
    """The text of a file with the bug planted."""
    found = text.count(mutant.old)
    if found != 1:
        raise SystemExit(
            f"mutant {mutant.name!r}: its text is {found} times in {mutant.path}; adapt tests/mutants/planted.py"
        )
    return text.replace(mutant.old, mutant.new)


def hunt(copy: Copy, mutant: Mutant) -> list[str]:
    """Run each test named for a bug with the bug; print a line of each, and return those that did not find it."""
    missed: list[str] = []
    with copy.planted(mutant):
        for test in mutant.tests:
            verdict = copy.test([test])
            if not verdict.failed:
                missed.append(f"{mutant.name}: {test}")
            said = verdict.finder if verdict.failed else "passed" if verdict.passed else "could not be run"
            shown = "caught" if verdict.failed else "MISSED"
            print(
                f"{shown:6} {mutant.name:55} {verdict.seconds:5.1f} s  {test.split('::')[0]}  {said}",
                flush=True,
            )
            if not verdict.failed and not verdict.passed:
                print(verdict.text[-2000:])
    return missed


def chosen_by(words: Sequence[str]) -> list[Mutant]:
    """Those whose name or file holds one of the words; without words, all."""
    return [m for m in MUTANTS if not words or any(word in m.name or word in m.path for word in words)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Plant them all; 0 if each was found by each of its tests."""
    parser = argparse.ArgumentParser(prog="bin/test --mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose name or file holds one of these")
    chosen = chosen_by(parser.parse_args(arguments).words)
    if not chosen:
        parser.error("no mutant has such a name or file")
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        copy = Copy(Path(directory))
        for mutant in chosen:
            with_bug(mutant, (copy.tree / mutant.path).read_text())
        sound = copy.test(sorted({test for mutant in chosen for test in mutant.tests}))
        if not sound.passed:
            print(f"the tests do not pass without any mutant:\n{sound.text[-4000:]}")
            return 1
        print(f"without a mutant all pass ({sound.seconds:.0f} s)", flush=True)
        missed = [each for mutant in chosen for each in hunt(copy, mutant)]
    print(
        f"{len(chosen)} mutants, {len({each.split(':')[0] for each in missed})} not caught", *missed, sep="\n"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
