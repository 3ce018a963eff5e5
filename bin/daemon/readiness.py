"""The one line on standard output: the daemon is ready, and this is how to reach it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence

from ...protocol.limits import PROTOCOL_VERSION
from .descriptors import write_all
from .listening import Listener

__all__ = ["announce", "ready_line"]


def ready_line(listeners: Sequence[Listener], *, journal_seq: int, state_dir: str) -> bytes:
    """JSON for a parent in any language. Of several sockets of a kind it names the first."""
    unix = next((listener.path for listener in listeners if listener.kind == "unix"), None)
    tcp = next((listener.tcp for listener in listeners if listener.kind == "tcp"), None)
    ready = {
        "ready": True,
        "unix": unix,
        "tcp": None if tcp is None else [tcp.host, tcp.port],
        "protocol": list(PROTOCOL_VERSION),
        "journal_seq": journal_seq,
        "pid": os.getpid(),
        "state_dir": state_dir,
    }
    return json.dumps(ready, separators=(",", ":")).encode() + b"\n"


def announce(line: bytes, ready_fd: int | None) -> None:
    """Write the line to standard output and to ``ready_fd``, which is closed after it.

    In threads: neither a reader that is gone nor one that does not read is any concern of the daemon's.
    """

    def tell_parent(fd: int) -> None:
        write_all(fd, line)
        os.close(fd)

    threading.Thread(target=write_all, args=(1, line), name="handicapper-ready", daemon=True).start()
    if ready_fd is not None:
        threading.Thread(
            target=tell_parent, args=(ready_fd,), name="handicapper-ready-fd", daemon=True
        ).start()
