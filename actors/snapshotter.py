"""Takes snapshots for the router: a consistent cut as of one sequence number.

The router asks every model that changed for its state, down the same mailboxes as the outcomes: each
answers with its state as of the cut, whenever its turn comes. The book's side is sealed in pieces between
inputs, and leaves memory in pieces once it is durable, so that an input waits for a piece and not for a
snapshot; a market that changes meanwhile is kept as it was at the cut.

A model that does not answer is left out, which makes it stale in the snapshot: it is rebuilt from the journal when
this one is restored, and asked again by the next. That is so for one that is stuck, failed or stopped. One that may
just be slow is waited for until the watchdog calls it stuck (``supervision.stuck_after_secs``, plus a look; without a
watchdog as long as it takes): until then the two look the same, a shorter deadline would make models stale whenever
the machine is busy, and every restart would pay for that. Nobody else waits meanwhile: inputs are taken in and
acknowledged, and the journal is taken over. Only what is settled stays in memory for so much longer, and whoever asked
for the snapshot is answered later; ``close`` has a deadline of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from ..protocol.errors import HandicapperError, StoreFailedError
from ..protocol.messages import SnapshotReceipt
from ..protocol.wording import shown
from .model import AskRecord
from .persister import WriteAhead, WriteSnapshot
from .restore import Restored
from .roster import Roster
from .runtime.clock import Clock
from .runtime.dispatcher import Dispatcher
from .runtime.future import LeanFuture
from .runtime.gather import Gather, Gathered, scatter
from .runtime.ref import PooledRef
from .snapshot import BookSealer, snapshot_meta
from .store import Settled

__all__ = ["SnapshotGathered", "SnapshotStep", "SnapshotWritten", "Snapshotter"]

SEAL_ITEMS: Final = 1_024
"""Markets and their predictions sealed, at least, before inputs get their turn again: about 2 ms of work."""
CATCH_UP_ITEMS_MAX: Final = 32_768
"""How many more at most, where much comes in meanwhile: about 60 ms."""
NOTE_NUMBERS: Final = 8_192
"""Fingerprints put into the filter in one go, likewise."""
LEAVE_MARKETS: Final = 2_048
"""Markets that leave memory in one go, likewise."""


class SnapshotGathered(Struct, frozen=True):
    """Every model asked has answered."""

    gathered: Gathered[str, tuple[bytes, bytes]]


class SnapshotWritten(Struct, frozen=True):
    """The persister is done with a snapshot."""

    error: StoreFailedError | None
    written_bytes: int


class SnapshotStep(Struct, frozen=True):
    """The snapshot being taken goes on a little."""


class _Taking(Struct):
    seq: int
    sealer: BookSealer
    asked: list[str]
    replies: list[LeanFuture[Any]]
    began: float
    gathered: Gathered[str, tuple[bytes, bytes]] | None = None
    receipt: SnapshotReceipt | None = None
    """It is durable; what it saved leaves memory."""
    noted: int = 0
    """How many of the fingerprints are in the filter."""
    stepped_at_seq: int = 0
    """Last input before the step before."""
    behind_items: int = 0
    """Items to be done before the snapshot is ahead of what came in meanwhile."""


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
        self.replaces_all = restored.from_journal
        """Memory holds everything, and what is stored is of a snapshot that was damaged."""
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
        self._holding: list[LeanFuture[Any]] = []
        """Who holds snapshots up, and waits for the end of the one being taken."""
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
        waiting, self._wanted = [*self._wanted, *self._holding], []
        self._holding.clear()
        if self._taking is not None:
            waiting += self._taking.replies
        for reply in waiting:
            reply.set_exception((type(error), error, None))

    def hold(self, reply: LeanFuture[Any] | None = None) -> None:
        """Somebody reads the archive: begin no snapshot until :meth:`release`.

        ``reply`` is answered once none is being taken either. A reader without one makes do with what the
        book has in memory while the snapshot being taken is written.
        """
        self._holds += 1
        if reply is not None and (self._taking is None or self._ended is not None):
            reply.set()
        elif reply is not None:
            self._holding.append(reply)

    def release(self) -> None:
        """The reader is done."""
        self._holds -= 1
        self._begin()

    def handle(self, message: Any) -> None:
        """What comes back while a snapshot is being taken."""
        if isinstance(message, SnapshotStep):
            self._step()
        elif isinstance(message, SnapshotGathered):
            assert self._taking is not None
            self._taking.gathered = message.gathered
            self._write()
        elif isinstance(message, SnapshotWritten):
            self._written(message)
        else:
            raise TypeError(f"the router cannot handle {shown(message)}")

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
        sealer = BookSealer(book, book.cut(), self._told_seq, None if self.replaces_all else self.seq)
        sealer.write.replaces_all = self.replaces_all
        failed = self._roster.failed
        asked = sorted(model for model in self.unsaved_models if model not in failed)
        self.unsaved_models.difference_update(asked)
        self._taking = _Taking(
            book.seq, sealer, asked, replies, self._clock.monotonic(), stepped_at_seq=book.seq
        )
        gather: Gather[str, tuple[bytes, bytes]] = Gather(
            asked, lambda gathered: self.tell_router(SnapshotGathered(gathered))
        )
        scatter(
            self._dispatcher, [self._roster.refs[model] for model in asked], lambda _: AskRecord(), gather
        )
        self._step()

    def _step(self) -> None:
        """Go on with what may take long, and come again after the next checkpoint and the inputs that wait."""
        taking = self._taking
        if taking is None or (self._ended is not None and taking.receipt is None):
            return
        # Faster than what comes in, or what is settled would pile up in memory: for each input two markets.
        came = self._book.seq - taking.stepped_at_seq
        taking.stepped_at_seq = self._book.seq
        taking.behind_items += 4 * came
        more = min(taking.behind_items, CATCH_UP_ITEMS_MAX)
        taking.behind_items -= more
        ahead = Settled()
        if taking.receipt is not None:
            if self._leave(taking, taking.receipt, more):
                return
        else:
            ahead = taking.sealer.seal_some(SEAL_ITEMS + more)
            if taking.sealer.done:
                taking.sealer.write.settled += ahead
                self._write()
                return
        tell_router = self.tell_router
        if taking.behind_items:
            # The next piece as soon as what waits now had its turn, not only after the next checkpoint.
            self._persister.post(WriteAhead(ahead, lambda: None))
            tell_router(SnapshotStep())
        else:
            self._persister.post(WriteAhead(ahead, lambda: tell_router(SnapshotStep())))

    def _write(self) -> None:
        """Hand the snapshot to the persister, once the models answered and the markets are sealed."""
        taking = self._taking
        assert taking is not None
        gathered, write = taking.gathered, taking.sealer.write
        if gathered is None or not taking.sealer.done:
            return
        # A model whose actor could not answer is not in the cut: it is rebuilt when this snapshot is restored.
        stale = sorted({*gathered.errors, *gathered.missing, *self._roster.failed})
        self.unsaved_models.update(gathered.errors, gathered.missing)
        write.models = list(gathered.values.values())
        write.meta.append(snapshot_meta(taking.seq, self._clock.now_ns(), stale))
        tell_router = self.tell_router
        self._persister.post(
            WriteSnapshot(
                taking.seq,
                write,
                taking.sealer.finish,
                lambda error, size: tell_router(SnapshotWritten(error, size)),
            )
        )

    def _written(self, message: SnapshotWritten) -> None:
        taking = self._taking
        assert taking is not None
        if message.error is not None:
            self.failures += 1
            self._book.not_saved()
            self.unsaved_models.update(taking.asked)
            for reply in taking.replies:
                reply.set_exception((type(message.error), message.error, None))
            self._done(message.error)
            return
        sealer = taking.sealer
        self.replaces_all = False
        self.seq = taking.seq
        taking.receipt = SnapshotReceipt(
            seq=taking.seq,
            models=len(sealer.write.models),
            markets=len(sealer.write.open_markets) + sealer.settled_markets,
            bytes=message.written_bytes + sealer.settled_bytes,
            seconds=self._clock.monotonic() - taking.began,
        )
        self._step()

    def _leave(self, taking: _Taking, receipt: SnapshotReceipt, more: int) -> bool:
        """Let some of what is durable leave memory; tells whether that was all of it."""
        # The filter first: whatever has left memory must be looked for on disk.
        some = taking.sealer.index.fingerprints[taking.noted : taking.noted + NOTE_NUMBERS + more]
        if some:
            self._archive.note(some)
            taking.noted += len(some)
            return False
        if self._book.leave_some(LEAVE_MARKETS + more) is not None:
            return False
        for reply in taking.replies:
            reply.set(receipt)
        self._done(None)
        return True

    def _done(self, error: StoreFailedError | None) -> None:
        self._taking = None
        self._on_done(error)
        holding, self._holding = self._holding, []
        for reply in holding:
            reply.set()
        self._begin()
