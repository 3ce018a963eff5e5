"""A directory that is made whole or not at all: put together beside its place, made durable, and renamed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..protocol.errors import BackupFailedError, InvalidValueError
from ..protocol.validation import check_path

__all__ = ["Destination", "is_partial", "sync_directory"]

NAME_BYTES_MAX: Final = 200
PARTIAL_SUFFIX: Final = ".partial"
FULL_BYTES: Final = 256 * 1024
"""Less room than that, and a disk is said to be full: what was to be written did not fit, whatever the error says."""


class Destination:
    """Where a directory is to be made: where nothing is, or an empty directory that it takes the place of.

    Raises:
        InvalidValueError: something is there already, or there is nothing to make it in.
        BackupFailedError: it cannot be looked at.

    """

    def __init__(self, dest: str | os.PathLike[str]) -> None:
        given = check_path("dest", dest)
        self.full = False
        """It could not be made, and there was no room left on its disk."""
        try:
            self.path = Path(os.path.realpath(given))
            expected = _unsuitable(self.path)
        except OSError as error:
            raise BackupFailedError(f"{given} cannot be looked at: {error.strerror or error}") from error
        if expected is not None:
            raise InvalidValueError("dest", given, expected)

    @contextlib.contextmanager
    def being_made(self) -> Iterator[Path]:
        """A directory to put everything into; without an error it is the destination afterwards, durably.

        With one nothing is left of it, neither there nor beside it.

        Raises:
            OSError: it cannot be made, written or renamed.

        """
        path = self.path
        name = os.fsdecode(os.fsencode(path.name)[:NAME_BYTES_MAX])
        made = Path(tempfile.mkdtemp(PARTIAL_SUFFIX, f".{name}.", path.parent))  # mode 0700
        try:
            yield made
            for file in made.iterdir():
                _sync(file)
            sync_directory(made)
            made.rename(path)
            made = path
            sync_directory(path.parent)
        except BaseException:
            self.full = _is_full(path.parent)  # before what was written makes room again
            shutil.rmtree(made, ignore_errors=True)
            raise


def is_partial(path: Path) -> bool:
    """Whether a directory has the name of one that is still being made, or never was finished."""
    return path.name.startswith(".") and path.name.endswith(PARTIAL_SUFFIX)


def _is_full(directory: Path) -> bool:
    try:
        disk = os.statvfs(directory)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < FULL_BYTES or (disk.f_files > 0 and disk.f_favail == 0)


def _unsuitable(path: Path) -> str | None:
    """What is expected instead of this path, if it will not do."""
    if not path.parent.is_dir():
        return f"a path in a directory that exists; {path.parent} does not"
    if not os.path.lexists(path):
        return None
    if not path.is_dir() or any(path.iterdir()):
        return "a path where nothing is yet, or an empty directory"
    if path.is_mount():
        return "a path inside it: a mount point cannot be replaced by a finished backup"
    return None


def _sync(file: Path) -> None:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    _sync(path)
