"""Takes snapshots for the router: a consistent cut as of one sequence number.

The router asks every model that changed for its state, down the same mailboxes as the outcomes: each
answers with its state as of the cut, whenever its turn comes. The book's side is taken at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from ..protocol.errors import HandicapperError, StoreFailedError
from ..protocol.messages import SnapshotReceipt
from .model import AskRecord
from .persister import WriteSnapshot
from .restore import Restored
from .roster import Roster
from .runtime.clock import Clock
from .runtime.dispatcher import Dispatcher
from .runtime.future import LeanFuture
from .runtime.gather import Gather, Gathered, scatter
from .runtime.ref import PooledRef
from .snapshot import book_write, snapshot_meta

__all__ = ["SnapshotGathered", "SnapshotWritten", "Snapshotter"]


class SnapshotGathered(Struct, frozen=True):
    """Every model asked has answered."""

    gathered: Gathered[str, tuple[bytes, bytes]]


class SnapshotWritten(Struct, frozen=True):
    """The persister is done with a snapshot."""

    error: StoreFailedError | None
    written_bytes: int


class _Taking(Struct):
    seq: int
    write: Any
    leaving: list[int]
    asked: list[str]
    replies: list[LeanFuture[Any]]
    began: float


class Snapshotter:
    """The router's helper: runs in the router's turns only."""

    def __init__(
        self,
        restored: Restored,
        roster: Roster,
        persister: PooledRef[Any],
        dispatcher: Dispatcher,
        clock: Clock,
        on_done: Callable[[StoreFailedError | None], object],
    ) -> None:
        self._book = restored.book
        self._archive = restored.archive
        self._told_seq = restored.told_seq
        self._replaces_all = restored.from_journal
        self._roster = roster
        self._persister = persister
        self._dispatcher = dispatcher
        self._clock = clock
        self._on_done = on_done
        self.tell_router: Callable[[Any], object] = lambda _: None
        self.unsaved_models = restored.unsaved_models
        self.seq = restored.snapshot_seq
        self.failures = 0
        self._taking: _Taking | None = None
        self._wanted: list[LeanFuture[Any]] = []
        self._again = False
        self._holds = 0
        self._ended: HandicapperError | None = None

    def want(self, reply: LeanFuture[Any] | None) -> None:
        """Take a snapshot of everything up to now, as soon as none is being taken."""
        if reply is not None:
            self._wanted.append(reply)
        if self._ended is not None:
            self.end(self._ended)
            return
        self._again = True
        self._begin()

    def end(self, error: HandicapperError) -> None:
        """Begin no further snapshot; whoever waits for one, begun or not, is answered."""
        self._ended = self._ended or error
        waiting, self._wanted = self._wanted, []
        if self._taking is not None:
            waiting += self._taking.replies
        for reply in waiting:
            reply.set_exception((type(error), error, None))

    def hold(self) -> None:
        """Somebody reads the archive: take no snapshot until :meth:`release`."""
        self._holds += 1

    def release(self) -> None:
        """The reader is done."""
        self._holds -= 1
        self._begin()

    def handle(self, message: Any) -> None:
        """What comes back while a snapshot is being taken."""
        if isinstance(message, SnapshotGathered):
            self._write(message.gathered)
        elif isinstance(message, SnapshotWritten):
            self._written(message)
        else:
            raise TypeError(f"the router cannot handle {message!r:.200}")

    def store_failed(self) -> bool:
        """Whether the store takes no more writes."""
        actor = self._persister.cell.actor
        return getattr(actor, "failure", None) is not None

    def _begin(self) -> None:
        if not self._again or self._taking is not None or self._holds or self._ended is not None:
            return
        self._again = False
        replies, self._wanted = self._wanted, []
        book = self._book
        if book.seq == self.seq and not self.unsaved_models:
            for reply in replies:
                reply.set(SnapshotReceipt(seq=self.seq, models=0, markets=0, bytes=0, seconds=0.0))
            return
        cut = book.cut()
        write, leaving = book_write(book, cut, self._told_seq)
        write.replaces_all = self._replaces_all
        failed = self._roster.failed
        asked = sorted(model for model in self.unsaved_models if model not in failed)
        self.unsaved_models.difference_update(asked)
        self._taking = _Taking(book.seq, write, leaving, asked, replies, self._clock.monotonic())
        gather: Gather[str, tuple[bytes, bytes]] = Gather(
            asked, lambda gathered: self.tell_router(SnapshotGathered(gathered))
        )
        scatter(
            self._dispatcher, [self._roster.refs[model] for model in asked], lambda _: AskRecord(), gather
        )

    def _write(self, gathered: Gathered[str, tuple[bytes, bytes]]) -> None:
        taking = self._taking
        assert taking is not None
        # A model whose actor could not answer is not in the cut: it is rebuilt when this snapshot is restored.
        stale = sorted({*gathered.errors, *gathered.missing, *self._roster.failed})
        self.unsaved_models.update(gathered.errors, gathered.missing)
        taking.write.models = list(gathered.values.values())
        taking.write.meta.append(snapshot_meta(taking.seq, self._clock.now_ns(), stale))
        tell_router = self.tell_router
        self._persister.post(
            WriteSnapshot(
                taking.seq, taking.write, lambda error, size: tell_router(SnapshotWritten(error, size))
            )
        )

    def _written(self, message: SnapshotWritten) -> None:
        taking, self._taking = self._taking, None
        assert taking is not None
        if message.error is None:
            self._archive.note(taking.leaving)
            self._book.saved()
            self._replaces_all = False
            self.seq = taking.seq
            receipt = SnapshotReceipt(
                seq=taking.seq,
                models=len(taking.write.models),
                markets=len(taking.write.open_markets) + len(taking.write.settled_markets),
                bytes=message.written_bytes,
                seconds=self._clock.monotonic() - taking.began,
            )
            for reply in taking.replies:
                reply.set(receipt)
        else:
            self.failures += 1
            self._book.not_saved()
            self.unsaved_models.update(taking.asked)
            for reply in taking.replies:
                reply.set_exception((type(message.error), message.error, None))
        self._on_done(message.error)
        self._begin()
