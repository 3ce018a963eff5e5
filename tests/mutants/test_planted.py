"""The planted bugs fit the sources as they are; whether they are found is for ``bin/test --mutants``."""

from __future__ import annotations

import pytest

from .__main__ import ROOT, chosen_by, with_bug
from .planted import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_planted_bug_fits_its_file_and_names_tests_that_exist(mutant: Mutant) -> None:
    sound = (ROOT / mutant.path).read_text()
    planted = with_bug(mutant, sound)
    assert planted != sound
    compile(planted, mutant.path, "exec")
    assert mutant.tests
    for test in mutant.tests:
        path, *names = test.split("::")
        text = (ROOT / path).read_text()
        assert all(f"def {name}(" in text for name in names), test


def test_planted_bugs_have_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert [mutant.name for mutant in chosen_by(["CRC"])] == ["CRC not checked"]


def test_planted_bug_whose_text_is_gone_is_an_error_that_says_where() -> None:
    mutant = Mutant("gone", "actors/model.py", "no such text", "", ("tests/state/test_book.py",))
    with pytest.raises(SystemExit, match=r"0 times in actors/model\.py"):
        with_bug(mutant, "a file")
