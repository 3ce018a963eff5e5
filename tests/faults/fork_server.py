"""Runs jobs in processes of their own, forked after the imports: a process costs milliseconds, not a second.

Run as a script. Reads one JSON object a line, ``{"job": name, "args": {...}}``, forks, and writes what the
job emits as JSON lines, between ``{"pid": ...}`` and ``{"ended": wait status}``. One thread, one job at a time.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any


def emit(**message: Any) -> None:
    """Write a line, in one piece and at once: it has left the process when this returns."""
    os.write(1, json.dumps(message).encode() + b"\n")


def serve(jobs: dict[str, Any]) -> None:
    """Answer until standard input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                jobs[request["job"]](**request["args"])
                status = 0
            except BaseException:  # noqa: BLE001  # whatever it is, the test is to see it
                emit(raised=traceback.format_exc())
            finally:
                os._exit(status)
        emit(pid=pid)
        _, status = os.waitpid(pid, 0)
        # A job that was killed may have left half a line behind.
        os.write(1, b"\n")
        emit(ended=status)


if __name__ == "__main__":
    from backup_jobs import BACKUP_JOBS
    from disk_jobs import DISK_JOBS
    from jobs import JOBS
    from traced_jobs import TRACED_JOBS

    emit(ready=True)
    serve(JOBS | BACKUP_JOBS | DISK_JOBS | TRACED_JOBS)
