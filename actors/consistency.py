"""Whether a state directory is whole: every record read, the whole journal folded, and both compared bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from ..config import Settings
from ..protocol.errors import StateDamagedError
from ..protocol.messages import VerifyReport
from .archive import stored_markets
from .journaled import journaled_outcomes
from .records import (
    DamagedRecordError,
    decode_book,
    decode_chunk,
    decode_loose,
    decode_market,
    decode_model,
    decode_snapshot_meta,
    encode,
    unseal,
)
from .restore import BOOK_KEY, SNAPSHOT_KEY, Restored, fold_entries, journal_entries, restore
from .state.book import Book
from .state.entries import Entry
from .state.learners import LearnerState, public_name
from .state.loose import loose_market, spans_of
from .state.market import Market
from .state.pool_row import POOL_ID
from .state.rebuild import model_history, rebuild_model
from .store import Store

__all__ = ["Breathe", "ConsistencyCheck", "same_market"]

SLICE_ENTRIES: Final = 128
"""Entries folded in one piece: about a millisecond."""

_MARKET: Final = msgspec.msgpack.Decoder(Market)

Breathe = Callable[[], object]
"""Called between small pieces of work: may sleep, or raise to end the check."""


class ConsistencyCheck:
    """A check under way: what the journal gives so far, and what was found."""

    def __init__(self, store: Store, settings: Settings, breathe: Breathe) -> None:
        self._store = store
        self._settings = settings
        self._breathe = breathe
        self._records, self._damaged = _read_everything(store, breathe)
        self._first_seq, self._last_seq, gaps = _read_journal(store, breathe)
        self._damaged += gaps
        self._fold = _Fold(store, breathe)
        self.differences: list[str] = []
        """Found by others, to be reported with its own."""

    @property
    def folded_seq(self) -> int:
        """Last input folded."""
        return self._fold.book.seq

    @property
    def folded_book(self) -> Book:
        """The book that the journal gives as far as it was folded; not to be changed."""
        return self._fold.book

    @property
    def folded_models(self) -> frozenset[str]:
        """The models that the journal knows so far."""
        return frozenset(self._fold.states)

    def folded_state(self, model_id: str) -> LearnerState | None:
        """The state of a model that the journal gives; not to be changed."""
        return self._fold.state(model_id)

    def fold(self, up_to_seq: int | None) -> bool:
        """Fold the journal further; False if there is nothing to be compared."""
        if self._damaged or self._first_seq > 1:
            return False
        try:
            self._fold.go_on(up_to_seq)
        except StateDamagedError as error:
            self._damaged.append(str(error))
            return False
        return True

    def let_go(self) -> None:
        """Free what was folded; the check is over then."""
        self._free(self._fold.book, self._fold.states)

    def _free(self, book: Book, states: dict[str, LearnerState]) -> None:
        book.let_go(self._breathe)
        while states:
            states.popitem()
            self._breathe()

    def report(self, seq: int | None) -> VerifyReport:
        """Compare what is stored with the journal up to ``seq`` (None: all of it), which was folded."""
        differences = list(self.differences)
        models = 0
        if not self._damaged:
            try:
                filter_mib = self._settings.persistence.idempotency_filter_mib
                restored = restore(self._store, filter_mib, self._settings.limits, up_to_seq=seq)
            except StateDamagedError as error:
                self._damaged.append(str(error))
            else:
                models = len(restored.states.keys() - {POOL_ID})
                self._damaged.extend(f"{table}: {reason}" for table, _, reason in restored.quarantined)
                if self._first_seq == 1:
                    differences += self._compare(restored)
                self._free(restored.book, restored.states)
        return VerifyReport(
            ok=not self._damaged and not differences,
            first_seq=self._first_seq,
            last_seq=max(self._last_seq, self.folded_seq),
            records=self._records,
            models=models,
            damaged=tuple(self._damaged),
            differences=tuple(dict.fromkeys(differences)),
        )

    def _compare(self, restored: Restored) -> list[str]:
        """Names of the models and markets that the journal alone gives otherwise."""
        book, states = self._fold.finish()
        differences: list[str] = []
        for model_id in sorted(states.keys() | restored.states.keys()):
            self._breathe()
            folded, stored = states.get(model_id), restored.states.get(model_id)
            if folded is None or stored is None:
                differences.append(
                    f"model {public_name(model_id)}: only in the {'stored state' if folded is None else 'journal'}"
                )
            elif encode(folded.to_record()) != encode(stored.to_record()):
                differences.append(f"model {public_name(model_id)}: state differs")
        expected = {market.ordinal: market for market in book.all_markets()}
        for market in _stored_markets(self._store, restored):
            self._breathe()
            folded_market = expected.pop(market.ordinal, None)
            if folded_market is None or not same_market(folded_market, encode(market)):
                differences.append(f"market {market.market_id}: differs")
        differences.extend(f"market {market.market_id}: not stored" for market in expected.values())
        return differences


def same_market(folded: Market, found: bytes) -> bool:
    """Whether the journal gives a market as it was found, encoded: bit for bit.

    But for what a release before this one did not keep: the number of the outcome that added a P&L is 0 in its records.
    """
    if encode(folded) == found:
        return True
    try:
        tickets = _MARKET.decode(found).tickets
    except msgspec.MsgspecError:
        return False
    as_kept = {
        prediction_id: replace(ticket, pnl_seq=0)
        if prediction_id in tickets and not tickets[prediction_id].pnl_seq
        else ticket
        for prediction_id, ticket in folded.tickets.items()
    }
    return encode(replace(folded, tickets=as_kept)) == found


class _Fold:
    """The book and the states that the journal alone gives."""

    def __init__(self, store: Store, breathe: Breathe) -> None:
        self._store = store
        self._breathe = breathe
        self.book = Book()
        self.states: dict[str, LearnerState] = {}
        self._told_seq: dict[str, int] = {}
        self._stale: set[str] = set()

    def go_on(self, up_to_seq: int | None) -> None:
        """Fold what comes next.

        Raises:
            StateDamagedError: a record is damaged or missing.

        """
        for first, entries in journal_entries(self._store, self.book.seq, up_to_seq=up_to_seq):
            for start in range(0, len(entries), SLICE_ENTRIES):
                self._apply(first + start, entries[start : start + SLICE_ENTRIES])
                self._breathe()

    def _apply(self, first: int, entries: list[Entry]) -> None:
        for model_id, seq, rebuild in fold_entries(self.book, first, entries, self.states):
            self._told_seq[model_id] = seq
            if rebuild:
                self._stale.add(model_id)

    def state(self, model_id: str) -> LearnerState | None:
        """One model's state, once everything was folded; rebuilt if that is what it takes."""
        if model_id in self._stale:
            self._stale.discard(model_id)
            book = self.book
            self.states[model_id] = rebuild_model(
                model_id,
                model_history(model_id, book.all_markets()),
                book.controls[model_id],
                book.rules_history,
                self._told_seq[model_id],
                lambda _: None,
            )
        return self.states.get(model_id)

    def finish(self) -> tuple[Book, dict[str, LearnerState]]:
        """The result, once everything was folded."""
        for model_id in sorted(self._stale):
            self.state(model_id)
            self._breathe()
        return self.book, self.states


