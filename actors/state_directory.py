"""The directory a learner keeps its state in: made private, held by one process, recognised again.

``LOCK`` is held with ``flock`` for as long as the learner is open; the kernel lets go of it when the
process dies, however it dies. ``handicapper.json`` marks the directory as ours and carries the schema
version; it is written when the first snapshot is durable, so a directory that has it and lacks its data
file was damaged, and is not quietly started afresh. A backup that is being made is marked first, as unfinished.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ..protocol.errors import SettingsError, StateDamagedError, StateError, StateLockedError, StateSchemaError
from ..protocol.wording import shown
from .destination import is_partial, sync_directory
from .records import READ_VERSIONS, SCHEMA_VERSION

__all__ = [
    "DATA_FILE",
    "MARKER_FILE",
    "Holder",
    "StateDirectory",
    "announce_daemon",
    "holder_of",
    "sync_directory",
    "write_marker",
]

DATA_FILE: Final = "data.mdb"
MARKER_FILE: Final = "handicapper.json"
LOCK_FILE: Final = "LOCK"

_HOLDER_BYTES_MAX: Final = 4096


_NOT_TO_BE_SYNCED: Final = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.EROFS)
"""Directories of somebody else, and file systems on which directories are not synced: nothing of ours is in doubt."""


class Holder(NamedTuple):
    """Who said last that it holds a state directory; it may be gone."""

    pid: int
    addresses: tuple[str, ...] = ()
    """Where it can be reached, as ``unix:/path`` or ``tcp:host:port``: only a daemon can."""

    def __str__(self) -> str:
        if not self.addresses:
            return f"process {self.pid}"
        return f"handicapper daemon pid {self.pid} on {' and '.join(self.addresses)}"

    @property
    def remedy(self) -> str:
        """What to do about its holding the directory."""
        others = "stop it first, or use another directory"
        return f"use --connect {self.addresses[0]}, {others}" if self.addresses else others


def holder_of(path: str | os.PathLike[str]) -> Holder | None:
    """Who holds the directory, or held it last; None if that cannot be read."""
    try:
        with (Path(path) / LOCK_FILE).open("rb") as file:
            return _parse_holder(file.read(_HOLDER_BYTES_MAX))
    except OSError:
        return None


def _parse_holder(content: bytes) -> Holder | None:
    pid, *addresses = content.decode("utf-8", "replace").split("\n")
    # isdecimal alone takes digits of other scripts, which int() reads too.
    if not (pid.isascii() and pid.isdecimal()):
        return None
    return Holder(int(pid), tuple(address for address in addresses if address))


def announce_daemon(path: str | os.PathLike[str], addresses: Sequence[str]) -> None:
    """Say where the daemon that holds the directory, this process, can be reached.

    Raises:
        StateError: it cannot be written.

    """
    # Longer than the process id that stands there, so that one write replaces it.
    content = os.fsencode("\n".join((str(os.getpid()), *addresses, "")))
    try:
        # Another open file of the same lock: flock belongs to the first, and is not touched.
        fd = os.open(Path(path) / LOCK_FILE, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(fd, content, 0)
        finally:
            os.close(fd)
    except OSError as error:
        raise StateError(f"state directory {path} cannot be written: {error.strerror}") from error


class Marker(msgspec.Struct):
    """Contents of the marker file."""

    schema: int
    models_table: str = ""
    product: str = "handicapper"


UNFINISHED_SCHEMA: Final = -1
"""Of a copy that is being made: no release opens it, and this one says what it is."""


def write_marker(path: Path, models_table: str, schema: int = SCHEMA_VERSION) -> None:
    """Mark a directory as ours, durably; what marked it before is replaced at once.

    Raises:
        OSError: it cannot be written.

    """
    temporary = path / (MARKER_FILE + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, msgspec.json.encode(Marker(schema, models_table)))
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(path / MARKER_FILE)
    sync_directory(path)


class StateDirectory:
    """Holds the lock on a directory from construction to :meth:`release`.

    Raises:
        StateLockedError: another process, or another learner in this one, holds it.
        StateSchemaError: it was written by a release with another schema.
        StateDamagedError: its data file is missing, empty or unreadable although it was in use, or it is a backup
            that was not finished.
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
            self.schema = SCHEMA_VERSION if marker is None else marker.schema
            self.models_table = None if marker is None else marker.models_table
            """Name of the table of model states, once there is one."""
        except BaseException:
            self.release()
            raise

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _parse_holder(os.pread(self._lock_fd, _HOLDER_BYTES_MAX, 0))
            told = f"{holder}; {holder.remedy}" if holder else "another process; stop it first"
            raise StateLockedError(f"state directory {self.path} is held by {told}") from None
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
            if is_partial(self.path):
                raise self._unfinished() from None
            return None
        except OSError as error:
            raise StateError(f"{marker} cannot be read: {error.strerror}") from error
        try:
            found = msgspec.json.decode(text, type=Marker)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateDamagedError(f"{marker} is damaged ({error}); restore it from a backup") from error
        if found.schema == UNFINISHED_SCHEMA:
            raise self._unfinished()
        if not found.models_table and found.schema in READ_VERSIONS:
            raise StateDamagedError(f"{marker} is damaged (no models_table); restore it from a backup")
        if found.schema not in READ_VERSIONS:
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

    def _unfinished(self) -> StateDamagedError:
        return StateDamagedError(
            f"{self.path} is a backup that was not finished: whoever made it was ended meanwhile; remove it, and make "
            "another"
        )

    def mark_used(self, models_table: str) -> None:
        """Write the marker, durably; called once the first data is durable."""
        if self.used:
            return
        self._sync_ancestors()
        write_marker(self.path, models_table)
        self.used = True

    def mark_upgraded(self) -> None:
        """Before anything is written into a directory of an earlier release: that one is to refuse it by name.

        Raises:
            StateError: the marker cannot be written.

        """
        if self.schema == SCHEMA_VERSION:
            return
        try:
            write_marker(self.path, self.models_table or "")
        except OSError as error:
            raise StateError(f"state directory {self.path} cannot be written: {error.strerror}") from error
        self.schema = SCHEMA_VERSION

    def _sync_ancestors(self) -> None:
        """The directory may be new, and those above it, also if an earlier process made them and was killed.

        Before the marker is there: whoever finds one relies on all of this.
        """
        for ancestor in self.path.resolve().parents:
            try:
                sync_directory(ancestor)
            except OSError as error:
                if error.errno not in _NOT_TO_BE_SYNCED:
                    raise

    def table_of(self, wanted: str, given: bool) -> str:
        """The table of model states: the one this directory was made with.

        Raises:
            SettingsError: the settings that were ``given`` name another one.

        """
        made_with = self.models_table
        if made_with is not None and given and made_with != wanted:
            raise SettingsError(
                [
                    f"persistence.db_table was {shown(wanted)}, but {self.path} was made with {shown(made_with)}; "
                    f"set it to {shown(made_with)}, or use another directory"
                ]
            )
        return made_with or wanted

    def release(self) -> None:
        """Let go of the lock; safe to call twice."""
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            os.close(fd)
