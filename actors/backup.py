"""``backup``: a copy of a state directory that nobody has open, or of the one of a learner that runs.

Of a learner that runs it is as of one input. Those that come meanwhile wait for nothing but a share of the
interpreter and of the disk; snapshots are held up while their tables are copied.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import Final

from ..config import Settings, check_settings, default_settings
from ..protocol.errors import BackupFailedError, BusyError, StateDamagedError, StateError
from ..protocol.messages import BackupReceipt
from .background import beside, in_routers_turn, snapshots_held, wait_durable
from .copying import copy_store
from .destination import Destination
from .engine import Engine
from .log import get_logger
from .schema import check_schema
from .state_directory import StateDirectory
from .store import Store

__all__ = ["backup_learner", "backup_state"]

WORK_SECONDS: Final = 0.001
"""At a time; so much longer an input may take."""
RETRY_MS: Final = 1_000

_log = get_logger("backup")


def backup_state(
    state_dir: str | os.PathLike[str], dest: str | os.PathLike[str], settings: Settings | None = None
) -> BackupReceipt:
    """Copy a state directory that no learner has open, as :meth:`.learner.Learner.backup` does. Changes nothing in it.

    Raises:
        InvalidValueError: there is something at ``dest``, or nothing to make it in.
        BackupFailedError: it could not be written; nothing of it is left.
        StateLockedError: a learner has it open.
        StateDamagedError: a record is damaged, and so would be the copy.
        StateError: it is not there, or cannot be read at all.

    """
    checked = check_settings(default_settings() if settings is None else settings)
    destination = Destination(dest)
    directory = StateDirectory(state_dir, create=False)
    try:
        persistence = checked.persistence
        table = directory.table_of(persistence.db_table, settings is not None)
        store = Store(
            directory.path, table, persistence.initial_map_mib, persistence.map_mib_max, create=False
        )
        try:
            check_schema(store)
            return _copied(store, table, destination, lambda: None, nullcontext)
        finally:
            store.close()
    finally:
        directory.release()


def backup_learner(engine: Engine, dest: str | os.PathLike[str]) -> BackupReceipt:
    """Copy the directory of an open learner, from any thread, while inputs go on.

    Raises:
        InvalidValueError: there is something at ``dest``, or nothing to make it in.
        BackupFailedError: it could not be written; nothing of it is left.
        BusyError: another backup is being made.
        StateDamagedError: a record is damaged, and so would be the copy.
        ClosedError: the learner is closed, or was meanwhile.

    """
    engine.check_open()
    destination = Destination(dest)
    if not engine.backing_up.acquire(blocking=False):
        raise BusyError("another backup is being made", RETRY_MS)
    try:
        breathe = beside(engine, WORK_SECONDS)
        # Also what the caller sent before and nobody has answered yet; if it cannot be journaled any more,
        # what is durable is worth a backup all the more.
        wait_durable(engine, in_routers_turn(engine, lambda router: router.book.seq), breathe)
        table = engine.directory.table_of(engine.settings.persistence.db_table, False)
        return _copied(engine.store, table, destination, breathe, lambda: snapshots_held(engine))
    finally:
        engine.backing_up.release()


def _copied(
    store: Store,
    table: str,
    destination: Destination,
    breathe: Callable[[], object],
    held: Callable[[], AbstractContextManager[object]],
) -> BackupReceipt:
    began = monotonic()
    try:
        with destination.being_made() as made:
            seq = copy_store(store, table, made, breathe, held)
            size = sum(file.stat().st_size for file in made.iterdir())
    except StateDamagedError:
        raise
    except (StateError, OSError) as error:
        # The store's own text is about a learner that has to stop; this one goes on.
        cause = f"{error.__cause__ or error}{' (the disk is full)' if destination.full else ''}"
        raise BackupFailedError(
            f"{destination.path} cannot be written: {cause}; nothing of it was left there, and what is recorded is not "
            "affected"
        ) from error
    receipt = BackupReceipt(seq=seq, bytes=size, seconds=monotonic() - began)
    _log.info("backup made", path=str(destination.path), seq=seq, bytes=size, seconds=receipt.seconds)
    return receipt