def _read_everything(store: Store, breathe: Breathe) -> tuple[int, list[str]]:
    """(records read, what is wrong with which of them) of every table but the journal."""
    tables: list[tuple[str, Iterable[tuple[bytes, bytes]], Callable[[bytes, bytes], Any]]] = [
        ("model", store.models(), decode_model),
        ("open market", store.open_markets(), decode_market),
        ("settled market", store.settled_markets(), decode_market),
        ("loose outcomes", store.loose_outcomes(), decode_loose),
        ("index run", store.runs(), unseal),
        ("snapshot", _meta(store, SNAPSHOT_KEY), decode_snapshot_meta),
        ("book", _meta(store, BOOK_KEY), decode_book),
    ]
    records, damaged = 0, []
    for name, rows, decode in tables:
        for key, value in rows:
            records += 1
            breathe()
            try:
                decode(key, value)
            except DamagedRecordError as error:
                shown = (
                    int.from_bytes(key, "big")
                    if "market" in name or "loose" in name
                    else key.decode(errors="replace")
                )
                damaged.append(f"{name} {shown}: {error}")
    return records, damaged


def _meta(store: Store, key: bytes) -> list[tuple[bytes, bytes]]:
    value = store.meta(key)
    return [] if value is None else [(key, value)]


def _read_journal(store: Store, breathe: Breathe) -> tuple[int, int, list[str]]:
    """(first sequence number, last, what is damaged or missing) of the journal."""
    first_seq = last_seq = 0
    problems: list[str] = []
    for key, value in store.read_journal(0):
        breathe()
        number = int.from_bytes(key, "big")
        try:
            first, _, entries = decode_chunk(key, value)
        except DamagedRecordError as error:
            problems.append(f"journal {number}: {error}")
            continue
        if first_seq and first != last_seq + 1:
            problems.append(f"journal {number}: inputs {last_seq + 1} to {first - 1} before it are missing")
        first_seq = first_seq or first
        last_seq = first + len(entries) - 1
    return first_seq, last_seq, problems


def _stored_markets(store: Store, restored: Restored) -> Iterable[Market]:
    book = restored.book
    yield from book.markets.values()
    seqs = book.loose.seqs(book.by_prediction)
    yield from map(loose_market, journaled_outcomes(store, spans_of(seqs)))
    known = {*(market.ordinal for market in book.markets.values()), *seqs, *book.merged}
    for market in stored_markets(store):
        if market.ordinal not in known:
            yield market
