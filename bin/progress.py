"""The progress bar of a replay: on standard error, and only if a person is watching."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

from .sources import TextSource

__all__ = ["progress_bar"]


@contextlib.contextmanager
def progress_bar(sources: Sequence[TextSource], *, wanted: bool) -> Iterator[Callable[[int], None] | None]:
    """Show a bar over the bytes of the inputs; yields what to call with each number of events sent.

    Yields None where there is nothing to show: not wanted, or standard error is no terminal. Where an
    input has no known size (a pipe) the bar only counts.
    """
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # lazily: only a terminal needs rich
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    sizes = [source.bytes_total for source in sources]
    known = [size for size in sizes if size is not None]
    total = sum(known) if len(known) == len(sizes) else None
    columns = (
        TextColumn("replaying"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[events]} events"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("replaying", total=total, events=0)
        events = 0

        def advance(count: int) -> None:
            nonlocal events
            events += count
            bar.update(task, completed=sum(source.bytes_read() for source in sources), events=events)

        yield advance
