"""Leaving with the parent: its end of our standard input is closed by the kernel, however it died."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from ...protocol.errors import SettingsError
from .descriptors import is_open, select_readable

__all__ = ["require_stdin", "watch_parent"]

_READ_BYTES = 4096


def require_stdin() -> None:
    """Make sure there is a standard input to watch.

    Raises:
        SettingsError: it is closed.

    """
    if not is_open(0):
        raise SettingsError(
            [
                "--parent-watch needs standard input, which is closed; expected a pipe that the parent holds open"
            ],
            "options",
        )


def watch_parent(on_gone: Callable[[], None]) -> None:
    """Call ``on_gone`` once standard input ends, in a thread of its own; what it brings is not looked at.

    Not with PR_SET_PDEATHSIG: that signal comes when the *thread* that started us ends, while its process
    may live on.
    """

    def watch() -> None:
        while _read():
            pass
        on_gone()

    threading.Thread(target=watch, name="handicapper-parent", daemon=True).start()


def _read() -> bool:
    """Whether there is somebody still."""
    try:
        return bool(os.read(0, _READ_BYTES))
    except BlockingIOError:
        select_readable(0)
        return True
    except OSError:
        return False
