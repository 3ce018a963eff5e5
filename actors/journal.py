"""The one door to the journal: what goes through it is numbered without a gap, durable, and then acknowledged.

Whoever has the inputs may go through it: the router in its own turn, where nothing waits before it and the disk is
quick, because handing a batch to another thread costs as much as syncing it; else the persister, whose
thread may wait for the disk as long as it takes. One at a time, and never the router past a batch it handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Any, Final

from msgspec import Struct, structs

from ..protocol.errors import StoreFailedError, StoreFullError, reason_of
from .records import encode, number_key, seal
from .runtime.future import LeanFuture
from .state.entries import Entry
from .store import Store

__all__ = ["Journal", "JournalBatch"]

QUICK_SECONDS: Final = 0.005
"""A commit that took longer in the router's turn held up everybody who waited for that thread."""
NOT_HERE_SECONDS: Final = 1.0
"""So long the persister has them, before the router tries again."""
HERE_INPUTS_MAX: Final = 1_024
"""Inputs beyond which a batch is left to the persister: encoding and writing it takes milliseconds."""

RECORD_INPUTS_MAX: Final = 256
"""Entries that share a journal record: to read one of them back (:mod:`.journaled`), it is checked and split."""

TAIL_BYTES_MAX: Final = 16 * 2**20
"""Journal bytes not taken over from the log beyond which the persister has to keep up, which it does by itself where
batches are handed to it."""

Reply = tuple[LeanFuture[Any], Any]


class JournalBatch(Struct, frozen=True):
    """Entries to be made durable, and what to answer to whom once they are."""

    first_seq: int
    received_at_ns: int
    entries: list[Entry]
    replies: list[Reply]
    failed: Callable[[StoreFailedError], object]
    """Told when they cannot be made durable."""


class Journal:
    """``durable_seq``, ``commits``, ``journal_bytes`` and ``failure`` may be read from any thread."""

    def __init__(
        self, store: Store, durable_seq: int, batch_inputs_max: int, committed: Callable[[], object]
    ) -> None:
        self.store = store
        self.durable_seq = durable_seq
        self.commits = 0
        self.journal_bytes = 0
        self.failure: StoreFailedError | None = None
        self.full: StoreFullError | None = None
        """Why nothing can be accepted for now."""
        self.became_full: Callable[[], object] = lambda: None
        """Has somebody send the persister a ``Retry`` later."""
        self._held: list[JournalBatch] = []
        """Taken in and told to the models, but not durable, because the disk was full: written when it can be."""
        self._batch_inputs_max = batch_inputs_max
        self._committed = committed
        self.checkpoint_asked = False
        """The persister has been asked to have the log taken over, and has not begun."""
        self._going_through = Lock()
        self._not_here_until = 0.0
        self._handed_over = 0
        """Batches the router left to the persister; counted by the router."""
        self._taken_over = 0
        """Those of them that are committed, or refused; counted by the persister."""

    def hand_over(self) -> None:
        """The router leaves a batch to the persister: none of its later ones may overtake it."""
        self._handed_over += 1

    def commit_here(self, batches: list[JournalBatch]) -> bool:
        """Commit batches in the calling thread, the router's, with one sync; False if they have to be handed over."""
        if (
            self._handed_over != self._taken_over
            or sum(len(batch.entries) for batch in batches) > HERE_INPUTS_MAX
            or self.store.tail_bytes > TAIL_BYTES_MAX
            or (self._not_here_until and monotonic() < self._not_here_until)
            or not self._going_through.acquire(blocking=False)
        ):
            return False
        began = monotonic()
        try:
            self._commit(batches)
        finally:
            self._going_through.release()
        ended = monotonic()
        self._not_here_until = ended + NOT_HERE_SECONDS if ended - began > QUICK_SECONDS else 0.0
        return True

    def commit(self, batches: list[JournalBatch]) -> None:
        """Commit batches that were handed over, all with one sync."""
        with self._going_through:
            self._commit(batches)
        self._taken_over += len(batches)

    def retry(self) -> bool:
        """Try again to write what is held because the disk was full; returns whether all of it is durable."""
        with self._going_through:
            if self._held:
                self._commit([])
            return not self._held

    def _commit(self, batches: list[JournalBatch]) -> None:
        try:
            if self.failure is not None:
                raise self.failure.with_traceback(None)
            expected = self.durable_seq + 1
            for batch in (*self._held, *batches):
                if batch.first_seq != expected:
                    raise StoreFailedError(
                        f"input {expected} was not handed to the journal; {batch.first_seq} was"
                    )
                expected += len(batch.entries)
            records = [record for batch in (*self._held, *batches) for record in self._chunks(batch)]
            if records:
                self.journal_bytes += self.store.append(records)
                self.commits += 1
                self.durable_seq = expected - 1
                self._held.clear()
                self._committed()
        except StoreFullError as error:
            self.refuse_for_now(error)
            self._held += [structs.replace(batch, replies=[]) for batch in batches]
            _answer_all(batches, error)
            return
        except Exception as error:  # noqa: BLE001  # whatever it was: none of these is durable
            self._refuse(batches, error)
            return
        for batch in batches:
            for future, value in batch.replies:
                future.set(value)

    def refuse_for_now(self, error: StoreFullError) -> None:
        """There is no room, or no leave to write: nothing is accepted until a retry succeeds."""
        known, self.full = self.full, error
        if known is None:
            self.became_full()

    def _refuse(self, batches: list[JournalBatch], error: Exception) -> None:
        """After a failed commit nothing is acknowledged any more, so that nothing can be lost unnoticed."""
        if not isinstance(error, StoreFailedError):
            error = StoreFailedError(
                f"the journal could not be written: {reason_of(error)}; nothing more is acknowledged"
            )
        self.failure = error
        _answer_all(batches, error)
        for batch in batches[:1]:
            batch.failed(error)

    def _chunks(self, batch: JournalBatch) -> list[tuple[bytes, bytes]]:
        """Journal records of at most ``batch_inputs_max`` entries, and no more than are quickly read."""
        size, records = min(self._batch_inputs_max, RECORD_INPUTS_MAX), []
        for start in range(0, len(batch.entries), size):
            key = number_key(batch.first_seq + start)
            body = encode((batch.received_at_ns, batch.entries[start : start + size]))
            records.append((key, seal(key, body)))
        return records


def _answer_all(batches: list[JournalBatch], error: StoreFailedError) -> None:
    for batch in batches:
        for future, _ in batch.replies:
            future.set_exception((type(error), error, error.__traceback__))
