"""``verify``: reads every record, folds the whole journal again, and compares with what is stored, bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from ..config import Settings, check_settings, default_settings
from ..protocol.errors import StateDamagedError
from ..protocol.messages import VerifyReport
from .records import (
    DamagedRecordError,
    decode_book,
    decode_chunk,
    decode_market,
    decode_model,
    decode_snapshot_meta,
    encode,
    unseal,
)
from .restore import BOOK_KEY, SNAPSHOT_KEY, Restored, fold_entries, journal_entries, restore
from .state.book import Book
from .state.market import Market
from .state.model_state import ModelState
from .state.rebuild import model_history, rebuild_model
from .state_directory import StateDirectory
from .store import Store

__all__ = ["verify_state"]


def verify_state(state_dir: str | os.PathLike[str], settings: Settings | None = None) -> VerifyReport:
    """Check a state directory that no learner has open. Changes nothing.

    Every record is read and its CRC checked; the state that an opening would restore (snapshot and the
    journal after it) is compared with the one that the journal alone gives, from its first input on.

    Raises:
        StateLockedError: a learner has it open.
        StateError: it is not there, or cannot be read at all.

    """
    checked = check_settings(default_settings() if settings is None else settings)
    directory = StateDirectory(state_dir, create=False)
    try:
        persistence = checked.persistence
        store = Store(
            directory.path,
            directory.table_of(persistence.db_table, settings is not None),
            persistence.initial_map_mib,
            persistence.map_mib_max,
            create=False,
        )
        try:
            return _verify(store, checked)
        finally:
            store.close()
    finally:
        directory.release()


def _verify(store: Store, settings: Settings) -> VerifyReport:
    records, damaged = _read_everything(store)
    first_seq, last_seq, gaps = _read_journal(store)
    damaged += gaps
    differences: list[str] = []
    models = 0
    if not damaged:
        try:
            filter_mib = settings.persistence.idempotency_filter_mib
            restored = restore(store, filter_mib, settings.limits)
        except StateDamagedError as error:
            damaged.append(str(error))
        else:
            models = len(restored.states)
            damaged.extend(f"{table}: {reason}" for table, _, reason in restored.quarantined)
            if first_seq == 1:
                differences = _compare(store, restored)
    return VerifyReport(
        ok=not damaged and not differences,
        first_seq=first_seq,
        last_seq=last_seq,
        records=records,
        models=models,
        damaged=tuple(damaged),
        differences=tuple(differences),
    )


def _read_everything(store: Store) -> tuple[int, list[str]]:
    """(records read, what is wrong with which of them) of every table but the journal."""
    tables: list[tuple[str, Iterable[tuple[bytes, bytes]], Callable[[bytes, bytes], Any]]] = [
        ("model", store.models(), decode_model),
        ("open market", store.open_markets(), decode_market),
        ("settled market", store.settled_markets(), decode_market),
        ("index run", store.runs(), unseal),
        ("snapshot", _meta(store, SNAPSHOT_KEY), decode_snapshot_meta),
        ("book", _meta(store, BOOK_KEY), decode_book),
    ]
    records, damaged = 0, []
    for name, rows, decode in tables:
        for key, value in rows:
            records += 1
            try:
                decode(key, value)
            except DamagedRecordError as error:
                shown = int.from_bytes(key, "big") if "market" in name else key.decode(errors="replace")
                damaged.append(f"{name} {shown}: {error}")
    return records, damaged


def _meta(store: Store, key: bytes) -> list[tuple[bytes, bytes]]:
    value = store.meta(key)
    return [] if value is None else [(key, value)]


def _read_journal(store: Store) -> tuple[int, int, list[str]]:
    """(first sequence number, last, what is damaged or missing) of the journal."""
    first_seq = last_seq = 0
    problems: list[str] = []
    for key, value in store.read_journal(0):
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


def _compare(store: Store, restored: Restored) -> list[str]:
    """Names of the models and markets that the journal alone gives otherwise."""
    book, states = _fold_whole(store)
    differences: list[str] = []
    for model_id in sorted(states.keys() | restored.states.keys()):
        folded, stored = states.get(model_id), restored.states.get(model_id)
        if folded is None or stored is None:
            differences.append(
                f"model {model_id}: only in the {'stored state' if folded is None else 'journal'}"
            )
        elif encode(folded.to_record()) != encode(stored.to_record()):
            differences.append(f"model {model_id}: state differs")
    expected = {market.ordinal: market for market in book.markets.values()}
    for market in _stored_markets(store, restored):
        folded_market = expected.pop(market.ordinal, None)
        if folded_market is None or encode(folded_market) != encode(market):
            differences.append(f"market {market.market_id}: differs")
    differences.extend(f"market {market.market_id}: not stored" for market in expected.values())
    return differences


def _stored_markets(store: Store, restored: Restored) -> Iterable[Market]:
    in_memory = {market.ordinal for market in restored.book.markets.values()}
    yield from restored.book.markets.values()
    gone = set(restored.book.merged)
    for key, value in store.settled_markets():
        market = decode_market(key, value)
        if market.ordinal not in in_memory and market.ordinal not in gone:
            yield market


def _fold_whole(store: Store) -> tuple[Book, dict[str, ModelState]]:
    """The book and the states that the journal alone gives."""
    book = Book()
    states: dict[str, ModelState] = {}
    told_seq: dict[str, int] = {}
    stale: set[str] = set()
    for first, entries in journal_entries(store, 0):
        for model_id, seq, rebuild in fold_entries(book, first, entries, states):
            told_seq[model_id] = seq
            if rebuild:
                stale.add(model_id)
    for model_id in stale:
        states[model_id] = rebuild_model(
            model_id,
            model_history(model_id, book.markets.values()),
            book.controls[model_id],
            book.rules_history,
            told_seq[model_id],
            lambda _: None,
        )
    return book, states
