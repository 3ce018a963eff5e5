"""The directory a learner keeps its state in: made private, held by one process, recognised again.

``LOCK`` is held with ``flock`` for as long as the learner is open; the kernel lets go of it when the
process dies, however it dies. ``handicapper.json`` marks the directory as ours and carries the schema
version; it is written when the first snapshot is durable, so a directory that has it and lacks its data
file was damaged, and is not quietly started afresh.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

import msgspec

from ..protocol.errors import SettingsError, StateDamagedError, StateError, StateLockedError, StateSchemaError
from .records import SCHEMA_VERSION

__all__ = ["DATA_FILE", "MARKER_FILE", "StateDirectory"]

DATA_FILE: Final = "data.mdb"
MARKER_FILE: Final = "handicapper.json"
LOCK_FILE: Final = "LOCK"


class Marker(msgspec.Struct):
    """Contents of the marker file."""

    schema: int
    models_table: str = ""
    product: str = "handicapper"


class StateDirectory:
    """Holds the lock on a directory from construction to :meth:`release`.

    Raises:
        StateLockedError: another process, or another learner in this one, holds it.
        StateSchemaError: it was written by a release with another schema.
        StateDamagedError: its data file is missing, empty or unreadable although it was in use.
        StateError: it does not exist and ``create`` is false, or it cannot be made or written.

    """

    def __init__(self, path: str | os.PathLike[str], create: bool = True) -> None:
        self.path = Path(path)
        self._lock_fd = -1
        try:
            if not self.path.exists() and not create:
                raise StateError(f"state directory {self.path} does not exist")
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_fd = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(
                f"state directory {self.path} cannot be used: {error.strerror or error}; it must be a directory this "
                "user may write to"
            ) from error
        try:
            self._take_lock()
            marker = self._read_marker()
            self.used = marker is not None
            self.models_table = None if marker is None else marker.models_table
            """Name of the table of model states, once there is one."""
        except BaseException:
            self.release()
            raise

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock_fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise StateLockedError(
                f"state directory {self.path} is held by process {holder}; stop it first, or use another directory"
            ) from None
        try:
            os.ftruncate(self._lock_fd, 0)
            os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise StateError(f"state directory {self.path} cannot be written: {error.strerror}") from error

    def _read_marker(self) -> Marker | None:
        """The marker of a directory that was in use before."""
        marker, data = self.path / MARKER_FILE, self.path / DATA_FILE
        try:
            text = marker.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{marker} cannot be read: {error.strerror}") from error
        try:
            found = msgspec.json.decode(text, type=Marker)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateDamagedError(f"{marker} is damaged ({error}); restore it from a backup") from error
        if not found.models_table and found.schema == SCHEMA_VERSION:
            raise StateDamagedError(f"{marker} is damaged (no models_table); restore it from a backup")
        if found.schema != SCHEMA_VERSION:
            raise StateSchemaError(
                f"state directory {self.path} has schema {found.schema}, this release reads schema {SCHEMA_VERSION}; "
                "open it with the release that wrote it"
            )
        if not data.exists() or data.stat().st_size == 0:
            raise StateDamagedError(
                f"{data} is missing or empty, although this directory was in use; restore it from a backup, or "
                f"remove {marker} to begin again with nothing"
            )
        return found

    def mark_used(self, models_table: str) -> None:
        """Write the marker, durably; called once the first data is durable."""
        if self.used:
            return
        temporary = self.path / (MARKER_FILE + ".new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, msgspec.json.encode(Marker(SCHEMA_VERSION, models_table)))
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(self.path / MARKER_FILE)
        directory = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self.used = True

    def table_of(self, wanted: str, given: bool) -> str:
        """The table of model states: the one this directory was made with.

        Raises:
            SettingsError: the settings that were ``given`` name another one.

        """
        made_with = self.models_table
        if made_with is not None and given and made_with != wanted:
            raise SettingsError(
                [
                    f"persistence.db_table was {wanted!r}, but {self.path} was made with {made_with!r}; "
                    f"set it to {made_with!r}, or use another directory"
                ]
            )
        return made_with or wanted

    def release(self) -> None:
        """Let go of the lock; safe to call twice."""
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            os.close(fd)
