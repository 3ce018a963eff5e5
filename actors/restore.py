"""The only start path: newest snapshot, then every journaled input after it.

What is damaged and can be derived again is quarantined and derived again (a damaged snapshot: from the
whole journal). What was acknowledged and cannot be read back at all stops the opening with
``StateDamagedError``, unless the caller accepts the loss, which then stays visible in ``quarantined``.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from ..config import Limits, default_settings
from ..protocol.errors import StateDamagedError
from ..protocol.wording import shown
from .archive import Archive, stored_markets
from .histories import Away, archived_histories
from .journaled import ArchiveDamagedError
from .records import (
    DamagedRecordError,
    decode_book,
    decode_chunk,
    decode_market,
    decode_model,
    decode_snapshot_meta,
    key_number,
    unseal,
)
from .state.book import Book
from .state.delivery import Deliveries
from .state.entries import Entry, RulesInForce
from .state.id_index import run_fingerprints
from .state.learners import LearnerState, new_state, state_of_record
from .state.loose import spans_of
from .state.rebuild import model_history, rebuild_model
from .store import Store

__all__ = [
    "BOOK_KEY",
    "SNAPSHOT_KEY",
    "Restored",
    "drop_unfinished_snapshot",
    "fold_entries",
    "journal_entries",
    "restore",
]

SNAPSHOT_KEY = b"snapshot"
BOOK_KEY = b"book"


class Restored(Struct):
    """Everything as it was when the last input was journaled."""

    book: Book
    states: dict[str, LearnerState]
    """The models', and the pool's."""
    told_seq: dict[str, int]
    """Last input that touched each model."""
    archive: Archive
    snapshot_seq: int = 0
    snapshot_taken_at_ns: int = 0
    replayed: int = 0
    from_journal: bool = False
    """The snapshot was damaged: everything was derived again from the whole journal."""
    quarantined: list[tuple[str, bytes, str]] = []
    """(table, key, reason) of records found damaged now."""
    rebuilt: list[str] = []
    """Models rebuilt from their history."""
    poison: list[tuple[str, str]] = []
    """(model, what and why) of events that could not be folded."""

    @property
    def unsaved_models(self) -> set[str]:
        """Models whose stored record is older than their state."""
        return {*self.rebuilt, *(model for model, seq in self.told_seq.items() if seq > self.snapshot_seq)}


def drop_unfinished_snapshot(store: Store) -> None:
    """Delete what was written ahead for a snapshot that a crash prevented: the journal has it all.

    Left alone it would be overwritten in time; unless a loss is accepted, and other inputs get its numbers.
    """
    value = store.meta(SNAPSHOT_KEY)
    try:
        seq = 0 if value is None else decode_snapshot_meta(SNAPSHOT_KEY, value).seq
    except DamagedRecordError:
        return  # derived again from the journal; the next snapshot replaces all that is there
    store.drop_settled_after(seq)


def restore(
    store: Store,
    filter_mib: int,
    limits: Limits,
    accept_loss: bool = False,
    up_to_seq: int | None = None,
) -> Restored:
    """Read everything back; with ``up_to_seq`` as it was when that input was journaled, no earlier than the
    snapshot.

    Raises:
        StateDamagedError: acknowledged inputs cannot be read, and ``accept_loss`` is false.

    """
    quarantined: list[tuple[str, bytes, str]] = []
    try:
        return _restore(store, filter_mib, limits, accept_loss, quarantined, False, up_to_seq)
    except _SnapshotDamagedError as error:
        first = next(iter(store.read_journal(0)), None)
        if first is None or key_number(first[0]) != 1:
            raise StateDamagedError(
                f"the snapshot is damaged ({error.table}: {error.reason}) and the journal no longer reaches back to "
                "the first input; restore the directory from a backup"
            ) from error
        table, key, reason = error.table, error.key, error.reason
    quarantined[:] = [] if table == "journal" else [(table, key, reason)]
    restored = _restore(store, filter_mib, limits, accept_loss, quarantined, True, up_to_seq)
    if table == "journal" and all(item[:2] != (table, key) for item in quarantined):
        # What is damaged in the journal the second reading finds too; else it is the archive that is wrong about it.
        quarantined.append(("loose_outcomes", key, f"journal record {key_number(key)}: {reason}"))
    return restored


def _restore(
    store: Store,
    filter_mib: int,
    limits: Limits,
    accept_loss: bool,
    quarantined: list[tuple[str, bytes, str]],
    from_journal: bool,
    up_to_seq: int | None,
) -> Restored:
    book = Book(limits.pending_predictions_max, limits.models_max)
    archive = Archive(store, filter_mib)
    restored = Restored(book, {}, {}, archive, quarantined=quarantined, from_journal=from_journal)
    stale = set() if from_journal else _load_snapshot(store, restored)
    try:
        _replay(store, restored, stale, accept_loss, up_to_seq)
        if stale:
            _rebuild(store, restored, sorted(stale))
    except ArchiveDamagedError as error:
        raise _SnapshotDamagedError(error.table, error.key, error.problem) from error
    return restored


class _SnapshotDamagedError(Exception):
    def __init__(self, table: str, key: bytes, reason: str) -> None:
        super().__init__(reason)
        self.table, self.key, self.reason = table, key, reason


def _load_snapshot(store: Store, restored: Restored) -> set[str]:
    """Load the newest snapshot; return the models that are not in it."""
    value = store.meta(SNAPSHOT_KEY)
    if value is None:
        return set()
    table, key = "meta", SNAPSHOT_KEY
    try:
        meta = decode_snapshot_meta(key, value)
        restored.snapshot_seq, restored.snapshot_taken_at_ns = meta.seq, meta.taken_at_ns
        book, key = restored.book, BOOK_KEY
        record = decode_book(key, store.meta(key) or b"")
        book.seq = record.seq
        book.rules_history = record.rules_history
        book.shared_until_ns = record.shared_until_ns
        if record.rules_history:
            book.follow_rules()
        for model_id, (told_seq, controls) in record.models.items():
            book.controls[model_id] = [(control.seq, control.event()) for control in controls]
            restored.told_seq[model_id] = told_seq
        table = "open_markets"
        for key, value in store.open_markets():
            book.admit(decode_market(key, value))
        table = "models"
        stale = set(meta.stale_models)
        for key, value in store.models():
            model = state_of_record(decode_model(key, value), book.rules_at(book.seq))
            restored.states[model.model_id] = model
            if model.applied_seq < restored.told_seq.get(model.model_id, 0):
                stale.add(model.model_id)  # written without something it had been told: its history has it
            elif model.applied_seq > record.seq:
                stale.add(model.model_id)  # rebuilt ahead of the cut: its rules may not be those of the cut
        missing = book.controls.keys() - restored.states.keys() - stale
        if missing:
            raise DamagedRecordError(f"no record of model {shown(min(missing))}")
        table = "index"
        for key, value in store.runs():
            body = unseal(key, value)
            try:
                restored.archive.note(run_fingerprints(body))
            except ValueError as error:
                raise DamagedRecordError(f"its CRC matches but it is no run: {error}") from error
    except DamagedRecordError as error:
        raise _SnapshotDamagedError(table, key, str(error)) from error
    return stale


def journal_entries(
    store: Store,
    after_seq: int,
    damaged: list[tuple[str, bytes, str]] | None = None,
    up_to_seq: int | None = None,
) -> Iterator[tuple[int, list[Entry]]]:
    """(first sequence number, entries) of the journal after one input and up to another, in order.

    A damaged record or a gap is added to ``damaged`` and passed over.

    Raises:
        StateDamagedError: a record is damaged or missing, and ``damaged`` is None.

    """
    if up_to_seq is not None and after_seq >= up_to_seq:
        return
    expected = after_seq + 1
    for key, value in store.read_journal(expected):
        try:
            first, _, entries = decode_chunk(key, value)
            if first > expected:
                raise DamagedRecordError(f"inputs {expected} to {first - 1} before it are missing")
        except DamagedRecordError as error:
            if damaged is None:
                raise StateDamagedError(
                    f"journal record {int.from_bytes(key, 'big')} is damaged: {error}; inputs from {expected} on that "
                    "were acknowledged cannot be read. Restore a backup, or open with accept_loss=True to go on "
                    "without them"
                ) from error
            damaged.append(("journal", key, str(error)))
            if "missing" not in str(error):
                continue
            first, _, entries = decode_chunk(key, value)
        skip = max(expected - first, 0)
        end = len(entries) if up_to_seq is None else min(len(entries), up_to_seq + 1 - first)
        if skip < end:
            yield first + skip, entries[skip:end]
        expected = max(expected, first + len(entries))
        if up_to_seq is not None and expected > up_to_seq:
            return


def _replay(
    store: Store, restored: Restored, stale: set[str], accept_loss: bool, up_to_seq: int | None
) -> None:
    book = restored.book
    damaged = restored.quarantined if accept_loss else None
    for first, entries in journal_entries(store, book.seq, damaged, up_to_seq):
        for error in restored.archive.bring_back(book, entries).damaged.values():
            raise error
        restored.replayed += len(entries)
        for model_id, seq, rebuild in fold_entries(book, first, entries, restored.states):
            restored.told_seq[model_id] = seq
            if rebuild:
                stale.add(model_id)
        # They are in the journal, after all.
        book.loose.recent.forget_through(book.seq)


def fold_entries(
    book: Book, first: int, entries: list[Entry], states: dict[str, LearnerState]
) -> Iterator[tuple[str, int, bool]]:
    """Fold journaled entries into the book and the models' states.

    Yields (model, last input that touched it, whether it needs a rebuild): after a correction that lies
    too far back, or because an event could not be folded.
    """
    if not book.rules_history and not isinstance(entries[0], RulesInForce):
        # After an accepted loss of the first inputs: nobody knows what they said.
        book.rules_history.append((0, default_settings().learning_rules()))
        book.follow_rules()
    out = Deliveries()
    book.loose.recent.begin(first, entries)
    for seq, entry in enumerate(entries, first):
        book.apply(entry, seq, out)
    for model_id, delivery in out.finished():
        state = states.get(model_id)
        if state is None:
            state = states[model_id] = new_state(model_id, book.rules_at(delivery.first_seq))
        try:
            rebuild = state.apply(delivery.events, delivery.seq)
        except Exception:  # noqa: BLE001  # a poison event: the rebuild finds it and sets it aside
            rebuild = True
        yield model_id, delivery.seq, rebuild


def _rebuild(store: Store, restored: Restored, stale: list[str]) -> None:
    """Rebuild models from their history; from the whole journal, all markets are in memory."""
    book = restored.book
    loose = spans_of(book.loose.seqs(book.by_prediction))
    away = Away(book.superseded(), loose, archived=not restored.from_journal)
    archived = archived_histories(store, stored_markets(store), dict.fromkeys(stale, away))
    for model_id in stale:
        poison: list[str] = []
        restored.states[model_id] = rebuild_model(
            model_id,
            [*archived[model_id], *model_history(model_id, book.markets.values())],
            book.controls[model_id],
            book.rules_history,
            restored.told_seq.get(model_id, 0),
            poison.append,
        )
        restored.rebuilt.append(model_id)
        restored.poison.extend((model_id, text) for text in poison)
