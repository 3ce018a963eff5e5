"""Which modules run compiled, and a way to have none of them do so.

A wheel may hold a module twice: its source, and the same compiled (``setup.py``), which Python prefers. They give the
same results, bit for bit; the compiled one takes half of the time, and cannot be stepped through or changed. With
``HANDICAPPER_PURE`` set in the environment, the sources run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any, Final

__all__ = ["SourcesOnly", "compiled_modules", "prefer_sources"]

PACKAGES: Final = ("actors", "protocol")
"""Those that have modules to be compiled."""


class SourcesOnly:
    """Finds our modules by their sources alone."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The spec of a module of ours that has a source; None leaves it to the other finders."""
        if path is None or not name.startswith("handicapper."):
            return None
        sources = (Path(entry, f"{name.rpartition('.')[2]}.py") for entry in path)
        source = next((each for each in sources if each.is_file()), None)
        return None if source is None else spec_from_file_location(name, source)


def prefer_sources() -> None:
    """Have the sources imported from now on, if the environment says so."""
    if os.environ.get("HANDICAPPER_PURE") and SourcesOnly not in sys.meta_path:
        sys.meta_path.insert(0, SourcesOnly)  # pyright: ignore[reportArgumentType]  # a class with a static method will do


def compiled_modules() -> list[str]:
    """Names of the modules that run compiled, as soon as they are imported; nothing is imported here."""
    if SourcesOnly in sys.meta_path:
        return []
    root = Path(__file__).parents[1]
    files = (file for package in PACKAGES for file in root.joinpath(package).rglob("*.so"))
    return sorted(
        f"handicapper.{'.'.join(file.relative_to(root).parent.parts)}.{file.name.partition('.')[0]}"
        for file in files
        if any(file.name.endswith(suffix) for suffix in EXTENSION_SUFFIXES)
    )
