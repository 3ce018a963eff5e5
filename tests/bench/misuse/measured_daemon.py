"""``handicapper serve`` with every turn of its event loop measured, by the processor time of the loop's thread: what
else the machine does, and who waits for whom, is not in it.

SIGUSR1 has it write, to the file that ``MISUSE_TURNS`` names, the longest turn of each kind since the last time.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from handicapper.bin.cli import main
from handicapper.bin.daemon.turns import Turns
from handicapper.protocol.server import Server
from handicapper.protocol.serving.service import Service
from handicapper.protocol.serving.socket_edge import SocketEdge

TURNS: dict[str, tuple[type, str]] = {
    "read": (SocketEdge, "data_received"),
    "turn": (SocketEdge, "_turn"),
    "answers": (Service, "drain"),
    "sweep": (Server, "_sweep"),
    "actors": (Turns, "_run"),
}
"""Whatever takes long on the loop is done in one of these; the actors' are up to 64 turns of one each."""

longest: dict[str, float] = {}
began: dict[str, float] = {}


def _measured(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def measured(*arguments: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*arguments)
        finally:
            took = time.thread_time() - began
            if took > longest.get(name, 0.0):
                longest[name] = took

    return measured


def _collected(phase: str, information: dict[str, int]) -> None:
    """Collections are part of the turns they fall into, and are told beside them: what they look through is not what
    the turn was for."""
    name = f"gc {information['generation']}"
    if phase == "start":
        began[name] = time.thread_time()
    else:
        longest[name] = max(longest.get(name, 0.0), time.thread_time() - began[name])


def _write(*_: object) -> None:
    path = Path(os.environ["MISUSE_TURNS"])
    new = path.with_suffix(".new")
    new.write_text(json.dumps(longest))
    longest.clear()
    new.replace(path)


if __name__ == "__main__":
    for name, (owner, method) in TURNS.items():
        setattr(owner, method, _measured(name, getattr(owner, method)))
    gc.callbacks.append(_collected)
    signal.signal(signal.SIGUSR1, _write)
    sys.exit(main())
