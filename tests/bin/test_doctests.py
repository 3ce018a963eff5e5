"""The doctests of the package, each module under its real name.

Collected as files, the mapped folders would be imported as ``actors``, ``bin`` and so on instead of
``handicapper.actors``, and their relative imports would fail.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
from _pytest import doctest as pytest_doctest

PACKAGES = ("handicapper.actors", "handicapper.bin", "handicapper.config", "handicapper.protocol")


def module_names() -> list[str]:
    found = list(PACKAGES)
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        found += [module.name for module in pkgutil.walk_packages(path, package + ".")]
    return sorted(name for name in found if not name.endswith(".__main__"))


@pytest.mark.parametrize("name", module_names())
def test_the_examples_in_a_module_hold(name, pytestconfig):
    module = importlib.import_module(name)
    report: list[str] = []
    # pytest's checker, because the examples use its NUMBER flag.
    runner = doctest.DocTestRunner(
        checker=pytest_doctest._get_checker(), optionflags=pytest_doctest.get_optionflags(pytestconfig)
    )
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(example, out=report.append)
    assert runner.failures == 0, "".join(report)
