"""``verify``: the check of :mod:`.consistency`, of a directory that nobody has open or of a learner that runs.

Of a learner that runs the fold, which takes long, goes first, as far as the journal is durable. Then what is in
memory is compared (:mod:`.live_check`); for the comparison of what is stored, which is shorter, snapshots are held up,
so that nothing it reads changes. Inputs go on all the while: the journal is only appended to.
"""

from __future__ import annotations

import os
from typing import Any, Final

from pykka._envelope import Envelope

from ..config import Settings, check_settings, default_settings
from ..protocol.errors import ClosedError, RuntimeFaultError
from ..protocol.messages import VerifyReport
from .background import beside, durable_seq, snapshots_held
from .calls import Reply
from .consistency import ConsistencyCheck
from .engine import Engine
from .live_check import live_differences
from .requests import TakeSnapshot
from .schema import check_schema
from .state_directory import StateDirectory
from .store import Store

__all__ = ["verify_learner", "verify_state"]

CATCH_UPS_MAX: Final = 8
"""Times the fold goes after the journal before snapshots are held up for what is left."""


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
            check_schema(store)
            check = ConsistencyCheck(store, checked, lambda: None)
            check.fold(None)
            return check.report(None)
        finally:
            store.close()
    finally:
        directory.release()


def verify_learner(engine: Engine) -> VerifyReport:
    """Check the directory of an open learner, from any thread, while inputs go on.

    Raises:
        ClosedError: the learner is closed, or was meanwhile.

    """
    engine.check_open()
    breathe = beside(engine)
    with engine.verifying:
        check = ConsistencyCheck(engine.store, engine.settings, breathe)
        for _ in range(CATCH_UPS_MAX):
            behind = durable_seq(engine) - check.folded_seq
            if behind <= engine.settings.limits.batch_inputs_max or not check.fold(durable_seq(engine)):
                break
        check.differences += live_differences(engine, check, breathe)
        if not check.differences:
            # What is only in memory so far is stored, so that it is compared as a restart would find it.
            _take_snapshot(engine)
        with snapshots_held(engine):
            seq = durable_seq(engine)
            check.fold(seq)
            report = check.report(seq)
        check.let_go()
        return report


def _take_snapshot(engine: Engine) -> None:
    reply: Reply[Any] = Reply(engine.router.cell)
    engine.router.cell.put_always(Envelope(TakeSnapshot(reply), reply))
    try:
        reply.get()
    except ClosedError:
        raise
    except RuntimeFaultError:
        return  # it cannot be saved any more: then what is stored is what there is to check
