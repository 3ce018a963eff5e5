"""The tables in the documentation are those of the figures that are kept beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..bench import quality
from ..bench.quality import bandit_tables, stream_tables
from ..bench.quality.documents import with_block

FOLDER = Path(quality.__path__[0])


@pytest.mark.parametrize(
    ("name", "document"), [("bandits", bandit_tables.document), ("streams", stream_tables.document)]
)
def test_the_documented_tables_are_those_of_the_kept_figures(name: str, document: Any) -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    results = json.loads((FOLDER / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert with_block(page, name, document(results)) == page
