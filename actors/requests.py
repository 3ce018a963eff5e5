"""What is sent to the router, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from ..protocol.errors import HandicapperError, StoreFailedError
from ..protocol.messages import Prediction
from .learning.change import Change
from .runtime.future import LeanFuture
from .state.intake import Submission
from .state.loose import Spans
from .state.rebuild import HistoryItem

__all__ = [
    "AfterInputs",
    "AskHistory",
    "ChangeFound",
    "History",
    "HistoryRead",
    "HoldSnapshots",
    "Signals",
    "StoreBroken",
    "Submit",
    "SubmitEach",
    "TakeSnapshot",
]


class Submit(Struct, frozen=True):
    """Valid inputs; the reply gets a ``BatchResult``, or with ``single`` the ``Receipt`` of the only one."""

    items: list[Submission]
    reply: LeanFuture[Any]
    single: bool = False


class SubmitEach(Struct, frozen=True):
    """Valid inputs, and in the place of an invalid one its error; the reply gets a list of receipts and errors."""

    items: Sequence[Submission | HandicapperError]
    reply: LeanFuture[Any]


class Signals(Struct, frozen=True):
    """Valid predictions to be gated and recorded; the reply gets a list of decisions and errors."""

    predictions: list[Prediction]
    reply: LeanFuture[Any]


class AfterInputs(Struct, frozen=True):
    """Call ``then`` once the models were told of every input that was sent before."""

    then: Callable[[], object]
    reply: LeanFuture[Any]
    """Gets what ``then`` raises; the rest is up to ``then``."""

    def run(self) -> None:
        """Call it now."""
        try:
            self.then()
        except Exception as error:  # noqa: BLE001  # it goes to whoever asked
            self.reply.set_exception((type(error), error, error.__traceback__))


class TakeSnapshot(Struct, frozen=True):
    """Snapshot everything that came before; the reply, if any, gets a ``SnapshotReceipt``."""

    reply: LeanFuture[Any] | None = None


class HoldSnapshots(Struct, frozen=True):
    """What a snapshot writes is to stay as it is until :class:`HistoryRead`; the reply comes once that is so."""

    reply: LeanFuture[Any]


class AskHistory(Struct, frozen=True):
    """What the book has in memory of a model. The archive stays as it is until :class:`HistoryRead`."""

    model_id: str


class History(Struct, frozen=True):
    """Answer to :class:`AskHistory`."""

    ordinals: frozenset[int]
    """Markets in memory: newer than what the archive says of them."""
    tickets: list[HistoryItem]
    loose: Spans
    """Loose outcomes of all models in memory, for which there is no ticket: they are to be read from the journal."""
    archived: bool
    """Whether the archive counts: not after its snapshot was damaged, until the next one replaces all of it."""
    controls: list[Any]
    rules_history: list[Any]
    told_seq: int


class HistoryRead(Struct, frozen=True):
    """Whoever held snapshots up has read what he wanted: they may go on."""


class ChangeFound(Struct, frozen=True):
    """A model's change-point filter told of a change; where changes are shared, the others are to restart."""

    model_id: str
    change: Change


class StoreBroken(Struct, frozen=True):
    """The journal cannot be written any more."""

    error: StoreFailedError
