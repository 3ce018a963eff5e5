"""What a planted bug is."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Mutant"]


class Mutant(NamedTuple):
    """A bug: ``old`` stands once in ``path`` and becomes ``new``."""

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
