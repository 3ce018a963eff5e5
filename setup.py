"""Compiles the modules of the hot path, from their own sources: same rules, same bits, half of the time.

A wheel is compiled where it is built, if there is a compiler; without one it is complete all the same. An editable
install never is, so that no stale binary stands before an edited source.
"""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from pathlib import Path

from setuptools import Extension, setup

ROOT = Path(__file__).parent
BUILD = ROOT / "build"
COMPILED = (
    "actors/at_once.py",
    "actors/learning/changepoint.py",
    "actors/learning/draws.py",
    "actors/learning/gamma.py",
    "actors/learning/hypotheses.py",
    "actors/learning/mixture.py",
    "actors/learning/pooling/forms.py",
    "actors/learning/pooling/in_pieces.py",
    "actors/learning/pooling/pieces.py",
    "actors/learning/pooling/pool.py",
    "actors/learning/pooling/share_rule.py",
    "actors/learning/pooling/table.py",
    "actors/learning/splitmix.py",
    "actors/learning/trends.py",
    "actors/model.py",
    "actors/ranking.py",
    "actors/runtime/everyone.py",
    "actors/state/fold.py",
    "actors/state/history.py",
    "actors/state/market.py",
    "actors/state/model_state.py",
    "actors/state/runs.py",
    "actors/state/statistics.py",
    "actors/state/views.py",
    "protocol/framing.py",
    "protocol/many.py",
    "protocol/rows.py",
)
"""Those that gain by it. What awaits a codec, the disk or another module's code does not."""

FLAGS = ["-O2", "-g0", "-ffp-contract=off", "-fwrapv"]
"""Nothing that changes a rounding: a compiled fold gives the interpreter's bits."""

BUILDS = {"bdist_wheel", "build", "build_ext", "install"}


def extensions() -> list[Extension]:
    """The modules to be compiled; none where that is not wanted, or cannot be done."""
    if not BUILDS & set(sys.argv):
        return []
    # What an earlier build left would go into the wheel, in the place of what cannot be compiled any more.
    shutil.rmtree(BUILD, ignore_errors=True)
    if os.environ.get("HANDICAPPER_PURE"):
        return []
    try:
        from Cython.Build import cythonize
    except ImportError as error:
        warnings.warn(f"nothing is compiled: {error}; it works as well, and slower", stacklevel=1)
        return []
    # The sources under the name they have once installed: there Cython looks for what fold.pxd says of fold.py.
    names = BUILD / "names"
    names.mkdir(parents=True)
    (names / "handicapper").symlink_to(ROOT, target_is_directory=True)
    modules = cythonize(
        [
            Extension(
                f"handicapper.{source.removesuffix('.py').replace('/', '.')}",
                [source],
                extra_compile_args=FLAGS,
            )
            for source in COMPILED
        ],
        include_path=[str(names)],
        build_dir=str(BUILD / "cython"),
        # Annotations are for readers and type checkers: what is passed where is not to depend on the build.
        compiler_directives={
            "language_level": 3,
            "annotation_typing": False,
            "autotestdict": False,
            "binding": True,
        },
    )
    for module in modules:
        module.optional = True  # cythonize forgets it of those it is given
    return modules


setup(ext_modules=extensions(), options={"build_ext": {"parallel": os.cpu_count()}})
