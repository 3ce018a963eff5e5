"""What long work beside a running learner goes by: it gives way, looks in on the router, and holds snapshots up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from pykka._envelope import Envelope

from ..protocol.errors import ClosedError
from .calls import Reply
from .engine import Engine
from .requests import AfterInputs, HistoryRead, HoldSnapshots

__all__ = ["Breathe", "beside", "durable_seq", "in_routers_turn", "snapshots_held", "wait_durable"]

T = TypeVar("T")

Breathe = Callable[[], object]
"""Called between small pieces of work: may sleep, or raise to end it."""

PAUSE_SECONDS: Final = 0.001
WORK_SECONDS: Final = 0.004
"""Beside a learner at work, that long at most without giving way to its threads."""


def beside(engine: Engine, work_seconds: float = WORK_SECONDS) -> Breathe:
    """Gives way to the learner's threads, and raises ClosedError once the learner is to be closed."""
    since = monotonic()

    def breathe() -> None:
        nonlocal since
        if engine.closing:
            raise ClosedError(f"the learner on {engine.directory.path} was closed meanwhile")
        if monotonic() - since >= work_seconds:
            sleep(PAUSE_SECONDS)
            since = monotonic()

    return breathe


def durable_seq(engine: Engine) -> int:
    """The last input that is durable.

    Raises:
        ClosedError: the learner was closed meanwhile.

    """
    return _persister(engine).durable_seq


def in_routers_turn(engine: Engine, look: Callable[[Any], T]) -> T:
    """What ``look(router)`` says between two inputs, when the models have been told of all before.

    Raises:
        ClosedError: the learner was closed meanwhile.

    """
    cell = engine.router.cell
    reply: Reply[T] = Reply(cell)
    cell.put_always(Envelope(AfterInputs(lambda: reply.set(look(cell.actor)), reply), reply))
    return reply.get()


def wait_durable(engine: Engine, seq: int, breathe: Breathe) -> bool:
    """Wait until input ``seq`` is durable; False if it never will be, because the journal failed."""
    while durable_seq(engine) < seq:
        if _persister(engine).failure is not None:
            return False
        breathe()
        sleep(PAUSE_SECONDS)
    return True


@contextmanager
def snapshots_held(engine: Engine) -> Iterator[None]:
    """What a snapshot writes stays as it is within: none is being taken, and none begins."""
    held: Reply[None] = Reply(engine.router.cell)
    engine.router.cell.put_always(Envelope(HoldSnapshots(held), held))
    try:
        held.get()
        yield
    finally:
        engine.router.post(HistoryRead())


def _persister(engine: Engine) -> Any:
    persister = engine.persister.cell.actor
    if persister is None:
        raise ClosedError(f"the learner on {engine.directory.path} was closed meanwhile")
    return persister
