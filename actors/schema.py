"""Whether a store is of this release, or was written last by a later one."""

from __future__ import annotations

from ..protocol.errors import StateSchemaError
from .records import SCHEMA_VERSION, later_version
from .restore import SNAPSHOT_KEY
from .store import Store

__all__ = ["check_schema"]


def check_schema(store: Store) -> None:
    """Refuse a store that a later release wrote last. The marker says so too, unless it is gone.

    One record of another version among ours is damage, and is treated as such.

    Raises:
        StateSchemaError: the newest journal record and the snapshot, if there is one, are of a later version.

    """
    newest, snapshot = store.last_journal_record(), store.meta(SNAPSHOT_KEY)
    records = [] if newest is None else [newest]
    if snapshot is not None:
        records.append((SNAPSHOT_KEY, snapshot))
    versions = [later_version(key, value) for key, value in records]
    if versions and all(versions):
        raise StateSchemaError(
            f"state directory {store.path} holds records of version {versions[0]}, this release reads version "
            f"{SCHEMA_VERSION}; open it with the release that wrote it"
        )
