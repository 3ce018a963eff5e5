"""Tables in documents: between two marks, so that the words around them stay as they were written."""

from __future__ import annotations

from pathlib import Path


def with_block(text: str, name: str, block: str) -> str:
    """``text`` with ``block`` between the marks of ``name``; raises ValueError where they are not.

    >>> with_block("a <!-- x --> old <!-- /x --> b", "x", "new")
    'a <!-- x -->\\n\\nnew\\n\\n<!-- /x --> b'
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the document has no place for the table: write {begin} and {end} into it")
    return f"{before}{begin}\n\n{block.strip()}\n\n{end}{after}"


def write_block(path: Path, name: str, block: str) -> None:
    """Puts ``block`` between the marks of ``name`` in the file."""
    path.write_text(with_block(path.read_text(encoding="utf-8"), name, block), encoding="utf-8")


def verdict(value: float, aim: float, error: float, digits: int) -> str:
    """Whether a figure that should be low is; how far it is from the aim, with the standard error of that.

    >>> verdict(28.8, 46.0, 1.3, 1), verdict(93.7, 90.0, 6.4, 1)
    ('reached', 'not reached: 3.7 ± 6.4 above')
    """
    return "reached" if value <= aim else f"not reached: {value - aim:.{digits}f} ± {error:.{digits}f} above"
